"""What ``verify`` finds in a database that was tampered with."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import zlib
from pathlib import Path

import pytest

from cowrite.brokers.local import LocalBroker
from cowrite.core.history.verifying import Verified, verify
from cowrite.core.ports import Storage
from cowrite.crdt.log_document import LogDocument
from cowrite.stores import open_store
from cowrite.testing.process import Process

KEYS = 700
"""More than come between two checkpoints."""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("verify") / "written.sqlite3"


@pytest.fixture
async def database(written: Path, tmp_path: Path) -> Path:
    """A document of many entries with a checkpoint, to tamper with."""
    if not written.exists():  # noqa: ASYNC240
        await _write(written)
    copy = tmp_path / "copy.sqlite3"
    with sqlite3.connect(written) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    source.close()
    target.close()
    return copy


async def _write(path: Path) -> None:
    storage = await open_store(f"sqlite:///{path}")
    async with Process(storage, LocalBroker()) as server:
        ana, bo = await server.join(user="ana"), await server.join(user="bo")
        for at in range(KEYS):
            (ana if at % 2 else bo).client.text.insert(0, "x")
            if at % 20 == 19:  # neighbouring keys of two authors are an entry each
                await saved(server)
        del ana.client.text[5:9]
        await saved(server)
        while (stored := await storage.store.load("doc")) is None or stored.checkpoint is None:  # noqa: ASYNC110
            await asyncio.sleep(0)  # it is saved beside the journal's work
    await storage.close()


async def verified(path: Path) -> Verified:
    storage: Storage = await open_store(f"sqlite:///{path}")
    try:
        found = await verify(storage, "doc")
        assert found is not None
        return found
    finally:
        await storage.close()


async def saved(server: Process) -> None:
    """Wait until everything that was typed is on the disk."""
    while not all(connection.client.saved for connection in server.connections):
        await server.quiet()
        await asyncio.sleep(0)


def tamper(path: Path, statement: str, *values: object) -> None:
    connection = sqlite3.connect(path)
    with connection:
        assert connection.execute(statement, values).rowcount > 0
    connection.close()


def value(path: Path, statement: str) -> object:
    connection = sqlite3.connect(path)
    found = connection.execute(statement).fetchone()[0]
    connection.close()
    return found


@pytest.mark.rule("VF1")
async def test_what_agrees_with_itself(database: Path) -> None:
    assert await verified(database) == Verified("doc", KEYS + 1, 2, 1, KEYS + 1, None)


DIFFERENCES = {
    "an entry is missing": ("delete from updates where entry_offset = 300", 300),
    "an update is damaged": ("update updates set update_bytes = x'0000' where entry_offset = 300", 300),
    "an operation says something else": ("""update content_operations set content = '"y"' where entry_offset = 300""", 300),
    "an operation is missing": ("delete from content_operations where entry_offset = 300", 300),
    "an operation stands elsewhere": (
        """update content_operations set position = '["body",3]' where entry_offset = 300""",
        300,
    ),
    "other structs are written down": (
        "update updates set ranges = (select ranges from updates where entry_offset = 299) where entry_offset = 300",
        300,
    ),
    "the head is further": ("update documents set head_offset = head_offset + 1", KEYS + 2),
    "the checkpoint is of another log": ("update checkpoints set entry_id = '01a227b5-9532-7000-8b2f-a5a30ac38c3f'", None),
}


@pytest.mark.rule("VF2")
@pytest.mark.parametrize("what", DIFFERENCES)
async def test_the_first_offset_that_differs_is_told(database: Path, what: str) -> None:
    statement, offset = DIFFERENCES[what]
    if offset is None:
        offset = int(str(value(database, "select entry_offset from checkpoints")))
    tamper(database, statement)
    found = await verified(database)
    assert found.difference is not None
    assert found.difference.offset == offset, found.difference
    assert ("of another log" in found.difference.reason) == ("of another log" in what)


@pytest.mark.rule("VF2")
async def test_a_checkpoint_that_shows_something_else(database: Path) -> None:
    state = zlib.compress(LogDocument.empty().encode())
    tamper(database, "update checkpoints set state = ?, checksum = ?, size = ?", state, zlib.crc32(state), len(state))
    found = await verified(database)
    assert found.difference is not None
    assert (found.difference.offset, "checkpoint" in found.difference.reason) == (
        value(database, "select entry_offset from checkpoints"),
        True,
    )


@pytest.mark.rule("VF1")
@pytest.mark.parametrize("damage", ["checksum = checksum + 1", "state = x'00', checksum = 3523407757"])
async def test_a_checkpoint_that_is_damaged(database: Path, damage: str) -> None:
    """Opening the document does without it, and says so in the log alone."""
    tamper(database, f"update checkpoints set {damage}")
    found = await verified(database)
    assert found.difference is not None
    assert found.difference.offset == value(database, "select entry_offset from checkpoints")
    assert found.difference.reason.startswith("the checkpoint here is damaged: it")


@pytest.mark.rule("VF2")
async def test_operations_are_told_as_the_api_tells_them(database: Path) -> None:
    """The first that is another one, cut off."""
    # At a key, where a text of any length counts as one: an entry says how much its operations insert.
    values = '["body","key"]', f'"{"y" * 5000}"'
    tamper(database, "update content_operations set position = ?, content = ? where entry_offset = 300", *values)
    found = (await verified(database)).difference
    assert found is not None
    told, derived = re.fullmatch(r"its operation 1 is (.+)…, and its update makes (.+)", found.reason).groups()  # type: ignore[union-attr]
    index = json.loads(derived)["position"][1]  # either of the two may come first
    beginning = '{"type": "insert", "position": ["body", "key"], "content": "'
    assert told == beginning + "y" * (200 - len(beginning))
    assert json.loads(derived) == {"type": "insert", "position": ["body", index], "content": "x"}
    tamper(database, "delete from content_operations where entry_offset = 300")
    found = (await verified(database)).difference
    assert found is not None
    assert found.reason.startswith("it cannot be read: The operations of document 'doc' at offset 300 are not those that were")


@pytest.mark.rule("VF2")
async def test_two_updates_that_are_swapped(database: Path) -> None:
    """Each is whole: only replaying shows that they do not follow on one another."""
    columns = "update_bytes, checksum, ranges"
    tamper(
        database,
        f"update updates set ({columns}) = (select {columns} from updates where entry_offset = 302) where entry_offset = 300",
    )
    found = await verified(database)
    assert found.difference is not None
    assert found.difference.offset == 300


async def test_a_document_that_is_not_there(database: Path) -> None:
    storage = await open_store(f"sqlite:///{database}")
    assert await verify(storage, "other") is None
    await storage.close()
