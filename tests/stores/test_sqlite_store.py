"""The store in a SQLite file: the contract, and what belongs to SQLite alone."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockingError
from sqlalchemy import Connection, event, insert, text

from cowrite.core.ports import StoreBusy, StoreUnavailable
from cowrite.core.records import Checkpoint
from cowrite.stores.sqlalchemy.database import uninterrupted
from cowrite.stores.sqlalchemy.sqlite import SqliteDatabase
from cowrite.stores.sqlalchemy.store import SqlStore
from cowrite.stores.sqlalchemy.tables import clients
from cowrite.testing.records import fill, make_entry, make_operation, make_submitted, write
from cowrite.testing.store_contract import StoreBackend, StoreContract
from stores.store_backends import SqliteBackend, database, pragma, program


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def backend(self, sqlite: SqliteBackend) -> StoreBackend:
        return sqlite


# ---- how the file is used ------------------------------------------------------------------------------------------------


@pytest.mark.rule("ST23")
async def test_settings(store: SqlStore) -> None:
    """Write-ahead log, every COMMIT on the disk, foreign keys checked, patience as told; readers cannot write."""
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000, "query_only": 0}
    assert {name: await pragma(store, name) for name in wanted} == wanted
    read = await database(store).read(
        lambda connection: connection.execute(text("PRAGMA query_only")).scalar(), lambda found: found
    )
    assert read == 1
    with pytest.raises(StoreUnavailable, match="readonly"):
        await database(store).read(lambda connection: connection.execute(text("DELETE FROM updates")), lambda found: found)


@pytest.mark.rule("ST23")
async def test_few_hand_overs(store: SqlStore) -> None:
    """A group commit is two calls of the writing thread, and as many statements for one document as for fifty."""
    names = [f"doc {number}" for number in range(50)]
    async with store.writing(names):
        pass
    statements: list[str] = []
    event.listen(
        database(store)._writing, "before_cursor_execute", lambda *arguments: statements.append(arguments[2].split()[0])
    )
    calls: list[str] = []
    submit = database(store)._writer.submit

    def counted(function: Callable[..., Any], *arguments: Any) -> Any:
        calls.append(function.__name__)
        return submit(function, *arguments)

    database(store)._writer.submit = counted  # type: ignore[method-assign, assignment]
    for wanted in (names[:1], names):
        async with store.writing(wanted) as transaction:
            for name in wanted:
                offset = transaction.heads[name].offset
                entries = [make_entry(offset + 1, claims=(7,)), make_entry(offset + 2)]
                await transaction.append(name, entries, [make_submitted(name, entry) for entry in entries])
        assert statements == ["BEGIN", "SELECT", "SELECT", "INSERT", "INSERT", "INSERT", "INSERT", "UPDATE"]
        assert calls == ["run", "commit"]
        statements.clear()
        calls.clear()


@pytest.mark.rule("ST23")
async def test_rows_are_in_the_order_of_columns(store: SqlStore) -> None:
    """Rows go to the driver as tuples: a statement that takes its values in another order is found when it is compiled."""
    with pytest.raises(AssertionError, match=r"document_id.*client_id"):
        store._writer._compiled(insert(clients), ["client_id", "document_id", "author_id"])


@pytest.mark.rule("ST23")
async def test_transaction_that_is_over(store: SqlStore) -> None:
    """After COMMIT there is nothing to roll back, and the next writer has its turn."""
    transaction, _ = await database(store).begin(lambda connection: None)
    await transaction.commit(lambda connection: None)
    await transaction.rollback()
    await write(store, "doc", make_entry(1))


@pytest.mark.rule("ST24")
async def test_blocking_calls_are_found_out(tmp_path: Path) -> None:
    """All these tests run with a detector of calls that block the event loop; it knows SQLite's."""
    with pytest.raises(BlockingError):
        SqliteDatabase(tmp_path / "cowrite.db")._writing.connect()


