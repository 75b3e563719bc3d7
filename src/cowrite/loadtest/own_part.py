"""The part of a run that is done in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from cowrite.loadtest.generator import Generator
from cowrite.loadtest.histogram import Histogram
from cowrite.loadtest.measuring import Second
from cowrite.loadtest.plan import Plan

Told = Callable[[Second], None]
Typed = Mapping[str, tuple[int, int]]
"""By document: how many edits, and their sum."""


class Part(Protocol):
    """One process that makes load, this one or another. The steps are called in this order."""

    async def arrive(self) -> Histogram:
        """Its people come in; how long each took. Raises :class:`LoadError`."""
        ...

    async def work(self, since: float, until: float, told: Told) -> Typed:
        """Work until then; what was typed. Times are by the monotonic clock, in seconds."""
        ...

    async def settle(self, typed: Typed, seconds: float) -> Mapping[str, Any]:
        """Wait for what has not arrived, and tell all: ``Generator.outcome``."""
        ...

    async def close(self) -> None:
        """Everybody leaves."""
        ...


class OwnPart:
    """See the module."""

    def __init__(self, plan: Plan, part: int = 0) -> None:
        self._generator = Generator(plan, part)

    async def arrive(self) -> Histogram:
        joins = Histogram()
        joins.add(await self._generator.arrive())
        return joins

    async def work(self, since: float, until: float, told: Told) -> Typed:
        await self._generator.work(since, until, told)
        return self._generator.typed()

    async def settle(self, typed: Typed, seconds: float) -> Mapping[str, Any]:
        await self._generator.settle(typed, seconds)
        return self._generator.outcome(typed)

    async def close(self) -> None:
        await self._generator.leave()
