"""Who made the entries of a log and when, without what they changed: SQL as functions of a connection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select

from cowrite.core.ports import HistoryForgotten, StoreCorrupt
from cowrite.core.records import ActivityGroup, Authored
from cowrite.stores import past
from cowrite.stores.encoding import check_log, gap
from cowrite.stores.packing import decode_cause, unpack_ranges
from cowrite.stores.sqlalchemy.reading import Rows, number_of_document, read_documents
from cowrite.stores.sqlalchemy.tables import updates

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
_mine = updates.c.document_number == number_of_document
_in_order = (
    select(*_columns, updates.c.copies)
    .where(_mine, updates.c.entry_offset.between(bindparam("first"), bindparam("last")))
    .order_by(updates.c.entry_offset)
)
_newest_first = (
    select(*_columns)
    .where(_mine, updates.c.entry_offset.between(bindparam("first"), bindparam("last")))
    .order_by(updates.c.entry_offset.desc())
    .limit(bindparam("most"))
)


class RawAuthored:
    """Rows of :func:`read_authored`: the entries ``start`` to ``end``."""

    def __init__(self, document_id: str, start: int, end: int, rows: Rows) -> None:
        self.document_id = document_id
        self.start = start
        self.end = end
        self.rows = rows


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
    if low < document.first_offset > 1:
        raise HistoryForgotten(document_id, document.first_offset)
    return low


def read_authored(connection: Connection, document_id: str, *, after: int, limit: int) -> RawAuthored:
    """At most ``limit`` entries behind ``after``, from the oldest one that is kept on."""
    document = read_documents(connection, [document_id]).get(document_id)
    if document is None:
        return RawAuthored(document_id, after + 1, after, ())
    start = max(after + 1, document.first_offset)
    end = min(document.head.offset, start + limit - 1)
    place = {"document_id": document_id, "first": start, "last": end}
    rows = connection.execute(_in_order, place).all() if start <= end else ()
    return RawAuthored(document_id, start, end, rows)


def decode_authored(raw: RawAuthored) -> tuple[Authored, ...]:
    """Raises :class:`StoreCorrupt`."""
    entries = tuple(_decode(raw.document_id, row) for row in raw.rows)
    check_log(raw.document_id, entries, start=raw.start, end=raw.end)
    return entries


def read_activity(
    connection: Connection, document_id: str, *, before: int, pause: int, limit: int
) -> tuple[ActivityGroup, ...]:
    """At most ``limit`` groups of the entries before that offset, newest first. Raises :class:`StoreCorrupt`."""
    document = read_documents(connection, [document_id]).get(document_id)
    if document is None or limit <= 0:
        return ()
    first, last = document.first_offset, min(before - 1, document.head.offset)
    place = {"document_id": document_id, "first": first, "last": last, "most": past.ACTIVITY_ENTRIES}
    with connection.execute(_newest_first, place) as rows:
        return tuple(past.groups(_decoded(document_id, rows), pause=pause, limit=limit))


def _decoded(document_id: str, rows: Any) -> Iterator[Authored]:
    for row in rows:
        yield _decode(document_id, row)


def _decode(document_id: str, row: Sequence[Any]) -> Authored:
    offset, author, created_at, ranges, inserted, deleted, *cause = row
    try:
        return Authored(offset, author, created_at, unpack_ranges(ranges), inserted, deleted, decode_cause(*cause))
    except (ValueError, TypeError, LookupError) as error:
        raise StoreCorrupt(f"The entry of document {document_id!r} at offset {offset} is damaged ({error!r}).") from error
