"""Processes, clients and a database under a random schedule of everything that can go wrong. Seeded; no time, no network.

Each client types tokens that occur nowhere else. In the end everything is healed, and then: the log has no gaps or repeats,
what was ever acknowledged is in it, all clients show the same, and so does a process that starts fresh.
"""

from __future__ import annotations

import os
import random
from contextlib import suppress
from dataclasses import dataclass, field, replace

import pytest

from cowrite.brokers.local import LocalBroker, LocalHub
from cowrite.core.errors import RoomClosed
from cowrite.core.limits import Limits
from cowrite.core.ports import CommitDoubtful, StoreBusy, StoreUnavailable
from cowrite.core.records import Entry
from cowrite.stores.memory import MemoryDatabase, MemoryStore, memory_storage
from cowrite.testing.process import Connection, Process, quiet
from cowrite.testing.yjs_client import YjsClient

EVENTS = {
    "type": 40,
    "join": 12,
    "wait": 12,
    "settle": 6,
    "stall": 4,
    "database_back": 4,
    "leave": 3,
    "fail": 3,
    "doubt": 3,
    "start": 2,
    "busy": 2,
    "kill": 1,
    "database_gone": 1,
}
"""What can happen, and how often."""
SEEDS = 25 * int(os.environ.get("COWRITE_FUZZ", "1"))


@dataclass
class Writer:
    """A client that comes back, and remembers what it was promised."""

    name: str
    client: YjsClient
    connection: Connection | None = None
    typed: int = 0
    sent: list[list[str]] = field(default_factory=list)
    """By number of the message: the tokens that it (or, for a SyncStep2, the whole document) brought."""
    promised: set[str] = field(default_factory=set)
    tokens: list[str] = field(default_factory=list)

    def type(self, rng: random.Random) -> None:
        self.typed += 1
        token = f"<{self.name}{self.typed}>"
        self.tokens.append(token)
        text = str(self.client.text)
        places = [0] + [index + 1 for index, character in enumerate(text) if character == ">"]
        self.client.text.insert(rng.choice(places), token)
        self.note()

    def note(self) -> None:
        """Everything typed so far was in the document when this message was sent."""
        while len(self.sent) < self.client.sent:
            self.sent.append(list(self.tokens))
        for number in range(self.client.acknowledged):
            self.promised.update(self.sent[number])


