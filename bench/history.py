"""What looking into a document's past costs: any moment, a diff, who wrote what, a restore; and what an edit takes on the disk.

    python -m bench.history [--updates 10000 100000] [--rounds 5]

A document of 100 000 characters with so many updates of history, each one key of one of three authors who write in bursts at
random places, and each an entry of the log of its own, in SQLite, with the checkpoints that the journal would have saved. The
server is in this process, and asked without a network. *Cold*: nothing is remembered of the document. Milliseconds are medians,
with the worst in brackets.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from pycrdt import Text

from cowrite.app import create_app
from cowrite.core.clock import SystemClock
from cowrite.core.ids import Ids
from cowrite.core.journal.entries import EntryMaker
from cowrite.core.ports import Storage
from cowrite.core.records import Entry
from cowrite.core.rooms.replicas import Replicas
from cowrite.crdt.guard import inspect
from cowrite.crdt.utf16 import utf16_document
from cowrite.settings import Settings
from cowrite.stores import open_store

CHARACTERS = 100_000
AUTHORS = ("ana", "bo", "cem")
GROUP = 250
"""Entries that are written in one transaction."""


def keys(count: int) -> list[tuple[str, bytes]]:
    """Updates with their authors: first the text that is there, then so many keys, a fifth of them backspaces."""
    rng = random.Random(1)
    replicas = []
    for author in AUTHORS:
        doc, updates = utf16_document(rng.getrandbits(53)), list[bytes]()
        subscription = doc.observe(lambda event, updates=updates: updates.append(event.update))
        replicas.append((author, doc, doc.get("body", type=Text), updates, subscription))
    typed: list[tuple[str, bytes]] = []

    def share(author: str, doc: Any, updates: list[bytes]) -> None:
        for _, other, _, theirs, _ in replicas:
            if other is not doc:
                for update in updates:
                    other.apply_update(update)
                theirs.clear()
        typed.extend((author, update) for update in updates)
        updates.clear()

    author, doc, text, updates, _ = replicas[0]
    text.insert(0, "lorem ipsum dolor sit amet " * ((CHARACTERS - count * 3 // 5) // 27 if count <= CHARACTERS else 1500))
    share(author, doc, updates)
    while len(typed) <= count:
        author, doc, text, updates, _ = rng.choice(replicas)
        place = rng.randrange(len(text) + 1)
        for _ in range(min(rng.randrange(5, 40), count + 1 - len(typed))):
            if place > 0 and rng.random() < 0.2:
                place -= 1
                del text[place : place + 1]
            else:
                text.insert(place, rng.choice("abcdefgh "))
                place += 1
        share(author, doc, updates)
    return typed


async def fill(storage: Storage, typed: list[tuple[str, bytes]]) -> None:
    """Each update becomes an entry, as in the journal."""
    maker, replicas, ids = EntryMaker(SystemClock(), Ids(SystemClock())), Replicas(None), Ids(SystemClock())
    for start in range(0, len(typed), GROUP):
        entries: list[Entry] = []
        async with storage.store.writing(["doc"]) as transaction:
            replicas.head = replicas.head if start else transaction.heads["doc"]
            assert replicas.log is not None
            for author, update in typed[start : start + GROUP]:
                change = replicas.log.commit([update], [inspect(update)])
                assert change is not None
                offset = replicas.head.offset + len(entries) + 1
                entries.append(maker.entry(change, replicas, offset=offset, author=author, group=ids.new()))
            await transaction.append("doc", entries)
        replicas.settle(entries)
        if (checkpoint := replicas.checkpoint()) is not None:
            await storage.store.save_checkpoint("doc", checkpoint)


class Loop:
    """How long the event loop was not served, at most."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            self.longest = max(self.longest, now - last - 0.001)
            last = now

    def stop(self) -> float:
        self._task.cancel()
        return self.longest


class Server:
    """The application in this process, asked over HTTP without a network."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def __aenter__(self) -> Server:
        settings = Settings(_env_file=None, data_dir=self._path.parent)  # type: ignore[call-arg]
        self.storage = await open_store(f"sqlite:///{self._path}")
        app = create_app(settings, demo=True, storage=self.storage)
        self._runtime = app.state.cowrite
        await self._runtime.start()
        gc.collect()
        gc.freeze()  # as the server does
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()
        await self._runtime.stop()

    async def ask(self, method: str, place: str, **options: Any) -> float:
        """Milliseconds until the answer."""
        began = time.perf_counter()
        answer = await self._client.request(method, f"/api/v2/documents/doc{place}", **options)
        took = (time.perf_counter() - began) * 1000
        assert answer.is_success, answer.text
        return took


def told(what: str, times: list[float]) -> None:
    print(f"{what:>40} {statistics.median(times):10.1f} ({max(times):.1f})", flush=True)


async def measure(count: int, rounds: int, folder: Path) -> None:
    path = folder / f"{count}.sqlite3"
    typed = await asyncio.to_thread(keys, count)
    storage = await open_store(f"sqlite:///{path}")
    await fill(storage, typed[:1])
    await storage.close()
    before = path.stat().st_size
    path.unlink()
    storage = await open_store(f"sqlite:///{path}")
    await fill(storage, typed)
    await storage.close()
    print(f"\n{count} updates, {CHARACTERS} characters")
    print(f"{'bytes on disk for each':>40} {(path.stat().st_size - before) / count:10.0f}")
    async with Server(path) as server:
        loop = Loop()
        await server.ask("GET", "")
        rng = random.Random(2)
        offsets = [rng.randrange(1, count) for _ in range(4 * rounds)]
        told("any moment, JSON", [await server.ask("GET", f"?at={offset}") for offset in offsets])
        told("any moment, Yjs", [await server.ask("GET", f"?at={offset + 1}&format=yjs") for offset in offsets])
        told("blame, cold", [await server.ask("GET", "/blame")])
        told(
            "blame, cached, another moment", [await server.ask("GET", f"/blame?at={count - at}") for at in range(1, rounds + 1)]
        )
        for span in (100, 1000, count // 2):
            for form in ("operations", "json", "html"):
                times = [
                    await server.ask("GET", f"/diff?from={count - span - at}&to={count - at}&format={form}")
                    for at in range(rounds)
                ]
                told(f"diff of {span}, {form}", times)
        told("activity, a page", [await server.ask("GET", f"/activity?before={count - at}") for at in range(rounds)])
        for span in (100, 1000, count // 2):
            times = [await server.ask("POST", "/restore", json={"to": f"offset:{count - span - at}"}) for at in range(rounds)]
            told(f"restore, {span} back", times)
        print(f"{'loop not served for, at most':>40} {loop.stop() * 1000:10.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for count in arguments.updates:
            asyncio.run(measure(count, arguments.rounds, Path(folder)))


if __name__ == "__main__":
    main()
