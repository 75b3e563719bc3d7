"""Connections that do not finish to ask."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress

import psutil
import pytest

from cowrite.core.limits import Limits
from cowrite.testing.transport_contract import ServerOptions
from cowrite.testing.transport_contract.server import join, text_of
from live_server import LiveServer, live_server
from timing import MS

REQUEST = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n"
LIMITS = Limits(head_seconds=300 * MS)


async def _until_the_end(reader: asyncio.StreamReader) -> bytes:
    answer = bytearray()
    with suppress(ConnectionResetError):  # what was sent last has met a closed socket; what came before counts
        while more := await reader.read(65536):
            answer += more
    return bytes(answer)


async def rest_of(server: LiveServer, *parts: bytes, pause: float = 0.0) -> bytes:
    """All that a server says to what is sent to it, until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    reading = asyncio.ensure_future(_until_the_end(reader))
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


@pytest.mark.rule("LM6", "LM3")
async def test_requests_whose_head_does_not_end() -> None:
    """Many lines, or a long one; also behind a body in pieces. They are closed long before what they send is a burden."""
    async with live_server(ServerOptions(limits=Limits()), picows=True) as server:
        services = server.runtime.serving()
        assert services is not None
        lines, line = [b"a:b\r\n" * 10_000] * 40, [b"x" * 50_000] * 40
        chunked = b"POST /api/v2/documents HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
        before = psutil.Process().memory_info().rss
        many, long = await asyncio.gather(*(head_of(server, REQUEST, *parts) for parts in (lines, [b"x-y: ", *line])))
        for answer in (many, long):
            assert answer in (b"", b"HTTP/1.1 431 Request Header Fields Too Large")
        await head_of(server, chunked, *lines)
        assert services.excess.counts["head_bytes"] == 3
        assert psutil.Process().memory_info().rss - before < 30 << 20
        whole = REQUEST + b"".join(b"x-%d: %s\r\n" % (number, b"y" * 1000) for number in range(60))
        assert (await rest_of(server, whole + b"connection: close\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


@pytest.mark.rule("TR43")
async def test_an_upgrade_behind_a_request_without_an_answer() -> None:
    async with live_server(ServerOptions(limits=Limits()), picows=True) as server:
        upgrade = b"GET /yjs/d HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        upgrade += b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        answer = await rest_of(server, REQUEST + b"\r\n" + upgrade)
        assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"400"]


async def head_of(server: LiveServer, *parts: bytes) -> bytes:
    """The first line of what a server says to what is sent to it, as far as it is taken; none when it resets the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        async with asyncio.timeout(20_000 * MS):
            return (await reader.read()).partition(b"\r\n")[0]
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.rule("LM22", "LM3")
async def test_bodies_that_never_end() -> None:
    """One that the server reads, and one that it does not want any more; also under plain ASGI, where it reads it."""
    slow = Limits(arrival_seconds=300 * MS, arrival_bytes=1000)
    post = b"POST %s HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n"
    read, refused = post % b"/api/v2/documents", post % b"/api/v2/nowhere"
    for picows in (True, False):
        async with live_server(ServerOptions(limits=slow), picows=picows) as server:
            services = server.runtime.serving()
            assert services is not None
            drops = [b"x"] * 30
            late, silent = await asyncio.gather(rest_of(server, read, *drops, pause=30 * MS), rest_of(server, read + b"{"))
            for answer in (late, silent):
                head, _, body = answer.partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
                assert b"connection: close" in head
                assert b'"code":"request_timeout"' in body
            assert services.excess.counts["arrival_seconds"] == 2
            if picows:
                assert re.findall(rb"HTTP/1\.1 (\d+)", await rest_of(server, refused, *drops, pause=30 * MS)) == [b"404"]
                assert services.excess.counts["arrival_seconds"] == 3


@pytest.mark.rule("LM22")
async def test_bodies_that_come_slowly_and_do_end() -> None:
    """What has come of a body gives it more time; the next request, and a socket, have their own."""
    quick = Limits(arrival_seconds=200 * MS, head_seconds=5000 * MS, arrival_bytes=round(2000 / (1000 * MS)))
    async with live_server(ServerOptions(limits=quick), picows=True) as server:
        body = b'{"document_id": "d", "session_token": "%s"}' % (b"x" * 2000)
        head = b"POST /api/v2/realtime/connect HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(body)
        parts = [body[at : at + 100] for at in range(0, len(body), 100)]
        last = REQUEST + b"connection: close\r\n\r\n"
        answers = await rest_of(server, head, *parts, head, *parts, last, pause=30 * MS)
        assert re.findall(rb"HTTP/1\.1 (\d+)", answers) == [b"403", b"403", b"200"]
        socket = await join(f"{server.url}/yjs/d")
        await asyncio.sleep(400 * MS)
        assert await text_of(f"{server.url}/yjs/d") == ""
        await socket.close()
        services = server.runtime.serving()
        assert services is not None
        assert services.excess.counts["arrival_seconds"] == 0


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
