"""Database servers that die, freeze and cut connections, and clients that hold what others need."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import asyncmy
import asyncpg
import pytest
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError

from cowrite.brokers.local import LocalBroker
from cowrite.core.clock import SystemClock
from cowrite.core.ports import (
    CommitDoubtful,
    Storage,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreRefused,
    StoreUnavailable,
)
from cowrite.stores import open_store
from cowrite.stores.sqlalchemy import store as store_module
from cowrite.stores.sqlalchemy.mysql import MySQL
from cowrite.stores.sqlalchemy.postgresql import PostgreSQL
from cowrite.stores.sqlalchemy.server_kinds import Deadlines, ServerKind
from cowrite.stores.sqlalchemy.servers import ServerDatabase
from cowrite.stores.sqlalchemy.store import SqlStore
from cowrite.testing.process import Process
from cowrite.testing.records import make_entry, make_operation, write
from mariadb_server import MariadbServer, run_sql, started
from postgres_server import PostgresServer
from stores.store_backends import program
from timing import MS

Server: TypeAlias = PostgresServer | MariadbServer


@pytest.fixture(scope="module")
def own_servers() -> Iterator[dict[str, Server]]:
    """Servers to kill and to freeze."""
    servers: dict[str, Server] = {}
    yield servers
    for server in servers.values():
        server.remove()


@pytest.fixture(params=["postgres", "mariadb"])
def server(request: pytest.FixtureRequest, own_servers: dict[str, Server]) -> Server:
    """One that runs, with the database ``failing``."""
    if request.param not in own_servers:
        own: Server = PostgresServer() if request.param == "postgres" else started()
        own_servers[request.param] = own
        if isinstance(own, PostgresServer):
            own.start()
        asyncio.run(own.sql("CREATE DATABASE failing"))
    return own_servers[request.param]


async def opened(server: Server, **options: Any) -> Storage:
    return await open_store(server.url("failing"), **options)


def database(storage: Storage) -> ServerDatabase:
    assert isinstance(storage.store, SqlStore)
    assert isinstance(storage.store._database, ServerDatabase)
    return storage.store._database


async def next_entry(storage: Storage, document_id: str) -> None:
    """Write one, whatever is there."""
    head = (await storage.store.heads([document_id])).get(document_id)
    await write(storage.store, document_id, make_entry(1 if head is None else head.offset + 1))


async def offset(storage: Storage, document_id: str) -> int:
    return (await storage.store.heads([document_id]))[document_id].offset


def nothing(_connection: Connection) -> None:
    pass


@pytest.mark.chaos
@pytest.mark.rule("DB5")
async def test_killed_and_started_again(server: Server) -> None:
    """What was not committed is not there, a COMMIT under way is doubtful, and the same store goes on when the server does."""
    storage = await opened(server)
    await next_entry(storage, "killed")
    before = await offset(storage, "killed")

    async def killed_in_a_transaction() -> None:
        async with storage.store.writing(["killed"]) as transaction:
            await transaction.append("killed", [make_entry(before + 1)])
            await asyncio.to_thread(server.stop)

    with pytest.raises(StoreUnavailable) as caught:
        await killed_in_a_transaction()
    assert not isinstance(caught.value, CommitDoubtful)
    with pytest.raises(StoreUnavailable, match="see that the database server runs"):
        await storage.store.heads(["killed"])
    await asyncio.to_thread(server.start)
    assert await offset(storage, "killed") == before
    await next_entry(storage, "killed")
    begun, _ = await database(storage).begin(lambda connection: connection.exec_driver_sql("SELECT 1").scalar())
    await asyncio.to_thread(server.stop)
    with pytest.raises(CommitDoubtful, match="may or may not have been committed"):
        await begun.commit(nothing)
    await begun.rollback()
    await asyncio.to_thread(server.start)
    await next_entry(storage, "killed")
    assert await offset(storage, "killed") == before + 2
    assert storage.pool is not None
    assert storage.pool().in_use == 0
    await storage.close()


@pytest.mark.chaos
@pytest.mark.rule("DB5")
async def test_connections_that_were_cut(server: Server) -> None:
    """One that was cut while nobody used it is replaced unnoticed; one that was cut in a transaction fails that transaction."""
    storage = await opened(server, pool_size=2)
    await next_entry(storage, "cut")
    await cut_all(server)
    await next_entry(storage, "cut")

    async def cut_in_a_transaction() -> None:
        async with storage.store.writing(["cut"]) as transaction:
            await cut_all(server)
            await transaction.entries("cut", start=1)

    with pytest.raises(StoreUnavailable):
        await cut_in_a_transaction()
    await next_entry(storage, "cut")
    await storage.close()


async def cut_all(server: Server) -> None:
    """The server ends all connections to the database."""
    if isinstance(server, PostgresServer):
        await server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'failing'")
        return
    for (number,) in await server.sql("SELECT id FROM information_schema.processlist WHERE db = 'failing'"):
        await server.sql(f"KILL {number}")


@pytest.mark.chaos
@pytest.mark.rule("DB6")
async def test_frozen_server(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that answers nothing is given up at the deadline, what is under way too; later it is used again."""
    monkeypatch.setattr(ServerKind, "deadlines", Deadlines(connect=500 * MS, call=1000 * MS, idle=60))
    storage = await opened(server)
    await next_entry(storage, "frozen")
    transaction, _ = await database(storage).begin(lambda connection: connection.exec_driver_sql("SELECT 1").scalar())
    assert await offset(storage, "frozen") > 0  # on a second connection
    server.freeze()
    try:
        with pytest.raises(StoreUnavailable, match=r"has not answered for .* s; the connection was cut"):
            await storage.store.heads(["frozen"])
        with pytest.raises(StoreUnavailable):
            await storage.store.heads(["frozen"])
        with pytest.raises(CommitDoubtful):
            await transaction.commit(nothing)
        await transaction.rollback()
    finally:
        server.thaw()
    monkeypatch.undo()
    await next_entry(storage, "frozen")
    assert storage.pool is not None
    assert storage.pool().in_use == 0
    await storage.close()


