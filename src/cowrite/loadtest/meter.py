"""What one process of the generator saw, second by second."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from cowrite.loadtest.histogram import Histogram


@dataclass(slots=True)
class Second:
    """One second of it."""

    at: int
    """The seconds since the measurement began."""
    latency: Histogram = field(default_factory=Histogram)
    deliveries: int = 0
    frames: int = 0
    bytes: int = 0
    edits: int = 0

    def join(self, other: Second) -> None:
        """Add what another process saw."""
        self.latency.join(other.latency)
        self.deliveries += other.deliveries
        self.frames += other.frames
        self.bytes += other.bytes
        self.edits += other.edits


@dataclass(slots=True)
class Meter:
    """Counts. People add to the plain fields; :meth:`tick` sums up, about once a second."""

    frames: int = 0
    bytes: int = 0
    deliveries: int = 0
    edits: int = 0
    cursors_sent: int = 0
    cursors_received: int = 0
    refused: int = 0
    missed: int = 0
    """Edits that the generator left out, since the next one was due already."""
    latencies: list[float] = field(default_factory=list)
    """Milliseconds, of those who are sampled, since the last tick; so are the others."""
    acknowledgements: list[float] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)
    lateness: list[float] = field(default_factory=list)
    """How long after it was due an edit was sent."""
    storming: bool = False
    latency: Histogram = field(default_factory=Histogram)
    acknowledgement: Histogram = field(default_factory=Histogram)
    age: Histogram = field(default_factory=Histogram)
    late_by: Histogram = field(default_factory=Histogram)
    during_storm: Histogram = field(default_factory=Histogram)
    seconds: dict[int, Second] = field(default_factory=dict)
    """By its number."""
    _last: tuple[int, int, int, int] = (0, 0, 0, 0)

    def begin(self) -> None:
        """What came until now does not count."""
        self.latencies.clear()
        self.acknowledgements.clear()
        self.ages.clear()
        self.lateness.clear()
        self.cursors_sent = self.cursors_received = self.missed = 0
        self._last = (self.deliveries, self.frames, self.bytes, self.edits)

    def tick(self, at: int) -> Second:
        """Sum up what came since the last time, as part of the second ``at`` of the measurement. All of it so far."""
        latencies, self.latencies = self.latencies, []
        second = Second(at)
        second.latency.add(latencies)
        self.latency.join(second.latency)
        if self.storming:
            self.during_storm.join(second.latency)
        for durations, histogram in (
            (self.acknowledgements, self.acknowledgement),
            (self.ages, self.age),
            (self.lateness, self.late_by),
        ):
            histogram.add(durations)
            durations.clear()
        now = (self.deliveries, self.frames, self.bytes, self.edits)
        second.deliveries, second.frames, second.bytes, second.edits = (
            after - before for after, before in zip(now, self._last, strict=True)
        )
        self._last = now
        known = self.seconds.setdefault(at, Second(at))
        known.join(second)
        return known


def second_to_json(second: Second) -> dict[str, Any]:
    """For another process."""
    return {
        "at": second.at,
        "latency": second.latency.to_json(),
        "deliveries": second.deliveries,
        "frames": second.frames,
        "bytes": second.bytes,
        "edits": second.edits,
    }


def second_from_json(told: dict[str, Any]) -> Second:
    """What another process told."""
    return Second(**{**told, "latency": Histogram.from_json(told["latency"])})


def milliseconds_since(at: int) -> float:
    """By the monotonic clock, which is the same for all processes of a machine."""
    return (time.monotonic_ns() - at) / 1e6
