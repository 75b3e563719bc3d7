"""Backups: from every kind of database into every other, and files that are no whole backup."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from cowrite.core.ports import Storage
from cowrite.core.records import Checkpoint
from cowrite.stores import open_store
from cowrite.stores.backup_file import BLOCK_BYTES, MAGIC, BackupError, BackupWriter, look_through
from cowrite.stores.backups import UNFINISHED, back_up, restore
from cowrite.stores.errors import StoreAway, StoreSetupError
from cowrite.stores.opening import open_to_fill, open_to_read
from cowrite.stores.sqlalchemy.copying import TABLES, header
from cowrite.testing.records import (
    make_change,
    make_entry,
    make_quarantined,
    make_session,
    make_submitted,
    make_version,
    write,
)
from stores.store_backends import SqlBackend, SqliteBackend

MANY = 700
"""Entries, more than are read at once."""


async def fill(storage: Storage) -> None:
    """Something into every table that is copied."""
    entries = [make_entry(offset, update=bytes([offset % 256]) * 40) for offset in range(1, MANY + 1)]
    await write(storage.store, "Süd/\N{PILE OF POO}", *entries)
    await storage.store.save_checkpoint("Süd/\N{PILE OF POO}", Checkpoint(3, entries[2].id, bytes(range(256)), {}))
    entry = make_entry(1, claims=(7,))
    async with storage.store.writing(["b"]) as transaction:
        await transaction.append("b", [entry], [make_submitted("b", entry, id="submitted")])
        await transaction.quarantine([make_quarantined("b")])
    await storage.versions.add(make_version(document_id="b", offset=1, note="a 'note'\n"))
    await storage.access.begin_session(make_session(document_id="b"))
    await storage.access.change(make_change(document_id="b"))
    await storage.access.use_token("token", 2**50)
    async with storage.store.writing(["large"]) as transaction:
        await transaction.append("large", [make_entry(1, update=random.Random(1).randbytes(2 * BLOCK_BYTES))])


async def rows(url: str) -> dict[str, list[Any]]:
    """All rows of the tables that are copied, but documents' epochs."""

    def read(connection: Connection) -> dict[str, list[Any]]:
        return {
            table.name: sorted(
                connection.execute(select(*(column for column in table.columns if column.name != "epoch"))).all(), key=repr
            )
            for table in TABLES
        }

    database = await open_to_read(url)
    try:
        return await database.read(read, lambda found: found)
    finally:
        await database.close()


def url_of(backend: SqlBackend) -> str:
    return f"sqlite:///{backend.path}" if isinstance(backend, SqliteBackend) else str(getattr(backend, "url", ""))


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def backend(request: pytest.FixtureRequest) -> SqlBackend:
    found: SqlBackend = request.getfixturevalue(request.param)
    return found


@pytest.mark.rule("BK1", "BK4")
async def test_a_backup_of_every_database_fills_every_other(backend: SqlBackend, tmp_path: Path) -> None:
    """Out of it into SQLite, and from there back into it, in the place of what was there."""
    storage, url = await backend.open_storage(), url_of(backend)
    await fill(storage)
    await backend.sql("INSERT INTO retired_clients (document_id, client_id) VALUES ('b', 9)")
    await backend.sql("INSERT INTO erasures (document_id, id, until_offset, rows_gone) VALUES ('b', 'erasure', 1, true)")
    before = await rows(url)
    assert all(before.values()), "something of every table"
    made = await back_up(url, tmp_path / "one")
    assert (made.copied.documents, made.copied.entries, made.copied.damaged) == (3, MANY + 2, [])
    copy = f"sqlite:///{tmp_path}/new folder/copy.db"
    await restore(copy, tmp_path / "one")
    assert await rows(copy) == before
    await back_up(copy, tmp_path / "two")
    await storage.close()
    with pytest.raises(BackupError, match=r"not empty: it has documents \(3\)"):
        await restore(url, tmp_path / "two")
    storage = await backend.open_storage()
    await write(storage.store, "gone", make_entry(1))
    epochs = {name: head.epoch for name, head in (await storage.store.heads(["b", "large"])).items()}
    await storage.close()
    _, numbers = await restore(url, tmp_path / "two", replace=True)
    storage = await backend.open_storage()
    assert (numbers["documents"], numbers["updates"]) == (3, MANY + 2)
    assert await rows(url) == before
    now = {name: head.epoch for name, head in (await storage.store.heads(["b", "large"])).items()}
    assert not set(now.values()) & set(epochs.values()), "somebody may know entries that came after the backup"
    await write(storage.store, "b", make_entry(2))


