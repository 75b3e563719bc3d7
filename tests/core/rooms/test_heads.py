"""The watch over the heads in the store."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Collection, Mapping

import pytest
from structlog.testing import capture_logs

from cowrite.brokers.local import LocalBroker, LocalHub
from cowrite.core.ports import News, StoreBusy, StoreUnavailable
from cowrite.core.records import Head
from cowrite.stores.memory import MemoryDatabase, MemoryStore, memory_storage
from cowrite.testing.process import Process, quiet


class Far(LocalBroker):
    """A broker that says that it reaches other processes, or should and does not."""

    works = True

    @property
    def reaches_others(self) -> bool:
        return self.works

    @property
    def degraded(self) -> bool:
        return not self.works


class Broken(Far):
    works = False


class Counting:
    """Counts how often heads are asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        heads = MemoryStore.heads

        async def counted(store: MemoryStore, ids: Collection[str]) -> Mapping[str, Head]:
            self.calls += 1
            return await heads(store, ids)

        monkeypatch.setattr(MemoryStore, "heads", counted)


def process(database: MemoryDatabase, kind: type[LocalBroker] = LocalBroker, *, alone: bool = True) -> Process:
    return Process(memory_storage(database), kind(), alone=alone)


async def step(server: Process, seconds: float) -> None:
    for _ in range(round(seconds * 10)):
        server.clock.advance(0.1)  # type: ignore[attr-defined]
        await quiet(server)


@pytest.mark.rule("RE8")
@pytest.mark.parametrize(
    ("kind", "alone", "looks"),
    [
        (LocalBroker, True, 10),
        (LocalBroker, False, 40),
        (Far, True, 5),
        (Far, False, 5),
        (Broken, True, 40),
        (Broken, False, 40),
    ],
)
async def test_how_often_heads_are_compared(
    monkeypatch: pytest.MonkeyPatch, kind: type[LocalBroker], alone: bool, looks: int
) -> None:
    async with process(MemoryDatabase(), kind, alone=alone) as server:
        await server.join(user="ana")
        await quiet(server)
        counting = Counting(monkeypatch)
        for _ in range(200):  # a twentieth of a second each
            server.clock.advance(0.05)  # type: ignore[attr-defined]
            await quiet(server)
        assert counting.calls == looks


@pytest.mark.rule("RE8")
async def test_heads_that_cannot_be_read_are_told_once() -> None:
    """And once that they can be again; where there is no document nothing was read."""
    database = MemoryDatabase()
    async with process(database) as server:
        await server.join(user="ana")
        await quiet(server)
        with capture_logs() as logs:
            for unavailable in (True, False):
                database.unavailable = unavailable
                await step(server, 4)
    told = [(line["log_level"], line["event"]) for line in logs if line["event"].startswith("heads")]
    assert told == [
        ("warning", "heads not read; they are read again until it works"),
        ("info", "heads can be read again"),
    ]


@pytest.mark.rule("RE9")
async def test_an_empty_document_whose_log_was_replaced_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the database was restored from a backup that was made before the document's row."""
    database = MemoryDatabase()
    async with process(database) as server:
        database.fail_next("commit", StoreBusy("the lock was not had"))
        async with process(database) as zero:
            # Leaves a row at offset 0 behind.
            lost = await zero.join(user="lost")
            lost.client.text.insert(0, "lost")
            await quiet(zero)
        reader = await server.join(user="reader")
        await quiet(server)
        assert server.room().replicas.head.epoch != ""
        assert server.room().replicas.head.offset == 0
        database.tables.documents.clear()
        async with process(database) as one:
            ana = await one.join(user="ana")
            ana.client.text.insert(0, "new")
            await quiet(one)
            assert ana.client.saved
        counting = Counting(monkeypatch)
        server.clock.advance(1.1)  # type: ignore[attr-defined]
        for _ in range(2000):
            await asyncio.sleep(0)
        assert counting.calls < 5
        await step(server, 1)
        assert reader.closed is not None
        assert reader.closed[0] == 4506
        again = await server.join(client=reader.client, user="reader")
        await quiet(server)
        assert str(again.client.text) == "new"


@pytest.mark.rule("JO29")
@pytest.mark.parametrize("obstacle", ["failed", "locked"])
async def test_the_look_under_the_lock_is_had_in_the_end(obstacle: str) -> None:
    """Nothing of the document is pending, so that nothing else brings it there."""
    database = MemoryDatabase()
    async with process(database) as one, process(database) as two:
        ana, ben = await one.join(user="ana"), await two.join(user="ben")
        await quiet(one, two)
        for word in ("a", "b"):
            ana.client.text.insert(0, word)
            await quiet(one)
        await two.heads.look([two.room()])
        head = two.room().replicas.head
        two.room().replicas.head = Head(head.epoch, head.offset, "an entry that is not in the log")
        if obstacle == "failed":
            database.fail_next("commit", StoreUnavailable("away"), times=2)
            two.room().look_under_lock()
            await step(two, 3)
        else:
            other = MemoryStore(database).writing(["doc"])
            await other.__aenter__()
            two.room().look_under_lock()
            await step(two, 0.3)
            assert ben.closed is None
            assert two.room().needs_commit
            await other.__aexit__(None, None, None)
            await step(two, 1)
        assert ben.closed is not None
        assert ben.closed[0] == 4506
        assert not two.room().needs_commit