@pytest.mark.rule("ST24")
async def test_long_work_in_threads(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compressing checkpoints, encoding large operations and decoding what was read is not done by the event loop's thread."""
    threads: dict[str, str] = {}

    def watched(name: str, module: str = "store") -> None:
        place = f"cowrite.stores.sqlalchemy.{module}"
        function = getattr(sys.modules[place], name)

        def call(*arguments: Any, **options: Any) -> Any:
            threads[name] = threading.current_thread().name
            return function(*arguments, **options)

        monkeypatch.setattr(f"{place}.{name}", call)

    for name in ("entries_to_write", "pack_checkpoint", "decode_entries"):
        watched(name)
    watched("decode_document", "loading")
    entry = make_entry(1, update=bytes(300_000))
    many = make_entry(2, operations=tuple(make_operation() for _ in range(600)))
    async with store.writing(["doc"]) as transaction:
        await transaction.append("doc", [entry])
        assert threads.pop("entries_to_write") != threading.current_thread().name
        await transaction.append("doc", [many])
        await transaction.entries("doc", start=1)
    assert threads["decode_entries"].startswith("cowrite-writer")
    await store.save_checkpoint("doc", Checkpoint(1, entry.id, b"", {}))
    await store.load("doc")
    await store.entries("doc", start=1, limit=1)
    assert threads.keys() == {"entries_to_write", "pack_checkpoint", "decode_document", "decode_entries"}
    assert threading.current_thread().name not in threads.values()


# ---- several writers -----------------------------------------------------------------------------------------------------


@pytest.mark.rule("ST7", "ST23")
async def test_several_processes(tmp_path: Path, sqlite: SqliteBackend) -> None:
    """Processes that write one document in one file come one after the other; none loses an entry."""
    url = f"sqlite:///{tmp_path}/cowrite.db"
    processes = [await program("many", url, "doc", 70, f"process {number}") for number in range(3)]
    for process in processes:
        output, errors = await process.communicate()
        assert (errors, output.split()[-1:]) == (b"", [b"done"])
    store = await sqlite.open()
    entries = await store.entries("doc", start=1, limit=1000)
    assert [entry.offset for entry in entries] == list(range(1, 211))
    assert {entry.author for entry in entries} == {"process 0", "process 1", "process 2"}
    assert {head.offset for head in (await store.heads([f"process {number}" for number in range(3)])).values()} == {70}


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program holds the file's lock."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


@pytest.mark.rule("ST8")
async def test_busy(sqlite: SqliteBackend) -> None:
    """While another program writes, a writer is patient and then told that it is busy; readers go on. Then it works again."""
    store = await sqlite.open(patient=False)
    await fill(store, "doc", number=1)
    with locked(sqlite.path):
        with pytest.raises(StoreBusy, match="Another process is writing"):
            await write(store, "doc", make_entry(2))
        assert (await store.heads(["doc"]))["doc"].offset == 1
    await write(store, "doc", make_entry(2))


@pytest.mark.rule("ST8")
async def test_turns_in_one_process(store: SqlStore, sqlite: SqliteBackend) -> None:
    """Within one process writers take turns in the order in which they came, with the same patience."""
    impatient = await sqlite.open(patient=False)
    await fill(store, "doc", number=1)
    async with impatient.writing(["doc"]):
        with pytest.raises(StoreBusy, match="This process is writing"):
            await write(impatient, "other", make_entry(1))
    order: list[int] = []

    async def writer(number: int) -> None:
        async with store.writing(["doc"]) as transaction:
            order.append(number)
            await transaction.append("doc", [make_entry(transaction.heads["doc"].offset + 1)])

    await asyncio.gather(*map(writer, range(10)))
    assert order == list(range(10))


@pytest.mark.rule("ST9")
async def test_cancelled_while_busy(sqlite: SqliteBackend) -> None:
    """A writer that is cancelled while it waits for another program holds nothing afterwards."""
    store = await sqlite.open(patient=False)
    await fill(store, "doc", number=1)
    with locked(sqlite.path):
        waiting = asyncio.create_task(write(store, "doc", make_entry(2)))
        await asyncio.sleep(0.1)
        waiting.cancel()
        waiting.cancel()
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    with locked(sqlite.path):
        pass
    await write(store, "doc", make_entry(2))


@pytest.mark.rule("ST9")
async def test_cancelled_commit(store: SqlStore) -> None:
    """A COMMIT that is under way when its task is cancelled is finished; then the cancellation is passed on."""
    entered, leave = threading.Event(), threading.Event()

    def slow(_connection: Connection) -> None:
        entered.set()
        leave.wait(5)

    await fill(store, "doc", number=1)
    event.listen(database(store)._writing, "commit", slow)
    writing = asyncio.create_task(write(store, "doc", make_entry(2)))
    await asyncio.to_thread(entered.wait, 5)
    writing.cancel()
    await asyncio.sleep(0.02)
    assert not writing.done()
    leave.set()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert (await store.heads(["doc"]))["doc"].offset == 2
    await write(store, "doc", make_entry(3))


@pytest.mark.rule("ST9")
async def test_uninterrupted_keeps_the_reason() -> None:
    """When what was finished has failed, the cancellation says so."""

    async def work() -> None:
        await asyncio.sleep(0.01)
        raise ZeroDivisionError

    task = asyncio.create_task(uninterrupted(work()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


# ---- kill -9 -------------------------------------------------------------------------------------------------------------


@pytest.mark.chaos
@pytest.mark.rule("ST1")
async def test_kill(tmp_path: Path, sqlite: SqliteBackend) -> None:
    """A process that is killed at any moment loses no entry that it was told is durable, and leaves no half of a group."""
    pause = random.Random(11)
    acknowledged = 0
    for _ in range(5):
        process = await program("numbers", f"sqlite:///{sqlite.path}", "doc")
        assert process.stdout is not None
        await process.stdout.readline()
        await asyncio.sleep(pause.uniform(0, 0.3))
        process.kill()
        output, errors = await process.communicate()
        assert errors == b""
        acknowledged = max(acknowledged, *(int(line) for line in output.split() or [b"0"]))
        store = await sqlite.open()
        entries = await store.entries("doc", start=1, limit=10**6)
        assert len(entries) >= acknowledged
        assert [entry.update for entry in entries] == [b"%d" % entry.offset * 50 for entry in entries]
        assert [len(entry.operations) for entry in entries] == [1] * len(entries)
        loaded = await store.load("doc")
        assert loaded is not None
        assert (loaded.head.offset, loaded.head.entry_id) == (len(entries), entries[-1].id)
        assert await sqlite.sql("PRAGMA integrity_check") == [("ok",)]
        await store.close()
    assert acknowledged > 100