@pytest.mark.rule("BK2")
async def test_a_file_that_is_there_stays(sqlite: SqliteBackend, tmp_path: Path) -> None:
    path, url = tmp_path / "backup", url_of(sqlite)
    path.write_bytes(b"precious")
    with pytest.raises(BackupError, match="is there already"):
        await back_up(url, path)
    assert path.read_bytes() == b"precious"
    await back_up(url, path, force=True)
    assert (await asyncio.to_thread(look_through, path)).rows["documents"] == 0
    assert (await asyncio.to_thread(path.stat)).st_mode & 0o777 == 0o600
    with pytest.raises(BackupError, match="is a folder"):
        await back_up(url, tmp_path)
    with pytest.raises(BackupError, match=r"cannot be written: No such file or directory"):
        await back_up(url, tmp_path / "no" / "backup")
    assert not any(UNFINISHED in name for name in await asyncio.to_thread(os.listdir, tmp_path))


@pytest.mark.rule("BK3")
async def test_what_is_cut_or_altered_is_refused_before_anything_is_written(sqlite: SqliteBackend, tmp_path: Path) -> None:
    """Cut at any place, a bit turned at any place, or something behind its end."""
    storage = await sqlite.open_storage()
    await write(storage.store, "a", make_entry(1))
    await back_up(url_of(sqlite), tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    source = random.Random(2)
    path = tmp_path / "altered"
    cuts = [0, 1, len(MAGIC), len(MAGIC) + 3, len(whole) - 1, *(source.randrange(len(whole)) for _ in range(40))]
    turns = [0, len(MAGIC) - 2, len(MAGIC) + 1, len(whole) - 1, *(source.randrange(len(whole)) for _ in range(40))]
    altered = [whole[:cut] for cut in cuts] + [whole + b"\0", b"", b"SQLite format 3\0"]
    altered += [whole[:at] + bytes([whole[at] ^ 1 << source.randrange(8)]) + whole[at + 1 :] for at in turns]
    for one in altered:
        path.write_bytes(one)
        with pytest.raises(BackupError, match="nothing was changed"):
            await restore(f"sqlite:///{tmp_path}/never.db", path)
    assert not (tmp_path / "never.db").exists()
    with pytest.raises(BackupError, match="cannot be read: No such file"):
        await restore(f"sqlite:///{tmp_path}/never.db", tmp_path / "nothing")


@pytest.mark.rule("BK3")
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda made: made.__class__("0004", made.program, 1, made.columns, made.binary), "restore it with cowrite 9.9"),
        (lambda made: made.__class__(made.tables, made.program, 1, {"a": ["b"]}, {"a": []}), "has other columns"),
    ],
)
async def test_a_backup_of_other_tables_is_refused(change: Callable[[Any], Any], says: str, tmp_path: Path) -> None:
    with (tmp_path / "other").open("w+b") as file:
        writer = BackupWriter(file)
        writer.begin(change(header("9.9", 1)))
        writer.end()
    with pytest.raises(BackupError, match=says):
        await restore(f"sqlite:///{tmp_path}/never.db", tmp_path / "other")
    assert not (tmp_path / "never.db").exists()


def sealed(*blocks: bytes) -> bytes:
    """A file with right checksums, whatever is in its blocks."""
    packed = [zlib.compress(block) for block in blocks]
    whole = MAGIC + b"".join(len(one).to_bytes(4, "big") + zlib.crc32(one).to_bytes(4, "big") + one for one in packed)
    return whole + hashlib.sha256(whole).digest()


