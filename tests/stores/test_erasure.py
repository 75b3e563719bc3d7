"""Deleting for good: the contract, on all kinds of databases, and what is left in SQLite's files."""

from __future__ import annotations

import random
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Connection

from cowrite.core.ports import Storage, StoreBusy, StoreUnavailable
from cowrite.core.records import Checkpoint, Entry
from cowrite.stores.encoding import pack_checkpoint
from cowrite.stores.sqlalchemy import remains
from cowrite.stores.sqlalchemy.erasure import Writers, begin_forgetting, begin_purging
from cowrite.stores.sqlalchemy.remains import Remains
from cowrite.stores.sqlalchemy.store import SqlStore
from cowrite.testing.erasure_contract import ErasureContract
from cowrite.testing.records import make_change, make_entry, make_operation, make_session, make_submitted, make_version, write
from cowrite.testing.store_contract import StoreBackend
from stores.store_backends import MariadbBackend, MemoryBackend, PostgresBackend, SqliteBackend, database

T = TypeVar("T")


class TestMemoryErasure(ErasureContract):
    @pytest.fixture
    def backend(self, memory: MemoryBackend) -> StoreBackend:
        return memory


class TestSqliteErasure(ErasureContract):
    @pytest.fixture
    def backend(self, sqlite: SqliteBackend) -> StoreBackend:
        return sqlite


class TestPostgresErasure(ErasureContract):
    @pytest.fixture
    def backend(self, postgres: PostgresBackend) -> StoreBackend:
        return postgres


class TestMariadbErasure(ErasureContract):
    @pytest.fixture
    def backend(self, mariadb: MariadbBackend) -> StoreBackend:
        return mariadb


def words_in(path: Path) -> set[str]:
    """The words that stand anywhere in the database's files, in plain text or in a compressed checkpoint."""
    files = b"".join(one.read_bytes() for one in path.parent.glob(path.name + "*"))
    return {word.decode() for word in re.findall(rb"secret-[a-z]+-\d+-", files)}


def entry_about(word: str, offset: int, size: int, number: int) -> Entry:
    """An entry that has the word in its update, its author and its operations, of which it has some."""
    secret = f"secret-{word}-{offset}-"
    operations = tuple(make_operation(content=secret + "x" * size, attributes=None) for _ in range(number))
    return make_entry(offset, update=(secret * 2).encode() + bytes(size), author=secret, operations=operations)


def words(word: str, first: int, last: int) -> set[str]:
    return {f"secret-{word}-{offset}-" for offset in range(first, last + 1)}


