"""A real server under attack over sockets, while honest people write: ``python -m fuzz.servers SECONDS [SEED]``.

Four sockets send hostile updates to the document of two honest writers, and damaged frames of all protocols to others; who is
sent away comes again. What must hold: the process lives, logs no error, and goes on serving: all that the honest ones type is
acknowledged. What is measured: how long a ping of an honest socket waits (that is how late the loop is, and this machine), how
long an acknowledgement does, and by how much the server grows.

    python -m fuzz.servers attack PORT SECONDS SEED     the attackers alone
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from cowrite.protocol import yjs
from cowrite.protocol.messages import SyncStep1, SyncStep2, Update
from cowrite.testing.yjs_client import YjsClient
from demo_server import DemoServer
from fuzz.corpus import begin
from fuzz.hostile import Dice, Writer
from fuzz.mutation import mutations

DOCUMENT = "attacked"
ANSWER_SECONDS = 30.0
"""An acknowledgement that takes longer is taken for none."""
_SCALES = (20, 200, 1000, 3000)
_PING_SECONDS = 0.02


# ---- the attackers ---------------------------------------------------------------------------------------------------


async def _hostile_updates(port: int, number: int, rng: random.Random) -> None:
    """One connection: hostile updates, until it is closed."""
    async with _socket(port, f"yjs/{DOCUMENT}") as socket:
        reading = asyncio.ensure_future(_drop(socket))
        await socket.send(yjs.encode(SyncStep1(b"\0")))
        first = 1 << 20 | number << 12 | rng.randrange(1 << 8) << 4
        writer = Writer(Dice(rng.randbytes(20_000)), scale=_SCALES[number % len(_SCALES)], first_client=first)
        try:
            while not reading.done():
                update = writer.update()
                await socket.send(yjs.encode(SyncStep2(update) if rng.random() < 0.2 else Update(update)))
                writer.remember()
                await asyncio.sleep(rng.choice((0, 0, 0.001, 0.02)))
        finally:
            reading.cancel()


async def _damaged_frames(port: int, number: int, rng: random.Random) -> None:
    """One connection: damaged frames of one protocol, until it is closed."""
    path, target = rng.choice(
        (("yjs/other", "yjs_frames"), ("hocuspocus", "hocuspocus_frames"), ("api/v2/realtime/ws", "thin_messages"))
    )
    some = mutations(rng.randrange(1 << 32), begin(target), max_bytes=1 << 20)
    async with _socket(port, path) as socket:
        reading = asyncio.ensure_future(_drop(socket))
        try:
            while not reading.done():
                data = next(some)
                await socket.send(data.decode("utf-8", "replace") if target == "thin_messages" else data)
                await asyncio.sleep(rng.choice((0, 0, 0.001, 0.02)))
        finally:
            reading.cancel()


def _socket(port: int, path: str) -> connect:
    protocols = [Subprotocol("cowrite.v2.json")] if path.startswith("api") else None
    url = f"ws://127.0.0.1:{port}/{path}"
    return connect(
        url, subprotocols=protocols, compression=None, max_size=None, ping_interval=None, open_timeout=ANSWER_SECONDS
    )


async def _drop(socket: ClientConnection) -> None:
    with suppress(WebSocketException, OSError):
        async for _ in socket:
            pass


async def _again(work: Callable[[int, int, random.Random], Awaitable[None]], port: int, number: int, seed: int) -> None:
    rng = random.Random(f"{seed} {number} {work.__name__}")
    while True:
        with suppress(WebSocketException, OSError, TimeoutError):
            await work(port, number, rng)
        await asyncio.sleep(0.01)


async def attack(port: int, seconds: float, seed: int) -> None:
    """All attackers, for so long."""
    works = [_again(_hostile_updates, port, number, seed) for number in range(4)]
    works += [_again(_damaged_frames, port, number, seed) for number in range(2)]
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*works)


# ---- the honest ------------------------------------------------------------------------------------------------------


class Honest:
    """Types a word after the other, each when the one before is acknowledged."""

    def __init__(self, port: int, document: str) -> None:
        self._url = f"ws://127.0.0.1:{port}/yjs/{document}"
        self.client = YjsClient()
        self.words = 0
        self.waits: list[float] = []
        self.pings: list[float] = []
        self.sent_away: list[str] = []
        self.done = False

    async def run(self) -> None:
        """Type until told to stop; whoever is sent away comes again, as editors do."""
        while not self.done:
            try:
                async with connect(
                    self._url, subprotocols=[Subprotocol("cowrite.ack.v1")], compression=None, max_size=None, ping_interval=None
                ) as socket:
                    await self._converse(socket)
            except WebSocketException as error:
                self.sent_away.append(str(error))
                await asyncio.sleep(0.1)

    async def _converse(self, socket: ClientConnection) -> None:
        outgoing: asyncio.Queue[bytes] = asyncio.Queue()
        self.client.connect(outgoing.put_nowait)
        tasks = [asyncio.ensure_future(work) for work in (self._send(socket, outgoing), self._read(socket), self._ping(socket))]
        typing = asyncio.ensure_future(self._type())
        try:
            finished, _ = await asyncio.wait([typing, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in finished:
                task.result()
        finally:
            for task in (typing, *tasks):
                task.cancel()
            self.client.disconnect()

    async def _send(self, socket: ClientConnection, outgoing: asyncio.Queue[bytes]) -> None:
        while True:
            await socket.send(await outgoing.get())

    async def _read(self, socket: ClientConnection) -> None:
        while True:
            frame = await socket.recv()
            assert isinstance(frame, bytes)
            self.client.receive(frame)

    async def _ping(self, socket: ClientConnection) -> None:
        while True:
            began = time.monotonic()
            await (await socket.ping())
            self.pings.append(time.monotonic() - began)
            await asyncio.sleep(_PING_SECONDS)

    async def _type(self) -> None:
        while not self.client.synced:  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.005)
        while not self.done:
            began = time.monotonic()
            self.words += 1
            self.client.text.insert(0, f"word {self.words} ")
            while not self.client.saved:
                assert time.monotonic() - began < ANSWER_SECONDS, "what was typed was not acknowledged"
                await asyncio.sleep(0.002)
            self.waits.append(time.monotonic() - began)
            await asyncio.sleep(0.05)


async def watch(server: DemoServer, seconds: float, seed: int) -> dict[str, Any]:
    """Let honest people write beside the attackers, who are another process; say what was measured."""
    process = psutil.Process(server.pid)
    people = [Honest(server.port, DOCUMENT), Honest(server.port, DOCUMENT), Honest(server.port, "quiet")]
    writing = [asyncio.ensure_future(one.run()) for one in people]
    await asyncio.sleep(1)
    before = process.memory_info().rss
    command = [sys.executable, "-m", "fuzz.servers", "attack", str(server.port), str(seconds), str(seed)]
    attackers = await asyncio.create_subprocess_exec(*command)
    largest = before
    while attackers.returncode is None:
        largest = max(largest, process.memory_info().rss)
        assert not any(one.done() for one in writing), [one.exception() for one in writing if one.done()]
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(attackers.wait()), 0.2)
    assert attackers.returncode == 0, "the attackers broke; see above"
    for one in people:
        one.done = True
    await asyncio.wait_for(asyncio.gather(*writing), ANSWER_SECONDS)
    return {
        "words": sum(one.words for one in people),
        "sent_away": [reason for one in people for reason in one.sent_away],
        "grown_mb": (largest - before) >> 20,
        "ping": _figures([wait for one in people for wait in one.pings]),
        "acknowledged": _figures([wait for one in people for wait in one.waits]),
    }


def _figures(waits: list[float]) -> dict[str, float]:
    """Milliseconds."""
    ordered = sorted(waits)
    places = {"median": len(ordered) // 2, "p99": int(len(ordered) * 0.99), "most": len(ordered) - 1}
    return {name: round(1000 * ordered[at], 1) for name, at in places.items()}


def main(seconds: float, seed: int) -> None:
    """Start a server, attack it, and print what was measured."""
    with tempfile.TemporaryDirectory() as folder, DemoServer(Path(folder)) as server:
        measured = asyncio.run(watch(server, seconds, seed))
        assert server.health()["status"]
        errors = server.errors()
        server.stop()
    print(json.dumps(measured))
    assert not errors, f"the server logged {len(errors)} errors, such as {errors[0]}"


if __name__ == "__main__":
    if sys.argv[1] == "attack":
        asyncio.run(attack(int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])))
    else:
        main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 32))
