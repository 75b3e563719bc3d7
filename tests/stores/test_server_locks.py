"""Database servers: who waits for whose locks, and who must not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack
from functools import partial

import pytest
from sqlalchemy import Connection
from sqlalchemy.util import await_only

from cowrite.core.ports import Storage, Store, StoreBusy
from cowrite.stores import open_store
from cowrite.stores.sqlalchemy import store as sql_store
from cowrite.stores.sqlalchemy.reading import DocumentRow, lock_documents
from cowrite.stores.sqlalchemy.server_kinds import Deadlines, ServerKind
from cowrite.stores.sqlalchemy.servers import ServerDatabase
from cowrite.stores.sqlalchemy.store import SqlStore
from cowrite.stores.sqlalchemy.writing import Writer
from cowrite.testing.records import make_change, make_entry, new_id, write
from timing import MS


@pytest.fixture(params=["postgres", "mariadb"])
def url(request: pytest.FixtureRequest) -> str:
    """Of an empty database on a server."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture
async def storages(url: str) -> AsyncIterator[list[Storage]]:
    """Three processes' ways to one database."""
    async with AsyncExitStack() as stack:
        opened = [await open_store(url, pool_size=4) for _ in range(3)]
        for storage in opened:
            stack.push_async_callback(storage.close)
        yield opened


def database(storage: Storage) -> ServerDatabase:
    """The database under it."""
    assert isinstance(storage.store, SqlStore)
    assert isinstance(storage.store._database, ServerDatabase)
    return storage.store._database


@pytest.mark.rule("DB11")
async def test_changes_come_between_writers(storages: list[Storage]) -> None:
    """Changes of access are made while many write, and at no moment nobody does."""

    async def writer(store: Store, document_id: str) -> None:
        offset = 0
        while not enough.is_set():
            offset += 1
            async with store.writing([document_id], wait=20) as transaction:
                await transaction.append(document_id, [make_entry(offset)])
                await asyncio.sleep(30 * MS)
            began.add(document_id)
            if len(began) == 12:
                all_write.set()

    enough, all_write = asyncio.Event(), asyncio.Event()
    began: set[str] = set()
    writers = [asyncio.create_task(writer(storages[number % 3].store, f"doc {number}")) for number in range(12)]
    try:
        await all_write.wait()
        assert [await storages[0].access.change(make_change()) for _ in range(3)] == [1, 2, 3]
    finally:
        enough.set()
        await asyncio.gather(*writers)


@pytest.mark.rule("CU4", "DB11")
async def test_changes_let_others_pass(storages: list[Storage]) -> None:
    """A change that waits for a process that does not go on holds up nobody else, and comes when that process is done."""
    frozen, changing, free = storages
    await write(free.store, "free", make_entry(1))
    async with frozen.store.writing(["held"]):
        change = asyncio.create_task(changing.access.change(make_change()))
        for offset in (2, 3):
            await asyncio.sleep(50 * MS)
            await write(free.store, "free", make_entry(offset))
        assert not change.done()
    assert await change == 1


@pytest.mark.rule("CU4", "DB20")
async def test_rows_that_are_being_made(storages: list[Storage]) -> None:
    """Documents that a process is making which does not go on are left out, new ones or not; all others are there."""
    frozen = database(storages[0])
    store = storages[1].store
    await write(store, "old", make_entry(1))
    rows = [(f"held {number}", new_id()) for number in range(3)]
    making = partial(Writer(frozen.dialect).create_documents, epochs=rows, now=1)
    transaction, _nothing = await frozen.begin(making)
    found: set[str] = set()
    while not found >= {"old", "new 1", "new 2"}:
        async with store.writing(["old", "held 0", "new 1", "held 1", "held 2", "new 2"]) as group:
            assert "old" in group.heads
            found |= set(group.heads)
    assert found == {"old", "new 1", "new 2"}
    with pytest.raises(StoreBusy):
        async with store.writing(["held 1"], wait=0.1):
            pass
    await transaction.rollback()
    async with store.writing(["held 1"], wait=5) as group:
        assert list(group.heads) == ["held 1"]


@pytest.mark.rule("ST8")
async def test_row_that_comes_after_the_lock(storages: list[Storage], monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that somebody else commits while the rows are locked is locked, too."""
    one, other, _ = (storage.store for storage in storages)

    def lock_too_early(connection: Connection, document_ids: Collection[str], *, skip_locked: bool) -> dict[str, DocumentRow]:
        found = lock_documents(connection, document_ids, skip_locked=skip_locked)
        if not came:
            came.append("new")
            await_only(write(other, "new", make_entry(1)))
        return found

    came: list[str] = []
    monkeypatch.setattr(sql_store, "lock_documents", lock_too_early)
    async with one.writing(["new"], wait=5) as transaction:
        assert transaction.heads["new"].offset == 1


@pytest.mark.rule("DB21")
async def test_connections_for_those_who_write(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many read, or wait for locks that others hold, a group is committed, and what it needs meanwhile is read."""
    monkeypatch.setattr(ServerKind, "deadlines", Deadlines(pool=500 * MS))
    holding, storage = await open_store(url), await open_store(url, pool_size=4)
    sleep = "SELECT pg_sleep(2)" if url.startswith("postgres") else "SELECT SLEEP(2)"

    def read_slowly(connection: Connection) -> None:
        connection.exec_driver_sql(sleep).close()

    async def wait_for_lock() -> None:
        async with storage.store.writing(["held"], wait=2):
            pass

    await write(holding.store, "held", make_entry(1))
    lock = partial(lock_documents, document_ids=["held"], skip_locked=False)
    holder, _ = await database(holding).begin(lock)
    reading = [asyncio.create_task(database(storage).read(read_slowly, bool)) for _ in range(4)]
    waiting = [asyncio.create_task(wait_for_lock()) for _ in range(4)]
    await asyncio.sleep(50 * MS)
    async with storage.store.writing(["free"]) as transaction:
        assert await storage.store.load("free") is not None
        await transaction.append("free", [make_entry(1)])
    await holder.rollback()
    await asyncio.gather(*reading, *waiting, return_exceptions=True)
    assert storage.pool is not None
    assert storage.pool().in_use == 0
    await holding.close()
    await storage.close()


@pytest.mark.rule("DB22")
async def test_scrubbing_waits_for_no_maintenance(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Giving up the space of what was erased is put off while something else has the table for itself."""
    monkeypatch.setattr(ServerKind, "deadlines", Deadlines(lock=1, scrub=5000 * MS))
    storage = await open_store(postgres_url)
    maintenance, _ = await database(storage).begin(
        lambda connection: connection.exec_driver_sql("LOCK TABLE updates IN SHARE UPDATE EXCLUSIVE MODE").close()
    )
    with pytest.raises(StoreBusy):
        await database(storage).scrub()
    await maintenance.rollback()
    await database(storage).scrub()
    await storage.close()
