"""Writing the log: what one transaction adds, and the statements that put it there.

Rows are collected as tuples in the order of their table's columns and written with one ``executemany`` for each table.
SQLAlchemy compiles each statement once; the rows go to the driver as they are (values are encoded already), which takes half of
the CPU of handing them to SQLAlchemy as dictionaries.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, fields
from itertools import islice
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, Dialect, Table, bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.dml import UpdateBase

from cowrite.core.ports import StoreCorrupt, StoreRefused
from cowrite.core.records import Entry, Quarantined, Version
from cowrite.stores.encoding import check_quarantined, encode_operation, printable
from cowrite.stores.packing import encode_cause, pack_brought, pack_copies, pack_id, units
from cowrite.stores.sqlalchemy.database import insert_or_ignore
from cowrite.stores.sqlalchemy.tables import (
    clients,
    content_operations,
    documents,
    quarantined_updates,
    submitted,
    updates,
    versions,
)

Values: TypeAlias = tuple[Any, ...]

_LONGEST_GAP: Final = 1024
_last_number = select(func.coalesce(func.max(documents.c.number), 0))


@dataclass(slots=True)
class Writes:
    """What waits to be written."""

    heads: dict[str, Values] = field(default_factory=dict)
    """By document: epoch, offset, entry id, log bytes, now, document id."""
    updates: list[Values] = field(default_factory=list)
    operations: list[Values] = field(default_factory=list)
    submitted: list[Values] = field(default_factory=list)
    versions: list[Values] = field(default_factory=list)
    clients: dict[tuple[str, int], str] = field(default_factory=dict)
    """(document, Yjs client) to the author who comes first."""
    quarantined: list[Values] = field(default_factory=list)

    def add(self, other: Writes) -> None:
        """Append another one's."""
        self.heads |= other.heads
        self.updates += other.updates
        self.operations += other.operations
        self.submitted += other.submitted
        self.versions += other.versions
        self.clients = other.clients | self.clients
        self.quarantined += other.quarantined

    def portions(self, rows: int) -> list[Writes]:
        """The same in the same order, table by table, of at most so many rows each; one at least."""
        portions = [Writes()]
        left = rows
        for one in fields(self):
            rest = getattr(self, one.name)
            taken = iter(rest.items() if isinstance(rest, dict) else rest)
            while part := list(islice(taken, left or rows)):
                if not left:
                    portions.append(Writes())
                    left = rows
                _extend(getattr(portions[-1], one.name), part)
                left -= len(part)
        return portions


def _extend(those: dict[Any, Any] | list[Any], part: Iterable[Any]) -> None:
    if isinstance(those, dict):
        those.update(part)
    else:
        those.extend(part)


def entries_to_write(document_id: str, number: int, entries: Iterable[Entry], *, log_bytes: int) -> Writes:
    """The rows of entries of the document, which has that number; ``log_bytes`` are those of the log before them.

    Raises :class:`StoreRefused`.
    """
    writes = Writes()
    group, packed_group = "", b""
    for entry in entries:
        if entry.group != group:
            group, packed_group = entry.group, pack_id(entry.group)
        log_bytes += len(entry.update)
        writes.updates.append(
            (
                number,
                entry.offset,
                pack_id(entry.id),
                packed_group,
                entry.author,
                entry.created_at,
                pack_brought(entry.ranges, entry.claims, carries=entry.carries),
                zlib.crc32(entry.update),
                log_bytes,
                *units(entry.operations),
                encode_cause(entry.cause),
                pack_copies(entry.cause),
                entry.update,
            )
        )
        for client in entry.claims:
            writes.clients.setdefault((document_id, client), entry.author)
        for sequence, operation in enumerate(entry.operations):
            text = encode_operation(operation)
            writes.operations.append(
                (
                    text.id,
                    document_id,
                    text.type,
                    text.position,
                    text.content,
                    text.author,
                    text.created_at,
                    text.vector_clock,
                    entry.offset,
                    sequence,
                    text.length,
                    text.attributes,
                    number,
                )
            )
    return writes