async def fill_with_words(storage: Storage, rounds: int, seed: int) -> dict[str, list[Entry]]:
    """Three documents that are written to in turns, so that their rows stand beside one another and pages are split."""
    source = random.Random(seed)
    written: dict[str, list[Entry]] = {"gone": [], "half": [], "kept": []}
    while len(written["kept"]) < rounds:
        async with storage.store.writing(list(written)) as transaction:
            for name, entries in written.items():
                for _ in range(source.randrange(4)):
                    size = source.choice([0, 10, 300, 5000])
                    entry = entry_about(name, len(entries) + 1, size, source.randrange(3))
                    await transaction.append(name, [entry], [make_submitted(name, entry, author="ana")])
                    entries.append(entry)
    for name, entries in written.items():
        for entry in entries[:: rounds // 3]:
            await storage.store.save_checkpoint(name, Checkpoint(entry.offset, entry.id, b"state", {}))
            assert await storage.versions.add(make_version(entry.offset, document_id=name, name=entry.author))
    return written


@pytest.mark.rule("HS21")
async def test_no_byte_is_left(sqlite: SqliteBackend) -> None:
    """Neither in the database nor in its write-ahead log: not in the rows, not in free pages, not in what is left of pages
    that were split or filled anew. The documents beside it have all that they had.
    """
    storage = await sqlite.open_storage()
    written = await fill_with_words(storage, 90, seed=4)  # where overwriting is not enough
    ends = {name: len(entries) for name, entries in written.items()}
    everything = {one for name, end in ends.items() for one in words(name, 1, end)}
    assert words_in(sqlite.path) == everything
    middle = ends["half"] // 2
    assert await storage.erasure.forget("half", Checkpoint(middle, written["half"][middle - 1].id, b"state", {}))
    assert words_in(sqlite.path) & words("half", 1, middle) == set()
    assert words_in(sqlite.path) >= words("half", middle + 1, ends["half"])
    assert await storage.directory.delete("gone", make_change(document_id="gone", created_at=1))
    assert await storage.erasure.purge("gone", deleted_before=2, at=3)
    assert words_in(sqlite.path) == words("half", middle + 1, ends["half"]) | words("kept", 1, ends["kept"])
    for name, first in (("half", middle), ("kept", 0)):
        found = await storage.store.entries(name, start=1, limit=999)
        assert list(found) == written[name][first:]
    assert await sqlite.sql("PRAGMA integrity_check") == [("ok",)]


@pytest.mark.rule("HS21")
async def test_scrubbed_once_for_many(sqlite: SqliteBackend) -> None:
    """Who erases much can leave the scrubbing to the last call, which need not erase anything itself."""
    storage = await sqlite.open_storage()
    await fill_with_words(storage, 90, seed=4)
    for name in ("half", "gone"):
        assert await storage.directory.delete(name, make_change(document_id=name, created_at=1))
        assert await storage.erasure.purge(name, deleted_before=2, at=3, scrub=False)
    assert not await storage.erasure.purge("nobody", deleted_before=2, at=3)
    assert {word.split("-")[1] for word in words_in(sqlite.path)} == {"kept"}


@pytest.mark.rule("HS21")
async def test_somebody_reads_meanwhile(sqlite: SqliteBackend) -> None:
    """Who still reads what was there before keeps its bytes: that is told, and the same call again takes them away."""
    storage = await sqlite.open_storage(patient=False)
    entry = entry_about("old", 1, 10, 1)
    await write(storage.store, "doc", entry)
    checkpoint = Checkpoint(1, entry.id, b"state", {})
    with closing(sqlite3.connect(sqlite.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM updates").fetchall() == [(1,)]
        with pytest.raises(StoreBusy, match=r"Somebody reads .* try again"):
            await storage.erasure.forget("doc", checkpoint)
        assert reader.execute("SELECT count(*) FROM updates").fetchall() == [(1,)]
        assert words_in(sqlite.path)
        reader.execute("COMMIT")
    assert await storage.erasure.forget("doc", checkpoint)
    assert words_in(sqlite.path) == set()
    await write(storage.store, "doc", make_entry(2))


async def remaining(sqlite: SqliteBackend) -> list[int]:
    """How many rows there are that can only be had by entry."""
    counted = [await sqlite.sql(f"SELECT count(*) FROM {name}") for name in ("updates", "content_operations", "submitted")]
    return [number for ((number,),) in counted]


@pytest.mark.rule("HS25")
async def test_forgetting_that_was_interrupted(sqlite: SqliteBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ended behind the first step has left all rows: nobody sees them, edits go on, and they go when anybody
    finishes it, in many small steps.
    """
    monkeypatch.setattr(remains, "BATCH_ENTRIES", 2)
    storage = await sqlite.open_storage()
    assert isinstance(storage.store, SqlStore)
    entries = [make_entry(offset, created_at=offset) for offset in range(1, 10)]
    async with storage.store.writing(["doc"]) as transaction:
        await transaction.append("doc", entries, [make_submitted("doc", entry) for entry in entries])
    packed = pack_checkpoint(Checkpoint(7, entries[6].id, b"state", {}))
    begin = partial(begin_forgetting, erasure_id="e", document_id="doc", packed=packed, now=1)
    assert await database(storage.store).erase(begin)
    assert list(await storage.erasure.unfinished()) == ["doc"]
    assert await remaining(sqlite) == [9, 9, 9]
    history = storage.history
    assert [one.offset for one in await history.authored("doc", after=0, limit=9)] == [8, 9]
    assert [one.first_offset for one in await history.activity("doc", before=None, pause=9, limit=9)] == [8]
    assert await history.last_operation("doc", until=7) == entries[6].operations[-1].id
    await storage.store.save_checkpoint("doc", Checkpoint(4, entries[3].id, b"state", {}))
    assert list(await sqlite.checkpoints("doc")) == [7]
    await write(storage.store, "doc", make_entry(10))
    await (await sqlite.open_storage()).erasure.finish("doc", scrub=False)
    assert await remaining(sqlite) == [3, 4, 9], "the last operation stays, without its content"
    assert list(await storage.erasure.unfinished()) == ["doc"], "its bytes are still in the files"
    await storage.erasure.finish("another")
    assert list(await storage.erasure.unfinished()) == []
    assert [entry.offset for entry in await storage.store.entries("doc", start=1, limit=9)] == [8, 9, 10]


@pytest.mark.rule("HS25")
async def test_forgetting_that_fails_half_way(sqlite: SqliteBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, and the same call again does the rest, as another one that forgets more does."""
    monkeypatch.setattr(remains, "BATCH_ENTRIES", 2)
    storage = await sqlite.open_storage()
    assert isinstance(storage.store, SqlStore)
    entries = [make_entry(offset) for offset in range(1, 10)]
    await write(storage.store, "doc", *entries)
    checkpoint = Checkpoint(7, entries[6].id, b"state", {})
    with monkeypatch.context() as patch:
        erase, left = database(storage.store).erase, [None] * 3

        async def busy_soon(work: Callable[[Connection], T]) -> T:
            if not left:
                raise StoreBusy("Somebody else writes for too long.")
            left.pop()
            return await erase(work)

        patch.setattr(database(storage.store), "erase", busy_soon)
        with pytest.raises(StoreBusy):
            await storage.erasure.forget("doc", checkpoint)
    assert await remaining(sqlite) == [5, 5, 0], "two steps of two"
    assert await storage.erasure.forget("doc", replace(checkpoint, offset=8, entry_id=entries[7].id), scrub=False)
    assert await remaining(sqlite) == [1, 2, 0]
    assert await storage.erasure.forget("doc", checkpoint)
    assert list(await storage.erasure.unfinished()) == []
    assert [entry.offset for entry in await storage.store.entries("doc", start=1, limit=9)] == [9]


@pytest.mark.rule("HS25")
async def test_purging_that_was_interrupted(sqlite: SqliteBackend) -> None:
    """What is made again has nothing of what was there: it waits until that is gone, and an erasure that comes too late takes
    nothing of the new one.
    """
    storage = await sqlite.open_storage()
    assert isinstance(storage.store, SqlStore)
    entries = [make_entry(offset) for offset in range(1, 4)]
    async with storage.store.writing(["doc"]) as transaction:
        await transaction.append("doc", entries, [make_submitted("doc", entry) for entry in entries])
    await storage.access.begin_session(make_session())
    assert await storage.directory.delete("doc", make_change(created_at=1))
    for head, expected in ((None, None), ((await storage.store.heads(["doc"]))["doc"], True)):
        wrote = Writers(head, frozenset({7}))
        begin = partial(begin_purging, erasure_id="e", document_id="doc", deleted_before=2, at=3, epoch="new", wrote=wrote)
        assert await database(storage.store).erase(begin) is expected
    assert await remaining(sqlite) == [3, 3, 3]
    assert await storage.history.activity("doc", before=None, pause=9, limit=9) == ()
    assert await storage.history.last_operation("doc", until=9) is None
    await storage.store.save_checkpoint("doc", Checkpoint(3, entries[2].id, b"state", {}))
    assert await sqlite.checkpoints("doc") == {}
    late = Remains("e", "doc", 1, 3, purged=True)
    assert await storage.erasure.recreate("doc", make_change())
    assert await remaining(sqlite) == [0, 0, 0]
    assert await sqlite.sql("SELECT count(*) FROM sessions") == [(0,)]
    await write(storage.store, "doc", make_entry(1))
    assert not await database(storage.store).erase(partial(remains.drop_some, step=remains.Entries(), remains=late, keys=[3]))
    assert await remaining(sqlite) == [1, 1, 0]


@pytest.mark.rule("HS25")
async def test_scrubbing_for_one_document_does_not_finish_another(sqlite: SqliteBackend) -> None:
    """Of which rows are still there."""
    storage = await sqlite.open_storage()
    assert isinstance(storage.store, SqlStore)
    entries = [make_entry(offset) for offset in range(1, 4)]
    for name in ("half", "whole"):
        await write(storage.store, name, *(entry_about(name, entry.offset, 10, 1) for entry in entries))
    (half,) = await storage.store.entries("half", start=2, limit=1)
    packed = pack_checkpoint(Checkpoint(2, half.id, b"state", {}))
    begin = partial(begin_forgetting, erasure_id="e", document_id="half", packed=packed, now=1)
    assert await database(storage.store).erase(begin)
    (whole,) = await storage.store.entries("whole", start=2, limit=1)
    assert await storage.erasure.forget("whole", Checkpoint(2, whole.id, b"state", {}))
    assert list(await storage.erasure.unfinished()) == ["half"]
    assert words_in(sqlite.path) >= words("half", 1, 2)
    await storage.erasure.finish("half")
    assert words_in(sqlite.path) == words("half", 3, 3) | words("whole", 3, 3)
    assert list(await storage.erasure.unfinished()) == []


@pytest.mark.rule("HS25")
async def test_entries_of_many_operations_go_a_few_at_a_time(sqlite: SqliteBackend) -> None:
    """A transaction is bounded by its rows, and not by entries alone."""
    storage = await sqlite.open_storage()
    assert isinstance(storage.store, SqlStore)
    per_entry = remains.BATCH_ROWS // 2 + 1
    await write(storage.store, "doc", *(entry_about("many", offset, 1, per_entry) for offset in range(1, 4)))
    whole = Remains("e", "doc", 1, 3, purged=True)
    find = partial(remains.Entries().find, remains=whole, after="")
    assert await database(storage.store).read(find, list) == [2]


@pytest.mark.rule("HS21")
async def test_scrubbing_fails(store: SqlStore, sqlite: SqliteBackend) -> None:
    """What keeps the file from being written anew is told, and does no harm."""
    impatient = await sqlite.open(patient=False)
    assert isinstance(impatient, SqlStore)
    with closing(sqlite3.connect(sqlite.path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy):
            await database(impatient).scrub()
        writer.execute("COMMIT")
    await database(impatient).scrub()
    await write(impatient, "doc", make_entry(1))
    await impatient.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await database(impatient).scrub()
    assert len(await store.entries("doc", start=1, limit=9)) == 1
