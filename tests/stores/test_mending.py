"""Entries that are damaged in the database, put back from a backup."""

from __future__ import annotations

from pathlib import Path

import pytest

from cowrite.core.ports import StoreCorrupt
from cowrite.core.records import Checkpoint
from cowrite.crdt.operations import OperationType
from cowrite.stores.backup_file import BackupError
from cowrite.stores.backups import back_up
from cowrite.stores.mending import mend_from
from cowrite.testing.records import make_entry, make_operation, write
from stores.store_backends import SqlBackend, SqliteBackend
from stores.test_backups import backend, rows, url_of

__all__ = ["backend"]


async def remove(backend: SqlBackend, offset: int) -> None:
    """An entry, with the operations that were derived from it."""
    number = "(SELECT number FROM documents WHERE document_id = 'doc')"
    for table in ("updates", "content_operations"):
        await backend.sql(f"DELETE FROM {table} WHERE document_number = {number} AND entry_offset = ?", offset)


@pytest.mark.rule("BK7")
async def test_what_is_damaged_is_put_back_and_nothing_else_is_touched(backend: SqlBackend, tmp_path: Path) -> None:
    """While others have the database open; also where the document has another number there, and more came after the backup."""
    storage, url = await backend.open_storage(), url_of(backend)
    await write(storage.store, "other", make_entry(1), make_entry(2))
    await write(storage.store, "doc", *[make_entry(offset, update=bytes([offset]) * 9) for offset in range(1, 6)])
    await back_up(url, tmp_path / "backup")
    assert await mend_from(url, tmp_path / "backup", "doc") == {}
    await write(storage.store, "doc", make_entry(6), make_entry(7))
    before = await rows(url)
    await backend.damage_update("other", 1)
    await backend.damage_update("doc", 1)
    await backend.damage_update("doc", 6)
    for offset in (3, 4):
        await remove(backend, offset)
    there = await rows(url)
    done = await mend_from(url, tmp_path / "backup", "doc")
    assert done == {1: None, 3: None, 4: None, 6: "the backup does not have it"}
    mended = await rows(url)
    assert mended != there
    assert mended["content_operations"] == before["content_operations"]
    different = [row for row in mended["updates"] if row not in before["updates"]]
    assert len(different) == 2, "those of which nothing was to be put back"
    assert all(row in there["updates"] for row in different)
    assert {name: found for name, found in mended.items() if name not in ("updates", "content_operations")} == {
        name: found for name, found in there.items() if name not in ("updates", "content_operations")
    }
    assert [entry.offset for entry in await storage.store.entries("doc", start=1, limit=5)] == [1, 2, 3, 4, 5]


@pytest.mark.rule("BK7")
async def test_the_end_of_a_log_is_put_back(sqlite: SqliteBackend, tmp_path: Path) -> None:
    """Behind the last entries nothing tells which log it is but the document's head; ids may be damaged, too."""
    storage, url = await sqlite.open_storage(), url_of(sqlite)
    await write(storage.store, "doc", *[make_entry(offset) for offset in range(1, 5)])
    await back_up(url, tmp_path / "backup")
    before = await rows(url)
    await remove(sqlite, 2)
    await sqlite.sql("UPDATE updates SET entry_id = x'ffff', update_bytes = x'' WHERE entry_offset = 3")
    await remove(sqlite, 4)
    assert await mend_from(url, tmp_path / "backup", "doc") == {2: None, 3: None, 4: None}
    assert await rows(url) == before


@pytest.mark.rule("BK7")
async def test_what_is_not_that_entry_or_not_whole_stays_as_it_is(sqlite: SqliteBackend, tmp_path: Path) -> None:
    storage, url = await sqlite.open_storage(), url_of(sqlite)
    await write(storage.store, "doc", *[make_entry(offset) for offset in range(1, 4)])
    await sqlite.damage_update("doc", 2)
    await back_up(url, tmp_path / "backup")
    assert await mend_from(url, tmp_path / "backup", "doc") == {2: "it is damaged in the backup, too"}
    with pytest.raises(BackupError, match="there is no document 'no' in this database"):
        await mend_from(url, tmp_path / "backup", "no")
    elsewhere = SqliteBackend(tmp_path / "elsewhere.db")
    other = await elsewhere.open_storage()
    await write(other.store, "doc", *[make_entry(offset) for offset in range(1, 4)])
    await write(other.store, "new", make_entry(1))
    for document_id, offset in (("doc", 1), ("new", 1)):
        await elsewhere.damage_update(document_id, offset)
    await remove(elsewhere, 3)
    before = await rows(url_of(elsewhere))
    another = "the backup has another entry there"
    assert await mend_from(url_of(elsewhere), tmp_path / "backup", "doc") == {1: another, 3: another}
    with pytest.raises(BackupError, match=r"there is no document 'new' in .*backup; nothing was changed"):
        await mend_from(url_of(elsewhere), tmp_path / "backup", "new")
    assert await rows(url_of(elsewhere)) == before
    await other.close()


@pytest.mark.rule("BK7")
async def test_what_was_forgotten_does_not_come_back(
    sqlite: SqliteBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even what is forgotten between looking and putting back; somebody else may have mended it, too."""
    storage, url = await sqlite.open_storage(), url_of(sqlite)
    entries = [make_entry(offset) for offset in range(1, 5)]
    await write(storage.store, "doc", *entries)
    await back_up(url, tmp_path / "backup")
    assert await storage.erasure.forget("doc", Checkpoint(2, entries[1].id, b"state", {}))
    assert await mend_from(url, tmp_path / "backup", "doc") == {}
    await sqlite.damage_update("doc", 3)
    before = await rows(url)
    monkeypatch.setattr("cowrite.stores.mending.find_damage", lambda connection, document_id: [1, 3, 4])
    assert await mend_from(url, tmp_path / "backup", "doc") == {3: None}
    assert len((await rows(url))["updates"]) == len(before["updates"])


@pytest.mark.rule("BK7", "ST63")
async def test_operations_that_are_lost_are_put_back(sqlite: SqliteBackend, tmp_path: Path) -> None:
    """Whoever reads over the gap is told; the document is opened all the same. So it is where the backup lacks them."""
    storage, url = await sqlite.open_storage(), url_of(sqlite)
    four = (
        make_operation(4),
        make_operation(4, id="second", type=OperationType.FORMAT, content=None, length=1, attributes={"bold": True}),
        make_operation(4, id="third", type=OperationType.DELETE, content=None, length=2),
    )
    entries = [make_entry(1), make_entry(2), make_entry(3), make_entry(4, operations=four), make_entry(5)]
    await write(storage.store, "doc", *entries)
    await back_up(url, tmp_path / "backup")
    before = await rows(url)
    for lost in ("entry_offset = 4", "id = 'second'", "id = 'third'"):
        await sqlite.sql(f"DELETE FROM content_operations WHERE {lost}")
        with pytest.raises(StoreCorrupt, match=r"operations of document 'doc' at offset 4 .*`cowrite repair`") as caught:
            await storage.history.operations("doc", after=1, limit=9, size=10**6)
        assert caught.value.offset == 4
        assert len(await storage.history.operations("doc", after=1, limit=2, size=10**6)) == 2
        loaded = await storage.store.load("doc")
        assert loaded is not None
        assert len(loaded.entries) == 5
        await back_up(url, tmp_path / "later", force=True)
        assert await mend_from(url, tmp_path / "later", "doc") == {4: "it is damaged in the backup, too"}
        assert await mend_from(url, tmp_path / "backup", "doc") == {4: None}
        assert await rows(url) == before
