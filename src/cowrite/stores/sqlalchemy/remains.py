"""What is left of what was forgotten or purged: it goes a few rows at a time, so that no writer waits for long.

What is erased is out of everybody's sight when the first transaction is committed, which also adds a row to ``erasures``. That
row stays until all others have gone and the files do not have their bytes either; so a process that ends half-way leaves
behind what is still to do. Rows are found by a reader; deleting them takes their keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, bindparam, delete, func, or_, select, update
from sqlalchemy.sql.dml import UpdateBase

from cowrite.stores.sqlalchemy.database import Database, upsert, write
from cowrite.stores.sqlalchemy.reading import lock_documents
from cowrite.stores.sqlalchemy.tables import (
    collaboration_sessions,
    content_operations,
    documents,
    erasures,
    sessions,
    submitted,
    updates,
)

T = TypeVar("T")
BATCH_ENTRIES: Final = 500
BATCH_ROWS: Final = 2000
"""How many entries and other rows are deleted in one transaction, about."""


@dataclass(frozen=True, slots=True)
class Remains:
    """An erasure, and which rows it takes."""

    id: str
    document_id: str
    number: int
    until: int
    """The last entry that goes."""
    purged: bool
    """The whole document goes, and not only its history."""


_remains = (
    select(erasures.c.id, erasures.c.document_id, documents.c.number, erasures.c.until_offset, documents.c.purged_at)
    .where(documents.c.document_id == erasures.c.document_id)
    .where(erasures.c.document_id == bindparam("name"), erasures.c.rows_gone.is_(False))
)
_unfinished = select(erasures.c.document_id).order_by(erasures.c.document_id)
_gone = select(erasures.c.id).where(erasures.c.rows_gone.is_(True))
_done = update(erasures).where(erasures.c.id == bindparam("this")).values(rows_gone=True)
_finished = delete(erasures).where(erasures.c.id.in_(bindparam("ids", expanding=True)))

_first_entry = select(func.min(updates.c.entry_offset)).where(
    updates.c.document_number == bindparam("number"), updates.c.entry_offset <= bindparam("until")
)
EMPTIED: Final = -1
"""The time of the last operation of what was forgotten, which is kept as an id: whoever has read so far can go on from it."""
_goes = or_(content_operations.c.timestamp != EMPTIED, content_operations.c.entry_offset != bindparam("kept"))
_first_operation = select(func.min(content_operations.c.entry_offset)).where(
    content_operations.c.document_number == bindparam("number"), content_operations.c.entry_offset <= bindparam("until"), _goes
)
_last_operation = (
    select(content_operations.c.id)
    .where(content_operations.c.document_number == bindparam("number"), content_operations.c.entry_offset <= bindparam("until"))
    .order_by(content_operations.c.entry_offset.desc(), content_operations.c.sequence.desc())
    .limit(1)
)
_empty = (
    update(content_operations)
    .where(content_operations.c.id == bindparam("last_id"))
    .values(
        entry_offset=bindparam("until"),
        position="[]",
        content=None,
        author_id="",
        timestamp=EMPTIED,
        vector_clock="{}",
        length=None,
        attributes=None,
    )
)
_nth_operation = (
    select(content_operations.c.entry_offset)
    .where(content_operations.c.document_number == bindparam("number"), content_operations.c.entry_offset <= bindparam("until"))
    .order_by(content_operations.c.entry_offset, content_operations.c.sequence)
    .limit(1)
    .offset(BATCH_ROWS)
)
_drop_updates, _drop_operations = (
    delete(table).where(table.c.document_number == bindparam("this_number"), table.c.entry_offset <= bindparam("last"))
    for table in (updates, content_operations)
)
_drop_operations = _drop_operations.where(_goes)


def begin_erasure(connection: Connection, erasure_id: str, document_id: str, *, until: int) -> None:
    """Note, under the lock of the document, that everything up to that entry is to go."""
    row = {"document_id": document_id, "id": erasure_id, "until_offset": until, "rows_gone": False}
    connection.execute(upsert(erasures, connection.dialect), row)


def keep_last_operation(connection: Connection, number: int, *, until: int) -> None:
    """Leave of the last operation up to that entry its id, as one of that entry."""
    place = {"number": number, "until": until}
    last: str | None = connection.execute(_last_operation, place).scalar_one_or_none()
    if last is not None:
        connection.execute(_empty, {"last_id": last, "until": until})


def has_remains(connection: Connection, document_id: str) -> bool:
    """Whether rows are still to go."""
    return _read_remains(connection, document_id) is not None


def read_unfinished(connection: Connection) -> Sequence[str]:
    """The documents of which something is left, be it only in the files."""
    return connection.execute(_unfinished).scalars().all()


async def drop_remains(database: Database, document_id: str) -> None:
    """Delete what is left of what was erased from this document."""
    remains = await database.read(partial(_read_remains, document_id=document_id), _as_it_is)
    if remains is None:
        return
    for step in _steps(remains):
        after = ""
        while keys := await database.read(partial(step.find, remains=remains, after=after), _as_it_is):
            if not await database.erase(partial(drop_some, step=step, remains=remains, keys=keys)):
                return  # another erasure has taken its place
            after = str(keys[-1])
    await write(database, partial(_execute, statement=_done, parameters={"this": remains.id}))


async def scrub(database: Database) -> None:
    """Scrub the files. What had no rows left before it is finished then."""
    ids = await database.read(_read_gone, _as_it_is)
    await database.scrub()
    if ids:
        await write(database, partial(_execute, statement=_finished, parameters={"ids": ids}))


class _Step(Protocol):
    def find(self, connection: Connection, *, remains: Remains, after: str) -> Sequence[Any]:
        """Keys of some rows that are to go, in order, behind that key."""
        ...

    def drop(self, connection: Connection, *, remains: Remains, keys: Sequence[Any]) -> None:
        """Delete these rows, or what is in them."""
        ...


class _Named:
    """The rows of a table that has the document's name."""

    def __init__(self, column: Column[str], statement: UpdateBase, *conditions: ColumnElement[bool]) -> None:
        table = column.table
        mine = table.c.document_id == bindparam("name")
        self._find = select(column).where(mine, column > bindparam("after"), *conditions).order_by(column).limit(BATCH_ROWS)
        self._statement = statement.where(column.in_(bindparam("ids", expanding=True)))  # type: ignore[attr-defined]

    def find(self, connection: Connection, *, remains: Remains, after: str) -> Sequence[Any]:
        place = {"name": remains.document_id, "after": after, "until": remains.until}
        return connection.execute(self._find, place).scalars().all()

    def drop(self, connection: Connection, *, remains: Remains, keys: Sequence[Any]) -> None:
        connection.execute(self._statement, {"ids": list(keys)})


