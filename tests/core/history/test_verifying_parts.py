"""What ``verify`` compares, one by one, in a database in memory."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pycrdt import Doc, Text

from cowrite.brokers.local import LocalBroker
from cowrite.core.history.verifying import Verified, verify
from cowrite.core.records import Checkpoint, DocumentInfo
from cowrite.crdt.roots import RootKind
from cowrite.stores.encoding import pack_checkpoint
from cowrite.stores.memory import MemoryDatabase, memory_storage
from cowrite.testing.process import Process
from cowrite.testing.yjs_writer import block, text, write_update


@pytest.fixture
async def database() -> MemoryDatabase:
    """A document of three entries, and a checkpoint at the second."""
    database = MemoryDatabase()
    async with Process(memory_storage(database), LocalBroker()) as server:
        ana = await server.join(user="ana")
        for index, letter in enumerate("abc"):
            ana.client.text.insert(index, letter)
            await server.quiet()
    await keep(database, 2, state(database, 2), {"body": RootKind.TEXT})
    return database


def state(database: MemoryDatabase, offset: int) -> bytes:
    document: Doc[Any] = Doc()
    for row in database.tables.documents["doc"].rows[:offset]:
        document.apply_update(row.entry.update)
    return document.get_update()


async def keep(database: MemoryDatabase, offset: int, state: bytes, roots: dict[str, RootKind]) -> None:
    document = database.tables.documents["doc"]
    row = document.rows[offset - 1]
    packed = pack_checkpoint(Checkpoint(offset, row.entry.id, state, roots))
    document.checkpoints = [(packed, row.log_bytes)]


def update(database: MemoryDatabase, offset: int, update: bytes) -> None:
    rows = database.tables.documents["doc"].rows
    row = rows[offset - 1]
    rows[offset - 1] = replace(row, entry=replace(row.entry, update=update), checksum=zlib.crc32(update))


async def verified(database: MemoryDatabase) -> Verified:
    found = await verify(memory_storage(database), "doc")
    assert found is not None
    return found


@pytest.mark.rule("VF1")
async def test_all_agrees(database: MemoryDatabase) -> None:
    assert await verified(database) == Verified("doc", 3, 2, 1, 3, None)
    await keep(database, 1, state(database, 1), {"body": RootKind.TEXT})
    assert await verified(database) == Verified("doc", 3, 2, 1, 3, None)


@pytest.mark.rule("VF1")
async def test_what_was_forgotten_is_where_it_begins(database: MemoryDatabase) -> None:
    document = database.tables.documents["doc"]
    document.rows, document.first_offset = document.rows[2:], 3
    assert await verified(database) == Verified("doc", 1, 1, 3, 3, None)


@pytest.mark.rule("VF2")
async def test_a_damaged_entry_behind_what_was_forgotten(database: MemoryDatabase) -> None:
    """What was forgotten is there as it was; it is the entry that cannot be read."""
    document = database.tables.documents["doc"]
    await keep(database, 1, state(database, 1), {"body": RootKind.TEXT})
    document.rows, document.first_offset = document.rows[1:], 2
    document.rows[1] = replace(document.rows[1], checksum=0)
    found = await verified(database)
    assert found.difference is not None
    assert (found.entries, found.difference.offset) == (1, 3)
    assert found.difference.reason.startswith("it cannot be read")


def _far(database: MemoryDatabase) -> None:
    update(database, 3, write_update([block(77, 5, text("z", origin=(77, 4)))]))


def _nothing_new(database: MemoryDatabase) -> None:
    update(database, 3, database.tables.documents["doc"].rows[1].entry.update)


def _hostile(database: MemoryDatabase) -> None:
    update(database, 3, b"\xff")


@pytest.mark.rule("VF2")
@pytest.mark.parametrize(
    ("tamper", "reason"),
    [
        (_far, "it builds on clock 4 of Yjs client 77"),
        (_nothing_new, "its update brings nothing new"),
        (_hostile, "its update cannot be applied"),
    ],
)
async def test_an_entry_that_does_not_fit(
    database: MemoryDatabase, tamper: Callable[[MemoryDatabase], None], reason: str
) -> None:
    tamper(database)
    found = (await verified(database)).difference
    assert found is not None
    assert (found.offset, found.reason[: len(reason)]) == (3, reason)


def _more(database: MemoryDatabase) -> bytes:
    return state(database, 3)


def _less_deleted(database: MemoryDatabase) -> bytes:
    document: Doc[Any] = Doc()
    document.apply_update(state(database, 2))
    del document.get("body", type=Text)[0]
    return document.get_update()


@pytest.mark.rule("VF2")
@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (_more, "the checkpoint here holds other structs"),
        (_less_deleted, "the checkpoint here holds other deletions"),
        (lambda database: b"\xff", "the checkpoint here cannot be read"),
    ],
)
async def test_a_checkpoint_that_differs(
    database: MemoryDatabase, made: Callable[[MemoryDatabase], bytes], reason: str
) -> None:
    await keep(database, 2, made(database), {"body": RootKind.TEXT})
    found = (await verified(database)).difference
    assert found is not None
    assert (found.offset, found.reason[: len(reason)]) == (2, reason)


@pytest.mark.rule("VF2")
async def test_a_checkpoint_with_other_roots(database: MemoryDatabase) -> None:
    await keep(database, 2, state(database, 2), {"body": RootKind.ARRAY})
    found = (await verified(database)).difference
    assert found is not None
    assert found.offset == 2
    assert "has the roots" in found.reason


@pytest.mark.rule("VF2")
async def test_a_checkpoint_that_says_something_else_of_the_same_clocks(database: MemoryDatabase) -> None:
    client = database.tables.documents["doc"].rows[0].entry.ranges[0].client
    other: Doc[Any] = Doc(client_id=client)
    other.get("body", type=Text).insert(0, "xy")
    await keep(database, 2, other.get_update(), {"body": RootKind.TEXT})
    found = (await verified(database)).difference
    assert found is not None
    assert (found.offset, found.reason) == (2, "the checkpoint here shows something else than the log up to here")


@pytest.mark.rule("VF2")
@pytest.mark.parametrize("made", [None, b"\xff"])
async def test_the_beginning_that_is_not_there(database: MemoryDatabase, made: bytes | None) -> None:
    if made is not None:
        await keep(database, 2, made, {"body": RootKind.TEXT})
    document = database.tables.documents["doc"]
    document.rows, document.first_offset = document.rows[2:], 3
    if made is None:
        document.checkpoints = []
    found = (await verified(database)).difference
    assert found is not None
    assert (found.offset, "what was forgotten" in found.reason) == (2, True)


@pytest.mark.rule("VF2")
async def test_a_document_that_is_purged_meanwhile(database: MemoryDatabase) -> None:
    storage = memory_storage(database)
    info = await storage.directory.info("doc")
    assert info is not None

    async def earlier(document_id: str) -> DocumentInfo:
        return replace(info, head=replace(info.head, offset=5))

    storage.directory.info = earlier  # type: ignore[method-assign]
    found = await verify(storage, "doc")
    assert found is not None
    assert found.difference is not None
    assert (found.difference.offset, found.difference.reason[:13]) == (4, "the log ends ")


@pytest.mark.rule("VF2")
async def test_an_operation_that_is_not_there(database: MemoryDatabase) -> None:
    """Not every store tells it by itself; ST63 is of those that keep rows."""
    rows = database.tables.documents["doc"].rows
    rows[2] = replace(rows[2], operations=())
    found = (await verified(database)).difference
    assert found is not None
    assert found.offset == 3
    assert found.reason.startswith('its operation 1 is not there, and its update makes {"type": "insert"')
