"""How the clients of a process that stops are sent away."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from cowrite.draining import send_away
from cowrite.protocol import hocuspocus, yjs
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.messages import Acknowledged, SyncStep1
from cowrite.stores import open_store
from cowrite.testing.client import LiveClient, live_client
from cowrite.testing.transport_contract import ServerOptions
from cowrite.testing.yjs_client import YjsClient
from demo_server import DemoServer
from live_server import LiveServer, live_server
from socket_writers import ACKNOWLEDGED
from timing import MS

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
    await asyncio.sleep(500 * MS)  # it waits by now
    began = time.monotonic()
    os.kill(server.pid, signal.SIGTERM)
    ends = [asyncio.create_task(ended(client)) for client in clients]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
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


def yjs_update() -> bytes:
    client, frames = YjsClient(), list[bytes]()
    client.connect(frames.append)
    client.text += "hello"
    return frames[-1]


def is_acknowledged(frame: str | bytes) -> bool:
    if isinstance(frame, str):
        return bool(json.loads(frame)["type"] == "acknowledged")
    try:
        return isinstance(yjs.decode(frame), Acknowledged)
    except yjs.MalformedFrame:
        return False


def is_status(frame: str | bytes) -> bool:
    assert isinstance(frame, bytes)
    message = hocuspocus.decode(frame)
    return isinstance(message, hocuspocus.Addressed) and message.message == hocuspocus.SyncStatus(True)


HELLO = json.dumps({"type": "hello", "document_id": "doc"})
INSERT = {"type": "insert", "position": ["body", 0], "content": "hello"}
DIALECT = hocuspocus.HocuspocusDialect("doc")
LANGUAGES: dict[str, tuple[list[str | bytes], Callable[[], str | bytes], Callable[[str | bytes], bool]]] = {
    "yjs/doc": ([], yjs_update, is_acknowledged),
    "api/v2/realtime/ws": (
        [HELLO],
        lambda: json.dumps({"type": "operations", "operations": [INSERT], "base": None}),
        is_acknowledged,
    ),
    "hocuspocus": (
        [DIALECT.encode(hocuspocus.Authenticate("", "4.8.0")), DIALECT.encode(SyncStep1(b"\0"))],
        lambda: DIALECT.encode(yjs.decode(yjs_update())),
        is_status,
    ),
}


@pytest.mark.rule("WK22")
@pytest.mark.parametrize("path", LANGUAGES)
async def test_a_socket_is_closed_after_its_acknowledgements(
    tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the database is locked its turn waits; then the client knows that all is stored, whatever it speaks."""
    monkeypatch.setattr("cowrite.draining._PATIENCE_SECONDS", 20_000 * MS)
    file = tmp_path / "cowrite.db"
    greeting, edit, acknowledges = LANGUAGES[path]
    async with (
        server_on(file) as server,
        connect(f"{server.url}/{path}", subprotocols=ACKNOWLEDGED, compression=None) as client,
        asyncio.timeout(20_000 * MS),
    ):
        for message in greeting:
            await client.send(message)
        await client.recv()
        services = server.runtime.serving()
        assert services is not None
        (connection,) = services.connections
        with closing(sqlite3.connect(file, isolation_level=None, timeout=5)) as other:
            other.execute("BEGIN IMMEDIATE")
            await client.send(edit())
            while connection.settled:  # noqa: ASYNC110
                await asyncio.sleep(0)
            going = asyncio.create_task(send_away(services, 5.0))
            await asyncio.sleep(0.1)
            assert not going.done()
            other.execute("ROLLBACK")
        frames = []
        with suppress(ConnectionClosedError):
            while True:
                frames.append(await client.recv())
        await going
        assert client.close_code == CloseCode.SERVICE_RESTART
        assert any(map(acknowledges, frames))
