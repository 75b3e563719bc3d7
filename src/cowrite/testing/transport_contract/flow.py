"""Much at once: large states, readers that are slow or stop."""

from __future__ import annotations

import asyncio

import pytest

from cowrite.protocol import yjs
from cowrite.protocol.messages import SyncStep1
from cowrite.testing.client import WebSocketClient, live_client
from cowrite.testing.transport_contract.server import ServerOptions, StartServer
from cowrite.testing.yjs_client import YjsClient

LARGE = 5_000_000


class FlowContract:
    """What happens when a socket is full."""

    @pytest.mark.rule("TR24")
    async def test_large_state_to_a_slow_reader(self, start: StartServer) -> None:
        """A state of 5 MB reaches a reader whose socket takes little at a time, and nobody waits for that."""
        url = f"{await start(ServerOptions())}/yjs/doc"
        author = YjsClient()
        author.text += "x" * LARGE
        async with live_client(url, author) as client:
            await client.until(lambda: client.yjs.sent and client.yjs.saved, seconds=20)
        slow = await _reader(url)
        await asyncio.sleep(0.2)
        async with live_client(url) as other:
            other.yjs.text.insert(0, "meanwhile ")
            await other.until(lambda: other.yjs.saved)
        reader = YjsClient()
        reader.connect(slow.send)
        while not str(reader.text).startswith("meanwhile "):
            reader.receive(await slow.receive())
        assert len(str(reader.text)) == LARGE + len("meanwhile ")
        await slow.close()

    @pytest.mark.rule("TR25")
    async def test_reader_that_stops(self, start: StartServer) -> None:
        """Who stops reading costs others nothing, and has everything once it reads again."""
        url = f"{await start(ServerOptions())}/yjs/doc"
        stopped = await _reader(url)
        async with live_client(url) as writer:
            for number in range(40):
                writer.yjs.text += f"{number % 10}" * 60_000
                if number % 10 == 9:
                    await writer.until(lambda: writer.yjs.saved)
            reader = YjsClient()
            reader.connect(stopped.send)
            while reader.state != writer.yjs.state:
                reader.receive(await stopped.receive())
            assert str(reader.text) == str(writer.yjs.text)
        await stopped.close()


async def _reader(url: str) -> WebSocketClient:
    """A client in the room that has asked for everything, and reads nothing by itself."""
    socket = await WebSocketClient.connect(url, receive_buffer=32_768)
    socket.send(yjs.encode(SyncStep1(b"\0")))
    return socket