@pytest.mark.rule("BK3")
async def test_what_is_put_together_by_hand_is_refused_in_one_line(tmp_path: Path) -> None:
    """Checksums say nothing of what is in a file: each form that is wrong is told as such, and before a database is made."""
    made = header("1", 1)
    beginning = {"tables": made.tables, "program": "1", "made_at": 1, "columns": made.columns, "binary": made.binary}
    number = dict.fromkeys(made.columns, 0)
    good, end = json.dumps(beginning).encode(), json.dumps({"end": number}).encode()
    changed: list[dict[str, Any]] = [
        {"columns": {"documents": 7}},
        {"binary": {}},
        {"binary": {**made.columns, "documents": ["x"]}},
        {"made_at": "now"},
    ]
    wrong = [
        *([json.dumps(beginning | change).encode(), end] for change in changed),
        [b'{"columns":{}}', end],
        [end],
        [good, b"[" * 100_000, end],
        [good, b"[]", end],
        [good, b'{"table":"nothing","rows":[]}', end],
        [good, b'{"table":["documents"],"rows":[]}', end],
        [good, b'{"table":"documents","rows":{}}', end],
        [good, b'{"table":"documents","rows":[[1]]}', end],
        [good, json.dumps({"end": number | {"documents": 1}}).encode()],
        [good, b'{"end":null}'],
    ]
    path = tmp_path / "odd"
    for blocks in wrong:
        path.write_bytes(sealed(*blocks))
        with pytest.raises(BackupError, match=r"is not a whole backup: [^\n]*; nothing was changed"):
            await restore(f"sqlite:///{tmp_path}/never.db", path)
    assert not (tmp_path / "never.db").exists()
    row: list[Any] = [None if name == "update_bytes" else 1 for name in made.columns["updates"]]
    row[list(made.columns["updates"]).index("update_bytes")] = "é"
    told = json.dumps({"table": "updates", "rows": [row]}).encode()
    path.write_bytes(sealed(good, told, json.dumps({"end": number | {"updates": 1}}).encode()))
    with pytest.raises(BackupError, match="a row of updates has no bytes where they belong"):
        await restore(f"sqlite:///{tmp_path}/made.db", path)


@pytest.mark.rule("BK3")
async def test_rows_that_do_not_fit_leave_the_database_as_it_was(sqlite: SqliteBackend, tmp_path: Path) -> None:
    """A file with right checksums, made by hand: what was written of it is rolled back."""
    storage = await sqlite.open_storage()
    await write(storage.store, "a", make_entry(1))
    await storage.close()
    before = await rows(url_of(sqlite))
    made = header("1", 1)
    with (tmp_path / "odd").open("w+b") as file:
        writer = BackupWriter(file)
        writer.begin(made)
        document = ("b", "epoch", 0, "", 1, 0, 1, 1, None, 1, None)
        writer.rows("documents", iter([document, document]))
        writer.end()
    with pytest.raises(BackupError, match="was there already, or does not fit"):
        await restore(url_of(sqlite), tmp_path / "odd", replace=True)
    assert await rows(url_of(sqlite)) == before


@pytest.mark.rule("BK6")
async def test_nothing_is_replaced_under_a_server(backend: SqlBackend, tmp_path: Path) -> None:
    """Its processes would not hear that grants are others. One that has the database open counts from its first moment on and
    whatever it has written there, and so does one that has only gone a moment ago.
    """
    storage, url = await backend.open_storage(), url_of(backend)
    await back_up(url, tmp_path / "backup")
    who = f"open in process {os.getpid()}" if url.startswith("sqlite") else r"connections: \d from 127.0.0.1"
    for replace in (True, False):
        with pytest.raises(
            StoreSetupError, match=rf"a server works on the database .*\({who}\); stop it.* Nothing was changed"
        ):
            await restore(url, tmp_path / "backup", replace=replace)
    assert storage.presence is not None
    await storage.presence.beat("process")
    await storage.close()
    with pytest.raises(BackupError, match="a server works on this database, or did until some seconds ago"):
        await restore(url, tmp_path / "backup", replace=True)
    await backend.sql("UPDATE presence_processes SET seen_at = 1")
    await restore(url, tmp_path / "backup", replace=True)


