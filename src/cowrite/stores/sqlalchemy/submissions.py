"""What clients without a CRDT submitted: rows to write, and what is read back of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, and_, bindparam, select

from cowrite.core.ports import StoreCorrupt
from cowrite.core.records import Entry, OwnUpdate, Submitted
from cowrite.crdt.operations import ContentOperation
from cowrite.stores.encoding import decode_json, encode_json, update_made, update_to_keep
from cowrite.stores.sqlalchemy.reading import OPERATION_COLUMNS, Rows, operation_of
from cowrite.stores.sqlalchemy.remains import EMPTIED
from cowrite.stores.sqlalchemy.tables import content_operations, documents, submitted, updates
from cowrite.stores.sqlalchemy.writing import Values

_IDS: Final = 10_000
"""Ids in one statement: PostgreSQL takes 32 767 parameters, and what was restored may have become more operations."""
_UPDATE_COLUMNS = (submitted.c.update_bytes, updates.c.update_bytes.label("entry_update"), updates.c.checksum)
_with_entries = submitted.join(documents, documents.c.document_id == submitted.c.document_id).outerjoin(
    updates,
    and_(
        submitted.c.update_bytes.is_(None),
        updates.c.document_number == documents.c.number,
        updates.c.entry_offset == submitted.c.entry_offset,
    ),
)
_submitted = (
    select(
        submitted.c.id,
        submitted.c.document_id,
        submitted.c.author_id,
        submitted.c.session_id,
        submitted.c.entry_offset,
        submitted.c.digest,
        submitted.c.result,
        *_UPDATE_COLUMNS,
    )
    .select_from(_with_entries)
    .where(submitted.c.id.in_(bindparam("ids", expanding=True)))
)
_operations = select(content_operations.c.document_id, *OPERATION_COLUMNS).where(
    content_operations.c.id.in_(bindparam("ids", expanding=True))
)
_own_updates = (
    select(submitted.c.document_id, submitted.c.entry_offset, submitted.c.result, *_UPDATE_COLUMNS)
    .select_from(_with_entries)
    .where(
        submitted.c.session_id == bindparam("session_id"),
        submitted.c.document_id == bindparam("document_id"),
        submitted.c.entry_offset > bindparam("after"),
    )
    .order_by(submitted.c.entry_offset, submitted.c.id)
)


def submitted_to_write(submitted: Iterable[Submitted], entries: Iterable[Entry], *, now: int) -> list[Values]:
    """The rows of what was submitted; ``entries`` are those that come with it."""
    made = {entry.offset: entry.update for entry in entries}
    return [
        (
            one.id,
            one.document_id,
            one.author,
            one.session_id,
            one.offset,
            one.digest,
            encode_json([operation.id for operation in one.operations]),
            update_to_keep(one, made),
            now,
        )
        for one in submitted
    ]


@dataclass(frozen=True, slots=True)
class RawSubmitted:
    """What :func:`read_submitted` has found."""

    ids: Collection[str]
    rows: Rows
    operations: Rows


def read_submitted(connection: Connection, ids: Collection[str]) -> RawSubmitted:
    """The rows of these ids in ``submitted`` and in ``content_operations``, and those of the operations that they became."""
    rows = _read_by_ids(connection, _submitted, ids)
    results = (operation_id for row in rows for operation_id in _ids(row.result) or ())
    return RawSubmitted(ids, rows, _read_by_ids(connection, _operations, {*ids, *results}))


def _read_by_ids(connection: Connection, statement: Select[Any], ids: Iterable[str]) -> list[Row[Any]]:
    rest = iter(ids)
    portions = iter(lambda: list(islice(rest, _IDS)), [])
    return list(chain.from_iterable(connection.execute(statement, {"ids": portion}) for portion in portions))


def decode_submitted(raw: RawSubmitted) -> dict[str, Submitted]:
    """By id. Raises :class:`StoreCorrupt`."""
    operations = {row[2]: operation_of(*row) for row in raw.operations}
    # Of an operation that nobody submitted only the place is known.
    known = {
        id_: Submitted(id_, document_id, "", "", offset, "", _what_is_left(operations[id_]), None)
        for document_id, offset, id_, *_ in raw.operations
        if id_ in raw.ids
    }
    return known | {row[0]: _decode_submitted(row, operations) for row in raw.rows}


def _what_is_left(operation: ContentOperation) -> tuple[ContentOperation, ...]:
    return () if operation.created_at == EMPTIED else (operation,)


def _decode_submitted(row: Sequence[Any], operations: Mapping[str, ContentOperation]) -> Submitted:
    id_, document_id, author, session_id, offset, digest, result, *update = row
    became = _decode_result(document_id, offset, result)
    if not operations.keys() >= set(became):
        raise StoreCorrupt(f"What operation {id_!r} became is missing in document {document_id!r} at offset {offset}.")
    made = update_made(document_id, offset, *update)
    return Submitted(id_, document_id, author, session_id, offset, digest, tuple(operations[one] for one in became), made)


def read_own_updates(connection: Connection, document_id: str, session_id: str, *, after: int) -> Rows:
    """The rows of what a session has submitted to a document after that offset."""
    wanted = {"document_id": document_id, "session_id": session_id, "after": after}
    return connection.execute(_own_updates, wanted).all()


def decode_own_updates(rows: Rows) -> tuple[OwnUpdate, ...]:
    """In the order of offsets, at each that of the entry first. Raises :class:`StoreCorrupt`."""
    found = []
    for document_id, offset, result, *update in rows:
        made = update_made(document_id, offset, *update)
        brought_nothing = update[0] is not None and not _decode_result(document_id, offset, result)
        if made is not None:
            found.append((offset, brought_nothing, OwnUpdate(offset, made)))
    found.sort(key=lambda one: one[:2])
    return tuple(own for _, _, own in found)


def _decode_result(document_id: str, offset: int, text: str) -> tuple[str, ...]:
    ids = _ids(text)
    if ids is None:
        raise StoreCorrupt(f"What was submitted to document {document_id!r} at offset {offset} is damaged ({text!r}).")
    return ids


def _ids(text: str) -> tuple[str, ...] | None:
    """The ids in a row's ``result``; None when it is damaged."""
    try:
        ids = decode_json(text)
    except (ValueError, TypeError):
        return None
    return tuple(ids) if isinstance(ids, list) and all(isinstance(one, str) for one in ids) else None
