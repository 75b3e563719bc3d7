"""What is measured while the honest type beside somebody, and what must be so afterwards."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.rudeness.behaviours import Behaviour
from bench.rudeness.crowd import Crowd
from bench.rudeness.honest import Honest, Noticed
from bench.rudeness.served import REFUSED, Server, until_left

QUIET, TOGETHER = "quiet", "together"
_END_SECONDS = 90.0


@dataclass
class Measured:
    """One phase. Times in milliseconds, memory in bytes, CPU in cores."""

    name: str
    seconds: float = 0.0
    edits: dict[str, float] = field(default_factory=dict)
    """``count``, ``p50``, ``p99``, ``worst``; as of all three."""
    acknowledgements: dict[str, float] = field(default_factory=dict)
    joins: dict[str, float] = field(default_factory=dict)
    late: float = 0.0
    """By how much the honest process itself was late, p99."""
    server: float = 0.0
    """Cores that the server used."""
    waited: float = 0.0
    """The share of the time that it was ready to work and had no core."""
    rude: float = 0.0
    """Cores that the rude used."""
    memory: int = 0
    """By how much the server had grown, at most."""
    memory_after: int = 0
    """By how much it was larger when they had gone."""
    did: dict[str, int] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    """By the server, as its metric names the limits."""
    problems: list[str] = field(default_factory=list)

    def line(self) -> str:
        """For whoever waits for the table."""
        return (
            f"{time.strftime('%H:%M:%S')} {self.name}: edit p50 {self.edits['p50']:.1f} p99 {self.edits['p99']:.1f} ms,"
            f" server {self.server:.2f} cores, waited {self.waited:.0%}, rude {self.rude:.2f}, +{self.memory / 1e6:.0f} MB,"
            f" {self.did} {self.ended} {self.problems}"
        )


@dataclass(frozen=True, slots=True)
class _Before:
    """How it was when a phase began."""

    at: float
    cpu: float
    waited: float
    memory: int
    figures: Counter[str]


class Phases:
    """One after the other, beside the same honest people."""

    def __init__(self, server: Server, honest: Honest, *, rate: float, seconds: float) -> None:
        self._server = server
        self._honest = honest
        self._rate = rate
        self._seconds = seconds
        self._memory = 0
        self._watching: asyncio.Task[None]

    async def quiet(self) -> Measured:
        """Beside nobody."""
        phase, before = Measured(QUIET), await self._begin()
        noticed = await self._honest.type(self._rate, 2 * self._seconds)
        await self._end(phase, before, noticed)
        return phase

    async def beside(self, behaviour: Behaviour, crowd: Crowd) -> Measured:
        """From its first connection until it has done for some time what it does."""
        phase, before, stop = Measured(behaviour.name), await self._begin(), asyncio.Event()
        typing = asyncio.create_task(self._honest.type(self._rate, 600, stop))
        await crowd.begin(behaviour)
        await asyncio.sleep(self._seconds)
        stop.set()
        noticed = await typing
        await self._end(phase, before, noticed)
        told = await crowd.leave()
        phase.did, phase.rude = dict(told.did[behaviour.name]), told.cpu / phase.seconds
        if not behaviour.silent and behaviour.limit is not None and not phase.ended.get(behaviour.limit):
            phase.problems.append(f"{behaviour.limit} ended nobody")
        phase.problems += await self._after(phase)
        return phase

    async def until_ended(self, crowds: Sequence[tuple[Crowd, Sequence[Behaviour]]]) -> Measured:
        """Several at once, until the server has ended each that it is to end."""
        phase, before, stop = Measured(TOGETHER), await self._begin(), asyncio.Event()
        typing = asyncio.create_task(self._honest.type(self._rate, 600, stop))
        made = await asyncio.gather(*(crowd.begin(*behaviours) for crowd, behaviours in crowds))
        connections = {name: count for one in made for name, count in one.items()}
        expected = Counter[str]()
        for one in [one for _, behaviours in crowds for one in behaviours]:
            if one.limit is not None:
                expected[one.limit] += connections[one.name]
        give_up = time.monotonic() + _END_SECONDS
        while missing := expected - self._refused(await self._server.figures(), before.figures):
            if time.monotonic() > give_up:
                phase.problems.append(f"not ended by the server: {dict(missing)}")
                break
            await asyncio.sleep(0.25)
        stop.set()
        await self._end(phase, before, await typing)
        told = [await crowd.leave() for crowd, _ in crowds]
        phase.did = connections
        phase.rude = sum(one.cpu for one in told) / phase.seconds
        phase.problems += await self._after(phase)
        return phase

    async def left(self, *, nobody: bool = False) -> list[str]:
        """What of the rude is still there, or, when the honest have left as well, of anybody."""
        people = 0 if nobody else len(self._honest.people)
        documents = 0 if nobody else len({person.document for person in self._honest.people})
        return await until_left(self._server, people, documents)

    async def _begin(self) -> _Before:
        figures = await self._server.figures()
        before = _Before(time.monotonic(), self._server.cpu(), self._server.waited(), self._server.memory(), figures)
        self._watching = asyncio.create_task(self._watch_memory())
        return before

    async def _watch_memory(self) -> None:
        self._memory = 0
        while True:
            self._memory = max(self._memory, self._server.memory())
            await asyncio.sleep(0.1)

    async def _end(self, phase: Measured, before: _Before, noticed: Noticed) -> None:
        phase.seconds = time.monotonic() - before.at
        phase.server = (self._server.cpu() - before.cpu) / phase.seconds
        phase.waited = (self._server.waited() - before.waited) / phase.seconds
        self._watching.cancel()
        phase.memory, phase.memory_after = self._memory - before.memory, before.memory
        phase.edits, phase.acknowledgements = _quantiles(noticed.edits), _quantiles(noticed.acknowledgements)
        phase.joins, phase.late = _quantiles(noticed.joins), _quantiles(noticed.late)["p99"]
        phase.ended = dict(self._refused(await self._server.figures(), before.figures))
        phase.problems += self._honest.sent_away()

    async def _after(self, phase: Measured) -> list[str]:
        found = await self.left()
        phase.memory_after = self._server.memory() - phase.memory_after
        return found

    @staticmethod
    def _refused(now: Counter[str], before: Counter[str]) -> Counter[str]:
        """What was more than a limit meanwhile."""
        return Counter(
            {name.removeprefix(REFUSED): count for name, count in (now - before).items() if name.startswith(REFUSED)}
        )


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    parts = statistics.quantiles(values, n=100, method="inclusive") if len(values) > 1 else [*values] * 99 or [0.0] * 99
    return {"count": len(values), "p50": parts[49], "p99": parts[98], "worst": max(values, default=0.0)}
