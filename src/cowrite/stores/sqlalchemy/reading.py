"""Reading the log: SQL as functions of a connection (*work*, see ``database.py``), and the way from rows to records."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeAlias

from sqlalchemy import Connection, Text, bindparam, select, type_coerce

from cowrite.core.ports import StoreCorrupt
from cowrite.core.records import Checkpoint, Entry, Head, StoredDocument
from cowrite.crdt.operations import ContentOperation
from cowrite.stores.encoding import (
    OperationText,
    PackedCheckpoint,
    as_number,
    as_stored,
    check_log,
    decode_operation,
    unpack_checkpoint,
    verified,
)
from cowrite.stores.packing import decode_cause, units, unpack_id, unpack_ranges
from cowrite.stores.past import check_moment
from cowrite.stores.sqlalchemy.tables import checkpoints, clients, content_operations, documents, updates

Rows: TypeAlias = Sequence[Sequence[Any]]

_bound = select(clients.c.client_id, clients.c.author_id).where(clients.c.document_id == bindparam("document_id"))
_bound_of = _bound.where(clients.c.client_id.in_(bindparam("clients", expanding=True)))
_CLIENTS = 500  # are asked for at once


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """A document's row: its head, and what the store itself needs to know of the log."""

    head: Head
    first_offset: int
    log_bytes: int
    deleted_at: int | None
    number: int
    purged_at: int | None

    @property
    def purged(self) -> bool:
        """All that it held was deleted for good."""
        return self.purged_at is not None


def read_clients(connection: Connection, document_id: str, client_ids: Collection[int] | None = None) -> dict[int, str]:
    """The users to whom these Yjs clients of a document are bound (None: all that are bound)."""
    if client_ids is None:
        found = connection.execute(_bound, {"document_id": document_id})
        return {row[0]: row[1] for row in found}
    wanted, bound = sorted(client_ids), dict[int, str]()
    for first in range(0, len(wanted), _CLIENTS):
        place = {"document_id": document_id, "clients": wanted[first : first + _CLIENTS]}
        bound.update((client, user) for client, user in connection.execute(_bound_of, place))
    return bound


@dataclass(frozen=True, slots=True)
class RawEntries:
    """Rows of a log from ``start`` to ``end``, as the database gave them."""

    document_id: str
    start: int
    end: int
    updates: Rows
    operations: Rows | None = None
    """Of ``OPERATION_COLUMNS`` and the sequence; None: they were not asked for."""


@dataclass(frozen=True, slots=True)
class RawDocument:
    """What :func:`read_document` has found."""

    head: Head
    checkpoint: PackedCheckpoint | None
    entries: RawEntries


