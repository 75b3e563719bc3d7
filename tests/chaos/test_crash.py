"""A real server, killed with SIGKILL at random moments under 50 writers, round after round on the same data folder."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from cowrite.testing.yjs_client import YjsClient

ROUNDS = 20 * int(os.environ.get("COWRITE_CHAOS", "1"))
WRITERS = 50
DOCUMENTS = 5


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def server(port: int, data: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """``cowrite serve --demo``, ready when the block begins, killed when it ends."""
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("cowrite")),
        "serve",
        "--demo",
        env={**os.environ, "COWRITE_PORT": str(port), "COWRITE_DATA_DIR": str(data)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        for _ in range(400):
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                await writer.wait_closed()
                break
            assert process.returncode is None, (await process.stderr.read()).decode()  # type: ignore[union-attr]
            await asyncio.sleep(0.025)
        else:
            pytest.fail("the server did not listen within 10 s")
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.communicate()


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

    async def write(self, port: int, rng: random.Random) -> None:
        """Until the connection breaks."""
        url = f"ws://127.0.0.1:{port}/yjs/{self.document}"
        with suppress(OSError, WebSocketException, EOFError):
            async with connect(url, subprotocols=["cowrite.ack.v1"], compression=None, max_size=None) as socket_:  # type: ignore[list-item]
                await self._converse(socket_, rng)

    async def _converse(self, socket_: ClientConnection, rng: random.Random) -> None:
        outgoing: asyncio.Queue[bytes] = asyncio.Queue()
        self.known.clear()

        def send_later(frame: bytes) -> None:
            if self.client.sent > len(self.known):
                self.known.append(len(self.words))
            outgoing.put_nowait(frame)

        self.client.connect(send_later)

        async def type_() -> None:
            while True:
                await asyncio.sleep(rng.uniform(0, 0.05))
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
        async with asyncio.timeout(10):
            while not client.synced:
                frame = await socket_.recv()
                assert isinstance(frame, bytes)
                client.receive(frame)
    return str(client.text)


async def something_durable(writers: list[Writer], before: int) -> None:
    """Without this a kill would prove nothing."""
    while sum(len(writer.durable) for writer in writers) <= before:
        await asyncio.sleep(0.02)


@pytest.mark.chaos
@pytest.mark.rule("JO1")
@pytest.mark.timeout(160)
async def test_every_acknowledged_update_survives_kill_minus_nine(tmp_path: Path) -> None:
    rng = random.Random(20261123)
    port = free_port()
    writers = [Writer(f"w{n}", f"crash/{n % DOCUMENTS}") for n in range(WRITERS)]
    promised = 0
    for round_ in range(ROUNDS):
        async with server(port, tmp_path / "data") as process:
            typing = [asyncio.create_task(writer.write(port, rng)) for writer in writers]
            await asyncio.wait_for(something_durable(writers, promised), 15)
            await asyncio.sleep(rng.uniform(0, 0.8))
            process.send_signal(signal.SIGKILL)
            await asyncio.gather(*typing)
        async with server(port, tmp_path / "data"):
            # Before any client comes back with what it still has.
            texts = {document: await read_text(port, document) for document in {writer.document for writer in writers}}
        lost = [word for writer in writers for word in writer.durable if word not in texts[writer.document]]
        assert not lost, f"round {round_}: acknowledged and lost: {lost[:5]}"
        promised = sum(len(writer.durable) for writer in writers)
    assert promised >= 20 * ROUNDS
