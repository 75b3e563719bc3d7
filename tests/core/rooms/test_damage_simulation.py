"""People edit on two processes while bytes in the database are turned and turned back, processes are killed, and time passes.

Whatever happens: no entry that was committed is ever changed or gone, no damaged room moves from where it stands or has
anything to commit, and when all is mended everybody has the same document, with every word that was ever typed.
"""

from __future__ import annotations

import os
import random
from contextlib import suppress

import pytest

from core.fault_tools import on_disk, process
from cowrite.brokers.local import LocalHub
from cowrite.core.errors import RoomClosed
from cowrite.stores.memory import MemoryDatabase
from cowrite.testing.process import Connection, Process, quiet
from cowrite.testing.yjs_client import YjsClient

SEEDS = 4 * int(os.environ.get("COWRITE_FUZZ", "1"))


class Person:
    """An editor that comes back by itself when it is sent away."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.client = YjsClient()
        self.at: Connection | None = None
        self.typed = 0
        self.durable: set[str] = set()
        self.waiting: set[str] = set()
        """Words that were not acknowledged yet."""

    async def come(self, server: Process) -> None:
        if self.at is None or self.at.closed is not None or self.at not in server.connections:
            self.at = None
            with suppress(RoomClosed):  # nothing of it can be read: it comes back later
                self.at = await server.join(client=self.client, user=self.name)

    def type(self) -> None:
        word = f"{self.name}{self.typed} "
        self.typed += 1
        self.waiting.add(word)
        self.client.text += word

    def look(self) -> None:
        if self.client.saved:
            self.durable |= self.waiting
            self.waiting.clear()


class Play:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.database = MemoryDatabase()
        self.hub = LocalHub() if self.rng.random() < 0.5 else None
        self.people = [Person(name) for name in "abcd"]
        self.processes: list[Process] = []
        self.damaged: int | None = None
        self.rows: list[bytes] = []
        """The updates of the log as they were committed."""
        self.damaged_rooms = 0

    async def run(self, steps: int) -> None:
        self.processes = [await process(self.database, self.hub).__aenter__() for _ in range(2)]
        try:
            for _ in range(steps):
                await self.step()
                self.check()
            if self.damaged is not None:
                self.turn(self.damaged)
            for _ in range(4):
                await self.everybody_comes()
                await self.passes(15.0)
            self.check()
        finally:
            for one in self.processes:
                await one.kill()

    async def step(self) -> None:
        await self.everybody_comes()
        chance = self.rng.random()
        if chance < 0.65:
            self.rng.choice(self.people).type()
        elif chance < 0.8:
            self.turn_some_byte()
        elif chance < 0.95:
            await self.passes(self.rng.choice((0.3, 3.0, 12.0, 40.0)))
        else:
            await self.kill_one()
        if self.rng.random() < 0.7:
            await quiet(*self.processes)

    async def everybody_comes(self) -> None:
        for number, person in enumerate(self.people):
            await person.come(self.processes[number % 2])

    def turn_some_byte(self) -> None:
        rows = self.database.tables.documents["doc"].rows if "doc" in self.database.tables.documents else []
        if self.damaged is not None:
            self.turn(self.damaged)
        elif rows:
            self.turn(max(1, len(rows) - self.rng.randrange(6)))

    def turn(self, offset: int) -> None:
        self.database.damage_update("doc", offset)
        self.damaged = None if self.damaged is not None else offset

    async def passes(self, seconds: float) -> None:
        for one in self.processes:
            one.clock.advance(seconds)  # type: ignore[attr-defined] # turned by hand
        await quiet(*self.processes)

    async def kill_one(self) -> None:
        index = self.rng.randrange(2)
        await self.processes[index].kill()
        self.processes[index] = await process(self.database, self.hub).__aenter__()

    def check(self) -> None:
        for person in self.people:
            person.look()
        document = self.database.tables.documents.get("doc")
        updates = [row.entry.update for row in document.rows] if document is not None else []
        if self.damaged is not None:
            update = updates[self.damaged - 1]
            updates[self.damaged - 1] = bytes([update[0] ^ 1]) + update[1:]
        assert updates[: len(self.rows)] == self.rows
        self.rows = updates
        for one in self.processes:
            if (room := one.registry.get("doc")) is not None and room.damage is not None:
                self.damaged_rooms += 1
                assert room.replicas.head.offset == room.damage.readable
                assert not room.needs_commit


@pytest.mark.fuzz
@pytest.mark.rule("RE50", "RE52", "RE53", "RE54")
async def test_whatever_happens() -> None:
    damaged_rooms = 0
    for seed in range(SEEDS):
        play = Play(seed)
        await play.run(60)
        damaged_rooms += play.damaged_rooms
        text = await on_disk(play.database)
        assert [str(person.client.text) for person in play.people] == [text] * 4, seed
        for person in play.people:
            assert (len(person.durable), person.waiting) == (person.typed, set()), f"{seed}: all of it was taken in the end"
            assert all(word in text for word in person.durable), seed
    assert damaged_rooms > 5 * SEEDS, "the simulation came to nothing"
