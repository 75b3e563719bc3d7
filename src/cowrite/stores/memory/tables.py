"""What a database in memory holds, and how it is read."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import structlog

from cowrite.core.ports.webhooks import DeadLetter, Message
from cowrite.core.records import (
    AccessChange,
    Cause,
    Checkpoint,
    Entry,
    Head,
    Quarantined,
    SessionRecord,
    StoredDocument,
    Submitted,
    Version,
)
from cowrite.stores.encoding import (
    OperationText,
    PackedCheckpoint,
    check_log,
    decode_operation,
    unpack_checkpoint,
    verified,
)
from cowrite.stores.past import check_moment

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Row:
    """An entry as it is kept."""

    entry: Entry
    """Without its operations: they are kept as text, so that nobody can change them from outside."""
    operations: tuple[OperationText, ...]
    checksum: int
    log_bytes: int
    """Bytes of all updates of the log up to this one."""
    inserted: int = 0
    deleted: int = 0
    cause: Cause | None = None
    """With its copies, which the entry is without."""


@dataclass(slots=True)
class Document:
    """A document's head, and its log."""

    head: Head
    created_at: int
    updated_at: int
    deleted_at: int | None = None
    purged_at: int | None = None
    first_offset: int = 1
    emptied: str | None = None
    """The id of the last operation of what was forgotten, which is all that is kept of it."""
    rows: list[Row] = field(default_factory=list)
    clients: dict[int, str] = field(default_factory=dict)
    checkpoints: list[tuple[PackedCheckpoint, int]] = field(default_factory=list)
    """In the order of their offsets, each with the log's bytes up to there."""
    retired_clients: frozenset[int] = frozenset()

    @property
    def log_bytes(self) -> int:
        """Bytes of all updates of the log, of those that were forgotten, too."""
        return self.rows[-1].log_bytes if self.rows else self.checkpoints[-1][1] if self.checkpoints else 0


@dataclass(frozen=True, slots=True)
class SubmittedRow:
    """An operation that was submitted, as it is kept."""

    record: Submitted
    """Without its operations, and with the update that is to be kept (see :func:`cowrite.stores.encoding.update_to_keep`)."""
    result: tuple[str, ...]
    """Ids of the operations that it became."""

    @property
    def brought_nothing(self) -> bool:
        """The entry at its offset was not made by it."""
        return self.record.update is not None and not self.result


Presence: TypeAlias = Literal["there", "deleted", "purged"]


@dataclass(slots=True)
class Telling:
    """How far webhooks have told of a document, and what is on its way."""

    epoch: str
    offset: int = 0
    versions: set[str] = field(default_factory=set)
    """Those that need not be told any more."""
    state: Presence = "there"
    message: Message | None = None
    made_at: int = 0
    due_at: int = 0
    claimed_by: str = ""
    claimed_until: int = 0

    def release(self) -> None:
        """Nobody is at it any more."""
        self.claimed_by, self.claimed_until = "", 0


@dataclass(slots=True)
class Webhooks:
    """What was told by webhooks, of all documents."""

    begun: bool = False
    tellings: dict[str, Telling] = field(default_factory=dict)
    """By document."""
    dead: dict[str, DeadLetter] = field(default_factory=dict)
    """By their ids."""


@dataclass(slots=True)
class Tables:
    """All that was committed."""

    documents: dict[str, Document] = field(default_factory=dict)
    operations: dict[str, tuple[str, int]] = field(default_factory=dict)
    """By id: document and offset."""
    submitted: dict[str, SubmittedRow] = field(default_factory=dict)
    quarantined: list[Quarantined] = field(default_factory=list)
    sessions: dict[str, SessionRecord] = field(default_factory=dict)
    changes: list[AccessChange] = field(default_factory=list)
    """In the order of revisions, from 1."""
    used_tokens: dict[str, int] = field(default_factory=dict)
    """By id: when it expires."""
    versions: dict[str, Version] = field(default_factory=dict)
    unscrubbed: set[str] = field(default_factory=set)
    """Documents of which something was erased since it was last asked to scrub."""
    webhooks: Webhooks = field(default_factory=Webhooks)

    def add_change(self, change: AccessChange) -> int:
        """Add it, unless one with its id is there, and return the revision."""
        for known in self.changes:
            if known.id == change.id:
                return known.revision
        revision = len(self.changes) + 1
        self.changes.append(replace(change, revision=revision))
        return revision


def read_document(document_id: str, document: Document, *, until: int | None = None) -> StoredDocument | None:
    """The newest checkpoint and the entries behind it, up to the head or to the offset ``until``. Raises
    :class:`HistoryForgotten`, :class:`StoreCorrupt`.
    """
    end = document.head.offset if until is None else until
    if end > document.head.offset:
        return None
    check_moment(document_id, end, first_offset=document.first_offset)
    checkpoint = _newest_valid(document_id, document, end)
    start = checkpoint.offset + 1 if checkpoint else 1
    entries = read_rows(document_id, document.rows, start=start, end=end, operations=False)
    return StoredDocument(_head_at(end, document.head, checkpoint, entries), checkpoint, entries)


def _head_at(offset: int, head: Head, checkpoint: Checkpoint | None, entries: Sequence[Entry]) -> Head:
    if offset == head.offset:
        return head
    last = entries[-1].id if entries else checkpoint.entry_id if checkpoint is not None else ""
    return Head(head.epoch, offset, last)


def read_rows(document_id: str, rows: Sequence[Row], *, start: int, end: int, operations: bool = True) -> tuple[Entry, ...]:
    """The entries ``start`` to ``end``. Raises :class:`StoreCorrupt`."""
    start = max(1, start)
    entries = tuple(_entry(document_id, row, operations=operations) for row in rows_between(rows, start, end))
    check_log(document_id, entries, start=start, end=end)
    return entries


def rows_between(rows: Sequence[Row], start: int, end: int) -> Sequence[Row]:
    """Those of the offsets ``start`` to ``end`` that there are."""
    return rows[bisect_left(rows, start, key=_offset) : bisect_right(rows, end, key=_offset)]


def _offset(row: Row) -> int:
    return row.entry.offset


def _entry(document_id: str, row: Row, *, operations: bool) -> Entry:
    verified(document_id, row.entry.offset, row.entry.update, row.checksum)
    return replace(row.entry, operations=tuple(map(decode_operation, row.operations))) if operations else row.entry


def _newest_valid(document_id: str, document: Document, end: int) -> Checkpoint | None:
    for packed, _ in reversed(document.checkpoints):
        if packed.offset > end:
            continue
        try:
            return unpack_checkpoint(packed)
        except ValueError as error:
            log.error("checkpoint ignored", document_id=document_id, offset=packed.offset, reason=str(error))
    return None
