"""Documents that are deleted while they are open."""

from __future__ import annotations

import asyncio

import pytest

from cowrite.brokers.local import LocalBroker
from cowrite.core.ports import StoreUnavailable
from cowrite.core.records import AccessChange
from cowrite.core.rooms.deletion import NO_SESSION, Deletion
from cowrite.stores.memory import MemoryDatabase, memory_storage
from cowrite.testing.process import Connection, Process, quiet

NEWS = AccessChange("0", "root", 0, "doc", session_id=NO_SESSION, restores=True)


def deletion(process: Process, database: MemoryDatabase) -> Deletion:
    storage = memory_storage(database)
    return Deletion(storage.directory, storage.erasure, process.registry, process.clock, process.ids)


async def written(process: Process) -> Connection:
    ana = await process.join(user="ana")
    ana.client.text.insert(0, "x")
    await quiet(process)
    assert ana.client.saved
    return ana


@pytest.mark.rule("HT46")
async def test_open_here() -> None:
    """Whoever is in the room is sent away when the document is deleted, and the room is gone."""
    database = MemoryDatabase()
    async with Process(memory_storage(database), LocalBroker()) as process:
        await written(process)
        here = deletion(process, database)
        assert await here.delete("doc", "root")
        assert process.registry.get("doc") is None
        assert not await here.delete("doc", "root")
        assert await here.undelete("doc", "root")
        assert not await here.undelete("doc", "root")
        assert not await here.delete("other", "root")


@pytest.mark.rule("HT46")
async def test_deleted_elsewhere() -> None:
    """News of a deletion closes the room; other news, and news of what is not open, does nothing."""
    database = MemoryDatabase()
    async with Process(memory_storage(database), LocalBroker()) as process:
        await written(process)
        await process.join("never written", user="ben")
        here = deletion(process, database)
        for change in (
            AccessChange("1", "root", 0, "doc"),
            AccessChange("1", "root", 0, "never written", session_id=NO_SESSION, restores=True),
            AccessChange("2", "root", 0, "closed", session_id=NO_SESSION, restores=True),
            AccessChange("3", "root", 0, None, session_id=NO_SESSION),
            NEWS,
        ):
            here.heard(change)
        await quiet(process)
        assert process.registry.get("doc") is not None
        await memory_storage(database).directory.delete("doc", NEWS)
        database.fail_next("info", StoreUnavailable("not now"))
        here.heard(NEWS)
        await quiet(process)
        assert process.registry.get("doc") is not None
        here.heard(NEWS)
        await quiet(process)
        assert process.registry.get("doc") is None


@pytest.mark.rule("HT46")
async def test_closed_meanwhile() -> None:
    """A room that goes while the directory is asked is not looked for again."""
    database = MemoryDatabase()
    async with Process(memory_storage(database), LocalBroker()) as process:
        await written(process)
        here = deletion(process, database)
        await memory_storage(database).directory.delete("doc", NEWS)
        room = process.registry.get("doc")
        assert room is not None
        here.heard(NEWS)
        room.delete()
        await asyncio.sleep(0)
        await quiet(process)
        assert process.registry.get("doc") is None


@pytest.mark.rule("HT46")
@pytest.mark.parametrize("elsewhere", [False, True])
async def test_deleted_while_it_is_opened(elsewhere: bool) -> None:
    """It was looked at before the deletion, and is loaded after it."""
    database = MemoryDatabase()
    async with Process(memory_storage(database), LocalBroker()) as process:
        ana = await written(process)
        ana.lose(clean=True)
        process.clock.advance(process.limits.eviction_seconds + 1)  # type: ignore[attr-defined] # turned by hand
        assert process.registry.get("doc") is None
        here = deletion(process, database)
        hold = database.hold_next("load")

        async def opening() -> None:
            async with process.registry.open("doc"):
                pass

        task = asyncio.create_task(opening())
        await quiet(process)
        assert process.registry.get("doc") is None
        assert process.registry.is_known("doc")
        if elsewhere:
            await memory_storage(database).directory.delete("doc", NEWS)
            here.heard(NEWS)
        else:
            deleting = asyncio.create_task(here.delete("doc", "root"))
            await quiet(process)
        hold.release()
        await asyncio.wait([task])
        await quiet(process)
        assert elsewhere or await deleting
        assert process.registry.get("doc") is None


@pytest.mark.rule("RE50", "HT46")
async def test_a_damaged_document_that_is_deleted_counts_no_more() -> None:
    """Where it is open, and in another process that has only met it."""
    database = MemoryDatabase()
    async with Process(memory_storage(database), LocalBroker()) as process:
        ana = await written(process)
        ana.client.text.insert(0, "y")
        await quiet(process)
    database.damage_update("doc", 2)
    async with (
        Process(memory_storage(database), LocalBroker()) as here,
        Process(memory_storage(database), LocalBroker()) as there,
    ):
        ana, ben = await here.join(user="ana"), await there.join(user="ben")
        ben.lose()
        there.registry.forget(there.room())
        assert here.registry.damaged.keys() == there.registry.damaged.keys() == {"doc"}
        deletion(there, database).heard(NEWS)
        await quiet(there)
        assert there.registry.damaged, "it is not deleted"
        assert await deletion(here, database).delete("doc", "root")
        assert ana.closed is not None
        assert ana.closed[0] == 4410
        deletion(there, database).heard(NEWS)
        await quiet(there)
        assert not here.registry.damaged
        assert not there.registry.damaged
