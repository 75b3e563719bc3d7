"""What one room brings into a transaction of the journal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cowrite.core.operations.submissions import Answer, SubmissionRefused, Waiting
from cowrite.core.ports.tracing import CommitSpan
from cowrite.core.records import Entry, Submitted, Version
from cowrite.core.rooms.received import Received
from cowrite.crdt.outline import Outline


@dataclass(slots=True)
class Derived:
    """The entries of Yjs peers' updates, and behind them those of submitted operations and prepared updates."""

    entries: list[Entry] = field(default_factory=list)
    """Of Yjs peers' updates."""
    offsets: dict[Received, int] = field(default_factory=dict)
    """Where each update is durable once the transaction is committed; for one that brought nothing new, the head's offset."""
    submitted_entries: list[Entry] = field(default_factory=list)
    """Of submitted operations and prepared updates: new to everybody, ``live`` included."""
    outlines: list[Outline] = field(default_factory=list)
    """Of those."""
    submitted: list[Submitted] = field(default_factory=list)
    """What to remember of the operations."""
    versions: list[Version] = field(default_factory=list)
    """What was there before prepared updates, marked."""
    claims: dict[int, str] = field(default_factory=dict)
    """Yjs clients that are bound beside the entries, and to whom."""
    outcomes: dict[Waiting, Answer | SubmissionRefused] = field(default_factory=dict)

    @property
    def all_entries(self) -> Sequence[Entry]:
        """In the order of the log."""
        return self.entries + self.submitted_entries

    def let_go_of_copies(self) -> None:
        """They are in the store; nobody else is told of them."""
        self.submitted_entries = [entry.without_copies() for entry in self.submitted_entries]


@dataclass(slots=True)
class Group:
    """One transaction of the journal."""

    id: str
    span: CommitSpan | None = None
    """What is traced of it."""
    known: dict[str, Submitted] = field(default_factory=dict)
    """Operations that were submitted before, those of this transaction included, as far as they were looked up."""