@pytest.mark.rule("RE6")
async def test_entries_that_cannot_be_read_are_looked_at_under_the_lock() -> None:
    """One damaged document does not keep another from its news."""
    database = MemoryDatabase()
    async with process(database) as one, process(database) as two:
        rooms = []
        for name in ("damaged", "well"):
            ana = await one.join(name, user="ana")
            await two.join(name, user="ben")
            await quiet(one, two)
            ana.client.text.insert(0, "news")
            await quiet(one)
            rooms.append(two.room(name))
        database.damage_update("damaged", 1)
        await two.heads.look(rooms)
        assert rooms[1].replicas.head.offset == 1
        await step(two, 1)
        damaged, well = (next(c for c in two.connections if c.peer.session.document_id == name) for name in ("damaged", "well"))
        assert damaged.closed is not None
        assert damaged.closed[0] == 4503
        assert well.closed is None


@pytest.mark.rule("RE6")
async def test_a_room_that_has_moved_while_its_entries_were_read() -> None:
    database = MemoryDatabase()
    async with process(database) as one, process(database) as two:
        ana, ben = await one.join(user="ana"), await two.join(user="ben")
        await quiet(one, two)
        ana.client.text.insert(0, "news")
        await quiet(one)
        reading = database.hold_next("entries")
        look = asyncio.ensure_future(two.heads.look([two.room()]))
        await reading.reached.wait()
        entries = await MemoryStore(database).entries("doc", start=1, limit=9)
        two.room().learn(News("doc", one.room().replicas.head.epoch, 1, tuple(entries)))
        reading.release()
        await look
        await quiet(two)
        assert str(ben.client.text) == "news"


@pytest.mark.rule("RE30")
@pytest.mark.parametrize("lost", [1, 2])
async def test_a_log_that_went_back_and_on_again(lost: int) -> None:
    """An older copy of the database goes on with other entries, of which another process hears before it looks at the heads."""
    database, hub = MemoryDatabase(), LocalHub()
    async with Process(memory_storage(database), LocalBroker(hub)) as here:
        viewer = await here.join(user="viewer")
        async with Process(memory_storage(database), LocalBroker(hub)) as there:
            ana = await there.join(user="ana")
            await quiet(here, there)
            for number in range(3):
                if number == 3 - lost:
                    older = copy.deepcopy(database.tables)
                ana.client.text += str(number)
                await quiet(here, there)
        assert str(viewer.client.text) == "012"
        database.tables = older
        async with Process(memory_storage(database), LocalBroker(hub)) as there:
            ben = await there.join(user="ben")
            await quiet(here, there)
            for letter in "XY":
                ben.client.text += letter
                await quiet(here, there)
            assert viewer.closed is not None, "it shows what is lost"
            cem = await here.join(user="cem")
            await quiet(here, there)
            cem.client.text += "!"
            await quiet(here, there)
            there.heads.behind(there.room())
            await quiet(here, there)
            dan = await there.join(user="dan")
            await quiet(here, there)
            assert str(dan.client.text) == str(cem.client.text) == "012"[: 3 - lost] + "XY!"


@pytest.mark.rule("RE30")
@pytest.mark.parametrize("more", [0, 1, 2])
async def test_a_log_that_went_back_is_found_by_the_look_at_the_heads(more: int) -> None:
    """A standby that took over without the last entry, and has gone on by so many: nobody here hears of it."""
    database = MemoryDatabase()
    async with process(database) as here:
        viewer = await here.join(user="viewer")
        for number in range(3):
            if number == 2:
                older = copy.deepcopy(database.tables)
            viewer.client.text += str(number)
            await quiet(here)
        database.tables = older
        async with process(database) as there:
            ana = await there.join(user="ana")
            await quiet(there)
            for letter in "XY"[:more]:
                ana.client.text += letter
                await quiet(there)
            await here.heads.look([here.room()])
            await quiet(here)
            assert viewer.closed is not None, "it shows what is lost"
            assert viewer.closed[0] == 4506
            ben = await here.join(user="ben")
            await quiet(here)
            assert str(ben.client.text) == "01" + "XY"[:more]


@pytest.mark.rule("RE6")
async def test_a_room_that_moves_while_heads_are_asked_for_is_looked_at_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the store said of its head is old then, and says nothing about the room as it is now."""
    database = MemoryDatabase()
    async with process(database) as one, process(database) as two:
        ana = await one.join(user="ana")
        await two.join(user="ben")
        await quiet(one, two)
        ana.client.text.insert(0, "news")
        await quiet(one)
        (entry,) = await MemoryStore(database).entries("doc", start=1, limit=9)
        asking = database.hold_next("heads")
        look = asyncio.ensure_future(two.heads.look([two.room()]))
        await asking.reached.wait()
        two.room().learn(News("doc", one.room().replicas.head.epoch, 1, (entry,)))
        calls: list[object] = []
        monkeypatch.setattr(MemoryStore, "entries", lambda *arguments, **_: calls.append(arguments))
        asking.release()
        await look
        assert calls == []
        assert two.room().replicas.head.offset == 1