@pytest.mark.rule("BK6")
async def test_nobody_comes_in_while_it_is_filled(backend: SqlBackend) -> None:
    """Neither to work on it nor to fill it as well; then all is as ever."""
    url = url_of(backend)
    filling = await open_to_fill(url)
    told = "is being filled from a backup|database is locked.*It is open in process"
    with pytest.raises(StoreAway, match=told):
        await open_store(url, patience=0.1)
    with pytest.raises(StoreAway, match=f"{told}|a server works on"):
        await open_to_fill(url)
    await filling.close()
    await (await open_store(url)).close()


@pytest.mark.rule("BK5")
async def test_what_was_damaged_before_is_told_and_copied(sqlite: SqliteBackend, tmp_path: Path) -> None:
    storage = await sqlite.open_storage()
    entries = [make_entry(offset, update=b"update") for offset in range(1, 10)]
    await write(storage.store, "doc", *entries)
    await storage.store.save_checkpoint("doc", Checkpoint(2, entries[1].id, b"state", {}))
    for offset in range(2, 9):
        await sqlite.damage_update("doc", offset)
    await sqlite.damage_checkpoint("doc", 2)
    made = await back_up(url_of(sqlite), tmp_path / "backup")
    assert made.copied.damaged[:2] == [
        "the checkpoint of document 'doc' at offset 2 is damaged",
        "the update of document 'doc' at offset 2 is damaged",
    ]
    assert made.copied.damaged[-1] == "2 more updates are damaged"
    copy = f"sqlite:///{tmp_path}/copy.db"
    await restore(copy, tmp_path / "backup")
    assert await rows(copy) == await rows(url_of(sqlite))


@pytest.mark.rule("BK1")
async def test_it_is_one_moment_while_others_write(sqlite: SqliteBackend, tmp_path: Path) -> None:
    """Two documents that are always written together are as far in every backup."""
    storage = await sqlite.open_storage()

    async def work() -> None:
        for offset in range(1, 10_000):
            async with storage.store.writing(["a", "b"]) as transaction:
                for name in ("a", "b"):
                    await transaction.append(name, [make_entry(offset)])

    writing = asyncio.create_task(work())
    for number in range(3):
        await back_up(url_of(sqlite), tmp_path / f"{number}")
        await restore(f"sqlite:///{tmp_path}/{number}.db", tmp_path / f"{number}")
        copy = await open_store(f"sqlite:///{tmp_path}/{number}.db")
        offsets = [head.offset for head in (await copy.store.heads(["a", "b"])).values()]
        assert len(set(offsets)) <= 1
        assert number == 0 or offsets[0] > 0
        await copy.close()
    writing.cancel()
    await asyncio.wait([writing])


@pytest.mark.rule("BK2")
def test_a_disk_that_takes_no_more_leaves_no_backup() -> None:
    """/dev/full says so at every write."""
    with Path("/dev/full").open("r+b", buffering=0) as full:
        writer = BackupWriter(full)
        with pytest.raises(BackupError, match=r"cannot be written: (No space left on device|Invalid argument).*There is none"):
            writer.begin(header("1", 1))


@pytest.mark.rule("BK2")
def test_a_backup_that_nobody_waits_for_ends(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w+b") as file:
        writer = BackupWriter(file)
        writer.begin(header("1", 1))
        writer.stopped = True
        with pytest.raises(BackupError, match="was stopped"):
            writer.end()


@pytest.mark.rule("BK3")
def test_the_form_is_as_its_module_says(tmp_path: Path) -> None:
    """Another program can read it."""
    with (tmp_path / "file").open("w+b") as file:
        writer = BackupWriter(file)
        writer.begin(header("1", 1))
        writer.end()
    written = (tmp_path / "file").read_bytes()
    assert written.startswith(MAGIC)
    assert hashlib.sha256(written[:-32]).digest() == written[-32:]
