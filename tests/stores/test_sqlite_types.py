"""Rows of SQLite whose header says another type than was stored: one bit of it makes text of bytes, or bytes of text."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from cowrite.core.ports import Storage, StoreCorrupt
from cowrite.core.records import Checkpoint, Version, VersionKind
from cowrite.stores.backups import back_up
from cowrite.stores.mending import mend_from
from cowrite.stores.sqlalchemy.failures import commit_error, store_error
from cowrite.stores.sqlalchemy.mysql import MySQL
from cowrite.testing.records import make_entry, write
from stores.store_backends import SqliteBackend
from stores.test_backups import url_of

SECRET = "what people typed"
BYTES = SECRET.encode() + b"\xff"
NUMBER = "document_number = (SELECT number FROM documents WHERE document_id = 'doc')"


async def filled(sqlite: SqliteBackend) -> Storage:
    storage = await sqlite.open_storage()
    await write(storage.store, "doc", *[make_entry(offset, update=bytes([offset]) + BYTES + b"\0") for offset in range(1, 6)])
    await write(storage.store, "other", make_entry(1))
    return storage


def says_nothing(error: Exception) -> bool:
    seen: BaseException | None = error
    while seen is not None:
        if SECRET in f"{seen!s}{seen!r}":
            return False
        seen = seen.__cause__
    return True


OTHER_TYPES = (
    ("update_bytes", "CAST(update_bytes AS TEXT)"),
    ("update_bytes", "'plain'"),
    ("entry_id", "CAST(x'7768617420ff' AS TEXT)"),
    ("group_id", "'0123456789abcdef'"),
    ("ranges", "CAST(x'ff' AS TEXT)"),
    ("author_id", "CAST(x'7768617420ff' AS TEXT)"),
    ("author_id", "CAST(author_id AS BLOB)"),
    ("created_at", "'when'"),
    ("cause", "x'ff'"),
    ("cause", "CAST(x'7b22ff227d' AS TEXT)"),
)


@pytest.mark.rule("ST61", "BK7")
async def test_an_entry_of_other_types_is_damaged(sqlite: SqliteBackend, tmp_path: Path) -> None:
    """It is told with its offset and without what it holds, what is before it is read, and it is put back from a backup."""
    storage = await filled(sqlite)
    await back_up(url_of(sqlite), tmp_path / "backup")
    before = await storage.store.entries("doc", start=1, limit=9)
    for column, value in OTHER_TYPES:
        await sqlite.sql(f"UPDATE updates SET {column} = {value} WHERE entry_offset = 3 AND {NUMBER}")
        reads: list[Awaitable[object]] = [
            storage.store.load("doc"),
            storage.history.load_at("doc", 3),
            storage.store.entries("doc", start=1, limit=9),
        ]
        if column in ("update_bytes", "ranges", "author_id", "cause"):
            reads.append(storage.history.authored("doc", after=0, limit=9))
        for read in reads:
            with pytest.raises(StoreCorrupt, match=r"'doc' at offset 3\b") as caught:
                await read
            assert says_nothing(caught.value), column
        assert await storage.store.entries("doc", start=1, limit=2) == before[:2]
        assert len(await storage.store.entries("other", start=1, limit=9)) == 1
        assert await mend_from(url_of(sqlite), tmp_path / "backup", "doc") == {3: None}
        assert await storage.store.entries("doc", start=1, limit=9) == before


@pytest.mark.rule("BK7")
async def test_a_backup_made_afterwards_has_the_bytes(sqlite: SqliteBackend, tmp_path: Path) -> None:
    """Only what the bytes are was lost: they are told as damaged, and are put back from what was copied."""
    storage = await filled(sqlite)
    before = await storage.history.entries("doc", after=0, limit=9)
    await sqlite.sql(f"UPDATE updates SET update_bytes = CAST(update_bytes AS TEXT) WHERE entry_offset = 3 AND {NUMBER}")
    await sqlite.sql("UPDATE documents SET epoch = CAST(x'ff' AS TEXT) WHERE document_id = 'other'")
    await sqlite.sql(f"UPDATE content_operations SET content = CAST(content AS BLOB) WHERE {NUMBER}")
    made = await back_up(url_of(sqlite), tmp_path / "backup")
    assert made.copied.damaged == [
        "the update of document 'doc' at offset 3 is damaged",
        "a text in the table documents is none: question marks stand for it",
    ]
    assert (await mend_from(url_of(sqlite), tmp_path / "backup", "doc"))[3] is None
    assert await storage.history.entries("doc", after=0, limit=9) == before


@pytest.mark.rule("ST61", "ST17")
async def test_other_rows_of_other_types(sqlite: SqliteBackend) -> None:
    """Operations, versions and documents are told as damaged; a checkpoint is passed over."""
    storage = await filled(sqlite)
    entries = await storage.store.entries("doc", start=1, limit=9)
    await storage.store.save_checkpoint("doc", Checkpoint(4, entries[3].id, BYTES, {}))
    await storage.versions.add(Version("v", "doc", 2, VersionKind.NAMED, "ana", 1, "name", "note"))
    state = (await sqlite.sql("SELECT state, roots, entry_id FROM checkpoints"))[0]
    for column, value in (("state", "CAST(state AS TEXT)"), ("roots", "CAST(x'ff' AS TEXT)"), ("entry_id", "x'ff'")):
        await sqlite.sql(f"UPDATE checkpoints SET {column} = {value}")
        assert list(await storage.history.damaged_checkpoints("doc")) == [4]
        with capture_logs() as logs:
            loaded = await storage.store.load("doc")
        assert loaded is not None
        assert loaded.checkpoint is None
        assert len(loaded.entries) == 5
        assert [line["event"] for line in logs] == ["checkpoint ignored"]
        assert SECRET not in str(logs)
        await sqlite.sql("UPDATE checkpoints SET state = ?, roots = ?, entry_id = ?", *state)
    await sqlite.sql("PRAGMA ignore_check_constraints = ON")
    for column in ("id", "position", "content", "author_id", "timestamp", "vector_clock"):
        ((was,),) = await sqlite.sql(f"SELECT {column} FROM content_operations WHERE entry_offset = 2 AND {NUMBER}")
        await sqlite.sql(f"UPDATE content_operations SET {column} = CAST(? AS TEXT) WHERE entry_offset = 2 AND {NUMBER}", BYTES)
        with pytest.raises(StoreCorrupt, match=r"'doc' at offset 2\b") as caught:
            await storage.history.operations("doc", after=1, limit=9, size=1000)
        assert says_nothing(caught.value)
        await sqlite.sql(f"UPDATE content_operations SET {column} = ? WHERE entry_offset = 2 AND {NUMBER}", was)
    assert len(await storage.history.operations("doc", after=1, limit=9, size=10**6)) == 4
    await sqlite.sql("UPDATE versions SET note = CAST(? AS TEXT)", BYTES)
    with pytest.raises(StoreCorrupt, match="A version of document 'doc' at offset 2 is damaged") as caught:
        await storage.versions.list("doc")
    assert says_nothing(caught.value)
    await sqlite.sql("UPDATE documents SET epoch = CAST(x'ff' AS TEXT) WHERE document_id = 'doc'")
    with pytest.raises(StoreCorrupt, match="The row of document 'doc' is damaged"):
        await storage.store.load("doc")
    assert await storage.store.load("other") is not None
    await sqlite.sql("UPDATE documents SET document_id = CAST(x'ff' AS TEXT) WHERE document_id = 'other'")
    with pytest.raises(StoreCorrupt, match=r"The name of document .* is damaged"):
        await storage.directory.list(after=None, limit=9)


@pytest.mark.rule("ST62")
def test_what_a_driver_says_is_told_without_values() -> None:
    """Reasons go into logs, where nothing that people wrote belongs."""
    for said, told in (
        (f"Could not decode to UTF-8 column 'update_bytes' with text '{SECRET}'", "column 'update_bytes'"),
        (f"null value in column x\nDETAIL:  Failing row contains (1, {SECRET}).", "null value in column x"),
        (f"Incorrect string value: '{SECRET}' for column 'x' at row 1", "Incorrect string value:  for column 'x' at row 1"),
        (f"Duplicate entry '{SECRET}' for key 'x'", "for key 'x'"),
    ):
        failed = OperationalError("SELECT 1", None, sqlite3.OperationalError(said))
        for error in (store_error(failed, "the database x"), commit_error(failed, "the database x")):
            assert SECRET not in str(error)
            assert told in str(error)
        assert SECRET not in MySQL().said(Exception(1366, said))