class Entries:
    """Entries with their operations, the oldest ones first."""

    def find(self, connection: Connection, *, remains: Remains, after: str) -> Sequence[Any]:
        place = {"number": remains.number, "until": remains.until, "kept": _kept(remains)}
        found = [connection.execute(first, place).scalar_one() for first in (_first_entry, _first_operation)]
        lowest = min((offset for offset in found if offset is not None), default=None)
        if lowest is None:
            return ()
        last: int | None = connection.execute(_nth_operation, place).scalar_one_or_none()
        return [min(remains.until, lowest + BATCH_ENTRIES - 1, remains.until if last is None else last)]

    def drop(self, connection: Connection, *, remains: Remains, keys: Sequence[Any]) -> None:
        place = {"this_number": remains.number, "last": keys[-1]}
        connection.execute(_drop_updates, place)
        connection.execute(_drop_operations, place | {"kept": _kept(remains)})


def _kept(remains: Remains) -> int:
    """The offset of the emptied operation that stays; none has a negative one."""
    return -1 if remains.purged else remains.until


_up_to = submitted.c.entry_offset <= bindparam("until")
_forgotten = _Named(submitted.c.id, update(submitted).values(result="[]", update_bytes=b""), _up_to)
"""What is sent again is still known as submitted before: it must not be applied twice."""
_purged = [_Named(column, delete(column.table)) for column in (submitted.c.id, sessions.c.session_id)]
_purged.append(_Named(collaboration_sessions.c.session_id, delete(collaboration_sessions)))


def _steps(remains: Remains) -> Sequence[_Step]:
    # The operations that something became go after it: it is damaged without them.
    return [*_purged, Entries()] if remains.purged else [_forgotten, Entries()]


def drop_some(connection: Connection, *, step: _Step, remains: Remains, keys: Sequence[Any]) -> bool:
    """One transaction's part. False, and nothing happens: that erasure is over, or another one has taken its place."""
    lock_documents(connection, [remains.document_id], skip_locked=False)
    if _read_remains(connection, remains.document_id) != remains:
        return False
    step.drop(connection, remains=remains, keys=keys)
    return True


def _read_remains(connection: Connection, document_id: str) -> Remains | None:
    row = connection.execute(_remains, {"name": document_id}).one_or_none()
    return None if row is None else Remains(*row[:-1], purged=row[-1] is not None)


def _read_gone(connection: Connection) -> Sequence[str]:
    return connection.execute(_gone).scalars().all()


def _execute(connection: Connection, *, statement: UpdateBase, parameters: dict[str, Any]) -> None:
    connection.execute(statement, parameters)


def _as_it_is(found: T) -> T:
    return found
