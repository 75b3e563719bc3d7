"""What is measured side by side, R1 to R9, and what must come of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bench.side_by_side.targets import Target

KB, MB = 1000, 1_000_000
ALL: Final = ("cowrite", "hocuspocus", "y-websocket")
Options = Mapping[str, Any]
"""Of ``cowrite load``, by the names of the fields of its plan."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A row of the table."""

    id: str
    title: str
    options: Options
    short: Options
    """What is different when it is only tried out."""
    figures: tuple[str, ...]
    """What is shown of it."""
    targets: tuple[Target, ...]
    servers: tuple[str, ...] = ALL
    seconds: float | None = None
    """How long is measured where it is not what was asked for."""
    cold: bool = False
    """Not a load: cold documents are opened one after the other, ``people`` of them (see ``cold.py``)."""
    notes: str = ""

    def of(self, *, short: bool, seconds: float) -> dict[str, Any]:
        """The options of a run."""
        told = {"seconds": seconds if self.seconds is None else self.seconds, **self.options}
        return {**told, "seconds": 1, "warm_up": 0.2, **self.short} if short else told


def _against(figure: str, limit: float, server: str = "cowrite") -> Target:
    return Target(figure, limit, server, against="hocuspocus")


_FAN_OUT = ("cpu_us", "core", "p50", "p95", "p99", "undelivered", "frames", "opens")
_CROWD = ("cpu_us", "core", "p50", "p95", "p99", "undelivered", "cursor_age", "frames", "memory_mb")
_SMALL = {"people": 6, "typing": 2, "rate": 10}

SCENARIOS: Final = (
    Scenario(
        "R1",
        "1 document, 1000 peers, 20 type at 10/s",
        {"people": 1000, "typing": 20, "rate": 10},
        _SMALL,
        _FAN_OUT,
        (_against("cpu_us", 0.5), _against("p99", 2.0), _against("cpu_us", 0.15, "cowrite-100ms")),
        servers=("cowrite", "cowrite-100ms", "hocuspocus", "hocuspocus-100ms", "y-websocket"),
        notes="The target of cowrite-100ms is against Hocuspocus as it comes; hocuspocus-100ms waits as long as cowrite-100ms.",
    ),
    Scenario(
        "R2",
        "1 document, 1000 peers, 10 type at 5/s",
        {"people": 1000, "typing": 10, "rate": 5},
        _SMALL,
        _FAN_OUT,
        (_against("cpu_us", 0.8), _against("p50", 2.5), _against("p99", 3.0)),
    ),
    Scenario(
        "R3",
        "100 documents of 10 peers, 5 type at 10/s in each",
        {"documents": 100, "people": 10, "typing": 5, "rate": 10},
        {"documents": 3, "people": 4, "typing": 2},
        _FAN_OUT,
        (_against("cpu_us", 0.6), _against("p99", 0.6)),
    ),
    Scenario(
        "R4",
        "500 people in one document of 4 MB, all type 1/s, cursors 1/s",
        {"people": 500, "rate": 1, "cursors": 1, "document_bytes": 4 * MB},
        {"people": 6, "rate": 4, "document_bytes": 300 * KB},
        _CROWD,
        (_against("cpu_us", 0.5), _against("p95", 2.0), Target("undelivered", 0)),
    ),
    Scenario(
        "R5",
        "1000 people in one document of 4 MB, all type 1/s, cursors 1/s",
        {"people": 1000, "rate": 1, "cursors": 1, "document_bytes": 4 * MB},
        {"people": 6, "rate": 4, "document_bytes": 300 * KB},
        _CROWD,
        (Target("undelivered", 0), Target("p95", 250)),
        servers=("cowrite",),
    ),
    Scenario(
        "R6",
        "10 000 idle sockets, 100 in each of 100 documents",
        {"documents": 100, "people": 100, "rate": 0, "warm_up": 3},
        {"documents": 2, "people": 5},
        ("socket_kib", "opens", "core", "memory_mb"),
        (Target("socket_kib", 8), Target("opens", 1.0, against="hocuspocus", least=True), Target("core", 3)),
        servers=("cowrite", "hocuspocus"),
        seconds=20,
        notes="No client sends anything, no pings, and no awareness: they look on, and have no cursor.",
    ),
    Scenario(
        "R7",
        "150 join at once a document of 20 MB in which 10 type at 2/s",
        {"people": 10, "rate": 2, "document_bytes": 20 * MB, "join_storm": 150, "settle": 45},
        {"people": 3, "document_bytes": 300 * KB, "join_storm": 5, "settle": 10},
        ("storm_s", "storm_growth", "storm_p99", "p99", "memory_mb", "undelivered"),
        (Target("storm_s", 5), Target("storm_growth", 4), Target("storm_p99", 500)),
        servers=("cowrite", "hocuspocus"),
        seconds=12,
        notes="They come after 6 of 12 seconds.",
    ),
    Scenario(
        "R8",
        "open → first state of a cold document of 200 KB",
        {"people": 20},
        {"people": 2},
        ("first_state_ms", "first_state_max_ms"),
        (Target("first_state_ms", 30),),
        servers=("cowrite",),
        cold=True,
        notes="Typed in pieces of 100 characters; the server was started anew, and each document is opened once.",
    ),
    Scenario(
        "R9",
        "acknowledgement in a quiet document: 1 of 2 types at 2/s",
        {"people": 2, "typing": 1, "rate": 2},
        {"rate": 10},
        ("ack_p50", "ack_p95"),
        (Target("ack_p95", 20),),
        servers=("cowrite",),
    ),
)
