"""What goes wrong between the journal and the store."""

from __future__ import annotations

import asyncio

import pytest

from core.fault_tools import GONE, on_disk, process, step
from cowrite.core.ports import StoreBusy, StoreError, StoreRefused
from cowrite.core.rooms.replicas import Replicas
from cowrite.protocol.close_codes import CloseCode
from cowrite.stores.memory import MemoryDatabase, MemoryStore
from cowrite.testing.process import quiet


@pytest.mark.rule("JO8")
async def test_what_not_even_quarantine_takes_does_not_stop_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    database = MemoryDatabase()
    database.refuse = lambda _, entry: b"poison" in entry.update
    async with process(database) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        database.fail_next("quarantine", StoreRefused("too large"))
        ana.client.text.insert(0, "poison")
        await step(server, 2)
        ben = await server.join(user="ben")
        ben.client.text.insert(0, "fine")
        await step(server, 1)
        assert ben.client.saved
    assert await on_disk(database) == "fine"


@pytest.mark.rule("JO9")
async def test_what_builds_on_nothing_in_the_log_is_set_aside() -> None:
    """It cannot come so far by itself: what it built on was taken out behind the journal's back."""
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        begin = database.hold_next("begin")
        ana.client.text.insert(0, "one")
        await quiet(server)
        ana.client.text.insert(3, "two")
        server.room().pending.drop(next(iter(server.room().pending)))
        begin.release()
        await step(server, 2)
        assert [one.author for one in database.quarantined()] == ["ana"]
    assert await on_disk(database) == ""


@pytest.mark.rule("JO11")
@pytest.mark.parametrize("error", [None, GONE])
async def test_a_lone_commit_that_fails_is_tried_again(error: StoreError | None) -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        async with MemoryStore(database).writing(["doc"]):
            ana.client.text.insert(0, "late")
            await step(server, 0.2)
            if error is not None:
                database.fail_next("begin", error)
            await step(server, 0.5)
            assert not ana.client.saved
        await asyncio.sleep(0.1)
        await step(server, 5)
        assert ana.client.saved


@pytest.mark.rule("JO11")
@pytest.mark.parametrize("error", [StoreBusy("locked"), GONE])
async def test_a_lone_commit_that_fails_gives_everything_back(error: StoreError) -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        ana.client.text.insert(0, "late")
        database.fail_next("begin", error)
        await server.journal._commit_alone(server.room())
        await step(server, 1)
        assert ana.client.saved


@pytest.mark.rule("JO8")
async def test_a_store_that_refuses_nothing_in_particular_is_tried_again() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        await server.join(user="ana")
        await quiet(server)
        room = server.room()
        database.fail_next("begin", StoreRefused("for no reason"), times=2)
        room.rebuild(CloseCode.DOCUMENT_REBUILT, "a test")
        await quiet(server)
        assert server.journal.failing_documents == {"doc": "for no reason"}
        await step(server, 3)
        assert room.replicas.live is not None
        assert not server.journal.failing_documents


@pytest.mark.rule("JO17")
async def test_a_checkpoint_that_cannot_be_saved_is_made_later() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        database.fail_next("save_checkpoint", GONE)
        ana.client.text.insert(0, "1" * 70_000)
        await step(server, 0.2)
        saving = database.hold_next("save_checkpoint")
        ana.client.text.insert(0, "2" * 70_000)
        await step(server, 0.2)
        assert ana.client.saved, "nothing waits for checkpoints"
        closing = asyncio.ensure_future(server.journal.close())
        await quiet(server)
        assert not closing.done()
        saving.release()
        await closing
        await server._tasks[0]
        assert list(database.checkpoints("doc")) == [2]


@pytest.mark.rule("JO6")
async def test_the_journal_survives_what_nobody_thought_of(monkeypatch: pytest.MonkeyPatch) -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        derive = Replicas.derive
        monkeypatch.setattr(Replicas, "derive", lambda *_: 1 / 0)
        ana.client.text.insert(0, "edit")
        await quiet(server)
        assert server.journal.failing_documents == {"doc": "division by zero"}
        monkeypatch.setattr(Replicas, "derive", derive)
        await step(server, 3)
        assert ana.client.saved


@pytest.mark.rule("RE6")
async def test_a_long_absence_is_read_in_parts_and_without_a_log_too() -> None:
    database = MemoryDatabase()
    async with process(database) as one, process(database) as two:
        ana, ben = await one.join(user="ana"), await two.join(user="ben")
        await quiet(one, two)
        for n in range(510):
            ana.client.text.insert(0, f"{n % 10}")
            for _ in range(12):
                one.clock.advance(0)  # type: ignore[attr-defined]
                await asyncio.sleep(0)
        await quiet(one)
        assert one.room().replicas.head.offset == 510
        two.room().replicas.abandon()
        await two.heads.look([two.room()])
        await quiet(two)
        assert str(ben.client.text) == str(ana.client.text)


@pytest.mark.rule("JO15")
async def test_heads_that_do_not_fit_are_looked_at_under_the_lock() -> None:
    database = MemoryDatabase()
    async with process(database) as one, process(database) as two:
        ana, ben = await one.join(user="ana"), await two.join(user="ben")
        await quiet(one, two)
        ana.client.text.insert(0, "a")
        await quiet(one)
        await two.heads.look([two.room()])
        ana.client.text.insert(0, "b")
        await quiet(one)
        head = two.room().replicas.head
        two.room().replicas.head = type(head)(head.epoch, head.offset, "an entry that is not in the log")
        await two.heads.look([two.room()])
        await step(two, 1)
        assert ben.closed is not None
        assert ben.closed[0] == 4506


@pytest.mark.rule("RE6")
async def test_heads_that_cannot_be_read_are_looked_at_again() -> None:
    database = MemoryDatabase()
    async with process(database) as one, process(database) as two:
        ana, ben = await one.join(user="ana"), await two.join(user="ben")
        await quiet(one, two)
        ana.client.text.insert(0, "a")
        await quiet(one)
        database.fail_next("heads", GONE)
        two.clock.advance(1.1)  # type: ignore[attr-defined]
        await quiet(two)
        assert str(ben.client.text) == ""
        two.clock.advance(1.1)  # type: ignore[attr-defined]
        await quiet(two)
        assert str(ben.client.text) == "a"
