"""What comes in large messages, and requests that cross with the end of a connection."""

from __future__ import annotations

import asyncio
import random

import pytest

from cowrite.loadtest import Plan
from cowrite.loadtest.addresses import Addresses
from cowrite.loadtest.edits import YjsTypist
from cowrite.loadtest.http_requests import Requests
from cowrite.loadtest.people.factory import people_for
from cowrite.loadtest.people.person import Crew
from cowrite.loadtest.people.yjs import YjsPerson
from cowrite.loadtest.plan import Protocol, Role
from cowrite.protocol import hocuspocus, yjs
from cowrite.protocol.messages import AwarenessUpdate

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.rule("LG17")
@pytest.mark.parametrize("protocol", [Protocol.YJS, Protocol.HOCUSPOCUS])
async def test_the_cursors_of_five_hundred_people(protocol: Protocol) -> None:
    """They have more than 64 KB. Everybody is told of all of them, and they are read once."""
    typists = [YjsTypist(number, 0, random.Random(number)) for number in range(500)]
    told = [yjs.decode(typist.point(7)) for typist in typists]
    entries = tuple(entry for one in told if isinstance(one, AwarenessUpdate) for entry in one.entries)
    message = hocuspocus.HocuspocusDialect("load-0").encode(AwarenessUpdate(entries))
    if protocol is Protocol.YJS:
        message = yjs.encode(AwarenessUpdate(entries))
    assert len(message) > 64 << 10

    plan = Plan(url="http://127.0.0.1:1")
    crew = Crew(plan, Addresses(plan))
    crew.reader.since = 0
    for person in people_for([Role(number, "load-0", protocol) for number in range(3)], crew):
        assert isinstance(person, YjsPerson)
        person._message(message)
    assert crew.meter.cursors_received == 3 * 500
    assert [cache.current.keys() for cache in crew.caches if cache.current] == [{message}]


@pytest.mark.rule("LG18")
@pytest.mark.parametrize("answered_first", [True, False])
async def test_a_request_that_crosses_with_the_end_of_the_connection(*, answered_first: bool) -> None:
    """It is sent again, once, where the connection had been used before."""
    connections: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(asyncio.current_task())
        try:
            if answered_first:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(ANSWER)
            await reader.readuntil(b"\r\n\r\n")
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        requests = Requests(Addresses(Plan(url=url)))
        if answered_first:
            assert [(await requests.ask("GET", "/")).status for _ in range(3)] == [200, 200, 200]
            assert len(connections) == 3
        else:
            with pytest.raises((ConnectionError, EOFError)):
                await requests.ask("GET", "/")
            assert len(connections) == 1
        requests.close()
        # The last one that was answered waits for another request.
        await asyncio.gather(*(task for task in connections if task is not None), return_exceptions=True)
        for _ in range(3):
            await asyncio.sleep(0)  # the event loop closes a socket in a turn of its own
