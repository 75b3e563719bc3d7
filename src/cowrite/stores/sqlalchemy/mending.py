"""Entries of a log that are not what was stored, put back from a backup: SQL as functions of a connection (*work*).

A log is only ever added to, so where two logs have the same entry at one offset, they have the same before it. That an entry of
the backup is the one that is damaged is told by its id, if that can be read still, and else by the next one that is whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, insert, select

from cowrite.core.ports import StoreCorrupt
from cowrite.stores.packing import unpack_id
from cowrite.stores.sqlalchemy.reading import (
    OPERATION_COLUMNS,
    UPDATE_COLUMNS,
    DocumentRow,
    RawEntries,
    Rows,
    by_offset,
    decode_entry,
    lock_documents,
    read_documents,
    read_range,
    readable_id,
)
from cowrite.stores.sqlalchemy.tables import content_operations, documents, updates

_AT_ONCE: Final = 500
"""Entries that are read at once."""
_OFFSET: Final = UPDATE_COLUMNS.index(updates.c.entry_offset)

Values = dict[str, Any]
"""A row, by its columns."""

_id = select(updates.c.entry_id).where(
    updates.c.document_number == bindparam("number"), updates.c.entry_offset == bindparam("entry_offset")
)
_delete_update = delete(updates).where(
    updates.c.document_number == bindparam("this_document"), updates.c.entry_offset == bindparam("this_offset")
)
_delete_operations = delete(content_operations).where(
    content_operations.c.document_number == bindparam("this_document"),
    content_operations.c.entry_offset == bindparam("this_offset"),
)


@dataclass(slots=True)
class Kept:
    """What a backup has of one document, as far as it is needed."""

    wanted: Collection[int]
    """The offsets of entries that are damaged in the database."""
    updates: dict[int, Values] = field(default_factory=dict)
    """Rows of the log by offset: those to be put back, and those that tell whether they may be."""
    operations: dict[int, list[Values]] = field(default_factory=dict)
    """Of those to be put back."""


def find_damage(connection: Connection, document_id: str) -> Sequence[int] | None:
    """The offsets whose entries or operations are missing, or are not what was stored. None: there is no such document."""
    document = read_documents(connection, [document_id]).get(document_id)
    return None if document is None or document.purged_at is not None else list(_damaged(connection, document_id, document))


def mend(connection: Connection, document_id: str, kept: Kept) -> Mapping[int, str | None]:
    """Put back those of these entries that are damaged, under the lock of the document.

    Returns for each that was damaged why it was left as it is, or None: it was put back.
    """
    document = lock_documents(connection, [document_id], skip_locked=False)[document_id]
    done: dict[int, str | None] = {}
    for offset in sorted(kept.wanted, reverse=True):  # what is put back tells of the one before it
        if offset < document.first_offset or _is_whole(connection, document_id, offset):
            continue  # forgotten meanwhile, or somebody else was here
        done[offset] = reason = _refusal(connection, document_id, document, offset, kept)
        if reason is None:
            _put_back(connection, document, offset, kept)
    return dict(sorted(done.items()))


def _damaged(connection: Connection, document_id: str, document: DocumentRow) -> Iterator[int]:
    head = document.head.offset
    for start in range(document.first_offset, head + 1, _AT_ONCE):
        end = min(head, start + _AT_ONCE - 1)
        whole = _whole(read_range(connection, document_id, start=start, end=end))
        yield from (offset for offset in range(start, end + 1) if offset not in whole)


def _is_whole(connection: Connection, document_id: str, offset: int) -> bool:
    return offset in _whole(read_range(connection, document_id, start=offset, end=offset))


def _whole(raw: RawEntries) -> Collection[int]:
    """The offsets of those that can be read, with their operations."""
    operations = by_offset(raw.operations or ())
    return {row[_OFFSET] for row in raw.updates if _reads(raw.document_id, row, operations)}


def _reads(document_id: str, row: Any, operations: Mapping[int, Rows]) -> bool:
    try:
        decode_entry(document_id, row, operations)
    except StoreCorrupt:
        return False
    return True


def _refusal(connection: Connection, document_id: str, document: DocumentRow, offset: int, kept: Kept) -> str | None:
    """Why the backup's entry is not to be put there; None: it is that entry, and whole."""
    row = kept.updates.get(offset)
    if row is None:
        return "the backup does not have it"
    read = [row[column.name] for column in UPDATE_COLUMNS]
    operations = sorted(kept.operations.get(offset, ()), key=itemgetter("sequence"))
    names = [*(column.name for column in OPERATION_COLUMNS), "sequence"]
    if not _reads(document_id, read, {offset: [[one[name] for name in names] for one in operations]}):
        return "it is damaged in the backup, too"
    for at in _telling(offset, kept.wanted):
        entry_id = unpack_id(kept.updates[at]["entry_id"]) if at in kept.updates else None
        if entry_id is not None and entry_id in (_entry_id(connection, document, at), document.head.entry_id):
            return None
    return "the backup has another entry there"


def _telling(offset: int, damaged: Collection[int]) -> Sequence[int]:
    """Where the id of an entry tells which log it is: at the offset itself, at the next one, which may have been put back just
    now, and at the next one that was not damaged.
    """
    whole = offset + 1
    while whole in damaged:
        whole += 1
    return offset, offset + 1, whole


def _entry_id(connection: Connection, document: DocumentRow, offset: int) -> str | None:
    """As it is in the database; None: it is not there, or is none."""
    found = connection.execute(_id, {"number": document.number, "entry_offset": offset}).scalar_one_or_none()
    return None if found is None else readable_id(found)


def _put_back(connection: Connection, document: DocumentRow, offset: int, kept: Kept) -> None:
    """The entry, and the operations that were derived from it."""
    place = {"this_document": document.number, "this_offset": offset}
    connection.execute(_delete_update, place)
    connection.execute(_delete_operations, place)
    connection.execute(insert(updates), kept.updates[offset] | {"document_number": document.number})
    if operations := kept.operations.get(offset):
        connection.execute(insert(content_operations), [one | {"document_number": document.number} for one in operations])


def keep_of(rows: Iterator[tuple[str, list[list[Any]]]], document_id: str, offsets: Sequence[int]) -> Kept | None:
    """What a backup has at these offsets of a document; None: it has no such document. ``rows`` are all that it has."""
    wanted = frozenset(offsets)
    telling = {at for offset in offsets for at in _telling(offset, wanted)}
    kept: Kept | None = None
    number = 0
    for table, portion in rows:
        if table == documents.name:
            for values in _named(documents, portion):
                if values["document_id"] == document_id:
                    kept, number = Kept(wanted), values["number"]
        elif kept is not None and table == updates.name:
            for values in _named(updates, portion):
                if values["document_number"] == number and values["entry_offset"] in telling:
                    kept.updates[values["entry_offset"]] = values
        elif kept is not None and table == content_operations.name:
            for values in _named(content_operations, portion):
                if values["document_number"] == number and values["entry_offset"] in wanted:
                    kept.operations.setdefault(values["entry_offset"], []).append(values)
    return kept


def _named(table: Any, rows: Sequence[Sequence[Any]]) -> Iterator[Values]:
    names = table.columns.keys()
    return (dict(zip(names, row, strict=True)) for row in rows)
