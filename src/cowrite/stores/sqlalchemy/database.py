"""The seam between the store's SQL, written once, and how a kind of database runs it.

SQL is written as plain functions of a ``sqlalchemy.Connection`` (``reading.py``, ``writing.py``, ``checkpoints.py``): *work*.
A database runs work: SQLite in threads of its own, one call for a whole batch of statements; a database server on the loop
through an asynchronous driver (``AsyncConnection.run_sync`` takes the same functions).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from typing import Protocol, TypeVar

from sqlalchemy import BigInteger, ColumnElement, Connection, Dialect, Insert, Table, insert, literal_column
from sqlalchemy.dialects import sqlite

T = TypeVar("T")
R = TypeVar("R")


class _Turn:
    over = False


_first: ContextVar[_Turn | None] = ContextVar("first", default=None)


@contextmanager
def first() -> Iterator[None]:
    """Within it, what is asked of a database does not wait for a connection that somebody else may have as well.

    For whoever commits edits, or holds locks: who only reads waits for a connection, however many do.
    """
    before, turn = _first.get(), _Turn()
    _first.set(turn)
    try:
        yield
    finally:
        turn.over = True  # for tasks that were started within it
        _first.set(before)


def is_first() -> bool:
    """Whether this runs within :func:`first`."""
    turn = _first.get()
    return turn is not None and not turn.over


class Stay(Enum):
    """What a process is in a database for. On a server its connections hold that as a lock, which ends with them."""

    GUEST = "guest"
    """To look at it, or to change its tables under the lock for that: holds nothing."""
    AT_WORK = "at work"
    """As servers and most commands are: beside others, and never beside one that is alone."""
    ALONE = "alone"
    """To fill it: nobody may be at work."""


class Transaction(Protocol):
    """A writing transaction, made by :meth:`Database.begin`. Whoever has it calls ``commit`` once, or ``rollback``.

    When work fails, what it did until then must not be committed: everything but ``rollback`` raises its exception again.
    """

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Run work in it. Raises a :class:`~cowrite.core.ports.StoreError`."""
        ...

    async def read(self, work: Callable[[Connection], R], decode: Callable[[R], T]) -> T:
        """Run work in it, then ``decode`` what it returned, which may take long; an exception of ``decode`` does no harm."""
        ...

    async def commit(self, work: Callable[[Connection], object]) -> None:
        """Run the last work, then COMMIT. Durable when it returns.

        Cancelled meanwhile, it is finished first, then the cancellation is passed on: the caller does not learn the outcome.
        """
        ...

    async def rollback(self) -> None:
        """Undo everything and give the connection back. Does nothing after a COMMIT that succeeded."""
        ...


class Database(Protocol):
    """Connections to one database."""

    dialect: Dialect

    async def read(self, work: Callable[[Connection], R], decode: Callable[[R], T]) -> T:
        """Run work in a read transaction (one view of the database, not waiting for writers), then ``decode`` what it returned.

        Both may take long: neither holds up the event loop.
        """
        ...

    async def begin(self, work: Callable[[Connection], T], *, wait: float | None = None) -> tuple[Transaction, T]:
        """Begin a writing transaction with its first work, which may be done twice, and the first time in vain.

        ``wait`` is how many seconds it waits for locks, where they are not one for the whole database; None: as long as usual.
        Raises StoreBusy when no connection is free for too long.
        """
        ...

    async def erase(self, work: Callable[[Connection], T]) -> T:
        """Run work in a writing transaction of its own, and overwrite what it deletes, as far as that is possible."""
        ...

    async def at_length(self, work: Callable[[Connection], T], *, writing: bool) -> T:
        """Run work in one transaction that may take as long as it takes: of one view of the database, or ``writing``, and
        committed. On a server work keeps the event loop, and may be begun once more when the connection was dead.
        """
        ...

    async def scrub(self) -> None:
        """Leave nothing of what was deleted in the database's files. Writers wait while all that is there is written anew.

        Raises a :class:`~cowrite.core.ports.StoreError`; then it may be tried again.
        """
        ...

    async def close(self) -> None:
        """Wait for what is under way, then release all connections and threads."""
        ...


async def write(database: Database, work: Callable[[Connection], T], *, wait: float | None = None) -> T:
    """Run work in a writing transaction of its own."""
    transaction, result = await database.begin(work, wait=wait)
    try:
        await transaction.commit(_nothing)
    except BaseException:
        await transaction.rollback()
        raise
    return result


def _nothing(_connection: Connection) -> None:
    """No last work before COMMIT."""


def insert_or_ignore(table: Table, dialect: Dialect) -> Insert:
    """An INSERT that leaves a row with the same key as it is, and does not count it. Each kind of database says it its way."""
    match dialect.name:
        case "sqlite":
            return sqlite.insert(table).on_conflict_do_nothing()
        case "postgresql":
            from sqlalchemy.dialects import (
                postgresql,
            )  # here: it takes a twentieth of the start of a server that has no use for it

            return postgresql.insert(table).on_conflict_do_nothing()
        case _:
            # MySQL and MariaDB. ON DUPLICATE KEY UPDATE would count the row that was there. IGNORE also lets wrong values pass;
            # what is written this way was checked before.
            return insert(table).prefix_with("IGNORE")


def upsert(table: Table, dialect: Dialect) -> Insert:
    """An INSERT that takes the place of a row with the same key. Each kind of database says it its way."""
    key = [column.name for column in table.primary_key]
    others = [column.name for column in table.columns if not column.primary_key]
    match dialect.name:
        case "sqlite":
            on_sqlite = sqlite.insert(table)
            return on_sqlite.on_conflict_do_update(index_elements=key, set_={name: on_sqlite.excluded[name] for name in others})
        case "postgresql":
            from sqlalchemy.dialects import postgresql

            there = postgresql.insert(table)
            return there.on_conflict_do_update(index_elements=key, set_={name: there.excluded[name] for name in others})
        case _:
            from sqlalchemy.dialects import mysql

            on_mysql = mysql.insert(table)
            return on_mysql.on_duplicate_key_update({name: on_mysql.inserted[name] for name in others})


def now_milliseconds(dialect: Dialect) -> ColumnElement[int]:
    """The database's own clock, in milliseconds since 1970."""
    match dialect.name:
        case "sqlite":
            text = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
        case "postgresql":
            text = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
        case _:
            text = "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)"
    return literal_column(text, BigInteger())


async def uninterrupted(work: Awaitable[T]) -> T:
    """Await ``work`` to its end, whatever happens to the caller: a cancellation is passed on only then.

    What a database is doing cannot be called back; giving up on it would leave a connection in a state that nobody knows.
    """
    future = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled from future.exception()
    return future.result()
