"""A run from its beginning to its report."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

from cowrite.loadtest.addresses import Addresses
from cowrite.loadtest.generator import Generator, Part, Typed
from cowrite.loadtest.histogram import Histogram
from cowrite.loadtest.meter import Second
from cowrite.loadtest.open_files import allow_sockets, check_sources
from cowrite.loadtest.plan import Plan
from cowrite.loadtest.report.aggregation import Course, Moments, gather
from cowrite.loadtest.report.model import Report
from cowrite.loadtest.seeding import Seeders
from cowrite.loadtest.server_figures import Sample, Watch, source_for
from cowrite.loadtest.worker_process import WorkerProcess

_HEAD_START: Final = 0.05


class Listener(Protocol):
    """Who is told how a run goes."""

    def phase(self, name: str) -> None:
        """Something else begins."""
        ...

    def second(self, second: Second, server: Sample | None) -> None:
        """A second of the measurement is over, in one of the processes."""
        ...


class Silent:
    """Wants to be told nothing."""

    def phase(self, name: str) -> None:
        """See :class:`Listener`."""

    def second(self, second: Second, server: Sample | None) -> None:
        """See :class:`Listener`."""


async def run(plan: Plan, listener: Listener | None = None) -> Report:
    """Do what the plan says to the server, and report.

    Raises :class:`LoadError` when the server is not there, does not let people in, or cannot be looked at. What goes wrong
    later is in the report, which is then not ``ok``.
    """
    listener = listener or Silent()
    allow_sockets(plan)
    check_sources(plan)
    Addresses(plan).token_for(0)  # a secret that is none is found before anything is begun
    source = await asyncio.to_thread(source_for, plan)  # it looks at files
    watch = None if source is None else Watch(source)
    parts: list[Part] = []
    seeders = Seeders(plan)
    try:
        return await _run(plan, listener, watch, parts, seeders)
    finally:
        await seeders.leave()
        await asyncio.gather(*(part.close() for part in parts), return_exceptions=True)
        if watch is not None:
            await watch.stop()


async def _run(plan: Plan, listener: Listener, watch: Watch | None, parts: list[Part], seeders: Seeders) -> Report:
    began_at = datetime.now(UTC).isoformat(timespec="seconds")
    if watch is not None:
        await watch.look()
    if plan.document_bytes:
        listener.phase(f"putting {plan.document_bytes:,} bytes into each of {plan.documents} documents")
        await seeders.write()
    parts += await _parts(plan)
    before = await _look(watch)
    listener.phase(f"{plan.documents * plan.people} people come in")
    arriving = time.monotonic()
    joins = _together(await asyncio.gather(*(part.arrive() for part in parts)))
    joining_seconds = time.monotonic() - arriving
    await seeders.leave()
    joined = await _look(watch)
    if watch is not None:
        watch.start(closely=plan.join_storm > 0)
    since = time.monotonic() + _HEAD_START + plan.warm_up
    until = since + plan.seconds
    listener.phase("warming up" if plan.warm_up else "measuring")
    at_since = asyncio.ensure_future(_look_at(watch, since, listener))

    def told(second: Second) -> None:
        listener.second(second, watch.newest() if watch is not None else None)

    typed = _sum_typed(await asyncio.gather(*(part.work(since, until, told) for part in parts)))
    at_until = await _glance(watch)
    listener.phase("waiting for what has not arrived")
    outcomes = await asyncio.gather(*(part.settle(typed, plan.settle) for part in parts))
    settled = await _glance(watch)
    first = await at_since
    moments = None
    if before and joined and first and at_until and settled:
        moments = Moments(before, joined, first, at_until, settled)
    course = Course(
        began_at=began_at,
        since=since,
        until=until,
        joins=joins,
        joining_seconds=joining_seconds,
        source=watch.source.name if watch is not None else None,
        moments=moments,
        samples=watch.samples if watch is not None else [],
        memory=watch.memory if watch is not None else [],
        blind=watch.blind if watch is not None else None,
    )
    return gather(plan, course, outcomes)


async def _parts(plan: Plan) -> list[Part]:
    if plan.processes == 1:
        return [Generator(plan)]
    return list(await asyncio.gather(*(WorkerProcess.start(plan, number) for number in range(plan.processes))))


async def _look(watch: Watch | None) -> Sample | None:
    return None if watch is None else await watch.look()


async def _glance(watch: Watch | None) -> Sample | None:
    return None if watch is None else await watch.glance()


async def _look_at(watch: Watch | None, at: float, listener: Listener) -> Sample | None:
    await asyncio.sleep(at - time.monotonic())
    listener.phase("measuring")
    return await _glance(watch)


def _together(histograms: Sequence[Histogram]) -> Histogram:
    whole = Histogram()
    for one in histograms:
        whole.join(one)
    return whole


def _sum_typed(parts: Sequence[Typed]) -> dict[str, tuple[int, int]]:
    whole: dict[str, tuple[int, int]] = {}
    for part in parts:
        for document, (count, total) in part.items():
            before = whole.get(document, (0, 0))
            whole[document] = before[0] + count, before[1] + total
    return whole
