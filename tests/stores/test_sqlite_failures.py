"""What a SQLite store does when the disk, the file or a COMMIT fails."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Connection, PoolProxiedConnection

from cowrite.core.ports import CommitDoubtful, StoreBusy, StoreCorrupt, StoreRefused, StoreUnavailable
from cowrite.core.records import Checkpoint
from cowrite.stores.sqlalchemy.store import SqlStore, _SqlTransaction
from cowrite.testing.records import fill, make_entry, make_operation, make_submitted, write
from stores.store_backends import SqliteBackend, database, pragma, program


@pytest.mark.rule("ST25")
async def test_full_disk(store: SqlStore) -> None:
    """A database that cannot grow: the writer is told so, readers go on, and when there is room again it is used."""
    await fill(store, "doc", number=1)
    pages = await pragma(store, "page_count")
    await pragma(store, f"max_page_count={pages + 2}")
    with pytest.raises(StoreUnavailable, match=r"full.*make room on the disk"):
        await write(store, "doc", make_entry(2, update=bytes(100_000)))
    loaded = await store.load("doc")
    assert loaded is not None
    assert loaded.head.offset == 1
    # The limit was the connection's, and it has been replaced.
    await write(store, "doc", make_entry(2, update=bytes(100_000)))


@pytest.mark.rule("ST25")
async def test_files_that_cannot_grow(tmp_path: Path) -> None:
    """The same with write errors of the operating system, in a process of its own: COMMIT is doubtful, and did not happen."""
    process = await program("full", f"sqlite:///{tmp_path}/cowrite.db")
    output, errors = await process.communicate()
    assert errors == b""
    kinds, message, while_full, after = output.decode().splitlines()
    assert kinds == "['CommitDoubtful', 'CommitDoubtful', 'CommitDoubtful']"
    assert "may or may not have been committed" in message
    assert while_full == "read while full: 1 [100000]"
    assert after == "written after: 2"


def failing_commit(store: SqlStore, monkeypatch: pytest.MonkeyPatch, code: int, *, after: bool) -> None:
    """Let COMMIT fail with this code, after it has happened or instead."""
    dialect = database(store)._writing.dialect
    commit = dialect.do_commit

    def do_commit(connection: PoolProxiedConnection) -> None:
        if after:
            commit(connection)
        error = sqlite3.OperationalError("what SQLite says")
        error.sqlite_errorcode = code
        raise error

    monkeypatch.setattr(dialect, "do_commit", do_commit)


@pytest.mark.rule("ST26")
@pytest.mark.parametrize("happened", [True, False])
async def test_doubtful_commit(store: SqlStore, monkeypatch: pytest.MonkeyPatch, happened: bool) -> None:
    """An error of COMMIT leaves open whether it has happened; the log tells, by the group's id, under the lock."""
    (first,) = await fill(store, "doc", number=1)
    doubted = make_entry(2)
    with monkeypatch.context() as patches:
        failing_commit(store, patches, sqlite3.SQLITE_IOERR_FSYNC, after=happened)
        with pytest.raises(CommitDoubtful, match=r"may or may not have been committed .*what SQLite says.*look at the disk"):
            await write(store, "doc", doubted)
    async with store.writing(["doc"]) as transaction:
        groups = [entry.group for entry in await transaction.entries("doc", start=1)]
    assert groups == [first.group, doubted.group][: 1 + happened]