def quarantined_to_write(update: Quarantined) -> Values:
    """The row of a quarantined update. Raises :class:`InvalidId`."""
    check_quarantined(update)
    return (update.id, update.document_id, update.author, update.created_at, printable(update.reason), update.update)


def version_to_write(version: Version) -> Values:
    """The row of a version, which was checked."""
    kind, at = version.kind.value, version.created_at
    return (version.id, version.document_id, version.offset, kind, version.author, at, version.name, version.note)


class Writer:
    """The writing statements, compiled for one kind of database."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._update = self._insert(updates)
        self._operation = self._insert(content_operations)
        self._submitted = self._insert(submitted)
        self._version = self._insert_or_ignore(versions)
        self._client = self._insert_or_ignore(clients)
        self._document = self._insert_or_ignore(documents)
        self._quarantined = self._insert_or_ignore(quarantined_updates)
        moved = ("epoch", "head_offset", "head_entry_id", "log_bytes", "updated_at")
        self._head = self._compiled(
            update(documents)
            .where(documents.c.document_id == bindparam("this_document"))
            .values({name: bindparam(f"new_{name}") for name in moved}),
            (*(f"new_{name}" for name in moved), "this_document"),
        )

    def create_documents(self, connection: Connection, epochs: Iterable[tuple[str, str]], *, now: int) -> None:
        """Make the rows of (document id, epoch) that are not there.

        On a server with several writers at once perhaps not all: somebody else may have been given the same number. Numbers
        have gaps there: with the next one, who makes a row and does not commit would hold up everybody else who does.
        """
        last: int = connection.execute(_last_number).scalar_one()
        if connection.dialect.name != "sqlite":
            last += random.randrange(_LONGEST_GAP)
        rows = [
            (document_id, epoch, 0, "", 1, 0, now, now, None, number, None)
            for number, (document_id, epoch) in enumerate(epochs, last + 1)
        ]
        connection.exec_driver_sql(self._document, rows)

    def write(self, connection: Connection, writes: Writes) -> None:
        """Write it all. Raises :class:`StoreRefused` when the id of an operation, as it came or as it is now, is taken."""
        if writes.updates:
            try:
                connection.exec_driver_sql(self._update, writes.updates)
            except IntegrityError as error:
                raise StoreCorrupt(f"The log has an entry beyond its head ({error.orig}). Restore it from a backup.") from error
        if writes.operations:
            try:
                connection.exec_driver_sql(self._operation, writes.operations)
            except IntegrityError as error:
                raise StoreRefused(f"The id of an operation is taken already ({error.orig}).") from error
        if writes.submitted:
            try:
                connection.exec_driver_sql(self._submitted, writes.submitted)
            except IntegrityError as error:
                raise StoreRefused(f"The id of a submitted operation is taken already ({error.orig}).") from error
        if writes.versions:
            connection.exec_driver_sql(self._version, writes.versions)
        if writes.clients:
            rows = [(document_id, client, author) for (document_id, client), author in writes.clients.items()]
            connection.exec_driver_sql(self._client, rows)
        if writes.heads:
            connection.exec_driver_sql(self._head, list(writes.heads.values()))
        if writes.quarantined:
            connection.exec_driver_sql(self._quarantined, writes.quarantined)

    def _insert(self, table: Table) -> str:
        return self._compiled(insert(table), table.columns.keys())

    def _insert_or_ignore(self, table: Table) -> str:
        return self._compiled(insert_or_ignore(table, self._dialect), table.columns.keys())

    def _compiled(self, statement: UpdateBase, names: Collection[str]) -> str:
        compiled = statement.compile(dialect=self._dialect)
        if compiled.positiontup != list(names):
            raise AssertionError(f"{statement} takes {compiled.positiontup}, and rows come as {names}.")
        return str(compiled)
