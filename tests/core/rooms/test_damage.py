"""Documents that cannot be read to their end."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from cowrite.brokers.local import LocalBroker
from cowrite.core.errors import DocumentDamaged
from cowrite.core.rooms.damage import Damage
from cowrite.crdt.errors import EngineFault
from cowrite.stores.memory import MemoryDatabase, memory_storage
from cowrite.testing.process import Process, quiet


async def write(database: MemoryDatabase, *words: str) -> None:
    async with Process(memory_storage(database), LocalBroker()) as server:
        ana = await server.join(user="ana")
        for word in words:
            ana.client.text.insert(0, word)
            await quiet(server)
        assert ana.client.saved


async def refusal(server: Process) -> DocumentDamaged:
    with pytest.raises(DocumentDamaged) as caught:
        await server.join(user="ben")
    return caught.value


@pytest.mark.rule("RE50", "ST18")
async def test_a_damaged_document_is_not_opened_and_it_is_said_how_far_it_can_be_read() -> None:
    """The log is told once; and once it is mended, it is opened."""
    database = MemoryDatabase()
    await write(database, "one ", "two ", "three ", "four ")
    database.damage_update("doc", 3)
    async with Process(memory_storage(database), LocalBroker()) as server:
        with capture_logs() as lines:
            for _ in range(3):
                damaged = await refusal(server)
        assert damaged.readable == 2
        assert damaged.reason.endswith("it can be read as it was at offset 2")
        assert [line["readable_at"] for line in lines if line["event"].startswith("document damaged")] == [2]
        assert "offset 3" in server.registry.damaged["doc"]
        database.damage_update("doc", 3)  # the same bit, turned back
        with capture_logs() as lines:
            assert str((await server.join(user="ben")).client.text) == ""
        assert [line["event"] for line in lines if "again" in line["event"]] == ["document can be read again"]
        assert not server.registry.damaged


@pytest.mark.rule("RE50")
@pytest.mark.parametrize(("offset", "forgotten"), [(1, 1), (3, 3)])
async def test_nothing_before_the_damage(offset: int, forgotten: int) -> None:
    database = MemoryDatabase()
    await write(database, "one ", "two ", "three ", "four ")
    database.forget_history("doc", forgotten)
    database.damage_update("doc", offset)
    async with Process(memory_storage(database), LocalBroker()) as server:
        assert (await refusal(server)).readable is None


@pytest.mark.rule("RE50")
async def test_where_it_is_damaged_is_not_known() -> None:
    """The engine breaks on what is stored."""
    damaged = await Damage(None).found("doc", EngineFault("it broke"))
    assert damaged.readable is None
    assert damaged.reason == "the document is damaged in the database and was left as it is"
