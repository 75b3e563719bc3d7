"""SQLite: one writing connection in a thread of its own, reading connections in others.

The synchronous driver is used, and not aiosqlite, which hands every call of the driver (cursor, execute, fetch, close) to a
thread one by one: a group commit of one entry took 3.1 ms of CPU with it, and takes two hand-overs and a fifth of that here.

Write-ahead log: readers never wait for the writer. ``synchronous=FULL``: COMMIT returns when the log is on the disk. Writing
transactions begin with BEGIN IMMEDIATE, so that the only lock there is is waited for at the beginning, and never half-way.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import URL, Connection, Dialect, Engine, QueuePool, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from cowrite.core.ports import StoreBusy, StoreCorrupt, StoreUnavailable
from cowrite.stores.sqlalchemy.database import Database, Transaction, uninterrupted, write
from cowrite.stores.sqlalchemy.failures import commit_error, store_error

T = TypeVar("T")
R = TypeVar("R")

PATIENCE = 5.0
"""Seconds that a writer waits for another one, in this process or another, before it is refused as busy."""
READERS = 4
"""Connections that read at the same time."""
_SHARED_LOCK_AT = str(0x40000002)
"""The first byte of the lock that each connection to a file has (SQLite's ``SHARED_FIRST``)."""


class SqliteDatabase:
    """A database file; its folder exists. Its tables are made by ``cowrite.stores.migrations``.

    ``alone``: whoever else has it open makes all that is done here fail as busy, and is refused as busy from then on.
    """

    def __init__(self, path: Path, *, patience: float = PATIENCE, alone: bool = False) -> None:
        self._patience = patience
        self.place = f"the database {path}"
        self._closed = False
        # Each connection to a file with a write-ahead log holds a lock for as long as it is open. SQLite looks for those of
        # others where the first thing that it is told is to lock exclusively (https://sqlite.org/wal.html#noshm).
        first = ("locking_mode=EXCLUSIVE",) if alone else ()
        self._writing = _engine(path, *first, "journal_mode=WAL", begin="BEGIN IMMEDIATE", connections=1, patience=patience)
        self.dialect: Dialect = self._writing.dialect
        # A file that is only read keeps the journal that it has: it may be another program's.
        self._reading = _engine(path, "query_only=ON", begin="BEGIN", connections=READERS, patience=patience)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="cowrite-writer")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="cowrite-reader")
        self._turn = asyncio.Lock()

    async def read(self, work: Callable[[Connection], R], decode: Callable[[R], T]) -> T:
        self._check_open()
        # A cancelled read goes on in its thread and gives its connection back there.
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work, decode)

    def _read(self, work: Callable[[Connection], R], decode: Callable[[R], T]) -> T:
        lease = _Lease(self._reading, self.place)
        try:
            found = lease.run(work)
        finally:
            lease.end()
        return decode(found)

    async def begin(self, work: Callable[[Connection], T], *, wait: float | None = None) -> tuple[Transaction, T]:
        self._check_open()
        try:
            async with asyncio.timeout(self._patience):
                await self._turn.acquire()
        except TimeoutError:
            raise StoreBusy(f"This process is writing to {self.place} for over {self._patience:g} s; try again.") from None
        transaction = _SqliteTransaction(_Lease(self._writing, self.place), self._writer, self._turn)
        try:
            return transaction, await transaction.run(work)
        except BaseException:
            await transaction.rollback()
            raise

    async def erase(self, work: Callable[[Connection], T]) -> T:
        return await write(self, partial(_securely, work))

    async def at_length(self, work: Callable[[Connection], T], *, writing: bool) -> T:
        return await (write(self, work) if writing else self.read(work, _as_it_is))

    async def scrub(self) -> None:
        self._check_open()
        async with self._turn:
            await uninterrupted(asyncio.get_running_loop().run_in_executor(self._writer, self._rewrite))

    def _rewrite(self) -> None:
        """Write the file anew, then bring the write-ahead log into it and cut that off.

        Overwriting what is deleted is not enough: where SQLite has moved rows from one page to another, the first one still
        has a copy of them in the part that is not used.
        """
        connection = self._writing.raw_connection()
        try:
            connection.execute("VACUUM")
            busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            connection.invalidate()
            raise store_error(error, self.place) from error
        finally:
            connection.close()
        if busy:
            raise StoreBusy(f"Somebody reads {self.place} for over {self._patience:g} s, as it was before; try again.")

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            async with self._turn:
                await uninterrupted(asyncio.to_thread(self._dispose))

    def _dispose(self) -> None:
        self._readers.shutdown()
        self._reading.dispose()
        self._writer.shutdown()
        self._writing.dispose()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable(f"This process has closed {self.place}.")


