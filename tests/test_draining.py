"""How the clients of a process that stops are sent away."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path

import httpx
import pytest

from cowrite.draining import send_away
from cowrite.protocol.close_codes import CloseCode
from cowrite.stores import open_store
from cowrite.testing.client import LiveClient, live_client
from cowrite.testing.transport_contract import ServerOptions
from demo_server import DemoServer
from live_server import LiveServer, live_server

DRAIN = 1.0
CLIENTS = 8


async def ended(client: LiveClient) -> float:
    """When its socket was closed."""
    await client.until(lambda: client.socket.ended is not None)
    assert client.socket.ended is not None
    assert client.socket.ended.code == CloseCode.SERVICE_RESTART
    return time.monotonic()


@pytest.mark.rule("WK20", "WK21")
async def test_sockets_are_closed_over_the_time_set(tmp_path: Path) -> None:
    """None before its turn, the first one at once; meanwhile nobody listens at the port, and a poll that waits is answered."""
    with DemoServer(tmp_path, COWRITE_DRAIN_SECONDS=str(DRAIN)) as server:
        async with AsyncExitStack() as stack:
            await _watch_the_drain(server, stack)
        assert await asyncio.to_thread(server.code) == 0


async def _watch_the_drain(server: DemoServer, stack: AsyncExitStack) -> None:
    http = await stack.enter_async_context(httpx.AsyncClient(base_url=server.url, trust_env=False))
    answer = await http.post("/api/v2/realtime/connect", json={"document_id": "doc"})
    bearer = {"authorization": f"Bearer {answer.json()['access_token']}"}
    query = {"document_id": "doc", "wait": "20", "last_operation": ""}
    clients = [await stack.enter_async_context(live_client(f"ws://127.0.0.1:{server.port}/yjs/doc")) for _ in range(CLIENTS)]
    poll = asyncio.create_task(http.get("/api/v2/realtime/poll", params=query, headers=bearer))
    await asyncio.sleep(0.2)
    began = time.monotonic()
    os.kill(server.pid, signal.SIGTERM)
    ends = [asyncio.create_task(ended(client)) for client in clients]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    assert sum(end.done() for end in ends) < CLIENTS
    with pytest.raises(httpx.ConnectError):
        await http.post("/api/v2/realtime/connect", json={"document_id": "doc"})
    assert (await poll).status_code in {200, 503}
    after = sorted([await end - began for end in ends])
    early = [number for number, seconds in enumerate(after) if seconds < number * DRAIN / CLIENTS]
    assert early == []


@asynccontextmanager
async def server_on(file: Path) -> AsyncIterator[LiveServer]:
    storage = await open_store(f"sqlite:///{file}")
    async with live_server(ServerOptions(demo=True, storage=storage), picows=True) as server:
        yield server


@pytest.mark.rule("WK22")
@pytest.mark.parametrize("path", ["yjs/doc"])
async def test_a_socket_is_closed_after_its_acknowledgements(tmp_path: Path, path: str) -> None:
    """While the database is locked its turn waits; then the client knows that all is stored."""
    file = tmp_path / "cowrite.db"
    async with server_on(file) as server, live_client(f"{server.url}/{path}") as client:
        client.yjs.text += "hello"
        await client.until(lambda: client.yjs.saved)
        with closing(sqlite3.connect(file, isolation_level=None, timeout=5)) as other:
            other.execute("BEGIN IMMEDIATE")
            client.yjs.text += " world"
            await client.socket.drain()
            services = server.runtime.serving()
            assert services is not None
            (connection,) = services.connections
            while connection.settled:  # noqa: ASYNC110
                await asyncio.sleep(0)
            going = asyncio.create_task(send_away(services, 5.0))
            await asyncio.sleep(0.1)
            assert client.socket.ended is None
            other.execute("ROLLBACK")
        await ended(client)
        await going
        assert client.yjs.saved
