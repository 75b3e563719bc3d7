"""The WebSocket of cowrite's own server: the contract."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from cowrite.testing.transport_contract import ServerOptions, StartServer, TransportContract
from live_server import live_server


class TestPicows(TransportContract):
    @pytest.fixture
    async def start(self, stack: AsyncExitStack) -> StartServer:
        async def start(options: ServerOptions) -> str:
            return (await stack.enter_async_context(live_server(options, picows=True))).url

        return start
