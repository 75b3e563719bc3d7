"""Processes as the tests of failing over play them: what a process does with its presence, in little."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from cowrite.core.ports import Clock, Presence, PresenceError, PresenceRecord
from cowrite.presence.failover import FailoverPresence
from cowrite.presence.local import LocalPresence, LocalPresenceHub
from cowrite.testing.clock import ManualClock
from cowrite.testing.presence_contract import make_record
from timing import MS


class Process:
    """Has people, beats, and writes all of them again when the generation has grown."""

    def __init__(self, name: str, presence: Presence) -> None:
        self.name = name
        self.presence = presence
        self.people: dict[str, PresenceRecord] = {}
        self._written = -1
        self._living: asyncio.Task[None] | None = None

    def live(self) -> None:
        self._living = asyncio.get_running_loop().create_task(self._live())

    async def _live(self) -> None:
        turn = 0
        while True:
            if turn % 50 == 0:
                await self.presence.beat(self.name)
            await self.write_again()
            await asyncio.sleep(20 * MS)
            turn += 1

    async def write_again(self) -> None:
        """If it is necessary."""
        if self._written != self.presence.generation:
            self._written = self.presence.generation
            await self.presence.write([*self.people.values()], [])

    async def come(self, *sessions: str, **changes: object) -> None:
        records = [make_record(session, **{"process": self.name, **changes}) for session in sessions]
        self.people |= {record.session_id: record for record in records}
        await self.presence.write(records, [])

    async def go(self, *sessions: str) -> None:
        await self.presence.write([], [self.people.pop(session) for session in sessions])

    async def sees(self, document_id: str = "doc") -> list[str]:
        """The sessions that it would show, as often as they are there."""
        return sorted(record.session_id for record in (await self.presence.read([document_id])).get(document_id, ()))

    async def die(self) -> None:
        """Without a farewell."""
        if self._living is not None:
            self._living.cancel()
            await asyncio.wait([self._living])
        await self.presence.close()


class Switchable(LocalPresence):
    """A storage that fails while it is ``down``, may be one that ``only_reads``, and counts how often it was asked."""

    def __init__(self, clock: Clock, hub: LocalPresenceHub) -> None:
        super().__init__(clock, hub)
        self.down = False
        self.only_reads = False
        self.asked = 0

    async def beat(self, process: str) -> frozenset[str]:
        await self._answer()
        if self.only_reads:
            raise PresenceError("It can only be read.")
        return await super().beat(process)

    async def processes(self) -> frozenset[str]:
        await self._answer()
        return await super().processes()

    async def write(self, put: Collection[PresenceRecord], removed: Collection[PresenceRecord]) -> None:
        await self._answer()
        await super().write([*put], [*removed])

    async def read(self, document_ids: Collection[str]) -> Mapping[str, list[PresenceRecord]]:
        await self._answer()
        return {id_: [*found] for id_, found in (await super().read(document_ids)).items()}

    async def leave(self, process: str) -> None:
        await self._answer()
        await super().leave(process)

    async def _answer(self) -> None:
        self.asked += 1
        await asyncio.sleep(0)
        if self.down:
            raise PresenceError("It is down.")


class Place:
    """Two storages in memory, for the processes of one test, and their clock."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.primary, self.fallback = LocalPresenceHub(), LocalPresenceHub()
        self.processes: list[SwitchableProcess] = []

    def process(self, name: str) -> SwitchableProcess:
        process = SwitchableProcess(name, self)
        self.processes.append(process)
        return process

    async def turn(self, seconds: float) -> None:
        """Turn the clock; those who live write again what they must, as they go."""
        for _ in range(round(seconds / 0.25)):
            self.clock.advance(0.25)
            for _ in range(12):
                await asyncio.sleep(0)
            for process in self.processes:
                if process.diligent:
                    await process.write_again()

    async def close(self) -> None:
        for process in self.processes:
            await process.die()


class SwitchableProcess(Process):
    """A process whose storages can be switched off for it alone."""

    def __init__(self, name: str, place: Place) -> None:
        self.primary = Switchable(place.clock, place.primary)
        self.fallback = Switchable(place.clock, place.fallback)
        self.failover = FailoverPresence(self.primary, self.fallback, place.clock)
        self.diligent = True
        super().__init__(name, self.failover)

    async def beat(self) -> frozenset[str]:
        return await self.failover.beat(self.name)