@pytest.mark.rule("DB6")
async def test_frozen_after_commit(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Giving a connection back asks nothing of the server, which may be frozen by then."""
    monkeypatch.setattr(ServerKind, "deadlines", Deadlines(call=1000 * MS))
    storage = await opened(server)
    await next_entry(storage, "given back")
    before = await offset(storage, "given back")

    def freeze(*_arguments: object) -> None:
        server.freeze()

    pool = database(storage)._engine.sync_engine.pool
    event.listen(pool, "reset", freeze)
    writing = asyncio.create_task(write(storage.store, "given back", make_entry(before + 1)))
    try:
        done, _ = await asyncio.wait([writing], timeout=5000 * MS)
    finally:
        event.remove(pool, "reset", freeze)
        server.thaw()
    await writing
    assert done
    assert await offset(storage, "given back") == before + 1
    await storage.close()


@pytest.mark.rule("DB7")
async def test_all_connections_in_use(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits too long for one is told that the store is busy; waiting is counted."""
    monkeypatch.setattr(ServerKind, "deadlines", Deadlines(pool=200 * MS))
    storage = await opened(server, pool_size=2)
    assert storage.pool is not None
    async with storage.store.writing(["one"]), storage.store.writing(["two"]):
        assert storage.pool().in_use == 2
        with pytest.raises(StoreBusy, match=r"All 2 connections .* raise COWRITE_DATABASE_POOL_SIZE"):
            await storage.store.heads(["one"])
        waiting = asyncio.create_task(storage.store.heads(["one"]))
        await asyncio.sleep(0)
    assert await waiting
    use = storage.pool()
    assert (use.size, use.in_use, use.waits) == (2, 0, 2)
    assert use.waited_seconds >= 200 * MS
    await storage.close()


@pytest.mark.chaos
@pytest.mark.rule("ST8")
async def test_lock_of_another_process(server: Server) -> None:
    """A process that is frozen in its transaction keeps the document only until the server ends that; others are not held up,
    and who waits is told.
    """
    storage = await opened(server)
    await next_entry(storage, "held")
    holder = await program("hold", server.url("failing"), "held")
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"held\n"
    holder.send_signal(signal.SIGSTOP)
    try:
        async with storage.store.writing(["free", "held"]) as transaction:
            assert list(transaction.heads) == ["free"]
        with pytest.raises(StoreBusy):
            async with storage.store.writing(["held"], wait=1):
                pass
        async with storage.store.writing(["held"], wait=20) as transaction:
            assert list(transaction.heads) == ["held"]
    finally:
        holder.kill()
        await holder.communicate()
    await storage.close()


@pytest.mark.rule("DB10")
async def test_working_for_long(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction of a process that only works for long, with no word to the server, is not ended as one that is frozen."""
    monkeypatch.setattr(ServerKind, "deadlines", Deadlines(idle=1))
    storage = await opened(server)
    await next_entry(storage, "long")
    before = await offset(storage, "long")
    async with storage.store.writing(["long"]) as transaction:
        await asyncio.sleep(2.5)
        await transaction.append("long", [make_entry(before + 1)])
    assert await offset(storage, "long") == before + 1
    await storage.close()


@pytest.mark.rule("DB10")
@pytest.mark.parametrize("server", ["postgres"], indirect=True)
async def test_a_transaction_without_an_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it says that it goes on: the server ends it, and what it held is free."""
    monkeypatch.setattr(ServerKind, "deadlines", Deadlines(idle=1, transaction=1))
    storage = await opened(server)
    await next_entry(storage, "endless")
    before = await offset(storage, "endless")

    async def work_for_long() -> None:
        async with storage.store.writing(["endless"]) as transaction:
            await asyncio.sleep(1.5)
            await transaction.append("endless", [make_entry(before + 1)])

    with pytest.raises(StoreUnavailable):
        await work_for_long()
    await next_entry(storage, "endless")
    assert await offset(storage, "endless") == before + 1
    await storage.close()


@pytest.mark.rule("DB15")
async def test_more_rows_than_fit_into_a_deadline(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many rows are written in several calls, of which none comes near its deadline, though all of them together are over it;
    they are there together or not at all.
    """
    storage = await opened(server)
    await next_entry(storage, "many")
    before = await offset(storage, "many")
    entries = [
        make_entry(before + 1 + at, operations=[make_operation() for _ in range(size)]) for at, size in enumerate((11, 30, 30))
    ]
    monkeypatch.setattr(ServerKind, "deadlines", Deadlines(call=1000 * MS))
    monkeypatch.setattr(store_module, "PORTION", 10)
    async with slow_operations(server), storage.store.writing(["many"]) as transaction:
        await transaction.append("many", entries[:1])
        assert len(await transaction.entries("many", start=before + 1)) == 1
        await transaction.append("many", entries[1:])
        assert await offset(storage, "many") == before
    assert len(await storage.store.entries("many", start=before + 1, limit=9)) == 3
    await storage.close()


@pytest.mark.rule("JO41")
async def test_one_document_that_costs_the_connection(server: Server) -> None:
    """Whatever it is that ends the connection each time: the others of its process are acknowledged."""
    if not isinstance(server, PostgresServer):
        pytest.skip("a trigger of MariaDB cannot end its connection")
    url = server.url("failing")
    storage = await opened(server)
    await run_statements(url, ENDS_CONNECTION)
    async with Process(storage, LocalBroker(), clock=SystemClock()) as process:
        bad, good = await process.join("bad", user="ana"), await process.join("good", user="ben")
        for _ in range(2):
            for one in (bad, good):
                one.client.text.insert(0, "x")
            await until(lambda: good.client.saved, process)
            assert not bad.client.saved
        await until(lambda: "bad" in process.journal.failing_documents, process)
        assert process.journal.failure is None
        await run_statements(url, "DROP TRIGGER ends_connection ON content_operations")
        await until(lambda: bad.client.saved, process)
        assert not process.journal.failing_documents
    await storage.close()


ENDS_CONNECTION = """
    CREATE FUNCTION ends_connection() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END';
    CREATE TRIGGER ends_connection BEFORE INSERT ON content_operations
        FOR EACH ROW WHEN (NEW.document_id = 'bad') EXECUTE FUNCTION ends_connection();
"""


async def until(true: Callable[[], bool], process: Process) -> None:
    """Its clients read meanwhile."""
    while not true():
        await asyncio.sleep(10 * MS)
        for connection in process.connections:
            connection.read()


async def run_statements(url: str, statements: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statements)
    await connection.close()


@asynccontextmanager
async def slow_operations(server: Server) -> AsyncIterator[None]:
    """Each operation takes the server 20 ms to write."""

    async def sql(statement: str) -> None:
        if isinstance(server, PostgresServer):
            await run_statements(server.url("failing"), statement)
        else:
            await run_sql(server.url("failing"), statement)

    if isinstance(server, PostgresServer):
        await sql("""
            CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.02); RETURN NEW; END';
            CREATE TRIGGER slow BEFORE INSERT ON content_operations FOR EACH ROW EXECUTE FUNCTION slow();
        """)
    else:
        await sql("CREATE TRIGGER slow BEFORE INSERT ON content_operations FOR EACH ROW DO SLEEP(0.02)")
    try:
        yield
    finally:
        await sql("DROP TRIGGER slow" + (" ON content_operations" if isinstance(server, PostgresServer) else ""))


def of_postgres(code: str, text: str = "why") -> Exception:
    error = asyncpg.PostgresError.new({"C": code, "M": text, "S": "ERROR", "V": "ERROR"})
    assert isinstance(error, Exception)
    return error


def of_mysql(code: int, text: str = "why") -> Exception:
    return asyncmy.errors.OperationalError(code, text)


@pytest.mark.rule("DB8")
@pytest.mark.parametrize(
    ("kind", "error", "expected", "advice"),
    [
        (PostgreSQL(), of_postgres("40001"), StoreBusy, "try again"),
        (PostgreSQL(), of_postgres("40P01"), StoreBusy, "try again"),
        (PostgreSQL(), of_postgres("55P03"), StoreBusy, "try again"),
        (PostgreSQL(), of_postgres("57014"), StoreBusy, "try again"),
        (PostgreSQL(), of_postgres("22021"), StoreRefused, "cannot be written"),
        (PostgreSQL(), of_postgres("23514"), StoreRefused, "cannot be written"),
        (PostgreSQL(), of_postgres("54000"), StoreRefused, "cannot be written"),
        (PostgreSQL(), of_postgres("XX001"), StoreCorrupt, "restore it from a backup"),
        (PostgreSQL(), of_postgres("53100"), StoreUnavailable, "make room on the disk"),
        (PostgreSQL(), of_postgres("53300"), StoreUnavailable, "raise max_connections"),
        (PostgreSQL(), of_postgres("57P03"), StoreUnavailable, "starting or stopping"),
        (PostgreSQL(), of_postgres("25006"), StoreUnavailable, "name the primary"),
        (PostgreSQL(), of_postgres("42501"), StoreUnavailable, "permissions"),
        (PostgreSQL(), of_postgres("42P01"), StoreUnavailable, "changed by something else"),
        (PostgreSQL(), ConnectionResetError("why"), StoreUnavailable, "see that the database server runs"),
        (PostgreSQL(), OverflowError("why"), StoreRefused, "cannot be written"),
        (MySQL(), of_mysql(1205), StoreBusy, "try again"),
        (MySQL(), of_mysql(1213), StoreBusy, "try again"),
        (MySQL(), of_mysql(1969), StoreBusy, "try again"),
        (MySQL(), of_mysql(1406), StoreRefused, "cannot be written"),
        (MySQL(), of_mysql(1153), StoreRefused, "cannot be written"),
        (MySQL(), of_mysql(1877), StoreCorrupt, "restore it from a backup"),
        (MySQL(), of_mysql(1114), StoreUnavailable, "make room on the disk"),
        (MySQL(), of_mysql(1040), StoreUnavailable, "raise max_connections"),
        (MySQL(), of_mysql(1290), StoreUnavailable, "name the primary"),
        (MySQL(), of_mysql(1053), StoreUnavailable, "wait for it"),
        (MySQL(), of_mysql(2013), StoreUnavailable, "see that the database server runs"),
        (MySQL(), of_mysql(1146), StoreUnavailable, "changed by something else"),
    ],
)
def test_errors(kind: ServerKind, error: Exception, expected: type[StoreError], advice: str) -> None:
    """Each is told as what it means for the caller, with what a person can do."""
    for told in (kind.store_error(error, "the database"), kind.store_error(DBAPIError("SQL", (), error), "the database")):
        assert type(told) is expected
        assert "(why)" in str(told)
        assert advice in str(told)


@pytest.mark.rule("ST26")
@pytest.mark.parametrize(
    ("kind", "error", "doubtful"),
    [
        (PostgreSQL(), of_postgres("40001"), False),
        (PostgreSQL(), of_postgres("23503"), False),
        (PostgreSQL(), of_postgres("57P01"), True),
        (PostgreSQL(), of_postgres("53100"), True),
        (PostgreSQL(), ConnectionResetError("why"), True),
        (MySQL(), of_mysql(1213), False),
        (MySQL(), of_mysql(2013), True),
        (MySQL(), of_mysql(1021), True),
    ],
)
def test_errors_of_commit(kind: ServerKind, error: Exception, doubtful: bool) -> None:
    """Doubtful, but where the server says that it has rolled back."""
    assert isinstance(kind.commit_error(error, "the database"), CommitDoubtful) == doubtful


@pytest.mark.rule("DB9")
async def test_larger_than_the_server_takes(server: Server) -> None:
    """A row that is larger than MariaDB takes in one statement is refused, and the connection lives on."""
    if isinstance(server, PostgresServer):
        pytest.skip("it takes a gigabyte")
    storage = await opened(server)
    with pytest.raises(StoreRefused, match="raise max_allowed_packet there"):
        await write(storage.store, "large", make_entry(1, update=bytes(33 << 20)))
    await write(storage.store, "large", make_entry(1, update=b"\\'\0\xff" * (1 << 20)))
    loaded = await storage.store.load("large")
    assert loaded is not None
    assert loaded.entries[0].update == b"\\'\0\xff" * (1 << 20)
    await storage.close()
