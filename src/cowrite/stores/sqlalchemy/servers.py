"""Database servers: connections of an asynchronous driver on the event loop, as many as the pool has.

Nothing waits without an end. The server gives up on a statement, on a lock and on a transaction in which nothing happens; so
does this side, a little later, on each call: a server that is frozen or cut off would not. What has missed its deadline is cut,
never waited for. A cancelled caller waits until what is under way has ended in one of these ways.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakSet

from sqlalchemy import URL, Connection, Dialect, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from cowrite.core.ports import StoreCorrupt, StoreError, StoreUnavailable
from cowrite.stores.sqlalchemy.database import Database, Stay, Transaction, uninterrupted, write
from cowrite.stores.sqlalchemy.server_kinds import Place, ServerKind, guard_socket
from cowrite.stores.sqlalchemy.server_pool import Pool

T = TypeVar("T")
R = TypeVar("R")

_CLOSE_SECONDS: Final = 2.0
_RECYCLE_SECONDS: Final = 1800
_ERASED: Final = (
    "updates",
    "content_operations",
    "submitted",
    "checkpoints",
    "versions",
    "quarantined_updates",
    "sessions",
    "collaboration_sessions",
)
"""The tables that rows are erased from."""


class ServerDatabase:
    """A database on a server. Its tables are made by ``cowrite.stores.migrations``."""

    def __init__(self, kind: ServerKind, place: Place, version: str, *, pool_size: int, stay: Stay = Stay.GUEST) -> None:
        self.kind = kind
        self.stay = stay
        self.place = place.name
        self.pool = Pool(pool_size, kind.deadlines.pool)
        self._closed = False
        self._drivers: WeakSet[Any] = WeakSet()
        self._engine = self._make_engine(place, version)
        self.dialect: Dialect = self._engine.dialect

    def _make_engine(self, place: Place, version: str) -> AsyncEngine:
        engine = create_async_engine(
            URL.create(self.kind.drivername(version)),
            connect_args=self.kind.connect_arguments(place),
            isolation_level="READ COMMITTED",
            pool_size=self.pool.size,
            max_overflow=0,
            pool_recycle=_RECYCLE_SECONDS,
            # Whoever gives a connection back has ended its transaction, within a deadline. The pool would do so again, without.
            pool_reset_on_return=None,
            hide_parameters=True,
            json_serializer=_as_it_is,
            json_deserializer=_as_it_is,
        )

        @event.listens_for(engine.sync_engine, "connect")
        def set_up(connection: Any, _record: object) -> None:
            driver = connection.driver_connection
            self._drivers.add(driver)
            guard_socket(self.kind.transport(driver), self.kind.deadlines.silence)
            cursor = connection.cursor()
            for statement in self.kind.set_up(connection):
                cursor.execute(statement)
            cursor.close()
            self.kind.stay(connection, self.stay, self.place)

        self.kind.watch_statements(engine.sync_engine)
        return engine

    async def read(self, work: Callable[[Connection], R], decode: Callable[[R], T]) -> T:
        self._check_open()
        found = await uninterrupted(self._read(work))
        return await asyncio.to_thread(decode, found)

    async def _read(self, work: Callable[[Connection], R]) -> R:
        lease = _Lease(self, reading=True)
        try:
            return await lease.run(work)
        finally:
            await lease.end()

    async def begin(self, work: Callable[[Connection], T], *, wait: float | None = None) -> tuple[Transaction, T]:
        self._check_open()
        transaction = _ServerTransaction(_Lease(self, wait=wait))
        try:
            return transaction, await transaction.run(work)
        except BaseException:
            await transaction.rollback()
            raise

    async def erase(self, work: Callable[[Connection], T]) -> T:
        return await write(self, work)

    async def at_length(self, work: Callable[[Connection], T], *, writing: bool) -> T:
        self._check_open()
        lease = _Lease(self, reading=not writing, patient=True)

        def patiently(connection: Connection) -> T:
            self.kind.patient(connection)
            if writing:
                self.kind.lock_schema(connection)
            return work(connection)

        try:
            result = await uninterrupted(lease.run(patiently))
            if writing:
                await uninterrupted(lease.commit(self.kind.unlock_schema))
        finally:
            await uninterrupted(lease.end(throw_away=True))
        return result

    async def change_tables(self, work: Callable[[Connection], T]) -> T:
        """Run work in a writing transaction that nobody else is in at the same time, and that may take as long as it does."""
        return await self.at_length(work, writing=True)

    async def scrub(self) -> None:
        self._check_open()
        statements = self.kind.vacuum(_ERASED)
        if statements:
            await uninterrupted(self._vacuum(statements))

    async def _vacuum(self, statements: Sequence[str]) -> None:
        lease = _Lease(self, deadline=self.kind.deadlines.scrub, options={"isolation_level": "AUTOCOMMIT"})

        def vacuum(connection: Connection) -> None:
            for statement in statements:
                connection.exec_driver_sql(statement)

        try:
            await lease.run(vacuum)
        finally:
            await lease.end(throw_away=True)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await uninterrupted(self._close())

    async def _close(self) -> None:
        await self.pool.all_back()
        with suppress(TimeoutError, SQLAlchemyError, OSError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._engine.dispose()
        for driver in self._drivers:
            self.cut(driver)

    def cut(self, driver: Any) -> None:
        """End a connection without a word."""
        transport = self.kind.transport(driver)
        if transport is not None:
            transport.abort()

    async def connect(self) -> AsyncConnection:
        """A connection of the pool; raises what the driver raises, and ``TimeoutError``."""
        async with asyncio.timeout(2 * self.kind.deadlines.connect):
            return await self._engine.connect()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable(f"This process has closed {self.place}.")


class _ServerTransaction:
    def __init__(self, lease: _Lease) -> None:
        self._lease = lease

    async def run(self, work: Callable[[Connection], T]) -> T:
        return await uninterrupted(self._lease.run(work))

    async def read(self, work: Callable[[Connection], R], decode: Callable[[R], T]) -> T:
        return await asyncio.to_thread(decode, await self.run(work))

    async def commit(self, work: Callable[[Connection], object]) -> None:
        await uninterrupted(self._lease.commit(work))

    async def rollback(self) -> None:
        await uninterrupted(self._lease.end())


class _Lease:
    """A connection for one transaction.

    A connection may have died while it lay in the pool. That shows with the first work, before anything was done, so that is
    tried once more on another one.

    The server ends a transaction in which nothing happens, as one of a process that is frozen. A process that only works
    for long, on a large update, says now and then that it does.
    """

    def __init__(
        self,
        database: ServerDatabase,
        *,
        reading: bool = False,
        wait: float | None = None,
        deadline: float | None = None,
        patient: bool = False,
        options: dict[str, Any] | None = None,
    ) -> None:
        self._database = database
        self._kind = database.kind
        self._reading = reading
        self._wait = wait
        self._deadline = None if patient else deadline or self._kind.deadlines.call
        self._options = options if options is not None else dict(self._kind.read_options) if reading else {}
        self._connection: AsyncConnection | None = None
        self._has_place = self._for_all = False
        self._late = False
        self._failure: Exception | None = None
        self._turn = asyncio.Lock()
        self._again: asyncio.TimerHandle | None = None
        self._saying: asyncio.Task[None] | None = None

    async def run(self, work: Callable[[Connection], T]) -> T:
        if self._failure is not None:
            raise self._failure
        try:
            if self._connection is not None:
                return await self._call(work)
            result = await self._first(work)
            self._say_later()
            return result
        except (SQLAlchemyError, OSError, TimeoutError, OverflowError, UnicodeError) as error:
            self._failure = self._store_error(error)
            raise self._failure from error
        except Exception as error:
            self._failure = self._store_error(error) if self._kind.code_of(error) else error
            if self._failure is error:
                raise
            raise self._failure from error

    async def _first(self, work: Callable[[Connection], T]) -> T:
        def begin(connection: Connection) -> T:
            if self._reading and self._kind.read_begin is not None:
                connection.exec_driver_sql(self._kind.read_begin)
            elif not self._reading:
                self._kind.wait_for_locks(connection, self._wait)
            return work(connection)

        await self._open()
        try:
            return await self._call(begin)
        except DBAPIError as error:
            if not error.connection_invalidated or self._late:
                raise
        await self._give_up_connection()
        await self._open()
        return await self._call(begin)

    async def _open(self) -> None:
        if not self._has_place:
            self._for_all = await self._database.pool.take(self._database.place)
            self._has_place = True
        self._connection = connection = await self._database.connect()
        if self._options:
            await connection.execution_options(**self._options)

    async def commit(self, work: Callable[[Connection], object]) -> None:
        await self.run(work)
        assert self._connection is not None
        try:
            await self._watched(self._connection, self._connection.commit())
        except Exception as error:
            self._failure = self._commit_error(error)
            raise self._failure from error
        await self.end()

    async def end(self, *, throw_away: bool = False) -> None:
        """Roll back what is not committed and give the connection back."""
        if not self._has_place:
            return
        await self._say_no_more()
        try:
            healthy = not throw_away and not self._late and not isinstance(self._failure, StoreUnavailable | StoreCorrupt)
            if self._connection is not None and (not healthy or not await self._rolled_back(self._connection)):
                await self._give_up_connection()
            elif self._connection is not None:
                connection, self._connection = self._connection, None
                await connection.close()
        finally:
            self._has_place = False
            self._database.pool.give_back(for_all=self._for_all)

    # ---- inside ------------------------------------------------------------------------------------------------------

    async def _call(self, work: Callable[[Connection], T]) -> T:
        assert self._connection is not None
        return await self._watched(self._connection, self._connection.run_sync(work))

    async def _watched(self, connection: AsyncConnection, doing: Awaitable[T]) -> T:
        """Await it; at the deadline the connection is cut, which ends it with an error."""
        async with self._turn:
            return await self._within_deadline(connection, doing)

    async def _within_deadline(self, connection: AsyncConnection, doing: Awaitable[T]) -> T:
        if self._deadline is None:
            return await doing
        timer = asyncio.get_running_loop().call_later(self._deadline, self._cut, connection)
        try:
            return await doing
        finally:
            timer.cancel()

    def _say_later(self) -> None:
        if not self._reading and self._deadline is not None:
            self._again = asyncio.get_running_loop().call_later(self._kind.deadlines.idle / 3, self._say)

    def _say(self) -> None:
        self._saying = asyncio.get_running_loop().create_task(self._say_now())

    async def _say_now(self) -> None:
        try:
            await self._call(lambda connection: connection.exec_driver_sql("SELECT 1").close())
        except Exception as error:
            self._failure = self._failure or self._store_error(error)
        else:
            self._say_later()

    async def _say_no_more(self) -> None:
        if self._saying is not None:
            await asyncio.wait([self._saying])
        if self._again is not None:
            self._again.cancel()

    def _cut(self, connection: AsyncConnection) -> None:
        self._late = True
        driver = _driver(connection)
        if driver is not None:
            self._database.cut(driver)

    async def _rolled_back(self, connection: AsyncConnection) -> bool:
        try:
            await self._watched(connection, connection.rollback())
        except Exception:  # whatever it is, the connection is of no use any more
            return False
        return True

    async def _give_up_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        driver = _driver(connection)
        if driver is not None:
            self._database.cut(driver)
        with suppress(SQLAlchemyError, OSError):
            await connection.invalidate()
        with suppress(SQLAlchemyError, OSError):
            await connection.close()

    def _store_error(self, error: Exception) -> StoreError:
        place = self._database.place
        if self._late:
            return StoreUnavailable(
                f"The server of {place} has not answered for {self._deadline:g} s; the connection was cut. "
                "See what keeps it, or what is between."
            )
        if isinstance(error, TimeoutError):
            return StoreUnavailable(
                f"No connection to {place} within {self._kind.deadlines.connect:g} s: "
                "see that the database server runs and can be reached."
            )
        return self._kind.store_error(error, place)

    def _commit_error(self, error: Exception) -> StoreError:
        return self._kind.commit_error(error, self._database.place)


def _driver(connection: AsyncConnection) -> Any:
    """The driver's own connection; None: it is gone."""
    sync = connection.sync_connection
    if sync is None or sync.closed or sync.invalidated:
        return None
    return sync.connection.driver_connection


def _as_it_is(text: str) -> str:
    return text


if TYPE_CHECKING:
    _database: type[Database] = ServerDatabase
    _transaction: type[Transaction] = _ServerTransaction
