"""One process's part of a run, in steps, so that several processes can take them together."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pycrdt import Text

from cowrite.crdt.state_vector import decode_state_vector
from cowrite.loadtest.addresses import Addresses
from cowrite.loadtest.edits import ROOT
from cowrite.loadtest.histogram import Histogram
from cowrite.loadtest.meter import Second, second_to_json
from cowrite.loadtest.pacing import Pacer, wait_until
from cowrite.loadtest.people.factory import people_for
from cowrite.loadtest.people.person import Crew, Person
from cowrite.loadtest.people.yjs import YjsPerson
from cowrite.loadtest.plan import Plan, Role, roles, storm_roles
from cowrite.loadtest.ramp_up import arrive, arrive_at_once

BREATHE_SECONDS: Final = 25.0
_ACKNOWLEDGED_SECONDS: Final = 2.0
Told = Callable[[Second], None]
Typed = Mapping[str, tuple[int, int]]
"""By document: how many edits, and their sum."""


class Part(Protocol):
    """One process that makes load: this one, a :class:`Generator`, or another. The steps are called in this order."""

    async def arrive(self) -> Histogram:
        """All but those of the storm come in; how long each took. Raises :class:`LoadError`."""
        ...

    async def work(self, since: float, until: float, told: Told) -> Typed:
        """Type and point from now on until then; what was typed from ``since`` on, which counts (monotonic clock, seconds).

        ``told`` is called with each second of what counts.
        """
        ...

    async def settle(self, typed: Typed, seconds: float) -> Mapping[str, Any]:
        """Wait until all has arrived that everybody has typed, for so long at most; ``Generator.outcome``."""
        ...

    async def close(self) -> None:
        """Everybody leaves."""
        ...


@dataclass(frozen=True, slots=True)
class Storm:
    """How those came in who came at once. ``began`` is by the monotonic clock."""

    joins: Histogram
    began: float
    ended: float


class Generator:
    """The people whose turn it is: those whose number, by the number of processes, leaves ``part``."""

    def __init__(self, plan: Plan, part: int = 0) -> None:
        self.plan = plan
        self.crew = Crew(plan, Addresses(plan))
        self.people = people_for(_mine(roles(plan), plan, part), self.crew)
        self.stormers = people_for(_mine(storm_roles(plan), plan, part), self.crew)
        self.storm: Storm | None = None
        self._at = 0
        """The second of the measurement that it is now."""
        self.core_percent = 0.0
        """Of a core, what this process used while it was measured."""
        self._missing: list[str] = []
        """Why some of the storm could not come in."""
        self._pacers: list[Pacer] = []
        self._share = sum(not person.role.storms for person in self.people) / max(1, plan.documents * plan.people)

    async def arrive(self) -> Histogram:
        joins = Histogram()
        joins.add(await arrive(self.people, self.plan, per_second=self.plan.ramp_up * self._share))
        return joins

    async def work(self, since: float, until: float, told: Told) -> Typed:
        self.crew.reader.since = int(since * 1e9)
        self._start()
        await asyncio.sleep(since - time.monotonic())
        self.crew.meter.begin()
        cpu, began = time.process_time(), time.monotonic()
        storming = asyncio.ensure_future(self._storm((since + until) / 2)) if self.plan.join_storm else None
        await self._seconds(since, until, told)
        for pacer in self._pacers:
            pacer.stop()
        self.core_percent = 100 * (time.process_time() - cpu) / (time.monotonic() - began)
        if storming is not None:
            await storming
        return self.typed()

    def outcome(self, typed: Typed) -> dict[str, Any]:
        """All that this process has to tell at the end, for :mod:`cowrite.loadtest.report.aggregation`."""
        meter, storm = self.crew.meter, self.storm
        missing, twice = self.lacking(typed)
        return {
            "edits": sum(person.typed for person in self.people),
            "delivered": sum(person.received for person in self.people) - twice,
            "expected": sum(max(0, _expected(person, typed)[0]) for person in self.people),
            "missing": missing,
            "twice": twice,
            "sampled": sum(person.samples for person in self.people),
            "cursors_sent": meter.cursors_sent,
            "cursors_received": meter.cursors_received,
            "refused": meter.refused,
            "missed": meter.missed,
            "latency": meter.latency.to_json(),
            "lateness": meter.late_by.to_json(),
            "acknowledgement": meter.acknowledgement.to_json(),
            "age": meter.age.to_json(),
            "during_storm": meter.during_storm.to_json(),
            "seconds": [second_to_json(second) for second in meter.seconds.values()],
            "storm": None if storm is None else self._storm_outcome(storm),
            "replicas": self.replicas(),
            "problems": self.problems(),
            "core_percent": self.core_percent,
        }

    def _storm_outcome(self, storm: Storm) -> dict[str, Any]:
        compared = sum(person.role.keeps for person in self.stormers)
        return {"joins": storm.joins.to_json(), "began": storm.began, "ended": storm.ended, "compared": compared}

    def typed(self) -> dict[str, tuple[int, int]]:
        """What this process's people have typed since it counts."""
        by_document: dict[str, tuple[int, int]] = {}
        for person in self.people:
            count, total = by_document.get(person.role.document, (0, 0))
            by_document[person.role.document] = count + person.typed, total + person.typed_sum
        return by_document

    async def settle(self, typed: Typed, seconds: float) -> Mapping[str, Any]:
        await wait_until(lambda: not any(self._lacks(person, typed) for person in self.people), seconds)
        # Not so long for what is only not acknowledged yet.
        await wait_until(lambda: not any(person.waits for person in self.people), min(seconds, _ACKNOWLEDGED_SECONDS))
        self.crew.meter.tick(int(self.plan.seconds))
        return self.outcome(typed)

    def lacking(self, typed: Typed) -> tuple[int, int]:
        """How many deliveries are missing, and how many came more than once; at least so many."""
        missing = twice = 0
        for person in self.people:
            count, total = _expected(person, typed)
            missing += max(0, count - person.received)
            twice += max(0, person.received - count)
            # As many as there should be, but not the same ones.
            missing += count == person.received and total != person.received_sum
        return missing, twice

    def replicas(self) -> dict[str, list[str]]:
        """By document, a digest of each replica."""
        found: dict[str, list[str]] = {}
        for person in (*self.people, *self.stormers):
            if isinstance(person, YjsPerson) and person.doc is not None and person.left is None:
                found.setdefault(person.role.document, []).append(_digest(person))
        return found

    def problems(self) -> list[str]:
        """Why connections have ended that should not have, each reason once with how often."""
        reasons: dict[str, int] = {}
        left = [person.left for person in (*self.people, *self.stormers) if person.left is not None and person.joined_once]
        for reason in (*left, *self._missing):
            reasons[reason] = reasons.get(reason, 0) + 1
        return [f"{count} times: {reason}" for reason, count in reasons.items()]

    async def close(self) -> None:
        self.crew.leaving = True
        for person in (*self.people, *self.stormers):
            await person.leave()
        await asyncio.sleep(0)

    def _start(self) -> None:
        plan, meter = self.plan, self.crew.meter

        def late(milliseconds: float, missed: int) -> None:
            meter.lateness.append(milliseconds)
            meter.missed += missed

        for person in self.people:
            # Spread over the time between two edits, and over the documents.
            phase = (person.role.number * 0.618033988749895) % 1
            if person.role.types:
                self._pacers.append(Pacer(person.type, plan.rate, phase, late))
            if plan.cursors:
                self._pacers.append(Pacer(person.point, plan.cursors, (phase + 0.5) % 1))
            elif not person.role.types:
                # Not before it is needed: a server breathes with everybody, and in a short run idle people are to be idle.
                self._pacers.append(Pacer(person.breathe, 1 / BREATHE_SECONDS, 1 + phase))

    async def _seconds(self, since: float, until: float, told: Told) -> None:
        while (now := time.monotonic()) < until:
            await asyncio.sleep(min(since + self._at + 1, until) - now)
            second = self.crew.meter.tick(self._at)
            self._at += 1
            if not self._at % 2:
                for cache in self.crew.caches:
                    cache.turn()
            told(second)

    async def _storm(self, at: float) -> None:
        await asyncio.sleep(at - time.monotonic())
        meter, joins, began = self.crew.meter, Histogram(), time.monotonic()
        meter.tick(self._at)
        meter.storming = True
        took, self._missing = await arrive_at_once(self.stormers, self.plan)
        joins.add(took)
        meter.tick(self._at)
        meter.storming = False
        self.storm = Storm(joins, began, time.monotonic())

    def _lacks(self, person: Person, typed: Typed) -> bool:
        return person.left is None and person.received < _expected(person, typed)[0]


def _mine(everybody: Sequence[Role], plan: Plan, part: int) -> list[Role]:
    return [role for role in everybody if role.number % plan.processes == part]


def _expected(person: Person, typed: Typed) -> tuple[int, int]:
    count, total = typed.get(person.role.document, (0, 0))
    return count - person.typed, total - person.typed_sum


def _digest(person: YjsPerson) -> str:
    assert person.doc is not None
    text = str(person.doc.get(ROOT, type=Text))
    state = sorted(decode_state_vector(person.doc.get_state()).items())
    return hashlib.sha256(f"{state}{text}".encode()).hexdigest()
