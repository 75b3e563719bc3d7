"""Deleting for good: the contract, in memory and in SQLite, and what is left in SQLite's files."""

from __future__ import annotations

import random
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cowrite.core.ports import Storage, StoreBusy, StoreUnavailable
from cowrite.core.records import Checkpoint, Entry
from cowrite.stores.sqlalchemy.store import SqlStore
from cowrite.testing.erasure_contract import ErasureContract
from cowrite.testing.records import make_change, make_entry, make_operation, make_submitted, make_version, write
from cowrite.testing.store_contract import StoreBackend
from stores.store_backends import MemoryBackend, SqliteBackend, database


class TestMemoryErasure(ErasureContract):
    @pytest.fixture
    def backend(self, memory: MemoryBackend) -> StoreBackend:
        return memory


class TestSqliteErasure(ErasureContract):
    @pytest.fixture
    def backend(self, sqlite: SqliteBackend) -> StoreBackend:
        return sqlite


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
                    await transaction.append(name, [entry], [make_submitted(name, entry, author=entry.author)])
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
