"""What an open document takes that nobody edits, against its encoded size.

    python -m bench.memory [--documents 1000]

Writes documents into a SQLite file and opens them in one process with one reader each, a hundred at a time, which then come to
rest; all stay open. Compares the process's memory before and after. Target (RO25): at rest at most 2 times the encoded size
plus 10 KB.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import tempfile
from pathlib import Path
from typing import Any

import psutil
import pycrdt

from cowrite.brokers.local import LocalBroker
from cowrite.core.memory import give_back_memory
from cowrite.core.presence.present import PresenceChange
from cowrite.core.rooms.rest import REST_SECONDS
from cowrite.core.rooms.room import Room
from cowrite.protocol.close_codes import CloseCode
from cowrite.stores import open_store
from cowrite.testing.clock import ManualClock
from cowrite.testing.process import Process
from cowrite.testing.records import make_entry, write

_SIZES = (1_000, 20_000, 200_000, 2_000_000)
_ALL_BYTES = 40_000_000
_AT_ONCE = 100
"""Documents that are opened, and then put to rest, before the next ones are."""


def typed(characters: int) -> bytes:
    """A text that was typed ten characters at a time, one in ten of them somewhere in it."""
    document: pycrdt.Doc[Any] = pycrdt.Doc()
    text, place = document.get("body", type=pycrdt.Text), random.Random(1)
    for number in range(characters // 10):
        text.insert(place.randrange(len(text) + 1) if number % 10 == 0 else len(text), "abcdefghij")
    return document.get_update()


def used() -> int:
    """Bytes of this process in memory."""
    gc.collect()
    give_back_memory()
    return int(psutil.Process().memory_info().rss)


class Nobody:
    """Keeps a document open, and does nothing."""

    def read(self) -> None:
        """There is more."""

    def people(self, change: PresenceChange) -> None:
        """Somebody came or went."""

    def close(self, code: CloseCode, reason: str) -> None:
        """The document is gone."""


async def read(process: Process, name: str) -> Room:
    """Open a document and keep it open."""
    async with process.registry.open(name) as room:
        room.enter(Nobody())
        return room


async def measure(folder: Path, characters: int, count: int) -> None:
    """Print one line."""
    storage = await open_store(f"sqlite:///{folder}/{characters}.db")
    state = typed(characters)
    async with Process(storage, LocalBroker(), clock=ManualClock()) as process:
        names = [f"{characters}-{number}" for number in range(count)]
        for name in names:
            await write(storage.store, name, make_entry(1, update=state))
        for name in names:  # what is there once for all of them is there before
            async with process.registry.open(name) as room:
                pass
            process.registry.forget(room)
        before = used()
        awake = 0.0
        for start in range(0, count, _AT_ONCE):
            rooms = [await read(process, name) for name in names[start : start + _AT_ONCE]]
            awake = awake or (used() - before) / len(rooms)
            for room in rooms:
                room.tend(process.clock.monotonic())
            process.clock.advance(REST_SECONDS)  # type: ignore[attr-defined]
            for room in rooms:
                room.tend(process.clock.monotonic())
        resting = (used() - before) / count
    await storage.close()
    allowed = 2 * len(state) + 10_000
    print(f"{len(state):>9} bytes encoded, {count:>5} documents: {awake:>10.0f} bytes open, {resting:>9.0f} at rest, "
          f"{resting / allowed:.2f} of what is allowed")  # fmt: skip


def main() -> None:
    """Measure all sizes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--documents", type=int, default=2000)
    count = parser.parse_args().documents
    with tempfile.TemporaryDirectory() as folder:
        for characters in _SIZES:
            asyncio.run(measure(Path(folder), characters, max(5, min(count, _ALL_BYTES // characters))))


if __name__ == "__main__":
    main()
