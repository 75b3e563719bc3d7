"""Database servers: who waits for whose locks, and who must not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from cowrite.core.ports import Storage, Store
from cowrite.stores import open_store
from cowrite.testing.records import make_change, make_entry, write
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
