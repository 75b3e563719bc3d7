"""The shapes of what administrators are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from cowrite.core.ports import Grant
from cowrite.core.records import AccessChange
from cowrite.http.metrics import ByWorker, Figures
from cowrite.http.models import Document, Person, Status

_LATE_SECONDS: Final = 0.1
"""An event loop that is later than this makes its process a degraded one."""
_REFUSED: Final = "cowrite_refused_total:"

Part = Literal["database", "documents", "damaged", "broker", "presence", "loop", "worker"]
State = Literal["open", "failing", "damaged"]


class Degraded(BaseModel):
    """Something that is not as it should be."""

    worker: int
    part: Part
    text: str = Field(description="What that means, for people.")


class WorkerShown(BaseModel):
    """One process behind the port, as it counts and measures itself. What it does not tell is null."""

    number: int
    answers: bool = Field(description="False: it has not said anything within a second, or is being started.")
    restarts: int = Field(description="How often it has died and was started again.")
    started_at: int | None = Field(description="Milliseconds since 1970.")
    sockets: int
    documents: int
    people: int
    edits_per_second: float = Field(description="Entries committed each second, over the last minute.")
    commit_p50_ms: float | None = Field(description="What half of the last minute's transactions took at most; null: none was.")
    commit_p95_ms: float | None
    pending_updates: int = Field(description="Taken from editors and not stored yet.")
    pending_bytes: int
    loop_lag_ms: float = Field(description="By how much its event loop is late.")
    memory_bytes: int | None
    refused: dict[str, int] = Field(description="What was more than a limit since its start, by limit or code.")

    @classmethod
    def of(cls, number: int, told: Figures) -> WorkerShown:
        """A worker by what it has told."""

        def milliseconds(name: str) -> float | None:
            return round(told[name] * 1000, 1) if name in told else None

        def count(name: str) -> int:
            return round(told.get(name, 0))

        return cls(
            number=number,
            answers="cowrite_start_time_seconds" in told,
            restarts=count("cowrite_worker_restarts_total"),
            started_at=round(told["cowrite_start_time_seconds"] * 1000) if "cowrite_start_time_seconds" in told else None,
            sockets=count("cowrite_sockets"),
            documents=count("cowrite_documents"),
            people=count("cowrite_people"),
            edits_per_second=round(told.get("cowrite_edits_per_second", 0.0), 2),
            commit_p50_ms=milliseconds("cowrite_commit_seconds:0.5"),
            commit_p95_ms=milliseconds("cowrite_commit_seconds:0.95"),
            pending_updates=count("cowrite_pending_updates"),
            pending_bytes=count("cowrite_pending_bytes"),
            loop_lag_ms=milliseconds("cowrite_loop_lag_seconds") or 0.0,
            memory_bytes=count("cowrite_memory_bytes") if "cowrite_memory_bytes" in told else None,
            refused={name.removeprefix(_REFUSED): round(told[name]) for name in sorted(told) if name.startswith(_REFUSED)},
        )


class Overview(BaseModel):
    """How the server is."""

    version: str
    now: int = Field(description="The server's time: milliseconds since 1970.")
    status: Status = Field(description="`draining`: a worker is stopping; `degraded`: something is in `degraded`.")
    degraded: list[Degraded]
    workers: list[WorkerShown]

    @classmethod
    def of(cls, version: str, now: int, figures: ByWorker) -> Overview:
        """The overview by what all workers have told."""
        degraded = [one for number, told in sorted(figures.items()) for one in _degraded(number, told)]
        draining = any(told.get("cowrite_draining") for told in figures.values())
        return cls(
            version=version,
            now=now,
            status="draining" if draining else "degraded" if degraded else "ok",
            degraded=degraded,
            workers=[WorkerShown.of(number, told) for number, told in sorted(figures.items())],
        )


def _degraded(number: int, told: Figures) -> list[Degraded]:
    if "cowrite_start_time_seconds" not in told:
        return [Degraded(worker=number, part="worker", text="This worker does not answer, or is being started again.")]
    failing, damaged = (round(told.get(f"cowrite_{name}", 0)) for name in ("journal_failing_documents", "damaged_documents"))
    found: tuple[tuple[Part, bool, str], ...] = (
        (
            "database",
            bool(told.get("cowrite_database_failing")),
            "The database cannot be used: edits are kept in memory and not acknowledged, and no document is opened.",
        ),
        ("documents", failing > 0, f"{failing} open documents cannot be stored although the database can be written."),
        (
            "damaged",
            damaged > 0,
            f"{damaged} documents are damaged: they are shown up to the damage, or not at all.",
        ),
        (
            "broker",
            told.get("cowrite_broker_connected") == 0,
            "Redis does not carry news: edits reach other processes through the database, up to a quarter of a second later.",
        ),
        (
            "presence",
            bool(told.get("cowrite_presence_degraded")),
            "Presence is not kept in Redis: it is in the database in its place, or known of one process only.",
        ),
        (
            "loop",
            told.get("cowrite_loop_lag_seconds", 0) >= _LATE_SECONDS,
            "The process has more to do than it can: everything it does comes late.",
        ),
    )
    return [Degraded(worker=number, part=part, text=text) for part, is_so, text in found if is_so]


class OpenDocument(BaseModel):
    """A document that is open, or that was found damaged when it was to be opened."""

    document_id: str
    state: State = Field(description="`failing`: it cannot be stored now; `damaged`: it cannot be read to its end.")
    reason: str | None
    workers: list[int] = Field(description="Where it is open.")
    people: int = Field(description="Users who are in it, also by other servers.")
    sockets: int = Field(description="Connections to it, polls that wait included.")
    edits_per_minute: int
    bytes: int | None = Field(description="About how many bytes its state has; null: it is being made anew, or is damaged.")
    offset: int
    pending_updates: int


class OpenDocuments(BaseModel):
    """Those that are broken first, then those with most people and edits."""

    documents: list[OpenDocument]
    more: bool = Field(description="There are more than these: search for a part of the id.")


def merged(told: Mapping[int, Sequence[Mapping[str, Any]]]) -> list[OpenDocument]:
    """The documents of all workers, each once: what they count is added, and what they know of the whole is the most."""
    found: dict[str, OpenDocument] = {}
    for number, rows in sorted(told.items()):
        for row in rows:
            one = OpenDocument(**row, workers=[number])
            known = found.setdefault(one.document_id, one)
            if known is not one:
                _add(known, one)
    return list(found.values())


def _add(known: OpenDocument, one: OpenDocument) -> None:
    known.workers += one.workers
    known.sockets += one.sockets
    known.edits_per_minute += one.edits_per_minute
    known.pending_updates += one.pending_updates
    known.people = max(known.people, one.people)
    known.offset = max(known.offset, one.offset)
    known.bytes = max(known.bytes or 0, one.bytes or 0) or None
    if known.state == "open":
        known.state, known.reason = one.state, one.reason


class Changed(BaseModel):
    """A grant that was changed while somebody was connected."""

    grant: Grant | None = Field(description="null: revoked.")
    changed_by: str
    created_at: int = Field(description="Milliseconds since 1970.")
    reason: str | None

    @classmethod
    def of(cls, change: AccessChange) -> Changed:
        """A change as it is shown."""
        return cls.model_validate(change, from_attributes=True)


class PersonShown(Person):
    """Somebody who is in a document."""

    changed: Changed | None = Field(
        description="What was last changed of the user's grants here; null: what the token says holds. A token that was made "
        "later is not overridden."
    )


class DocumentShown(BaseModel):
    """One document, open or not."""

    document_id: str
    stored: Document | None = Field(description="null: nobody has written anything into it yet.")
    open: OpenDocument | None = Field(description="null: no worker has it open.")
    people: list[PersonShown]
