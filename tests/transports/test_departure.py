"""Clients that do not read the answers to their requests, on cowrite's own server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing

import pytest

from cowrite.core.limits import Limits
from cowrite.testing.client import live_client
from cowrite.testing.transport_contract import ServerOptions
from cowrite.transports.services import Services
from live_server import LiveServer, live_server
from timing import MS

ASKED = b"GET /api/v2/documents/d?format=text HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
PARTS, PART = 6, 900_000


@asynccontextmanager
async def serving(limits: Limits) -> AsyncIterator[tuple[LiveServer, Services]]:
    """A server with a document of some megabytes."""
    async with live_server(ServerOptions(limits=limits), picows=True) as server:
        services = server.runtime.serving()
        assert services is not None
        async with live_client(f"{server.url}/yjs/d", protocols=["cowrite.ack.v1"]) as writer:
            for _ in range(PARTS):
                writer.yjs.text += "x" * PART
                await writer.until(lambda: writer.yjs.saved)
        yield server, services


async def asking(server: LiveServer) -> socket.socket:
    """Asks for all of it, and reads nothing."""
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    opened.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(opened, ("127.0.0.1", int(server.url.rpartition(":")[2])))
    await loop.sock_sendall(opened, ASKED)
    return opened


async def read(opened: socket.socket, *, pause: float = 0.0) -> int:
    """Read until the end, or until it is cut off; how much it was."""
    loop, size = asyncio.get_running_loop(), 0
    while True:
        try:
            data = await loop.sock_recv(opened, 1 << 18)
        except ConnectionResetError:
            return -1
        if not data:
            return size
        size += len(data)
        await asyncio.sleep(pause)


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(20_000 * MS):
        while not holds():  # noqa: ASYNC110 - of a server
            await asyncio.sleep(10 * MS)


@pytest.mark.rule("LM23", "LM3")
async def test_answers_that_are_not_read() -> None:
    """The one that is not read ends when its time is over; who reads slowly has all of it, and nothing is kept of either."""
    async with serving(Limits(arrival_seconds=1000 * MS, arrival_bytes=100_000)) as (server, services):
        with closing(await asking(server)) as silent, closing(await asking(server)) as slow:
            whole = asyncio.ensure_future(read(slow, pause=0.001))
            await until(lambda: services.excess.counts["leaving_late"])
            assert await read(silent) < PARTS * PART
            assert await whole > PARTS * PART
            await until(lambda: not services.leaving.bytes)
        assert services.excess.counts["leaving_late"] == 1


@pytest.mark.rule("LM23", "LM3")
async def test_answers_together_have_a_bound() -> None:
    """One that is alone may be as large as it is; the next has no room, until the first is gone."""
    async with serving(Limits(leaving_bytes=1 << 20)) as (server, services):
        with closing(await asking(server)):
            await until(lambda: services.leaving.bytes)
            with closing(await asking(server)) as second:
                await until(lambda: services.excess.counts["leaving_bytes"])
                assert await read(second) < PARTS * PART
            assert services.leaving.bytes > 1 << 20
        await until(lambda: not services.leaving.bytes)
        with closing(await asking(server)) as third:
            assert await read(third) > PARTS * PART
