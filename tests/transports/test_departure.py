"""Clients that do not read the answers to their requests: on cowrite's own server in this process, and in one of its own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import cast

import psutil
import pytest

from cowrite.core.limits import Limits
from cowrite.crdt.state_vector import encode_state_vector
from cowrite.protocol import yjs
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.messages import SyncStep1
from cowrite.testing.client import ConnectionEnded, WebSocketClient, live_client
from cowrite.testing.transport_contract import ServerOptions
from cowrite.transports.services import Services
from demo_server import DemoServer
from live_server import LiveServer, live_server
from timing import MS

PARTS, PART = 6, 900_000
MIB = 1 << 20
WHOLE = yjs.encode(SyncStep1(b"\0"))
JSON = "documents/d?format=json"
MESSAGES = {"path": "realtime/poll?document_id=d", "accept": "application/octet-stream"}
"""Of these each is written for itself."""
COUNT = 20


@asynccontextmanager
async def serving(limits: Limits) -> AsyncIterator[tuple[LiveServer, Services]]:
    """A server with a document of some megabytes."""
    async with live_server(ServerOptions(limits=limits), picows=True) as server:
        services = server.runtime.serving()
        assert services is not None
        await fill(server.url)
        yield server, services


async def fill(url: str) -> None:
    """Write some megabytes into the document."""
    async with live_client(f"{url}/yjs/d", protocols=["cowrite.ack.v1"]) as writer:
        for _ in range(PARTS):
            writer.yjs.text += "x" * PART
            await writer.until(lambda: writer.yjs.saved)


async def asking(url: str, path: str = "documents/d?format=text", accept: str = "*/*") -> socket.socket:
    """Asks for all of it, and reads nothing."""
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    opened.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(opened, ("127.0.0.1", int(url.rpartition(":")[2])))
    asked = f"GET /api/v2/{path} HTTP/1.1\r\nhost: localhost\r\naccept: {accept}\r\nconnection: close\r\n\r\n"
    await loop.sock_sendall(opened, asked.encode())
    return opened


async def read(opened: socket.socket, *, pause: float = 0.0) -> bytes:
    """Read until the end, or until it is cut off, which is told by nothing having come."""
    loop, read = asyncio.get_running_loop(), bytearray()
    while True:
        try:
            data = await loop.sock_recv(opened, 1 << 18)
        except ConnectionResetError:
            return b""
        if not data:
            return bytes(read)
        read += data
        await asyncio.sleep(pause)


def transport_of(opened: WebSocketClient) -> asyncio.Transport:
    return cast("asyncio.Transport", opened._writer.transport)


async def all_of(opened: WebSocketClient) -> None:
    """Read until the end."""
    while True:
        await opened.receive()


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(20_000 * MS):
        while not holds():  # noqa: ASYNC110 - of a server
            await asyncio.sleep(10 * MS)


@pytest.mark.rule("LM23", "LM3")
async def test_answers_that_are_not_read() -> None:
    """The one that is not read ends when its time is over, of which it does not get more for each part that leaves; who reads
    slowly has all of it, and nothing is kept of either.
    """
    async with serving(Limits(arrival_seconds=1000 * MS, arrival_bytes=100_000)) as (server, services):
        with closing(await asking(server.url)) as silent, closing(await asking(server.url)) as slow:
            whole = asyncio.ensure_future(read(slow, pause=0.001))
            await until(lambda: services.excess.counts["leaving_late"])
            assert len(await read(silent)) < PARTS * PART
            assert len(await whole) > PARTS * PART
            await until(lambda: not services.leaving.bytes)
        assert services.excess.counts["leaving_late"] == 1


@pytest.mark.rule("LM23", "LM3")
async def test_answers_together_have_a_bound() -> None:
    """One that is alone may be as large as it is, and so may those who are given the same; another has no room until they are
    gone, and is told to come back.
    """
    async with serving(Limits(leaving_bytes=MIB)) as (server, services):
        with closing(await asking(server.url)), closing(await asking(server.url, JSON)) as other:
            refused = await read(other)
            assert refused.startswith(b"HTTP/1.1 503 ")
            assert b"retry-after: 2" in refused.lower()
            assert b'"code":"overloaded"' in refused
            assert services.excess.counts["leaving_bytes"] == services.excess.counts["overloaded"] == 1
            assert services.leaving.bytes > PARTS * PART
        await until(lambda: not services.leaving.bytes)
        with closing(await asking(server.url, JSON)) as third:
            assert len(await read(third)) > PARTS * PART


@pytest.mark.rule("LM23", "LM3")
async def test_messages_of_sockets_have_the_same_bound() -> None:
    """Those who are given the same message share it. Who would be given one of its own has to come back."""
    async with serving(Limits(leaving_bytes=MIB)) as (server, services), AsyncExitStack() as stack:
        room = services.registry.get("d")
        assert room is not None
        assert room.replicas.live is not None
        ((client, _),) = room.replicas.live.state.items()
        own = yjs.encode(SyncStep1(encode_state_vector({client: 7})))

        async def silent(question: bytes) -> WebSocketClient:
            opened = await WebSocketClient.connect(f"{server.url}/yjs/d", receive_buffer=4096)
            stack.callback(opened._writer.transport.abort)
            transport_of(opened).pause_reading()
            opened.send(question)
            return opened

        crowd = [await silent(WHOLE) for _ in range(3)]
        await until(lambda: services.leaving.bytes > PARTS * PART)
        refused = await silent(own)
        await until(lambda: services.excess.counts["leaving_bytes"])
        transport_of(refused).resume_reading()
        with pytest.raises(ConnectionEnded) as closed:
            await all_of(refused)
        assert closed.value.code == CloseCode.TOO_FAST
        assert services.excess.counts["leaving_bytes"] == 1
        assert services.leaving.bytes < 2 * PARTS * PART
        assert all(one.ended is None for one in crowd)
        await stack.aclose()
        await until(lambda: not services.leaving.bytes)


@pytest.mark.rule("LM23")
async def test_answers_that_are_not_read_on_a_real_server(tmp_path: Path) -> None:
    """Its process grows by what may be held, not by what is asked for: with many who ask for the same, and where each is given
    something of its own.
    """
    with DemoServer(tmp_path, COWRITE_LIMIT_LEAVING_BYTES=str(12 * MIB)) as server:
        url = server.url.rstrip("/")
        await fill(url.replace("http", "ws", 1))
        same = await _growth(server, [await asking(url) for _ in range(COUNT)])
        own = await _growth(server, [await asking(url, **MESSAGES) for _ in range(COUNT)])
        assert 'cowrite_refused_total{limit="leaving_bytes",worker="1"} 0.0' not in server.text("metrics")
    assert same < 5 * PARTS * PART
    assert own < 12 * MIB + 5 * PARTS * PART


async def _growth(server: DemoServer, unread: Sequence[socket.socket]) -> int:
    """By how many bytes its process is larger while these are not read than when they have gone."""
    process = psutil.Process(server.pid)
    loop = asyncio.get_running_loop()
    for one in unread:  # each has had the beginning of an answer
        await loop.sock_recv(one, 1)
    with_them = int(process.memory_info().rss)
    for one in unread:
        one.close()
    await until(lambda: len(process.net_connections("tcp")) == 1)
    return with_them - int(process.memory_info().rss)
