"""Every promise of the port ``Store``, as tests. An adapter's own tests subclass :class:`StoreContract`:

    class TestMyStore(StoreContract):
        @pytest.fixture
        async def backend(self) -> AsyncIterator[StoreBackend]:
            backend = MyBackend()          # a subclass of StoreBackend
            yield backend
            await backend.close()

It needs pytest and pytest-asyncio in automatic mode.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(*(f"{__name__}.{part}" for part in ("checkpoints", "heads", "identity", "log", "submitted")))

from cowrite.core.ports import Store  # noqa: E402  (asserts are rewritten in what is imported after)
from cowrite.testing.store_contract.backend import StoreBackend  # noqa: E402
from cowrite.testing.store_contract.checkpoints import CheckpointContract  # noqa: E402
from cowrite.testing.store_contract.heads import HeadContract  # noqa: E402
from cowrite.testing.store_contract.identity import IdentityContract  # noqa: E402
from cowrite.testing.store_contract.log import LogContract  # noqa: E402
from cowrite.testing.store_contract.submitted import SubmittedContract  # noqa: E402

__all__ = ["StoreBackend", "StoreContract"]


class StoreContract(LogContract, HeadContract, CheckpointContract, IdentityContract, SubmittedContract):
    """All of them."""

    @pytest.fixture
    async def store(self, backend: StoreBackend) -> Store:
        """A store on the test's database."""
        return await backend.open()
