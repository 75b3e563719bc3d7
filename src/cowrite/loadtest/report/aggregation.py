"""What the processes of a run have told, and what was seen of the server, made into one report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any, Final

from cowrite.loadtest.histogram import Histogram
from cowrite.loadtest.meter import Second, second_from_json
from cowrite.loadtest.plan import Plan, plan_to_json
from cowrite.loadtest.report.model import (
    GENERATOR_LIMIT,
    Cursors,
    Delivery,
    Durations,
    Joining,
    Replicas,
    Report,
    Server,
    Storm,
    Traffic,
)
from cowrite.loadtest.report.model import Second as ReportedSecond
from cowrite.loadtest.server_figures import Sample

_VERSION: Final = version("cowrite")
Outcome = Mapping[str, Any]
"""What one process tells: see ``Generator.outcome``."""


@dataclass(frozen=True, slots=True)
class Moments:
    """The server at the moments that matter; of all other samples there is the list."""

    before: Sample
    joined: Sample
    since: Sample
    until: Sample
    settled: Sample


@dataclass(frozen=True, slots=True)
class Course:
    """How the run went, as its conductor saw it. Times are by the monotonic clock."""

    began_at: str
    since: float
    until: float
    joins: Histogram
    joining_seconds: float
    source: str | None
    moments: Moments | None
    samples: Sequence[Sample]
    memory: Sequence[tuple[float, float]] = ()
    """When, and how many bytes: more often than the samples."""
    blind: str | None = None
    """Why the server could not be looked at in the middle of the run."""


def gather(plan: Plan, course: Course, outcomes: Sequence[Outcome]) -> Report:
    """The report."""
    seconds = course.until - course.since
    delivery = _delivery(outcomes, seconds)
    timeline = merged_seconds([second_from_json(one) for outcome in outcomes for one in outcome["seconds"]])
    within = [one for one in timeline if one.at < seconds]
    report = Report(
        cowrite=_VERSION,
        began_at=course.began_at,
        plan=_plan(plan),
        seconds=round(seconds, 3),
        joining=Joining(
            plan.documents * plan.people,
            round(course.joining_seconds, 3),
            round(plan.documents * plan.people / max(course.joining_seconds, 1e-9), 1),
            Durations.of(course.joins),
        ),
        delivery=delivery,
        acknowledgement=Durations.of(_joined(outcomes, "acknowledgement")),
        cursors=_cursors(plan, outcomes),
        traffic=Traffic(
            round(sum(one.frames for one in within) / seconds, 1), round(sum(one.bytes for one in within) / seconds, 1)
        ),
        storm=_storm(plan, course, outcomes),
        server=_server(plan, course, delivery),
        generator_core_percent=tuple(round(outcome["core_percent"], 1) for outcome in outcomes),
        lateness=Durations.of(_joined(outcomes, "lateness")),
        missed_edits=_sum(outcomes, "missed"),
        refused_edits=_sum(outcomes, "refused"),
        replicas=_replicas(outcomes),
        problems=tuple(problem for outcome in outcomes for problem in outcome["problems"]),
        warnings=(),
        timeline=_timeline(timeline, course),
        histogram=tuple(_joined(outcomes, "latency").pairs()),
    )
    return _with_warnings(report, course.blind)


def merged_seconds(seconds: Sequence[Second]) -> list[Second]:
    """One for each second, of all processes."""
    by_number: dict[int, Second] = {}
    for second in seconds:
        if second.at in by_number:
            by_number[second.at].join(second)
        else:
            by_number[second.at] = second
    return [by_number[at] for at in sorted(by_number)]


def _plan(plan: Plan) -> dict[str, Any]:
    return {name: value for name, value in plan_to_json(plan).items() if name not in {"token", "secret"}}


def _sum(outcomes: Sequence[Outcome], name: str) -> int:
    return sum(int(outcome[name]) for outcome in outcomes)


def _joined(outcomes: Sequence[Outcome], name: str) -> Histogram:
    whole = Histogram()
    for outcome in outcomes:
        whole.join(Histogram.from_json(outcome[name]))
    return whole


def _delivery(outcomes: Sequence[Outcome], seconds: float) -> Delivery:
    delivered = _sum(outcomes, "delivered")
    return Delivery(
        edits=_sum(outcomes, "edits"),
        expected=_sum(outcomes, "expected"),
        delivered=delivered,
        undelivered=_sum(outcomes, "missing"),
        duplicated=_sum(outcomes, "twice"),
        per_second=round(delivered / seconds, 1),
        latency=Durations.of(_joined(outcomes, "latency")),
        sampled_people=_sum(outcomes, "sampled"),
    )


def _cursors(plan: Plan, outcomes: Sequence[Outcome]) -> Cursors | None:
    if not plan.cursors:
        return None
    age = Durations.of(_joined(outcomes, "age"))
    return Cursors(_sum(outcomes, "cursors_sent"), _sum(outcomes, "cursors_received"), age)


def _storm(plan: Plan, course: Course, outcomes: Sequence[Outcome]) -> Storm | None:
    storms = [outcome["storm"] for outcome in outcomes if outcome["storm"] is not None]
    if not storms:
        return None
    joins = Histogram()
    for storm in storms:
        joins.join(Histogram.from_json(storm["joins"]))
    began, ended = min(storm["began"] for storm in storms), max(storm["ended"] for storm in storms)
    return Storm(
        people=plan.join_storm,
        compared=sum(storm["compared"] for storm in storms),
        all_seconds=round(ended - began, 3),
        each=Durations.of(joins),
        latency_meanwhile=Durations.of(_joined(outcomes, "during_storm")),
        memory_before_bytes=next((size for at, size in reversed(course.memory) if at <= began), None),
        memory_peak_bytes=max((size for at, size in course.memory if began <= at <= ended), default=None),
    )


def _server(plan: Plan, course: Course, delivery: Delivery) -> Server | None:
    moments = course.moments
    if moments is None or course.source is None:
        return None
    used = moments.settled.cpu_seconds - moments.since.cpu_seconds
    working = moments.until.cpu_seconds - moments.since.cpu_seconds
    grown = moments.joined.memory_bytes - moments.before.memory_bytes
    lags = [one.loop_lag_ms for one in course.samples if one.loop_lag_ms is not None and one.at >= course.since]
    return Server(
        source=course.source,
        cpu_us_per_delivery=round(used * 1e6 / delivery.delivered, 3) if delivery.delivered else None,
        cpu_us_per_edit=round(used * 1e6 / delivery.edits, 1) if delivery.edits else None,
        core_percent=round(100 * working / max(moments.until.at - moments.since.at, 1e-9), 2),
        memory_before_bytes=moments.before.memory_bytes,
        memory_joined_bytes=moments.joined.memory_bytes,
        memory_after_bytes=moments.settled.memory_bytes,
        memory_peak_bytes=max(one.memory_bytes for one in course.samples),
        bytes_per_socket=round(grown / (plan.documents * plan.people), 1),
        loop_lag_mean_ms=round(sum(lags) / len(lags), 3) if lags else None,
        loop_lag_max_ms=round(max(lags), 3) if lags else None,
    )


def _replicas(outcomes: Sequence[Outcome]) -> Replicas | None:
    by_document: dict[str, list[str]] = {}
    for outcome in outcomes:
        for document, digests in outcome["replicas"].items():
            by_document.setdefault(document, []).extend(digests)
    if not by_document:
        return None
    different = tuple(sorted(document for document, digests in by_document.items() if len(set(digests)) > 1))
    return Replicas(len(by_document), sum(map(len, by_document.values())), different)


def _timeline(seconds: Sequence[Second], course: Course) -> tuple[ReportedSecond, ...]:
    return tuple(_reported(second, course) for second in seconds)


def _reported(second: Second, course: Course) -> ReportedSecond:
    began = course.since + second.at
    around = [one for one in course.samples if one.at <= began + 1]
    core = None
    if len(around) > 1 and around[-1].at > around[-2].at:
        core = round(100 * (around[-1].cpu_seconds - around[-2].cpu_seconds) / (around[-1].at - around[-2].at), 2)
    latency = Durations.of(second.latency)
    return ReportedSecond(
        at=second.at,
        p50=None if latency is None else latency.p50,
        p99=None if latency is None else latency.p99,
        deliveries=second.deliveries,
        frames=second.frames,
        bytes=second.bytes,
        edits=second.edits,
        server_core_percent=core,
        server_memory_bytes=around[-1].memory_bytes if around else None,
        loop_lag_ms=around[-1].loop_lag_ms if around else None,
    )


def _with_warnings(report: Report, blind: str | None) -> Report:
    warnings = []
    if blind is not None:
        warnings.append(f"there are no figures of the server, it could not be looked at: {blind}")
    busiest = max(report.generator_core_percent, default=0.0)
    if busiest >= GENERATOR_LIMIT:
        warnings.append(
            f"the generator used {busiest:.0f} % of a core: what was measured is also its own slowness; use more --processes"
        )
    if report.missed_edits:
        warnings.append(f"{report.missed_edits} edits could not be made when they were due: the generator was out of breath")
    if report.delivery.duplicated:
        warnings.append(f"{report.delivery.duplicated} edits came more than once to somebody")
    return replace(report, warnings=tuple(warnings))