@pytest.mark.rule("ST26")
async def test_busy_commit(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A COMMIT that did not get a lock has surely not happened."""
    await fill(store, "doc", number=1)
    with monkeypatch.context() as patches:
        failing_commit(store, patches, sqlite3.SQLITE_BUSY_RECOVERY, after=False)
        with pytest.raises(StoreBusy):
            await write(store, "doc", make_entry(2))
    await write(store, "doc", make_entry(2))


@pytest.mark.rule("ST26")
async def test_checkpoint_or_creation_that_fails(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store's own short transactions fail in the same way, and hold nothing afterwards."""
    (entry,) = await fill(store, "doc", number=1)
    with monkeypatch.context() as patches:
        failing_commit(store, patches, sqlite3.SQLITE_FULL, after=False)
        with pytest.raises(CommitDoubtful, match="make room"):
            await store.save_checkpoint("doc", Checkpoint(1, entry.id, b"", {}))
        with pytest.raises(CommitDoubtful, match="make room"):
            await write(store, "new", make_entry(1))
    await store.save_checkpoint("doc", Checkpoint(1, entry.id, b"", {}))
    await write(store, "new", make_entry(1))


@pytest.mark.rule("ST25")
async def test_broken_connection_is_replaced(store: SqlStore) -> None:
    """A connection that cannot even roll back is thrown away; the next transaction gets a new one."""
    await fill(store, "doc", number=1)

    async def fail() -> None:
        async with store.writing(["doc"]) as transaction:
            assert isinstance(transaction, _SqlTransaction)
            await transaction._transaction.run(lambda connection: raw(connection).close())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    await write(store, "doc", make_entry(2))


def raw(connection: Connection) -> sqlite3.Connection:
    driver_connection = connection.connection.driver_connection
    assert isinstance(driver_connection, sqlite3.Connection)
    return driver_connection


@pytest.mark.rule("ST2")
async def test_failed_work_is_not_committed(store: SqlStore) -> None:
    """After SQL of a transaction has failed, the block may catch what it likes: it cannot be committed."""
    operation = make_operation()
    await write(store, "a", make_entry(1, operations=(operation,)))

    async def catch() -> None:
        async with store.writing(["b"]) as transaction:
            await transaction.append("b", [make_entry(1, operations=(operation,))])
            with pytest.raises(StoreRefused, match="taken"):
                await transaction.entries("b", start=1)

    with pytest.raises(StoreRefused, match="taken"):
        await catch()
    assert (await store.heads(["b"]))["b"].offset == 0
    assert await store.entries("b", start=1, limit=1) == ()


@pytest.mark.rule("ST6")
async def test_numbers_that_are_too_large(store: SqlStore) -> None:
    """Numbers that no column holds are refused."""
    for entry in (
        make_entry(1, created_at=2**63),
        make_entry(1, claims=(2**64,)),
        make_entry(1, operations=(make_operation(length=2**63),)),
    ):
        with pytest.raises(StoreRefused, match="cannot be written"):
            await write(store, "doc", entry)
    await write(store, "doc", make_entry(1))


@pytest.mark.rule("ST18")
async def test_entry_beyond_the_head(store: SqlStore, sqlite: SqliteBackend) -> None:
    """A head that is behind its log contradicts it: nothing is written over what is there."""
    await fill(store, "doc", number=2)
    await sqlite.sql("UPDATE documents SET head_offset = 1")
    with pytest.raises(StoreCorrupt, match="beyond its head"):
        await write(store, "doc", make_entry(2))
    assert await sqlite.sql("SELECT count(*) FROM updates") == [(2,)]


@pytest.mark.rule("ST18")
@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE updates SET ranges = x'8001' WHERE entry_offset = 2", "entry of document 'doc' at offset 2"),
        ("UPDATE updates SET ranges = x'80' WHERE entry_offset = 2", "entry of document 'doc' at offset 2"),
        ("UPDATE updates SET entry_id = x'ff00' WHERE entry_offset = 2", "entry of document 'doc' at offset 2"),
        ("UPDATE updates SET cause = '{}' WHERE entry_offset = 2", "entry of document 'doc' at offset 2"),
        ("UPDATE content_operations SET position = '[' WHERE entry_offset = 2", "operation of document 'doc' at offset 2"),
        ("UPDATE content_operations SET position = '5' WHERE entry_offset = 2", "operation of document 'doc' at offset 2"),
    ],
)
async def test_damaged_text(store: SqlStore, sqlite: SqliteBackend, statement: str, says: str) -> None:
    """Text that is not what belongs there is told with its document and offset."""
    await fill(store, "doc", number=3)
    await sqlite.sql(statement)
    with pytest.raises(StoreCorrupt, match=says):
        await store.entries("doc", start=1, limit=5)


@pytest.mark.rule("ST18")
@pytest.mark.parametrize("result", ["[", "7", '["gone"]', "[[]]"])
async def test_damaged_submission(store: SqlStore, sqlite: SqliteBackend, result: str) -> None:
    """What became of something that was submitted is damaged: it is told with its place, and the transaction can go on."""
    entry = make_entry(1)
    async with store.writing(["doc"]) as transaction:
        await transaction.append("doc", [entry], [make_submitted("doc", entry, id="a")])
    await sqlite.sql("UPDATE submitted SET result = ?", result)
    async with store.writing(["doc"]) as transaction:
        with pytest.raises(StoreCorrupt, match=r"'doc' at offset 1\b"):
            await transaction.submitted(["a"])
        await transaction.append("doc", [make_entry(2)])
    assert (await store.heads(["doc"]))["doc"].offset == 2


@pytest.mark.rule("ST18")
async def test_damaged_file(store: SqlStore, sqlite: SqliteBackend) -> None:
    """A file that SQLite finds damaged is told as such, by readers and writers."""
    for _ in range(30):
        await fill(store, "doc", number=10, size=1000)
    await store.close()
    size = sqlite.path.stat().st_size
    with sqlite.path.open("r+b") as file:
        # All but the first pages, which hold the schema and the version.
        file.seek(size // 3)
        file.write(b"\xaa" * (size - size // 3))
    again = await sqlite.open()
    with pytest.raises(StoreCorrupt, match=r"cowrite\.db is damaged"):
        await again.load("doc")
    with pytest.raises(StoreCorrupt, match=r"cowrite\.db is damaged"):
        await write(again, "doc", make_entry(301))


@pytest.mark.rule("ST25")
async def test_tables_taken_away(store: SqlStore, sqlite: SqliteBackend) -> None:
    """Somebody changes the tables of a running server: it says so, and works again when they are as they were."""
    await fill(store, "doc", number=1)
    await sqlite.sql("ALTER TABLE documents RENAME TO papers")
    with pytest.raises(StoreUnavailable, match=r"no such table: documents.*changed by something else"):
        await store.load("doc")
    with pytest.raises(StoreUnavailable, match="no such table: documents"):
        await write(store, "doc", make_entry(2))
    await sqlite.sql("ALTER TABLE papers RENAME TO documents")
    await write(store, "doc", make_entry(2))


@pytest.mark.rule("ST4")
async def test_forgotten_history(store: SqlStore, sqlite: SqliteBackend) -> None:
    """Where the beginning of the log was forgotten, entries begin at the first that is kept."""
    entries = await fill(store, "doc", number=5)
    await store.save_checkpoint("doc", Checkpoint(3, entries[2].id, b"state", {}))
    await sqlite.sql("DELETE FROM updates WHERE entry_offset <= 3")
    await sqlite.sql("DELETE FROM content_operations WHERE entry_offset <= 3")
    await sqlite.sql("UPDATE documents SET first_offset = 4")
    assert await store.entries("doc", start=1, limit=10) == tuple(entries[3:])
    assert await store.entries("doc", start=2, limit=1) == (entries[3],)
    loaded = await store.load("doc")
    assert loaded is not None
    assert [entry.offset for entry in loaded.entries] == [4, 5]
