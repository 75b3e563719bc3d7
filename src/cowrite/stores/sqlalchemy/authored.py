"""Who made the entries of a log and when, without what they changed: SQL as functions of a connection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, LargeBinary, bindparam, case, func, literal, select

from cowrite.core.ports import HistoryForgotten, StoreCorrupt
from cowrite.core.records import ActivityGroup, Authored, Cause
from cowrite.crdt.outline import ClockRange
from cowrite.stores import past
from cowrite.stores.encoding import as_stored, check_log, gap
from cowrite.stores.packing import decode_cause, has_several, is_carried, is_relayed, unpack_ranges
from cowrite.stores.sqlalchemy.reading import Rows, number_of_document, read_clients, read_documents
from cowrite.stores.sqlalchemy.tables import documents, updates

_time = select(updates.c.created_at).where(
    updates.c.document_number == number_of_document, updates.c.entry_offset == bindparam("entry_offset")
)
_columns = (
    updates.c.entry_offset,
    updates.c.author_id,
    updates.c.created_at,
    updates.c.ranges,
    updates.c.inserted,
    updates.c.deleted,
    updates.c.cause,
)
_last_byte = func.substr(updates.c.update_bytes, func.length(updates.c.update_bytes), 1)
_deleting = case((_last_byte == literal(b"\0", LargeBinary), None), else_=updates.c.update_bytes)
"""The update of an entry that may have deleted something; the last byte of others is 0."""
_mine = updates.c.document_number == number_of_document
_in_order = (
    select(*_columns, updates.c.copies, _deleting)
    .where(_mine, updates.c.entry_offset.between(bindparam("first"), bindparam("last")))
    .order_by(updates.c.entry_offset)
)
_newest_first = (
    select(
        updates.c.entry_offset,
        updates.c.author_id,
        updates.c.created_at,
        updates.c.inserted,
        updates.c.deleted,
        updates.c.cause,
    )
    .where(_mine, updates.c.entry_offset.between(bindparam("first"), bindparam("last")))
    .order_by(updates.c.entry_offset.desc())
    .limit(bindparam("most"))
)


class RawAuthored:
    """Rows of :func:`read_authored`: the entries ``start`` to ``end``, with what each deleted; who has claimed the clients of
    those with several.
    """

    def __init__(
        self, document_id: str, start: int, end: int, rows: Rows = (), claimed: Mapping[int, str] = MappingProxyType({})
    ) -> None:
        self.document_id = document_id
        self.start = start
        self.end = end
        self.rows = rows
        self.claimed = claimed


def read_offset_at(connection: Connection, document_id: str, *, at: int) -> int:
    """The last entry made at that time or before it; 0: none. Raises :class:`HistoryForgotten`, :class:`StoreCorrupt`."""
    document = read_documents(connection, [document_id]).get(document_id)
    if document is None:
        return 0
    # Those up to ``low`` are not younger than that, those above ``high`` are.
    low, high = document.first_offset - 1, document.head.offset
    while low < high:
        middle = (low + high + 1) // 2
        made: int | None = connection.execute(_time, {"document_id": document_id, "entry_offset": middle}).scalar_one_or_none()
        if made is None:
            raise gap(document_id, middle)
        low, high = (middle, high) if made <= at else (low, middle - 1)
    if low < document.first_offset > 1 and not (low == document.head.offset and at >= _last_change(connection, document_id)):
        raise HistoryForgotten(document_id, document.first_offset)
    return low


def _last_change(connection: Connection, document_id: str) -> int:
    """When the document was changed last: of an entry that was forgotten the time is not kept."""
    changed: int = connection.execute(select(documents.c.updated_at).where(documents.c.document_id == document_id)).scalar_one()
    return changed


def read_authored(connection: Connection, document_id: str, *, after: int, limit: int) -> RawAuthored:
    """At most ``limit`` entries behind ``after``, from the oldest one that is kept on. Raises :class:`StoreCorrupt`."""
    document = read_documents(connection, [document_id]).get(document_id)
    if document is None:
        return RawAuthored(document_id, after + 1, after)
    start = max(after + 1, document.first_offset)
    end = min(document.head.offset, start + limit - 1)
    if start > end:
        return RawAuthored(document_id, start, end)
    rows = []
    with connection.execute(_in_order, {"document_id": document_id, "first": start, "last": end}) as found:
        for *columns, update in found:  # no more than one update is kept at a time: they may be large
            _check_kinds(document_id, columns[0], columns[1], columns[3])
            rows.append((*columns, () if update is None else past.deletes(document_id, columns[0], update)))
    return RawAuthored(document_id, start, end, rows, _read_claims(connection, document_id, rows))


def _read_claims(connection: Connection, document_id: str, rows: Rows) -> dict[int, str]:
    several = {client for row in rows if has_several(row[3]) for client in _clients_of_others(document_id, row)}
    return read_clients(connection, document_id, several)


def _clients_of_others(document_id: str, row: Sequence[Any]) -> frozenset[int]:
    return past.clients_of_others(_ranges(document_id, row), relayed=is_relayed(row[3]))


def decode_authored(raw: RawAuthored) -> tuple[Authored, ...]:
    """Raises :class:`StoreCorrupt`."""
    entries = tuple([_decode(raw.document_id, row[:-1], raw.claimed, row[-1]) for row in raw.rows])
    check_log(raw.document_id, entries, start=raw.start, end=raw.end)
    return entries


def read_activity(
    connection: Connection, document_id: str, *, before: int, pause: int, limit: int, by_author: bool
) -> tuple[ActivityGroup, ...]:
    """At most ``limit`` groups of the entries before that offset, newest first. Raises :class:`StoreCorrupt`."""
    document = read_documents(connection, [document_id]).get(document_id)
    if document is None or limit <= 0:
        return ()
    first, last = document.first_offset, min(before - 1, document.head.offset)
    place = {"document_id": document_id, "first": first, "last": last, "most": past.ACTIVITY_ENTRIES}
    with connection.execute(_newest_first, place) as rows:
        return tuple(past.groups(_decoded(document_id, rows), pause=pause, limit=limit, by_author=by_author))


def _decoded(document_id: str, rows: Any) -> Iterator[Authored]:
    for offset, author, created_at, inserted, deleted, cause in rows:
        _check_kinds(document_id, offset, author)
        made_for = _cause(document_id, offset, (cause,))
        yield Authored(offset, author, created_at, (), inserted, deleted, made_for)


def _decode(
    document_id: str,
    row: Sequence[Any],
    claimed: Mapping[int, str],
    deletes: tuple[ClockRange, ...],
) -> Authored:
    offset, author, created_at, _, inserted, deleted, *cause = row
    ranges = _ranges(document_id, row)
    relayed, carried = is_relayed(row[3]), is_carried(row[3])
    writers = past.writers(ranges, author, claimed, relayed=relayed, carried=carried) if claimed or carried else ()
    made_for = _cause(document_id, offset, cause)
    return Authored(offset, author, created_at, ranges, inserted, deleted, made_for, writers, deletes)


def _cause(document_id: str, offset: int, cause: Sequence[Any]) -> Cause | None:
    try:
        return None if cause[0] is None else decode_cause(*cause)
    except (ValueError, TypeError, LookupError) as error:
        raise _damaged(document_id, offset, error) from error


def _check_kinds(document_id: str, offset: int, author: object, ranges: object = b"") -> None:
    try:
        as_stored(author)
    except ValueError as error:
        raise _damaged(document_id, offset, error) from error
    if not isinstance(ranges, bytes):
        raise _damaged(document_id, offset, ValueError("its ranges are no bytes"))


def _ranges(document_id: str, row: Sequence[Any]) -> tuple[ClockRange, ...]:
    try:
        return unpack_ranges(row[3])
    except ValueError as error:
        raise _damaged(document_id, row[0], error) from error


def _damaged(document_id: str, offset: int, error: Exception) -> StoreCorrupt:
    return StoreCorrupt(f"The entry of document {document_id!r} at offset {offset} is damaged ({error}).")
