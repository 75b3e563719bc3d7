"""Connections that do not finish to ask."""

from __future__ import annotations

import asyncio
import re

import pytest

from cowrite.core.limits import Limits
from cowrite.testing.transport_contract import ServerOptions
from cowrite.testing.transport_contract.server import join
from live_server import LiveServer, live_server
from timing import MS

REQUEST = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n"
LIMITS = Limits(head_seconds=300 * MS)


async def rest_of(server: LiveServer, *parts: bytes, pause: float = 0.0) -> bytes:
    """All that a server says to what is sent to it, until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    reading = asyncio.ensure_future(reader.read())
    for part in parts:
        writer.write(part)
        await asyncio.sleep(pause)
    async with asyncio.timeout(20_000 * MS):
        answer = await reading
    writer.close()
    return answer


@pytest.mark.rule("LM4", "LM3")
async def test_requests_that_never_end() -> None:
    """Begun and not finished, also dripping, also the second of a connection: 408 and the end. Without a word: the end."""
    async with live_server(ServerOptions(limits=LIMITS), picows=True) as server:
        services = server.runtime.serving()
        assert services is not None
        begun = (REQUEST, b"G", REQUEST + b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: ")
        drops = [b"x-%d: y\r\n" % number for number in range(8)]
        *cut, dripped, twice, silent = await asyncio.gather(
            *(rest_of(server, sent) for sent in begun),
            rest_of(server, REQUEST, *drops, pause=50 * MS),
            rest_of(server, REQUEST + b"\r\n", b"GET", pause=50 * MS),
            rest_of(server),
        )
        for answer in (*cut, dripped):
            assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
            assert b'"code":"request_timeout"' in answer
        assert re.findall(rb"HTTP/1\.1 (\d+)", twice) == [b"200", b"408"]
        assert silent == b""
        assert services.excess.counts["head_seconds"] == 6


@pytest.mark.rule("LM4")
async def test_who_asks_in_time_has_time() -> None:
    """For the answer, and for a socket."""
    async with live_server(ServerOptions(limits=LIMITS), picows=True) as server:
        socket = await join(f"{server.url}/yjs/d")
        poll = b"GET /api/v2/realtime/poll?document_id=d&wait=1 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        assert (await rest_of(server, poll)).startswith(b"HTTP/1.1 200 ")
        await socket.close()
        services = server.runtime.serving()
        assert services is not None
        assert services.excess.counts["head_seconds"] == 0
