"""The report in words and figures, for the table on the terminal and for the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cowrite.loadtest.report.model import Durations, Report, Server


@dataclass(frozen=True, slots=True)
class Row:
    """What it is, how much, and what that means where it needs saying."""

    name: str
    value: str
    note: str = ""
    bad: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """Rows that belong together."""

    title: str
    rows: tuple[Row, ...]


def headline(report: Report) -> str:
    """What was done, in a line."""
    plan = report.plan
    typing = plan["people"] if plan["typing"] is None else plan["typing"]
    speaks = ", ".join(plan["protocols"])
    each = "" if plan["documents"] == 1 else " each"
    types = f"{typing} type {plan['rate']:g} times a second" if plan["rate"] and typing else "nobody types"
    documents = "1 document" if plan["documents"] == 1 else f"{plan['documents']:,} documents"
    return f"{documents}, {plan['people']:,} people{each} ({speaks}), {types}{each}"


def verdict(report: Report) -> str:
    """What came of it, in a line."""
    if report.ok:
        return "everything arrived" if report.delivery.expected else "nothing was typed, and nobody was lost"
    if report.delivery.undelivered:
        return f"{report.delivery.undelivered:,} of {report.delivery.expected:,} deliveries did not arrive"
    if report.refused_edits:
        return f"{report.refused_edits:,} edits were refused"
    return "replicas differ" if report.replicas and report.replicas.different else "connections were lost"


def sections(report: Report) -> list[Section]:
    """All of it."""
    found = [_delivery(report), _joining(report)]
    if report.cursors is not None:
        rows = (
            Row("sent, received", f"{report.cursors.sent:,}, {report.cursors.received:,}"),
            *_durations("age", report.cursors.age),
        )
        found.append(Section("Cursors", rows))
    if report.storm is not None:
        found.append(_storm(report))
    if report.server is not None:
        found.append(_server(report.server))
    return [*found, _generator(report)]


def _delivery(report: Report) -> Section:
    told = report.delivery
    rows = [
        Row("edits", f"{told.edits:,}", f"in {report.seconds:g} s"),
        Row("deliveries", f"{told.delivered:,}", f"{told.per_second:,.0f} a second"),
        Row("undelivered", f"{told.undelivered:,}", "must be 0", bad=told.undelivered > 0),
        *_durations("latency", told.latency, f"at {told.sampled_people:,} people"),
        *_durations("acknowledged after", report.acknowledgement),
    ]
    if report.refused_edits:
        rows.append(Row("refused edits", f"{report.refused_edits:,}", bad=True))
    if report.replicas is not None:
        apart = len(report.replicas.different)
        said = "all the same" if not apart else f"{apart} documents differ: {', '.join(report.replicas.different[:3])}"
        rows.append(Row("replicas", f"{report.replicas.replicas}", said, bad=apart > 0))
    return Section("Delivery", tuple(rows))


def _joining(report: Report) -> Section:
    told = report.joining
    rows = (
        Row("people", f"{told.people:,}", f"{told.opens_per_second:,.0f} a second"),
        *_durations("came in after", told.each),
    )
    return Section("Coming in", rows)


def _storm(report: Report) -> Section:
    told = report.storm
    assert told is not None
    rows = (
        Row("people", f"{told.people:,}", "at once"),
        Row("replicas among them", f"{told.compared}", "what the others were sent is not compared"),
        Row("all have the state after", f"{told.all_seconds:,.2f} s"),
        *_durations("each has it after", told.each),
        *_durations("latency of the others", told.latency_meanwhile),
    )
    return Section("Storm", rows)


def _server(told: Server) -> Section:
    rows = [Row("processor", f"{told.core_percent:.1f} %", "of a core, while it was measured")]
    if told.cpu_us_per_delivery is not None:
        rows.append(Row("for a delivery", f"{told.cpu_us_per_delivery:,.2f} µs"))
    memory = f"{megabytes(told.memory_before_bytes)} before, {megabytes(told.memory_joined_bytes)} with all people"
    rows.append(Row("memory", megabytes(told.memory_after_bytes), f"{memory}, {megabytes(told.memory_peak_bytes)} at most"))
    if told.bytes_per_socket is not None:
        rows.append(Row("for each person", f"{told.bytes_per_socket / 1000:,.1f} KB", "by which it grew while they came in"))
    if told.loop_lag_max_ms is not None:
        rows.append(Row("event loop late", f"{told.loop_lag_mean_ms:.1f} ms", f"{told.loop_lag_max_ms:.1f} ms at most"))
    where = "from /metrics" if told.source == "metrics" else "looked at from outside"
    return Section(f"Server ({where})", tuple(rows))


def _generator(report: Report) -> Section:
    cores = ", ".join(f"{share:.0f} %" for share in report.generator_core_percent)
    traffic = report.traffic
    return Section(
        "Generator",
        (
            Row("processor", cores, "of a core, each process"),
            *_durations("edits were late by", report.lateness, "not in the latency"),
            Row("received", f"{traffic.frames_per_second:,.0f} frames/s", f"{traffic.bytes_per_second / 1e6:,.2f} MB/s"),
        ),
    )


def _durations(name: str, told: Durations | None, note: str = "") -> list[Row]:
    if told is None:
        return []
    value = f"p50 {told.p50:,.1f} · p95 {told.p95:,.1f} · p99 {told.p99:,.1f} · max {told.max:,.1f} ms"
    return [Row(name, value, note)]


def megabytes(size: Any) -> str:
    """A size for people."""
    return f"{size / 1e6:,.1f} MB"
