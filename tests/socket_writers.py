"""Writers on real sockets, who remember what the server promised them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from cowrite.testing.yjs_client import YjsClient
from timing import MS

ACKNOWLEDGED = [Subprotocol("cowrite.ack.v1")]


@dataclass
class Writer:
    """Types words that occur nowhere else, and remembers which the server said to be durable."""

    name: str
    document: str
    client: YjsClient = field(default_factory=YjsClient)
    words: list[str] = field(default_factory=list)
    known: list[int] = field(default_factory=list)
    """By number of the message: how many words the document held when it was sent."""
    durable: set[str] = field(default_factory=set)

    typing: bool = True

    async def write(self, port: int, rng: random.Random, *, pause: float = 0.05) -> None:
        """Type, with pauses of at most so many seconds, until the connection breaks."""
        url = f"ws://127.0.0.1:{port}/yjs/{self.document}"
        with suppress(OSError, WebSocketException, EOFError):
            async with connect(url, subprotocols=ACKNOWLEDGED, compression=None, max_size=None) as socket_:
                await self._converse(socket_, rng, pause)

    async def _converse(self, socket_: ClientConnection, rng: random.Random, pause: float) -> None:
        outgoing: asyncio.Queue[bytes] = asyncio.Queue()
        self.known.clear()

        def send_later(frame: bytes) -> None:
            if self.client.sent > len(self.known):
                self.known.append(len(self.words))
            outgoing.put_nowait(frame)

        self.client.connect(send_later)

        async def type_() -> None:
            while True:
                await asyncio.sleep(rng.uniform(0, pause))
                if not self.typing:
                    return  # not one more word: whoever has told it to stop goes by what it has typed
                word = f"{self.name}-{len(self.words)};"
                self.words.append(word)
                self.client.text.insert(0, word)

        async def send() -> None:
            while True:
                await socket_.send(await outgoing.get())

        async def read() -> None:
            async for frame in socket_:
                assert isinstance(frame, bytes)
                self.client.receive(frame)
                if self.client.acknowledged:
                    self.durable.update(self.words[: self.known[self.client.acknowledged - 1]])

        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(type_())
                tasks.create_task(send())
                await read()
                raise ConnectionResetError
        except* (OSError, WebSocketException):
            pass
        finally:
            self.client.disconnect()


async def read_text(port: int, document: str) -> str:
    """What a new client is shown."""
    client = YjsClient()
    async with connect(f"ws://127.0.0.1:{port}/yjs/{document}", compression=None, max_size=None) as socket_:
        frames: list[bytes] = []
        client.connect(frames.append)
        for step in frames:
            await socket_.send(step)
        async with asyncio.timeout(10_000 * MS):
            while not client.synced:
                frame = await socket_.recv()
                assert isinstance(frame, bytes)
                client.receive(frame)
    return str(client.text)


async def until(happened: Callable[[], bool]) -> None:
    """Wait for it; raises :class:`TimeoutError` after 30 s (times COWRITE_TEST_SLOWNESS)."""
    async with asyncio.timeout(30_000 * MS):
        while not happened():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.02)
