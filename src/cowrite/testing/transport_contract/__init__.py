"""Every promise of the WebSockets, as tests against a real server. A transport's own tests subclass it:

    class TestMyTransport(TransportContract):
        @pytest.fixture
        async def start(self) -> AsyncIterator[StartServer]:
            ...  # yields a function that starts a server with the options it is given, on a free port of 127.0.0.1

It needs pytest and pytest-asyncio in automatic mode.
"""

from __future__ import annotations

import pytest

_PARTS = "conversation", "flow", "hocuspocus", "hocuspocus_ends", "operations", "refusals", "upgrades"
pytest.register_assert_rewrite(*(f"{__name__}.{part}" for part in _PARTS))

from cowrite.testing.transport_contract.conversation import ConversationContract  # noqa: E402  (asserts are rewritten above)
from cowrite.testing.transport_contract.flow import FlowContract  # noqa: E402
from cowrite.testing.transport_contract.hocuspocus import HocuspocusContract  # noqa: E402
from cowrite.testing.transport_contract.hocuspocus_ends import HocuspocusEndContract  # noqa: E402
from cowrite.testing.transport_contract.operations import OperationsContract  # noqa: E402
from cowrite.testing.transport_contract.refusals import RefusalContract  # noqa: E402
from cowrite.testing.transport_contract.server import ServerOptions, StartServer, everybody_writes  # noqa: E402
from cowrite.testing.transport_contract.upgrades import UpgradeContract  # noqa: E402

__all__ = ["ServerOptions", "StartServer", "TransportContract", "everybody_writes"]


class TransportContract(
    UpgradeContract,
    ConversationContract,
    RefusalContract,
    FlowContract,
    OperationsContract,
    HocuspocusContract,
    HocuspocusEndContract,
):
    """All of them."""