class _SqliteTransaction:
    def __init__(self, lease: _Lease, thread: Executor, turn: asyncio.Lock) -> None:
        self._lease = lease
        self._thread = thread
        self._turn = turn
        self._over = False

    async def run(self, work: Callable[[Connection], T]) -> T:
        return await self._call(self._lease.run, work)

    async def read(self, work: Callable[[Connection], R], decode: Callable[[R], T]) -> T:
        return await self._call(lambda: decode(self._lease.run(work)))

    async def commit(self, work: Callable[[Connection], object]) -> None:
        await self._call(self._lease.commit, work)
        self._finish()

    async def rollback(self) -> None:
        if not self._over:
            try:
                await self._call(self._lease.end)
            finally:
                self._finish()

    async def _call(self, function: Callable[..., T], *arguments: Any) -> T:
        return await uninterrupted(asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments))

    def _finish(self) -> None:
        self._over = True
        self._turn.release()


class _Lease:
    """A connection while one thread uses it for one transaction.

    After an error of the disk or the file it is thrown away, because SQLite's own view of the file may be wrong from then on:
    the next transaction opens a new one, and so finds a disk that has come back.
    """

    def __init__(self, engine: Engine, place: str) -> None:
        self._engine = engine
        self._place = place
        self._connection: Connection | None = None
        self._failure: Exception | None = None

    def run(self, work: Callable[[Connection], T]) -> T:
        if self._failure is not None:
            raise self._failure
        try:
            return work(self._begun())
        except (SQLAlchemyError, sqlite3.Error, OverflowError, UnicodeError) as error:
            self._failure = store_error(error, self._place)
            raise self._failure from error
        except Exception as error:
            self._failure = error
            raise

    def commit(self, work: Callable[[Connection], object]) -> None:
        self.run(work)
        try:
            self._begun().commit()
        except DBAPIError as error:
            self._failure = commit_error(error, self._place)
            raise self._failure from error
        self.end()

    def _begun(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect()
            self._connection.begin()
        return self._connection

    def end(self) -> None:
        """Roll back what is not committed and give the connection back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            if isinstance(self._failure, StoreUnavailable | StoreCorrupt) or not _rolled_back(connection):
                connection.invalidate()
            connection.close()


def _securely(work: Callable[[Connection], T], connection: Connection) -> T:
    """What is deleted is overwritten with zeros, in the pages that stay as in those that become free."""
    connection.exec_driver_sql("PRAGMA secure_delete=ON")
    try:
        return work(connection)
    finally:
        connection.exec_driver_sql("PRAGMA secure_delete=OFF")


def _rolled_back(connection: Connection) -> bool:
    try:
        connection.rollback()
    except SQLAlchemyError:
        return False
    return True


def processes_with(path: Path) -> Sequence[int]:
    """The processes that have the file open by SQLite, where the system tells that (Linux), else none."""
    try:
        inode = path.stat().st_ino
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return ()
    # Not by asking for the lock: closing the file after that would let go of this process's own.
    fields = [line.replace("-> ", "").split() for line in lines]
    found = {int(one[4]) for one in fields if one[5].endswith(f":{inode}") and one[6] == _SHARED_LOCK_AT}
    return sorted(process for process in found if process > 0)  # in a container those outside of it are 0


def _engine(path: Path, *pragmas: str, begin: str, connections: int, patience: float) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        # No transactions of the driver's own: ``begin`` below is the only one.
        connect_args={"isolation_level": None, "timeout": patience, "check_same_thread": False},
        hide_parameters=True,
        json_serializer=_as_it_is,
        json_deserializer=_as_it_is,
    )

    @event.listens_for(engine, "connect")
    def set_up(connection: sqlite3.Connection, _record: object) -> None:
        connection.text_factory = _text
        for pragma in (*pragmas, "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


_text = partial(str, encoding="utf-8", errors="surrogateescape")
"""One turned bit of a row makes text of bytes. The driver would refuse to read it, and put what it is into the error."""


def _as_it_is(found: T) -> T:
    return found


if TYPE_CHECKING:
    _database: type[Database] = SqliteDatabase
    _transaction: type[Transaction] = _SqliteTransaction