class Simulation:
    likely = EVENTS

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.database = MemoryDatabase()
        self.hub = LocalHub()
        # CPU time is real, and on a busy machine everything takes more of it: nobody waits for having used too much.
        limits = Limits(pending_document_bytes=2000, held_seconds=10, cpu_burst_seconds=1000)
        self.limits = replace(limits, group_updates=self.rng.choice([3, 1000]))
        self.processes: list[Process] = []
        self.writers = [Writer(chr(97 + n), YjsClient()) for n in range(self.rng.randrange(2, 6))]
        self.events: list[str] = []

    async def start_process(self) -> None:
        # Not all processes hear each other: the look at the heads must do.
        broker = LocalBroker(self.hub if self.rng.random() < 0.7 else None)
        process = Process(memory_storage(self.database), broker, limits=self.limits)
        await process.__aenter__()
        self.processes.append(process)

    async def step(self) -> None:
        """One random event, and whatever the server closed is noticed."""
        event = self.rng.choices(list(self.likely), list(self.likely.values()))[0]
        await getattr(self, event)(self.rng.choice(self.writers))
        self.drop_closed()

    async def type(self, writer: Writer) -> None:
        writer.type(self.rng)

    async def join(self, writer: Writer) -> None:
        if writer.connection is None:
            with suppress(RoomClosed):
                writer.connection = await self.rng.choice(self.processes).join(client=writer.client, user=writer.name)
                writer.sent = []

    async def leave(self, writer: Writer) -> None:
        if writer.connection is not None:
            writer.connection.lose(clean=self.rng.random() < 0.5)
            writer.connection = None

    async def stall(self, writer: Writer) -> None:
        if writer.connection is not None:
            writer.connection.reading = not writer.connection.reading

    async def wait(self, _: Writer) -> None:
        for process in self.processes:
            process.clock.advance(self.rng.choice([0.01, 0.1, 1.0]))  # type: ignore[attr-defined]

    async def settle(self, _: Writer) -> None:
        await quiet(*self.processes)

    async def fail(self, _: Writer) -> None:
        call = self.rng.choice(["begin", "append", "commit", "entries"])
        self.database.fail_next(call, StoreUnavailable("away"))  # type: ignore[arg-type]

    async def doubt(self, _: Writer) -> None:
        self.database.fail_next("commit", CommitDoubtful("lost"), applied=self.rng.random() < 0.5)

    async def busy(self, _: Writer) -> None:
        self.database.fail_next("begin", StoreBusy("locked"))

    async def database_gone(self, _: Writer) -> None:
        self.database.unavailable = True

    async def database_back(self, _: Writer) -> None:
        self.database.unavailable = False

    async def kill(self, _: Writer) -> None:
        if len(self.processes) > 1:
            await self.processes.pop(self.rng.randrange(len(self.processes))).kill()

    async def start(self, _: Writer) -> None:
        if len(self.processes) < 3:
            await self.start_process()

    def drop_closed(self) -> None:
        for writer in self.writers:
            writer.note()
            if writer.connection is not None and writer.connection.closed is not None:
                code = writer.connection.closed[0]
                assert not 4400 <= code <= 4499, f"an honest client was told to stop: {writer.connection.closed}"
                writer.client.disconnect()
                writer.connection = None

    async def heal(self) -> None:
        self.database.unavailable = False
        self.database._failures.clear()
        for _ in range(200):
            for writer in self.writers:
                if writer.connection is None:
                    writer.connection = await self.rng.choice(self.processes).join(client=writer.client, user=writer.name)
                    writer.sent = []
                writer.connection.reading = True
            for process in self.processes:
                process.clock.advance(0.5)  # type: ignore[attr-defined]
                for room in process.registry.rooms:  # as the application does every few seconds
                    room.tend(process.clock.monotonic())
            await quiet(*self.processes)
            self.drop_closed()
            same = len({str(writer.client.text) for writer in self.writers}) == 1
            if same and all(writer.connection is not None and writer.client.saved for writer in self.writers):
                break
        else:
            unsaved = [writer.name for writer in self.writers if not writer.client.saved]
            raise AssertionError(f"not healed after 100 s; not saved: {unsaved}")
        # A process that has no client any more stores what such a one has left at its journal's next try, and learns of the
        # last entry by its next look at the heads.
        for _ in range(10):
            for process in self.processes:
                process.clock.advance(0.5)  # type: ignore[attr-defined]
            await quiet(*self.processes)

    async def check(self) -> None:
        store = MemoryStore(self.database)
        log: list[Entry] = list(await store.entries("doc", start=1, limit=100_000))
        assert [entry.offset for entry in log] == list(range(1, len(log) + 1))
        covered: set[tuple[int, int]] = set()
        for entry in log:
            for brought in entry.ranges:
                for clock in range(brought.start, brought.end):
                    assert (brought.client, clock) not in covered, "a struct is in the log twice"
                    covered.add((brought.client, clock))
        shown = str(self.writers[0].client.text)
        for writer in self.writers:
            for token in writer.tokens:
                assert shown.count(token) == 1
            assert writer.promised <= set(writer.tokens)
        async with Process(memory_storage(self.database), LocalBroker()) as fresh:
            reader = await fresh.join(user="reader")
            await quiet(fresh)
            assert str(reader.client.text) == shown
        for process in self.processes:
            room = process.registry.get("doc")
            if room is not None and room.replicas.log is not None:
                assert room.replicas.head.offset == len(log)
                assert room.replicas.live is not None
                assert room.replicas.live.state == room.replicas.log.state
                assert process.backlog.bytes == 0


@pytest.mark.fuzz
@pytest.mark.rule("JO1")
@pytest.mark.rule("JO2")
@pytest.mark.rule("RE7")
@pytest.mark.parametrize("seed", range(SEEDS))
async def test_nothing_acknowledged_is_lost_and_all_converge(seed: int) -> None:
    simulation = Simulation(seed)
    await simulation.start_process()
    await simulation.start_process()
    for _ in range(120):
        await simulation.step()
    promised = {token for writer in simulation.writers for token in writer.promised}
    # What was promised must be in the log even if every client were gone now.
    simulation.database.unavailable = False
    simulation.database._failures.clear()
    async with Process(memory_storage(simulation.database), LocalBroker()) as fresh:
        reader = await fresh.join(user="reader")
        await quiet(fresh)
        on_disk = str(reader.client.text)
    assert all(token in on_disk for token in promised)
    await simulation.heal()
    await simulation.check()
    for process in simulation.processes:
        await process.kill()


@pytest.mark.rule("JO1")
async def test_the_simulation_does_something() -> None:
    """A schedule in which nothing is promised or nothing goes wrong would prove nothing."""
    simulation = Simulation(3)
    await simulation.start_process()
    for _ in range(120):
        await simulation.step()
    await simulation.heal()
    assert sum(len(writer.promised) for writer in simulation.writers) > 20
    assert simulation.database.commits > 3
    for process in simulation.processes:
        await process.kill()
