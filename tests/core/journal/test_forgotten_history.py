"""Rooms that are open while the history of their document is forgotten."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.journal.journal_tools import log_of, process, saved, step, text_of
from cowrite.core.ports import Storage
from cowrite.core.records import Checkpoint
from cowrite.crdt.guard import inspect
from cowrite.crdt.log_document import LogDocument
from cowrite.stores.memory import MemoryDatabase, memory_storage


async def forget(storage: Storage, offset: int) -> None:
    """Forget what happened up to that offset."""
    entries = await storage.store.entries("doc", start=1, limit=1000)
    document = LogDocument.empty()
    for entry in entries[:offset]:
        document.commit([entry.update], [inspect(entry.update)])
    checkpoint = Checkpoint(offset, entries[offset - 1].id, document.encode(), document.roots)
    assert await storage.erasure.forget("doc", checkpoint)


@pytest.mark.rule("HS23")
@pytest.mark.parametrize("until", [2, 3])
async def test_rooms_at_the_head_go_on(until: int) -> None:
    """Everything before the last entry, or with it, is forgotten while people type, on another process too."""
    database = MemoryDatabase()
    async with process(database) as one, process(database) as two:
        ana, ben = await one.join(user="ana"), await two.join(user="ben")
        for word in ("one ", "two ", "three "):
            ana.client.text.insert(len(str(ana.client.text)), word)
            await step(one, 1)
        await step(two, 2)
        epoch = one.room().replicas.head.epoch
        offset = one.room().replicas.head.offset
        assert two.room().replicas.head.offset == offset == 3
        await forget(memory_storage(database), until)
        ana.client.text.insert(0, "a ")
        await step(one, 1)
        ben.client.text.insert(0, "b ")
        await step(two, 2)
        await step(one, 2)
        assert ana.closed is ben.closed is None
        assert saved(ana)
        assert saved(ben)
        assert str(ana.client.text) == str(ben.client.text) == await text_of(database)
        assert one.room().replicas.head.epoch == epoch
    assert [entry.offset for entry in await log_of(database)] == [3, 4, 5][until - 2 :]


@pytest.mark.rule("HS23")
async def test_what_was_forgotten_is_another_log() -> None:
    """The store went back to an older copy, and that was written to before its history was forgotten."""
    database = MemoryDatabase()
    async with process(database) as one, process(database) as two:
        ana, ben = await one.join(user="ana"), await two.join(user="ben")
        ana.client.text.insert(0, "one ")
        await step(one, 1)
        await step(two, 2)
        epoch = one.room().replicas.head.epoch
        await forget(memory_storage(database), 1)
        ben.client.text.insert(0, "two ")
        await step(two, 1)
        document = database.tables.documents["doc"]
        document.checkpoints = [(replace(packed, entry_id="another"), size) for packed, size in document.checkpoints]
        ana.client.text.insert(0, "mine ")
        await step(one, 2)
        assert ana.closed is not None
        assert ana.closed[0] == 4506
        assert one.room().replicas.head.epoch != epoch


@pytest.mark.rule("HS23")
async def test_a_room_that_is_behind_is_loaded_anew() -> None:
    """What another process committed was forgotten before this one has seen it: nothing is lost, and the log is the same."""
    database = MemoryDatabase()
    async with process(database) as one, process(database) as two:
        ana, ben = await one.join(user="ana"), await two.join(user="ben")
        ana.client.text.insert(0, "one ")
        await step(one, 1)
        await step(two, 2)
        epoch = one.room().replicas.head.epoch
        for word in ("two ", "three "):
            ben.client.text.insert(len(str(ben.client.text)), word)
            await step(two, 1)
        assert one.room().replicas.head.offset == 1
        await forget(memory_storage(database), 2)
        ana.client.text.insert(0, "mine ")
        await step(one, 2)
        assert ana.closed is not None
        assert ana.closed[0] == 4505
        back = await one.join(client=ana.client, user="ana")
        await step(one, 2)
        assert saved(back)
        assert str(back.client.text) == await text_of(database) == "mine one two three "
        assert one.room().replicas.head.epoch == epoch
    assert [entry.offset for entry in await log_of(database)] == [3, 4]
    assert database.quarantined() == ()
