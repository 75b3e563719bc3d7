"""Processes with one clock and one place where presence is written down, and what happens between them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from cowrite.brokers.local import LocalBroker, LocalHub
from cowrite.core.ports import Access, Grant, PresenceError, PresenceRecord, Signal
from cowrite.core.presence.presence import PresenceList
from cowrite.core.rooms.room import Room
from cowrite.core.sessions.session import Session
from cowrite.presence.local import LocalPresence, LocalPresenceHub
from cowrite.stores.memory import MemoryDatabase, memory_storage
from cowrite.testing.clock import ManualClock
from cowrite.testing.process import Process, quiet


class Watched(LocalPresence):
    """Counts what it is asked, and fails when it is told to."""

    def __init__(self, clock: ManualClock, hub: LocalPresenceHub) -> None:
        super().__init__(clock, hub)
        self.beats = self.writes = self.reads = 0
        self.written: list[PresenceRecord] = []
        self.fails = self.refuses = False
        self.takeovers = 0
        self.reading: Callable[[], None] | None = None
        self.writing: Callable[[], None] | None = None
        """Called meanwhile."""

    @property
    def generation(self) -> int:
        return self.takeovers

    def take_over(self, hub: LocalPresenceHub) -> None:
        """From now on presence is kept there."""
        self._hub = hub
        self.takeovers += 1

    def _asked(self) -> None:
        if self.fails:
            raise PresenceError("it does not answer")

    async def beat(self, process: str) -> frozenset[str]:
        self._asked()
        self.beats += 1
        return await super().beat(process)

    async def write(self, put: Sequence[PresenceRecord], removed: Sequence[PresenceRecord]) -> None:
        self._asked()
        if self.refuses:
            raise PresenceError("it is full")
        self.writes += bool(put or removed)
        self.written += put
        if self.writing is not None:
            self.writing()
        await super().write(put, removed)

    async def read(self, document_ids: Collection[str]) -> Mapping[str, Sequence[PresenceRecord]]:
        self._asked()
        self.reads += 1
        if self.reading is not None:
            self.reading()
        return await super().read(document_ids)

    async def leave(self, process: str) -> None:
        self._asked()
        await super().leave(process)


class Linked(LocalBroker):
    """As one that reaches other processes, and loses signals."""

    def __init__(self, hub: LocalHub, loses: Callable[[], bool]) -> None:
        super().__init__(hub)
        self._loses = loses

    def send(self, signal: Signal) -> None:
        if not self._loses():
            super().send(signal)

    @property
    def reaches_others(self) -> bool:
        return True


class Town:
    """Several processes on one database. ``linked``: a broker carries signals between them."""

    def __init__(self, *, linked: bool = False) -> None:
        self.clock = ManualClock()
        self.database = MemoryDatabase()
        self.written = LocalPresenceHub()
        self.news = LocalHub() if linked else None
        self.loses: Callable[[], bool] = lambda: False
        """Whether the next signal is lost."""
        self.processes: list[Process] = []
        self.presences: dict[Process, Watched] = {}

    def process(self) -> Process:
        """One more process; enter it."""
        presence = Watched(self.clock, self.written)
        broker = Linked(self.news, lambda: self.loses()) if self.news is not None else LocalBroker()
        made = Process(memory_storage(self.database), broker, clock=self.clock, presence=presence)
        self.processes.append(made)
        self.presences[made] = presence
        return made

    async def kill(self, process: Process) -> None:
        """It is gone from one moment to the next, and writes nothing more."""
        self.processes.remove(process)
        await process.kill()

    async def step(self, seconds: float) -> None:
        """Let time go by; rooms are looked after every second."""
        for fifth in range(round(seconds * 5)):
            self.clock.advance(0.2)
            if fifth % 5 == 4:
                for process in self.processes:
                    for room in process.registry.rooms:
                        room.tend(self.clock.monotonic())
            await quiet(*self.processes)


async def look(process: Process, document_id: str = "doc") -> Room:
    """The room of a document there, which is opened and stays for its grace."""
    async with process.registry.open(document_id) as room:
        await quiet(process)
        return room


def shown(room: Room) -> dict[str, int]:
    """Who is here, with how many sessions."""
    return {person.user_id: len(person.sessions) for person in room.presence.persons}


def session(process: Process, user: str) -> Session:
    return Session(process.ids.new(), "doc", Access(user, Grant.WRITE), process.clock.now())


def compare(people: PresenceList, records: Sequence[PresenceRecord], asked_at: float, *, settled: bool) -> None:
    """All that is written down, learned and settled at once."""
    people.learn(records, asked_at)
    people.settle(records, asked_at, settled=settled)