class CheckpointDamaged(Exception):
    """A checkpoint cannot be used; the one before it, or the whole log, can."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset


_documents = select(
    documents.c.document_id,
    documents.c.epoch,
    documents.c.head_offset,
    documents.c.head_entry_id,
    documents.c.first_offset,
    documents.c.log_bytes,
    documents.c.deleted_at,
    documents.c.number,
    documents.c.purged_at,
).where(documents.c.document_id.in_(bindparam("document_ids", expanding=True)))
_in_order = _documents.order_by(documents.c.document_id)
for _kind in ("mysql", "mariadb"):
    # Every row that is looked at is locked there: it must not look through the whole table.
    _in_order = _in_order.with_hint(documents, "FORCE INDEX (PRIMARY)", _kind)
_documents_locked = _in_order.with_for_update(key_share=True)
_documents_free = _in_order.with_for_update(key_share=True, skip_locked=True)

_checkpoint = (
    select(checkpoints.c.entry_offset, checkpoints.c.entry_id, checkpoints.c.state, checkpoints.c.checksum, checkpoints.c.roots)
    .where(checkpoints.c.document_id == bindparam("document_id"), checkpoints.c.entry_offset < bindparam("before"))
    .order_by(checkpoints.c.entry_offset.desc())
    .limit(1)
)
number_of_document = select(documents.c.number).where(documents.c.document_id == bindparam("document_id")).scalar_subquery()
"""By which its entries and operations are found."""
UPDATE_COLUMNS = (
    updates.c.entry_id,
    updates.c.group_id,
    updates.c.entry_offset,
    updates.c.author_id,
    updates.c.created_at,
    updates.c.update_bytes,
    updates.c.checksum,
    updates.c.ranges,
    updates.c.cause,
    updates.c.inserted,
    updates.c.deleted,
)
_updates = (
    select(*UPDATE_COLUMNS)
    .where(updates.c.document_number == number_of_document)
    .where(updates.c.entry_offset.between(bindparam("first"), bindparam("last")))
    .order_by(updates.c.entry_offset)
)
OPERATION_COLUMNS = (
    content_operations.c.entry_offset,
    content_operations.c.id,
    # Not as its Enum: of another value SQLAlchemy raises an error that tells it.
    type_coerce(content_operations.c.operation_type, Text()).label(content_operations.c.operation_type.name),
    content_operations.c.position,
    content_operations.c.content,
    content_operations.c.author_id,
    content_operations.c.timestamp,
    content_operations.c.vector_clock,
    content_operations.c.length,
    content_operations.c.attributes,
)
"""The offset, and what :func:`operation_of` takes."""
_operations = (
    select(*OPERATION_COLUMNS, content_operations.c.sequence)
    .where(content_operations.c.document_number == number_of_document)
    .where(content_operations.c.entry_offset.between(bindparam("first"), bindparam("last")))
    .order_by(content_operations.c.entry_offset, content_operations.c.sequence)
)


def read_documents(connection: Connection, document_ids: Collection[str]) -> dict[str, DocumentRow]:
    """The rows of those documents that have one."""
    return _document_rows(connection.execute(_documents, {"document_ids": list(document_ids)}).all())


def lock_documents(connection: Connection, document_ids: Collection[str], *, skip_locked: bool) -> dict[str, DocumentRow]:
    """Lock the rows of these documents, in the order of their ids; with ``skip_locked`` only those that are free."""
    statement = _documents_free if skip_locked else _documents_locked
    return _document_rows(connection.execute(statement, {"document_ids": list(document_ids)}).all())


def _document_rows(rows: Rows) -> dict[str, DocumentRow]:
    return {
        document_id: DocumentRow(Head(epoch, offset, entry_id), *others)
        for document_id, epoch, offset, entry_id, *others in rows
    }


def read_document(connection: Connection, document_id: str, *, before: int, until: int | None = None) -> RawDocument | None:
    """The newest checkpoint below ``before`` and the updates after it up to the head, or up to the offset ``until``.

    Raises :class:`HistoryForgotten`.
    """
    document = read_documents(connection, [document_id]).get(document_id)
    if document is None or (until is not None and until > document.head.offset):
        return None
    end = document.head.offset if until is None else until
    check_moment(document_id, end, first_offset=document.first_offset)
    checkpoint = read_checkpoint(connection, document_id, before=min(before, end + 1))
    start = 1 if checkpoint is None else checkpoint.offset + 1
    entries = read_range(connection, document_id, start=start, end=end, operations=False)
    return RawDocument(_head_at(end, document.head, checkpoint, entries.updates), checkpoint, entries)


def read_checkpoint(connection: Connection, document_id: str, *, before: int) -> PackedCheckpoint | None:
    """The newest checkpoint below ``before``."""
    row = connection.execute(_checkpoint, {"document_id": document_id, "before": before}).one_or_none()
    return None if row is None else PackedCheckpoint(*row)


def _head_at(offset: int, head: Head, checkpoint: PackedCheckpoint | None, update_rows: Rows) -> Head:
    if offset == head.offset:
        return head
    if update_rows:
        return Head(head.epoch, offset, readable_id(update_rows[-1][0]) or "")  # decoding the entry says that it is none
    return Head(head.epoch, offset, checkpoint.entry_id if checkpoint is not None else "")


def readable_id(packed: bytes) -> str | None:
    """The id; None when it is none."""
    try:
        return unpack_id(packed)
    except ValueError:
        return None


def read_entries(connection: Connection, document_id: str, *, start: int, limit: int) -> RawEntries:
    """At most ``limit`` entries from ``start``, or from the oldest one that is kept."""
    document = read_documents(connection, [document_id]).get(document_id)
    if document is None:
        return RawEntries(document_id, start, start - 1, ())
    start = max(start, document.first_offset)
    return read_range(connection, document_id, start=start, end=min(document.head.offset, start + limit - 1))


def read_range(connection: Connection, document_id: str, *, start: int, end: int, operations: bool = True) -> RawEntries:
    """The rows of the entries ``start`` to ``end``."""
    if end < start:
        return RawEntries(document_id, start, end, ())
    wanted = {"document_id": document_id, "first": start, "last": end}
    update_rows = connection.execute(_updates, wanted).all()
    operation_rows = connection.execute(_operations, wanted).all() if operations else None
    return RawEntries(document_id, start, end, update_rows, operation_rows)


def decode_document(raw: RawDocument | None) -> StoredDocument | None:
    """Raises :class:`CheckpointDamaged`, :class:`StoreCorrupt`."""
    if raw is None:
        return None
    checkpoint = None if raw.checkpoint is None else _decode_checkpoint(raw.checkpoint)
    _check_head(raw.entries.document_id, raw.head)
    return StoredDocument(raw.head, checkpoint, decode_entries(raw.entries))


def _check_head(document_id: str, head: Head) -> None:
    try:
        as_stored(head.epoch)
        as_stored(head.entry_id)
    except ValueError as error:
        raise StoreCorrupt(f"The row of document {document_id!r} is damaged ({error}). Restore it from a backup.") from error


def _decode_checkpoint(packed: PackedCheckpoint) -> Checkpoint:
    try:
        return unpack_checkpoint(packed)
    except ValueError as error:
        raise CheckpointDamaged(packed.offset, str(error)) from error


def decode_entries(raw: RawEntries) -> tuple[Entry, ...]:
    """All that were asked for, without a gap. Raises :class:`StoreCorrupt`."""
    operations = None if raw.operations is None else by_offset(raw.operations)
    entries = tuple(decode_entry(raw.document_id, row, operations) for row in raw.updates)
    check_log(raw.document_id, entries, start=raw.start, end=raw.end)
    return entries


def by_offset(rows: Rows) -> Mapping[int, Rows]:
    """Rows of operations, in their order, by the entry that they belong to."""
    return {offset: tuple(found) for offset, found in groupby(rows, key=itemgetter(0))}


def decode_entry(document_id: str, row: Sequence[Any], operations: Mapping[int, Rows] | None) -> Entry:
    """The entry in a row of ``UPDATE_COLUMNS``, with its operations of :func:`by_offset`; None: without them.

    Raises :class:`StoreCorrupt`.
    """
    entry_id, group, offset, author, created_at, update, checksum, ranges, cause, *counted = row
    verified(document_id, offset, update, checksum)
    found = () if operations is None else _decode_operations(document_id, offset, operations.get(offset, ()), counted)
    try:
        return Entry(
            unpack_id(entry_id),
            unpack_id(group),
            offset,
            as_stored(author),
            as_number(created_at),
            update,
            unpack_ranges(ranges),
            found,
            cause=decode_cause(cause),
        )
    except (ValueError, TypeError, LookupError) as error:
        raise damaged_entry(document_id, offset, error) from error


def damaged_entry(document_id: str, offset: int, error: Exception) -> StoreCorrupt:
    """What is raised for an entry that cannot be read. The text of the error has no bytes of it, as its ``repr`` may have."""
    return StoreCorrupt(f"The entry of document {document_id!r} at offset {offset} is damaged ({error}).", offset=offset)


def _decode_operations(document_id: str, offset: int, rows: Rows, counted: Sequence[int]) -> tuple[ContentOperation, ...]:
    """Those of one entry, which says how much they insert and delete. Raises :class:`StoreCorrupt`."""
    found = tuple([operation_of(document_id, *columns) for *columns, _ in rows])
    if list(units(found)) != counted or any(row[-1] != number for number, row in enumerate(rows)):
        raise StoreCorrupt(
            f"The operations of document {document_id!r} at offset {offset} are not those that were stored. "
            "Put them back from a backup with `cowrite repair`; the document itself is whole.",
            offset=offset,
        )
    return found


def operation_of(document_id: str, offset: int, *columns: Any) -> ContentOperation:
    """The operation in a row of ``OPERATION_COLUMNS``. Raises :class:`StoreCorrupt`."""
    try:
        return decode_operation(OperationText(*columns))
    except (ValueError, TypeError) as error:
        reason = f"An operation of document {document_id!r} at offset {offset} is damaged ({error})."
        raise StoreCorrupt(reason, offset=offset) from error
