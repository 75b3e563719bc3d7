"""The ASGI application under servers that give it less than uvicorn does, and mounted below a path."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import pytest

from cowrite.brokers.local import LocalBroker
from cowrite.core.ports import Access, Grant
from cowrite.protocol import yjs
from cowrite.protocol.messages import SyncStep1, SyncStep2
from cowrite.stores.memory import memory_storage
from cowrite.testing.process import Process
from cowrite.testing.yjs_client import YjsClient
from cowrite.transports.asgi import SocketEndpoint
from cowrite.transports.services import Services
from transports.process_services import services_of

Event = MutableMapping[str, Any]
STEP_1 = yjs.encode(SyncStep1(b"\0"))


class Server:
    """Runs the application as an ASGI server does, on queues instead of a socket."""

    def __init__(self, endpoint: SocketEndpoint, scope: Event) -> None:
        self.sent: asyncio.Queue[Event] = asyncio.Queue()
        self.received: asyncio.Queue[Event] = asyncio.Queue()
        self.gone = False
        self.free = asyncio.Event()
        """The socket takes what is sent."""
        self.free.set()
        self.received.put_nowait({"type": "websocket.connect"})
        self._running = asyncio.create_task(endpoint(scope, self.received.get, self._send))

    async def _send(self, event: Event) -> None:
        if self.gone:
            raise OSError("the client is gone")
        await self.free.wait()
        self.sent.put_nowait(event)

    async def next(self) -> Event:
        async with asyncio.timeout(10):
            return await self.sent.get()

    async def end(self) -> None:
        async with asyncio.timeout(10):
            await self._running


class Desk:
    def __init__(self, process: Process) -> None:
        self.process = process
        self.asked: list[str] = []
        self.services: Services | None = services_of(process, self._authorize)

    def serve(self, **scope: Any) -> Server:
        whole = {"type": "websocket", "path": "/yjs/doc", "query_string": b"", "headers": [], "subprotocols": []} | scope
        return Server(SocketEndpoint(lambda: self.services), whole)

    async def _authorize(self, token: str | None, document_id: str) -> Access:
        self.asked.append(document_id)
        return Access("ana", Grant.WRITE)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with Process(memory_storage(), LocalBroker()) as process:
        yield Desk(process)


@pytest.mark.rule("TR32")
@pytest.mark.parametrize(
    ("scope", "document_id"),
    [
        ({"path": "/yjs/a b", "raw_path": b"/yjs/a%20b"}, "a b"),
        ({"path": "/yjs/a b%c"}, "a b%c"),
        ({"path": "/app/yjs/d", "raw_path": b"/app/yjs/d", "root_path": "/app"}, "d"),
        ({"path": "/my app/yjs/d", "raw_path": b"/my%20app/yjs/d", "root_path": "/my app"}, "d"),
        ({"path": "/my app/yjs/d", "raw_path": b"/my app/yjs/d", "root_path": "/my app"}, "d"),
        ({"path": "/yjs/d", "raw_path": b"/yjs/d", "root_path": "/app"}, "d"),
    ],
)
async def test_paths(desk: Desk, scope: Event, document_id: str) -> None:
    """The id is read below the path of a mount, from the raw path where the server gives it."""
    server = desk.serve(**scope)
    assert (await server.next())["type"] == "websocket.accept"
    assert (await server.next())["bytes"] == b"\0\0\1\0"
    assert desk.asked == [document_id]
    server.received.put_nowait({"type": "websocket.disconnect", "code": 1000})
    await server.end()


@pytest.mark.rule("TR32")
async def test_refusal_without_a_body(desk: Desk) -> None:
    """A server that cannot send an answer of ours closes before accepting: 403."""
    server = desk.serve(path="/other")
    assert await server.next() == {"type": "websocket.close"}
    await server.end()


@pytest.mark.rule("TR30")
async def test_not_serving(desk: Desk) -> None:
    """While the application starts or stops nobody comes in."""
    desk.services = None
    server = desk.serve(extensions={"websocket.http.response": {}})
    assert (await server.next())["status"] == 503
    assert b"starting or stopping" in (await server.next())["body"]
    await server.end()


@pytest.mark.rule("TR32")
async def test_client_that_is_gone_while_something_is_sent(desk: Desk) -> None:
    """A send that fails ends the conversation."""
    server = desk.serve()
    await server.next()
    await server.next()
    server.gone = True
    server.received.put_nowait({"type": "websocket.receive", "bytes": STEP_1})
    await server.end()
    assert not desk.process.room().peers


@pytest.mark.rule("TR13")
@pytest.mark.parametrize(
    ("event", "goodbye"),
    [
        ({"code": 1000}, True),
        ({"code": 1001}, True),
        ({"code": 1005, "reason": ""}, True),
        ({"code": 1005}, False),
        ({"code": 1006}, False),
        ({"code": 1006, "reason": ""}, False),
        ({}, False),
    ],
)
async def test_goodbyes(desk: Desk, event: Event, goodbye: bool) -> None:
    """A close frame is told from a lost connection as well as the server tells it."""
    server = desk.serve()
    await server.next()
    await server.next()
    caret = bytes.fromhex("0106010701027b7d")
    server.received.put_nowait({"type": "websocket.receive", "bytes": caret})
    server.received.put_nowait({"type": "websocket.receive", "bytes": STEP_1})
    while not isinstance(yjs.decode((await server.next())["bytes"]), SyncStep2):
        pass
    server.received.put_nowait({"type": "websocket.disconnect", **event})
    await server.end()
    assert bool(desk.process.room().awareness.entries()) is not goodbye


@pytest.mark.rule("TR25")
async def test_full_socket(desk: Desk) -> None:
    """While the server cannot send, 64 KB and one message more wait for the socket; the rest waits where it is bounded."""
    server = desk.serve()
    await server.next()
    server.received.put_nowait({"type": "websocket.receive", "bytes": STEP_1})
    while not isinstance(yjs.decode((await server.next())["bytes"]), SyncStep2):
        pass
    (peer,) = desk.process.room().peers
    server.free.clear()
    writer = await desk.process.join()
    for number in range(10):
        writer.client.text += str(number) * 20_000
        await desk.process.quiet()
    assert 100_000 < peer.outbox.waiting < 140_000
    server.free.set()
    copy = YjsClient()
    while copy.state != writer.client.state:
        copy.receive((await server.next())["bytes"])
    assert peer.outbox.waiting == 0
    server.received.put_nowait({"type": "websocket.disconnect", "code": 1000})
    await server.end()
