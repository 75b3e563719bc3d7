"""Coming into a document: how long the first state takes, what a crowd costs, and how soon an edit is durable.

    python -m bench.joining cold  [--kilobytes 200] [--behind 3000]
    python -m bench.joining storm [--joiners 150] [--megabytes 20] [--form pasted|fragmented] [--again] [--cold]
    python -m bench.joining quiet

Each starts a real ``cowrite serve --demo`` on SQLite with full durability, pinned to one core, beside a generator on the other;
the documents are in the database before.

*cold*: a document that nobody has open is opened, many like it one after the other; from the TCP connection to the last byte of
the first state. Once from a checkpoint alone, once from one with ``--behind`` updates of one character behind it, and once from
these updates alone. *storm*: people are in a document, five of them typing 5 times a second, and ``--joiners`` come at once.
Memory is the server's RSS against that before they came, in units of the encoded document; *late* is what the others' edits
needed meanwhile. ``--again``: they come back and lack only what was typed since. ``--cold``: nobody is there before.
``--over``: they come one after the other in so many seconds.
*quiet*: one person types now and then; from the edit to its acknowledgement.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pycrdt
import uvloop
from picows import WSFrame, WSMsgType, WSTransport, ws_connect

from bench.clients import Counts, Reader, Writer, typing
from bench.fanout import free_port, served
from cowrite.core.records import Checkpoint
from cowrite.crdt.guard import outline_of_state
from cowrite.crdt.roots import RootKind
from cowrite.protocol import yjs
from cowrite.protocol.messages import SyncStep1
from cowrite.stores import open_store
from cowrite.testing.records import make_entry

_ROOT = "text"
_WORDS = ("lorem", "ipsum", "dolor", "sit", "amet", "consectetur", "elit", "sed", "do", "eiusmod", "tempor", "incididunt")
_WRITERS, _BYSTANDERS, _RATE = 5, 20, 5.0
_SETTLE = 1.0


# ---- documents -----------------------------------------------------------------------------------------------------------


def prose(length: int, rng: random.Random) -> str:
    """Text that compresses about as text does."""
    return " ".join(rng.choices(_WORDS, k=length // 4))[:length]


def typed(kilobytes: int) -> list[bytes]:
    """A text typed ten characters at a time, one in ten somewhere in it, as updates."""
    rng, updates = random.Random(1), list[bytes]()
    document: pycrdt.Doc[Any] = pycrdt.Doc()
    document.observe(lambda event: updates.append(event.update))
    text, length = document.get(_ROOT, type=pycrdt.Text), 0
    while length < kilobytes * 1000 * 5 // 6:  # what the structs take comes on top
        text.insert(rng.randrange(length + 1) if rng.random() < 0.1 else length, prose(10, rng).ljust(10))
        length += 10
    return updates


def keystrokes(updates: Sequence[bytes], count: int) -> list[bytes]:
    """So many more updates by somebody who types one character each, here and there."""
    rng, more = random.Random(2), list[bytes]()
    document: pycrdt.Doc[Any] = pycrdt.Doc()
    for update in updates:
        document.apply_update(update)
    document.observe(lambda event: more.append(event.update))
    text = document.get(_ROOT, type=pycrdt.Text)
    at = length = len(text)
    for number in range(count):
        at = rng.randrange(length) if number % 50 == 0 else at + 1
        text.insert(at, "x")
        length += 1
    return more


def pasted(megabytes: int) -> list[bytes]:
    """A text of inserts of 256 KB."""
    rng, updates = random.Random(1), list[bytes]()
    document: pycrdt.Doc[Any] = pycrdt.Doc()
    document.observe(lambda event: updates.append(event.update))
    text = document.get(_ROOT, type=pycrdt.Text)
    for _ in range(megabytes * 4):
        text += prose(250_000, rng)
    return updates


def fragmented(megabytes: int, *, items: int = 200_000, clients: int = 50) -> list[bytes]:
    """Paragraphs written by many at random places: nothing in it can be joined."""
    rng, whole = random.Random(1), pycrdt.Doc[Any]()
    body = whole.get(_ROOT, type=pycrdt.XmlFragment)
    for _ in range(items // 400):
        body.children.append(pycrdt.XmlElement("p", {}, [pycrdt.XmlText("")]))
    updates = [whole.get_update()]
    size = max(1, megabytes * 1_000_000 // items - 20)
    for _ in range(clients):
        own: pycrdt.Doc[Any] = pycrdt.Doc()
        own.apply_update(whole.get_update())
        own.observe(lambda event: updates.append(event.update))
        paragraphs = [element.children[0] for element in own.get(_ROOT, type=pycrdt.XmlFragment).children]
        piece = prose(size, rng).ljust(size)
        for _ in range(4):
            with own.transaction():
                for _ in range(items // clients // 4):
                    text = rng.choice(paragraphs)
                    text.insert(rng.randrange(len(text) // size + 1) * size // 2, piece)
            whole.apply_update(updates[-1])
    return updates


async def seed(data: Path, documents: Mapping[str, tuple[Sequence[bytes], int]]) -> dict[str, int]:
    """Write documents: for each its updates, and how many of them are in its checkpoint (0: none). Gives their sizes."""
    storage = await open_store(f"sqlite:///{data}/cowrite.sqlite3")
    sizes = {}
    try:
        for name, (updates, compacted) in documents.items():
            entries = [
                make_entry(n, update=update, operations=(), ranges=outline_of_state(update).brings)
                for n, update in enumerate(updates, 1)
            ]
            for start in range(0, len(entries), 500):
                async with storage.store.writing([name], wait=5) as transaction:
                    await transaction.append(name, entries[start : start + 500])
            document: pycrdt.Doc[Any] = pycrdt.Doc()
            for number, update in enumerate(updates, 1):
                document.apply_update(update)
                if number == compacted:
                    kind = RootKind.XML if b"\x01p" in updates[0][:200] else RootKind.TEXT
                    state = Checkpoint(number, entries[number - 1].id, document.get_update(), {_ROOT: kind})
                    await storage.store.save_checkpoint(name, state)
            sizes[name] = len(document.get_update())
    finally:
        await storage.close()
    return sizes


# ---- people --------------------------------------------------------------------------------------------------------------


class Joiner(Reader):
    """Comes in, counts what it is given until the state is whole, and then only stays."""

    def __init__(self, counts: Counts, has: bytes = b"\x00") -> None:
        super().__init__(counts, sample=False)
        self.has = has
        self.size = 0
        self._in_state = False

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        transport.send(WSMsgType.BINARY, yjs.encode(SyncStep1(self.has)))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.BINARY:
            self._in_state = bytes(frame.get_payload_as_memoryview()[:2]) == b"\x00\x01"
        if self._in_state and frame.msg_type in {WSMsgType.BINARY, WSMsgType.CONTINUATION}:
            self.size += frame.payload_size
            if frame.fin:
                self._in_state = False
                if not self.synced.done():
                    self.synced.set_result(None)


async def come(port: int, document: str, peer: Reader, *, after: float = 0.0) -> float:
    """Milliseconds until the first state is there; comes after so many seconds."""
    await asyncio.sleep(after)
    began = time.perf_counter()
    acknowledged = {"Sec-WebSocket-Protocol": "cowrite.ack.v1"}
    url = f"ws://127.0.0.1:{port}/yjs/{document}"
    await ws_connect(lambda: peer, url, extra_headers=acknowledged, websocket_handshake_timeout=60)
    await asyncio.wait_for(peer.synced, 120)
    return (time.perf_counter() - began) * 1000


def leave(peers: Sequence[Reader]) -> None:
    for peer in peers:
        if peer.transport is not None:
            peer.transport.disconnect()


def quantiles(values: Sequence[float]) -> dict[str, float]:
    parts = statistics.quantiles(values, n=100, method="inclusive") if len(values) > 1 else [*values] * 99
    return {"p50_ms": parts[49], "p95_ms": parts[94], "p99_ms": parts[98], "worst_ms": max(values)}


# ---- measurements --------------------------------------------------------------------------------------------------------


async def cold(port: int, server: psutil.Process, names: Sequence[str]) -> dict[str, float]:
    counts, result = Counts(), dict[str, float]()
    for form in ("warm", "checkpoint", "both", "log"):
        took, before = [], server.cpu_times()
        for name in [name for name in names if name.startswith(form)]:
            peer = Joiner(counts)
            took.append(await come(port, name, peer))
            leave([peer])
            await at_rest(server)
        after = server.cpu_times()
        if form != "warm":
            result |= {f"{form}_{quantile}": value for quantile, value in quantiles(took).items()}
            cpu = after.user + after.system - before.user - before.system
            result[f"{form}_cpu_ms"] = cpu * 1000 / len(took)
    return result


async def at_rest(server: psutil.Process) -> None:
    """Wait until the server does next to nothing."""
    used = 1.0
    while used > 0.02:
        before = sum(server.cpu_times()[:2])
        await asyncio.sleep(0.2)
        used = sum(server.cpu_times()[:2]) - before


async def watch_memory(server: psutil.Process, seen: list[int]) -> None:
    while True:
        seen.append(server.memory_info().rss)
        await asyncio.sleep(0.01)


async def storm(port: int, server: psutil.Process, options: argparse.Namespace, size: int) -> dict[str, float]:
    counts = Counts()
    writers = [Writer(counts) for _ in range(0 if options.cold else _WRITERS)]
    readers = [Reader(counts, sample=True) for _ in range(0 if options.cold else _BYSTANDERS - _WRITERS)]
    for peer in (*writers, *readers):
        await come(port, "storm", peer)
    state_vector = b"\x00"
    if options.again:
        state_vector = await state_vector_of(port)
    until = time.monotonic() + options.seconds
    at_work = [asyncio.create_task(typing(w, _RATE, until, phase=n / _WRITERS)) for n, w in enumerate(writers)]
    await asyncio.sleep(2 * _SETTLE)
    counts.__init__()  # type: ignore[misc]  # a fresh count after the warm-up
    sent = sum(len(writer.sent) for writer in writers)
    before, seen, cpu, own = server.memory_info().rss, [0], server.cpu_times(), time.process_time()
    watching = asyncio.create_task(watch_memory(server, seen))
    joiners = [Joiner(counts, state_vector) for _ in range(options.joiners)]
    began = time.perf_counter()
    gap = options.over / options.joiners
    took = await asyncio.gather(*(come(port, "storm", joiner, after=n * gap) for n, joiner in enumerate(joiners)))
    all_of_them = time.perf_counter() - began
    after, own_after = server.cpu_times(), time.process_time()
    meanwhile = list(counts.latencies)
    await asyncio.sleep(_SETTLE)
    watching.cancel()
    late = list(counts.latencies)
    left_over = server.memory_info().rss
    await asyncio.gather(*at_work)
    await asyncio.sleep(_SETTLE)
    edits = sum(len(writer.sent) for writer in writers) - sent
    result = {
        "encoded_mb": size / 1e6,
        "given_mb": sum(joiner.size for joiner in joiners) / 1e6,
        "for_all_s": all_of_them,
        **{f"joined_{name}": value for name, value in quantiles(took).items()},
        "server_cpu_s": after.user + after.system - cpu.user - cpu.system,
        "generator_cpu_s": own_after - own,
        "rss_before_mb": before / 1e6,
        "grown_by_peak": (max(seen) - before) / size,
        "grown_by_after": (left_over - before) / size,
        "others_meanwhile": len(meanwhile),
        "edits": edits,
        "undelivered": edits * max(0, len(writers) + len(readers) - 1) - counts.delivered,
    }
    return result | {f"late_{name}": value for name, value in quantiles(late or [0.0]).items()}


async def state_vector_of(port: int) -> bytes:
    """What somebody has who has everything."""
    document: pycrdt.Doc[Any] = pycrdt.Doc()

    class Keeping(Joiner):
        parts = bytearray()

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type == WSMsgType.BINARY:
                self.parts.clear()
            self.parts += frame.get_payload_as_memoryview()
            if frame.fin and self.parts.startswith(b"\x00\x01"):
                document.apply_update(yjs.decode(bytes(self.parts)).update)  # type: ignore[union-attr]
            super().on_ws_frame(transport, frame)

    peer = Keeping(Counts())
    await come(port, "storm", peer)
    leave([peer])
    return document.get_state()


async def quiet(port: int, server: psutil.Process, options: argparse.Namespace) -> dict[str, float]:
    counts = Counts()
    writer = Writer(counts)
    await come(port, "quiet", writer)
    for _ in range(5):
        writer.type()
        await asyncio.sleep(0.2)
    counts.__init__()  # type: ignore[misc]
    for _ in range(options.edits):
        writer.type()
        await asyncio.sleep(random.uniform(0.1, 0.3))
    return {"edits": options.edits, "undelivered": options.edits - len(counts.acknowledgements)} | quantiles(
        counts.acknowledgements
    )


# ---- the whole -----------------------------------------------------------------------------------------------------------


def run(kept: Path, work: Callable[[int, psutil.Process], Awaitable[dict[str, float]]]) -> dict[str, float]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        shutil.copytree(kept / "data", Path(folder) / "data")
        process = stack.enter_context(served(port, Path(folder) / "data", {}, Path(folder) / "log"))
        server = psutil.Process(process.pid)
        if (os.cpu_count() or 1) >= 2 and hasattr(server, "cpu_affinity"):
            for task in server.threads():
                psutil.Process(task.id).cpu_affinity([0])
            psutil.Process().cpu_affinity([1])
        return uvloop.run(work(port, server))  # type: ignore[arg-type]


def documents_of(options: argparse.Namespace) -> Mapping[str, tuple[Sequence[bytes], int]]:
    if options.what == "quiet":
        return {}
    if options.what == "storm":
        updates = (pasted if options.form == "pasted" else fragmented)(options.megabytes)
        return {"storm": (updates, len(updates))}
    base = typed(options.kilobytes)
    more, compacted = keystrokes(base, options.behind), [pycrdt.merge_updates(*base)]
    forms = {"checkpoint": (compacted, 1), "both": (compacted + more, 1), "log": (compacted + more, 0)}
    warm = {f"warm-{n}": forms["both"] for n in range(3)}
    return warm | {f"{form}-{n}": forms[form] for form in forms for n in range(options.times)}


def prepare(folder: Path, options: argparse.Namespace) -> dict[str, int]:
    """Write the database, unless an earlier run has left it there."""
    sizes = folder / "sizes.json"
    if not sizes.exists():
        (folder / "data").mkdir(parents=True, exist_ok=True)
        made = asyncio.run(seed(folder / "data", documents_of(options)))
        sizes.write_text(json.dumps(made))
    return dict(json.loads(sizes.read_text()))


def measure(folder: Path, options: argparse.Namespace, sizes: dict[str, int]) -> dict[str, float]:
    if options.what == "cold":
        return run(folder, lambda port, server: cold(port, server, list(sizes)))
    if options.what == "storm":
        return run(folder, lambda port, server: storm(port, server, options, sizes["storm"]))
    return run(folder, lambda port, server: quiet(port, server, options))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("cold", "storm", "quiet"))
    parser.add_argument("--kilobytes", type=int, default=200)
    parser.add_argument("--behind", type=int, default=3000)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--joiners", type=int, default=150)
    parser.add_argument("--megabytes", type=int, default=20)
    parser.add_argument("--form", choices=("pasted", "fragmented"), default="pasted")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--over", type=float, default=0.0, help="seconds in which they come; 0: at once")
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--folder", type=Path, help="where the documents are kept for the next run; made when it is not there")
    parser.add_argument("--prepare", action="store_true", help="only write the documents there")
    parser.add_argument("--seconds", type=float, default=12.0, help="how long the others type")
    parser.add_argument("--edits", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kept = options.folder or Path(folder)
        sizes = prepare(kept, options)
        if options.prepare:
            return
        result = measure(kept, options, sizes)
    if options.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:>24} {value:12.2f}")


if __name__ == "__main__":
    main()
