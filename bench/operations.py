"""Operations of clients without a CRDT library: what one costs the server, beside what an update of a Yjs client costs.

    python -m bench.operations [--count 300] [--seconds-idle 2] [--no-server]

First the core alone, on SQLite in this process: the CPU time, of all threads, that an edit takes from the call to its commit,
and the part of it in which operations are made into updates and applied to the log (of a Yjs client: its update applied to the
log). One edit after the other, each in a transaction of its own. Then a whole ``cowrite serve --demo``, over the socket and
over POST, less what it uses while nothing happens. The large document has 100 000 characters, typed in 2000 pieces at random
places. On a machine that does something else as well, all figures are too high.

*At the head*: one session goes on writing. *New session*: each operation is the first one of its session, for which the server
makes a replica. *1000 behind*: its base lies 1000 operations of others back. *Caught up*: a session that wrote before has read
1000 operations of others since.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
from pycrdt import Doc, Text
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from bench.fanout import free_port, served
from cowrite.brokers.local import LocalBroker
from cowrite.core.clock import SystemClock
from cowrite.core.journal.entries import EntryMaker
from cowrite.core.journal.submitted_entries import SubmittedEntryMaker
from cowrite.core.limits import Limits
from cowrite.core.operations.writing import DocumentWriter, WriteRequest
from cowrite.core.ports import Access, Grant
from cowrite.core.sessions.session import Session
from cowrite.protocol import yjs
from cowrite.protocol.messages import Acknowledged, SyncStep1, SyncStep2, Update
from cowrite.stores import open_store
from cowrite.testing.process import Connection, Process

SMALL, LARGE, PIECES = 1000, 100_000, 2000
BEHIND = 1000
_UNLIMITED = Limits(cpu_share=1e6, cpu_burst_seconds=1e6)


def typed(size: int, pieces: int) -> Doc[Any]:
    """A document whose text was typed in pieces, at random places."""
    rng, doc = random.Random(1), Doc[Any]()
    text = doc.get("body", type=Text)
    for at in range(pieces):
        piece = "".join(rng.choices("abcdefgh ", k=size // pieces))
        text.insert(rng.randint(0, at * (size // pieces)), piece)
    return doc


def insertion(index: int) -> dict[str, Any]:
    return {"type": "insert", "position": ["body", index], "content": "x"}


# -- the core alone ----------------------------------------------------------------------------------------------------------


class Stopwatch:
    """CPU time of this process, of all its threads, in microseconds for each edit."""

    def __init__(self) -> None:
        self.whole: list[float] = []
        self.parts: list[float] = []
        self._part = 0.0
        for maker, names in ((SubmittedEntryMaker, ("before", "derive")), (EntryMaker, ("derive",))):
            for name in names:
                setattr(maker, name, self._timed(getattr(maker, name)))

    def _timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        if asyncio.iscoroutinefunction(method):

            async def timed_async(*arguments: Any) -> Any:
                began = time.process_time()
                try:
                    return await method(*arguments)
                finally:
                    self._part += time.process_time() - began

            return timed_async

        def timed(*arguments: Any) -> Any:
            began = time.process_time()
            try:
                return method(*arguments)
            finally:
                self._part += time.process_time() - began

        return timed

    async def measure(self, edit: Callable[[], Awaitable[Any]]) -> None:
        self._part = 0.0
        began = time.process_time()
        await edit()
        self.whole.append((time.process_time() - began) * 1e6)
        self.parts.append(self._part * 1e6)

    def report(self, what: str) -> tuple[float, float]:
        whole, part = statistics.median(self.whole), statistics.median(self.parts)
        print(f"  {what:<44} whole {whole:8.0f} µs   into the log {part:8.0f} µs")
        self.whole, self.parts = [], []
        return whole, part


class Core:
    """The core of a server on a document."""

    def __init__(self, process: Process, author: Connection) -> None:
        self._process = process
        self._author = author
        self._heard = asyncio.Event()
        write = author.write

        def wake(message: bytes) -> None:
            write(message)
            self._heard.set()

        author.write = wake  # type: ignore[method-assign]
        self._writer = DocumentWriter(
            process.registry,
            process.storage.history,
            process.storage.directory,
            process.access,
            process.journal.accounts,
            process.clock,
            process.ids,
            process.limits,
        )
        self.head: str | None = None

    def session(self) -> Session:
        return Session(self._process.ids.new(), "doc", Access("bot", Grant.WRITE), self._process.clock.now())

    async def write(self, session: Session, index: int, base: str | None) -> None:
        """Write an operation; it is committed afterwards."""
        submission = await self._writer.queue(session, WriteRequest([insertion(index)], base))
        answer = await submission.answer
        self.head = answer.operations[-1].id

    async def type(self, index: int) -> None:
        """A Yjs client types a character."""
        await self.send(self.keystroke(index))

    def keystroke(self, index: int) -> bytes:
        """What a Yjs client sends for a character."""
        client = self._author.client
        before = client.doc.get_state()
        client.disconnect()
        client.text.insert(index, "x")
        return yjs.encode(Update(client.doc.get_update(before)))

    async def send(self, frame: bytes) -> None:
        """Send it; it is committed afterwards."""
        self._author.send(frame)
        while True:
            await self._heard.wait()
            self._heard.clear()
            while self._author.incoming:
                if isinstance(yjs.decode(self._author.incoming.popleft()), Acknowledged):
                    return


async def measure_core(size: int, pieces: int, count: int, watch: Stopwatch) -> None:
    rng = random.Random(2)
    with tempfile.TemporaryDirectory() as folder:
        storage = await open_store(f"sqlite:///{folder}/bench.db")
        async with Process(
            storage, LocalBroker(), clock=SystemClock(), limits=_UNLIMITED, shortest_window=0, longest_window=0
        ) as process:
            author = await process.join()
            author.client.doc.apply_update(typed(size, pieces).get_update())
            while not author.client.saved:
                await asyncio.sleep(0.01)
                author.read()
            process.room().feed()
            core = Core(process, author)
            for _ in range(count // 10):
                await core.type(rng.randint(0, size))
            for _ in range(count):
                frame = core.keystroke(rng.randint(0, size))
                await watch.measure(partial(core.send, frame))
            base_whole, base_part = watch.report("a Yjs client's update")

            session = core.session()
            await core.write(session, 0, None)
            for _ in range(count // 10):
                await core.write(session, rng.randint(0, size), core.head)
            for _ in range(count):
                await watch.measure(lambda: core.write(session, rng.randint(0, size), core.head))
            whole, part = watch.report("an operation at the head")
            print(f"  {'':<44}    beyond it: {whole - base_whole:8.0f} µs, into the log {part - base_part:8.0f} µs")
            for _ in range(count // 10):
                await watch.measure(lambda: core.write(core.session(), rng.randint(0, size), core.head))
            watch.report("at the head, new session")

            early = core.session()
            await core.write(early, 0, core.head)
            base = core.head
            for _ in range(BEHIND):
                await core.type(rng.randint(0, size))
            for _ in range(count // 10):
                await watch.measure(lambda: core.write(early, rng.randint(0, size), base))
            watch.report("1000 behind, the session's replica is there")
            for _ in range(count // 10):
                await watch.measure(lambda: core.write(core.session(), rng.randint(0, size), base))
            watch.report("1000 behind, new session")
            for _ in range(4):
                await core.write(early, 0, core.head)
                for _ in range(BEHIND):
                    await core.type(rng.randint(0, size))
                await core.write(core.session(), 0, core.head)
                await watch.measure(lambda: core.write(early, rng.randint(0, size), core.head))
            watch.report("caught up over 1000")
        await storage.close()


# -- a whole server ----------------------------------------------------------------------------------------------------------


class Server:
    """A server's CPU time, less what it uses while nothing happens."""

    def __init__(self, process: psutil.Process, idle: float) -> None:
        self._process = process
        self._idle = idle

    def cpu(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)

    async def measure(self, what: str, edit: Callable[[], Awaitable[Any]], count: int) -> None:
        for _ in range(max(1, count // 10)):
            await edit()
        cpu, began = self.cpu(), time.monotonic()
        for _ in range(count):
            await edit()
        used = self.cpu() - cpu - self._idle * (time.monotonic() - began)
        print(f"  {what:<44} {used / count * 1e6:8.0f} µs of CPU time")


class YjsTypist:
    """A Yjs client on a socket. The server's answers are not applied: nobody else writes meanwhile."""

    def __init__(self, socket: ClientConnection, doc: Doc[Any], size: int) -> None:
        self._socket = socket
        self._text = doc.get("body", type=Text)
        self._doc = doc
        self._size = size
        self._rng = random.Random(3)
        self._sent = 0

    async def start(self) -> None:
        await self._socket.send(yjs.encode(SyncStep1(self._doc.get_state())))
        await self.send(SyncStep2(self._doc.get_update()))

    async def send(self, message: SyncStep2 | Update) -> None:
        await self._socket.send(yjs.encode(message))
        self._sent += 1
        async for frame in self._socket:
            assert isinstance(frame, bytes)
            told = yjs.decode(frame)
            if isinstance(told, Acknowledged) and told.count >= self._sent:
                return

    async def type(self) -> None:
        before = self._doc.get_state()
        self._text.insert(self._rng.randint(0, self._size), "x")
        await self.send(Update(self._doc.get_update(before)))


class ThinTypist:
    """A client on the JSON socket, and over POST."""

    def __init__(self, client: httpx.AsyncClient, socket: ClientConnection, size: int) -> None:
        self._client = client
        self._socket = socket
        self._size = size
        self._rng = random.Random(4)
        self._headers: dict[str, str] = {}
        self.head: str | None = None

    async def start(self) -> None:
        await self._socket.send(json.dumps({"type": "hello", "document_id": "doc"}))
        self.head = (await self._next("welcome"))["head"]
        await self.connect()

    async def connect(self) -> None:
        """A new session for POST."""
        connected = (await self._client.post("/api/v2/realtime/connect", json={"document_id": "doc"})).json()
        self._headers = {"authorization": f"Bearer {connected['access_token']}"}

    async def send(self) -> None:
        operations = [insertion(self._rng.randint(0, self._size))]
        await self._socket.send(json.dumps({"type": "operations", "base": self.head, "operations": operations}))
        self.head = (await self._next("acknowledged"))["head"]

    async def post(self, base: str | None) -> None:
        operations = [insertion(self._rng.randint(0, self._size))]
        body = {"document_id": "doc", "base": base, "operations": operations}
        answer = await self._client.post("/api/v2/realtime/operations", json=body, headers=self._headers)
        answer.raise_for_status()
        self.head = answer.json()["head"]

    async def _next(self, kind: str) -> dict[str, Any]:
        async for frame in self._socket:
            message: dict[str, Any] = json.loads(frame)
            assert message["type"] not in {"refused", "reset"}, message
            if message["type"] == kind:
                return message
        raise ConnectionError("the server closed the connection")


async def measure_server(port: int, process: psutil.Process, size: int, pieces: int, options: argparse.Namespace) -> None:
    url = f"127.0.0.1:{port}"
    began = sum(process.cpu_times()[:2])
    await asyncio.sleep(options.seconds_idle)
    server = Server(process, (sum(process.cpu_times()[:2]) - began) / options.seconds_idle)
    protocols = [Subprotocol("cowrite.ack.v1")], [Subprotocol("cowrite.v2.json")]
    sockets = (
        connect(f"ws://{url}/yjs/doc", subprotocols=protocols[0], compression=None, max_size=None),
        connect(f"ws://{url}/api/v2/realtime/ws", subprotocols=protocols[1], compression=None, max_size=None),
    )
    async with httpx.AsyncClient(base_url=f"http://{url}", timeout=30, trust_env=False) as client, sockets[0] as first:
        yjs_typist = YjsTypist(first, typed(size, pieces), size)
        await yjs_typist.start()
        await server.measure("a Yjs client's update, socket", yjs_typist.type, options.count)
        async with sockets[1] as second:
            thin = ThinTypist(client, second, size)
            await thin.start()
            await server.measure("an operation at the head, socket", thin.send, options.count)
        await server.measure("an operation at the head, POST", lambda: thin.post(thin.head), options.count)
        base = thin.head
        for _ in range(BEHIND // 100):
            for _ in range(100):
                await yjs_typist.type()
        await server.measure("connect", thin.connect, options.count // 10)

        async def late() -> None:
            await thin.connect()
            await thin.post(base)

        await server.measure("connect, and 1000 behind by POST", late, options.count // 10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300, help="operations for each figure")
    parser.add_argument("--seconds-idle", type=float, default=2.0)
    parser.add_argument("--no-server", action="store_true", help="the core alone")
    options = parser.parse_args()
    watch = Stopwatch()
    for size, pieces in ((SMALL, 20), (LARGE, PIECES)):
        print(f"{size} characters, the core alone")
        asyncio.run(measure_core(size, pieces, options.count, watch))
        if options.no_server:
            continue
        print(f"{size} characters, cowrite serve")
        with tempfile.TemporaryDirectory() as folder:
            port = free_port()
            quiet = {"COWRITE_LOG_LEVEL": "warning"}
            with served(port, Path(folder) / "data", quiet, Path(folder) / "log") as process:
                asyncio.run(measure_server(port, psutil.Process(process.pid), size, pieces, options))


if __name__ == "__main__":
    main()
