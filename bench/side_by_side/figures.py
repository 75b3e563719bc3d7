"""The figures that are compared: their names, how they are read from a report of ``cowrite load``, and how they are printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

KIB: Final = 1024
Figures = Mapping[str, float]
"""What one run gave, by the names of :data:`FIGURES`."""


@dataclass(frozen=True, slots=True)
class Figure:
    """How it is called and printed."""

    title: str
    unit: str
    digits: int = 1


FIGURES: Final[Mapping[str, Figure]] = {
    "cpu_us": Figure("server CPU per delivered update", "µs", 2),
    "core": Figure("share of a core", "%"),
    "p50": Figure("latency p50", "ms"),
    "p95": Figure("latency p95", "ms"),
    "p99": Figure("latency p99", "ms"),
    "undelivered": Figure("undelivered", "", 0),
    "deliveries": Figure("deliveries", "/s", 0),
    "frames": Figure("frames", "/s", 0),
    "cursor_age": Figure("age of a cursor p95", "ms"),
    "opens": Figure("opens", "/s", 0),
    "socket_kib": Figure("memory of a socket", "KiB"),
    "memory_mb": Figure("memory at the end", "MB", 0),
    "storm_s": Figure("all have joined after", "s", 2),
    "storm_growth": Figure("memory grows by, in documents", "", 2),
    "storm_p99": Figure("the others' latency p99 meanwhile", "ms"),
    "first_state_ms": Figure("open → first state, median", "ms"),
    "first_state_max_ms": Figure("open → first state, longest", "ms"),
    "ack_p50": Figure("acknowledgement p50", "ms"),
    "ack_p95": Figure("acknowledgement p95", "ms"),
    "late_p99": Figure("edits were sent late by, p99", "ms"),
    "generator": Figure("generator's share of its core", "%", 0),
    "waited": Figure("server waited for its core", "%", 0),
}


def printed(name: str, value: float) -> str:
    """With its unit."""
    figure = FIGURES[name]
    return f"{value:.{figure.digits}f} {figure.unit}".rstrip() if figure.unit != "%" else f"{value:.{figure.digits}f} %"


_READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], float]]] = {
    "cpu_us": lambda report: report["server"]["cpu_us_per_delivery"],
    "core": lambda report: report["server"]["core_percent"],
    "p50": lambda report: report["delivery"]["latency"]["p50"],
    "p95": lambda report: report["delivery"]["latency"]["p95"],
    "p99": lambda report: report["delivery"]["latency"]["p99"],
    "undelivered": lambda report: report["delivery"]["undelivered"],
    "deliveries": lambda report: report["delivery"]["per_second"],
    "frames": lambda report: report["traffic"]["frames_per_second"],
    "cursor_age": lambda report: report["cursors"]["age"]["p95"],
    "opens": lambda report: report["joining"]["opens_per_second"],
    "socket_kib": lambda report: report["server"]["bytes_per_socket"] / KIB,
    "memory_mb": lambda report: report["server"]["memory_after_bytes"] / 1e6,
    "storm_s": lambda report: report["storm"]["all_seconds"],
    "storm_growth": lambda report: _growth(report),
    "storm_p99": lambda report: report["storm"]["latency_meanwhile"]["p99"],
    "ack_p50": lambda report: report["acknowledgement"]["p50"],
    "ack_p95": lambda report: report["acknowledgement"]["p95"],
    "late_p99": lambda report: report["lateness"]["p99"],
    "generator": lambda report: max(report["generator_core_percent"]),
}


def _growth(report: Mapping[str, Any]) -> float:
    storm = report["storm"]
    grown: float = storm["memory_peak_bytes"] - storm["memory_before_bytes"]
    return grown / float(report["plan"]["document_bytes"])


def read(report: Mapping[str, Any]) -> dict[str, float]:
    """The figures that a report has; what does not apply to its scenario is left out."""
    found = {}
    for name, reader in _READERS.items():
        try:
            found[name] = float(reader(report))
        except (TypeError, KeyError):  # a part that is None, or is not there
            continue
    return found
