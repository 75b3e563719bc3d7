"""All rows of a database into a backup, and out of one into another database: SQL as functions of a connection (*work*)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, LargeBinary, Table, delete, func, insert, select
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import IntegrityError

from cowrite.stores.backup_file import BackupError, BackupWriter, Header, Row
from cowrite.stores.encoding import intact
from cowrite.stores.sqlalchemy.changes import lock_access_revision
from cowrite.stores.sqlalchemy.database import now_milliseconds
from cowrite.stores.sqlalchemy.schema import NEWEST
from cowrite.stores.sqlalchemy.tables import (
    access_head,
    checkpoints,
    collaboration_sessions,
    documents,
    metadata,
    presence_processes,
    updates,
)
from cowrite.stores.sqlalchemy.webhook_tables import webhook_dead_letters, webhook_documents, webhook_start

_OF_THE_MOMENT: Final = (collaboration_sessions, presence_processes)
_TOLD: Final = (webhook_start, webhook_documents, webhook_dead_letters)
TABLES: Final = [table for table in metadata.sorted_tables if table not in (*_OF_THE_MOMENT, *_TOLD)]
"""What is copied, each table behind those that it refers to. Who is there just now is not, nor what others were told."""
_AT_ONCE: Final = {checkpoints.name: 4, updates.name: 200}
_ROWS: Final = 500
"""Rows that are read at once: some are as large as a document."""
_LOCK_SECONDS: Final = 10.0
_ALIVE_MILLISECONDS: Final = 15_000
"""A process that was heard of since then lives."""
_LINES: Final = 5


@dataclass(frozen=True, slots=True)
class Copied:
    """What was copied."""

    documents: int
    entries: int
    damaged: Sequence[str]
    """What was not as it was stored, for people; it was copied as it is."""


def header(program: str, made_at: int) -> Header:
    """The beginning of a backup of these tables."""
    binary = {table.name: [column.name for column in table.columns if _is_binary(column.type)] for table in TABLES}
    return Header(NEWEST, program, made_at, {table.name: table.columns.keys() for table in TABLES}, binary)


def _is_binary(kind: object) -> bool:
    return isinstance(kind, LargeBinary | mysql.LONGBLOB)


def copy_out(connection: Connection, writer: BackupWriter, beginning: Header) -> Copied:
    """Write all rows. Begins anew when it is called again."""
    writer.begin(beginning)
    damage = _Damage()
    looks = {updates.name: damage.update, checkpoints.name: damage.checkpoint}
    numbers = {}
    for table in TABLES:
        numbers[table.name] = _Counted(_rows(connection, table), looks.get(table.name))
        writer.rows(table.name, iter(numbers[table.name]))
    writer.end()
    damaged = damage.told(connection)
    damaged += [f"a text in the table {name} is none: question marks stand for it" for name in writer.no_text]
    return Copied(numbers[documents.name].number, numbers[updates.name].number, damaged)


def _rows(connection: Connection, table: Table) -> Iterator[Row]:
    statement = select(table).execution_options(yield_per=_AT_ONCE.get(table.name, _ROWS))
    with connection.execute(statement) as rows:
        yield from rows


class _Counted:
    """Rows, counted and looked at while they pass."""

    def __init__(self, rows: Iterator[Row], look: Callable[[Any], None] | None) -> None:
        self._rows = rows
        self._look = look
        self.number = 0

    def __iter__(self) -> Iterator[Row]:
        for row in self._rows:
            self.number += 1
            if self._look is not None:
                self._look(row)
            yield row


class _Damage:
    """Rows whose checksum does not match what they hold."""

    def __init__(self) -> None:
        self._updates: list[tuple[int, int]] = []
        self._checkpoints: list[tuple[str, int]] = []

    def update(self, row: Any) -> None:
        if not intact(row.update_bytes, row.checksum):
            self._updates.append((row.document_number, row.entry_offset))

    def checkpoint(self, row: Any) -> None:
        if not intact(row.state, row.checksum):
            self._checkpoints.append((row.document_id, row.entry_offset))

    def told(self, connection: Connection) -> list[str]:
        lines = [f"the checkpoint of document {name!r} at offset {offset} is damaged" for name, offset in self._checkpoints]
        for number, offset in self._updates[:_LINES]:
            name = connection.execute(select(documents.c.document_id).where(documents.c.number == number)).scalar_one_or_none()
            lines.append(f"the update of document {name!r} at offset {offset} is damaged")
        if len(self._updates) > _LINES:
            lines.append(f"{len(self._updates) - _LINES} more updates are damaged")
        return lines


def check_columns(found: Header) -> None:
    """Raises :class:`BackupError` unless the tables of a backup are those of this program."""
    if found.tables != NEWEST:
        raise BackupError(
            f"the backup has version {found.tables} of the tables, and this program takes {NEWEST} only: "
            f"restore it with cowrite {found.program}, then upgrade; nothing was changed"
        )
    if found.columns != header("", 0).columns:
        raise BackupError("the backup has other columns than this program's tables; nothing was changed")


def copy_in(
    connection: Connection, rows: Iterable[tuple[str, list[list[Any]]]], *, new_epoch: Callable[[], str], replace: bool
) -> Mapping[str, int]:
    """Fill the tables; returns how many rows each was given. ``replace``: what is there goes.

    Each document gets a new epoch: since the backup its log may have had entries that somebody knows.
    Raises :class:`BackupError` when something is there that is not to go.
    """
    # Nobody commits edits from here on.
    lock_access_revision(connection, _LOCK_SECONDS)
    if not replace:
        _check_empty(connection)
    else:
        _check_unused(connection)
    for table in (*_TOLD, *reversed(TABLES)):
        connection.execute(delete(table))
    numbers = dict.fromkeys((table.name for table in TABLES), 0)
    for name, portion in rows:
        _insert(connection, metadata.tables[name], portion, new_epoch)
        numbers[name] += len(portion)
    return numbers


def _insert(connection: Connection, table: Table, rows: list[list[Any]], new_epoch: Callable[[], str]) -> None:
    names = table.columns.keys()
    if table is documents:
        epoch = names.index("epoch")
        for row in rows:
            row[epoch] = new_epoch()
    try:
        connection.execute(insert(table), [dict(zip(names, row, strict=True)) for row in rows])
    except IntegrityError as error:
        raise BackupError(
            f"a row of {table.name} was there already, or does not fit ({error.orig}): does a server work on this database? "
            "Stop it; nothing was changed"
        ) from error


def _check_empty(connection: Connection) -> None:
    found = [table.name for table in TABLES if table is not access_head and _count(connection, table)]
    if found:
        there = _count(connection, documents)
        what = f"it has documents ({there})" if there else f"its table {found[0]} has rows"
        raise BackupError(
            f"the database is not empty: {what}. Restore into another one, or, with --replace, in the place of what is there; "
            "nothing was changed"
        )


def _check_unused(connection: Connection) -> None:
    seen = connection.execute(select(func.max(presence_processes.c.seen_at))).scalar_one()
    now: int = connection.execute(select(now_milliseconds(connection.dialect))).scalar_one()
    if seen is not None and now - seen < _ALIVE_MILLISECONDS:
        raise BackupError(
            "a server works on this database, or did until some seconds ago; stop it, and try again. Nothing was changed"
        )


def _count(connection: Connection, table: Table) -> int:
    number: int = connection.execute(select(func.count()).select_from(table)).scalar_one()
    return number
