"""What came of a run. docs/reference/load.md says what each figure means; the names are those of the JSON keys."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final

from cowrite.loadtest.histogram import Histogram

VERSION: Final = 1
"""Of the JSON form. Keys may be added to a version; one that goes or means something else makes a new one."""
GENERATOR_LIMIT: Final = 70.0
"""From this share of a core on, in percent, the generator's own slowness is in what it measures."""


@dataclass(frozen=True, slots=True)
class Durations:
    """Milliseconds."""

    count: int
    p50: float
    p95: float
    p99: float
    max: float

    @classmethod
    def of(cls, histogram: Histogram) -> Durations | None:
        """None where there are none."""
        if not len(histogram):
            return None
        p50, p95, p99 = (round(histogram.quantile(share), 3) for share in (0.5, 0.95, 0.99))
        return cls(len(histogram), p50, p95, p99, round(histogram.longest, 3))


@dataclass(frozen=True, slots=True)
class Joining:
    """How people came in, those of a storm apart."""

    people: int
    seconds: float
    opens_per_second: float
    each: Durations | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of the edits. One is delivered once to each other person in its document."""

    edits: int
    expected: int
    delivered: int
    undelivered: int
    duplicated: int
    per_second: float
    latency: Durations | None
    sampled_people: int


@dataclass(frozen=True, slots=True)
class Cursors:
    """How old a cursor was when somebody was told of it."""

    sent: int
    received: int
    age: Durations | None


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the generator received."""

    frames_per_second: float
    bytes_per_second: float


@dataclass(frozen=True, slots=True)
class Storm:
    """Those who came at once, and how the others fared meanwhile."""

    people: int
    compared: int
    """So many of them keep the document, to be compared at the end. Of the others nothing is said but that they came in."""
    all_seconds: float
    each: Durations | None
    latency_meanwhile: Durations | None
    memory_before_bytes: float | None
    """Of the server directly before; None where its process is not looked at, as below."""
    memory_peak_bytes: float | None
    """The most meanwhile, of some twenty looks a second."""


@dataclass(frozen=True, slots=True)
class Server:
    """What it cost. ``source`` is ``metrics`` or ``process``."""

    source: str
    cpu_us_per_delivery: float | None
    cpu_us_per_edit: float | None
    core_percent: float
    memory_before_bytes: float
    memory_joined_bytes: float
    memory_after_bytes: float
    memory_peak_bytes: float
    bytes_per_socket: float | None
    loop_lag_mean_ms: float | None
    loop_lag_max_ms: float | None


@dataclass(frozen=True, slots=True)
class Replicas:
    """Whether the documents that some people kept are the same at the end."""

    documents: int
    replicas: int
    different: tuple[str, ...]
    """The documents whose replicas differ."""


@dataclass(frozen=True, slots=True)
class Second:
    """One second of the measurement."""

    at: int
    p50: float | None
    p99: float | None
    deliveries: int
    frames: int
    bytes: int
    edits: int
    server_core_percent: float | None
    server_memory_bytes: float | None
    loop_lag_ms: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """All of it."""

    cowrite: str
    began_at: str
    plan: dict[str, Any]
    seconds: float
    joining: Joining
    delivery: Delivery
    acknowledgement: Durations | None
    cursors: Cursors | None
    traffic: Traffic
    storm: Storm | None
    server: Server | None
    generator_core_percent: tuple[float, ...]
    """Of each process."""
    lateness: Durations | None
    """How long after it was due the generator sent an edit; latency does not have it in it."""
    missed_edits: int
    refused_edits: int
    replicas: Replicas | None
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    timeline: tuple[Second, ...]
    histogram: tuple[tuple[float, int], ...] = field(repr=False)
    """The latency of deliveries: about how many milliseconds, and how many took so long."""

    @property
    def ok(self) -> bool:
        """Everything arrived, nobody was thrown out, and all ended up with the same."""
        apart = self.replicas is not None and bool(self.replicas.different)
        return not (self.delivery.undelivered or self.problems or self.refused_edits or apart)

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return {"version": VERSION, "ok": self.ok, **asdict(self)}
