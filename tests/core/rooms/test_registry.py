"""Rooms open once, go when nobody needs them, and learn what they missed."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Sequence

import pytest

from cowrite.brokers.local import LocalBroker, LocalHub
from cowrite.core.errors import RoomClosed
from cowrite.core.ports import StoreUnavailable
from cowrite.core.records import AccessChange, Entry
from cowrite.core.rooms import making
from cowrite.core.rooms.registry import Registry
from cowrite.core.rooms.replicas import portions
from cowrite.crdt.document import Document
from cowrite.crdt.guard import outline_of_state
from cowrite.crdt.outline import Outline
from cowrite.protocol.close_codes import CloseCode
from cowrite.stores.memory import MemoryDatabase, MemoryStore, memory_storage
from cowrite.testing.process import Process, quiet


def process(database: MemoryDatabase, hub: LocalHub | None = None) -> Process:
    return Process(memory_storage(database), LocalBroker(hub))


async def write(database: MemoryDatabase, text: str) -> None:
    async with process(database) as server:
        ana = await server.join(user="ana")
        ana.client.text.insert(0, text)
        await quiet(server)
        assert ana.client.saved


@pytest.mark.rule("RE1")
async def test_a_document_is_loaded_once() -> None:
    database = MemoryDatabase()
    await write(database, "hello")
    async with process(database) as server:
        load = database.hold_next("load")
        database.fail_next("load", StoreUnavailable("a second load"))
        joins = [asyncio.ensure_future(server.join(user=f"u{n}")) for n in range(5)]
        await quiet(server)
        load.release()
        # The first load passed the hold before the failure was looked at, so a second one would have shown.
        results = await asyncio.gather(*joins, return_exceptions=True)
        assert len({type(result) for result in results}) == 1
        assert len(server.registry) in (0, 1)


@pytest.mark.rule("RE1")
async def test_an_opener_that_leaves_does_not_disturb_the_others() -> None:
    database = MemoryDatabase()
    await write(database, "hello")
    async with process(database) as server:
        load = database.hold_next("load")
        first, second = asyncio.ensure_future(server.join(user="a")), asyncio.ensure_future(server.join(user="b"))
        await quiet(server)
        first.cancel()
        await quiet(server)
        load.release()
        connection = await second
        await quiet(server)
        assert str(connection.client.text) == "hello"
        assert first.cancelled()


@pytest.mark.rule("RE2")
async def test_looking_at_an_unknown_document_writes_nothing() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join("new", user="ana")
        await quiet(server)
        assert ana.client.synced
        assert ana.client.saved
        assert await MemoryStore(database).load("new") is None


@pytest.mark.rule("RE3")
async def test_a_document_is_closed_after_the_grace() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        ana.lose(clean=True)
        server.clock.advance(29)  # type: ignore[attr-defined]
        assert len(server.registry) == 1
        server.clock.advance(2)  # type: ignore[attr-defined]
        assert len(server.registry) == 0


@pytest.mark.rule("RE3")
async def test_a_join_keeps_the_room() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        room = server.room()
        ana.lose(clean=True)
        server.clock.advance(20)  # type: ignore[attr-defined]
        await server.join(user="ben")
        server.clock.advance(60)  # type: ignore[attr-defined]
        assert server.room() is room


@pytest.mark.rule("RE3")
async def test_a_room_with_pending_updates_stays_until_they_are_on_disk() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        database.unavailable = True
        ana.client.text.insert(0, "unsaved")
        await quiet(server)
        ana.lose()
        for _ in range(100):
            server.clock.advance(1)  # type: ignore[attr-defined]
            await asyncio.sleep(0)
        assert len(server.registry) == 1
        database.unavailable = False
        for _ in range(100):
            server.clock.advance(1)  # type: ignore[attr-defined]
            for _ in range(20):
                await asyncio.sleep(0)
        assert len(server.registry) == 0
    async with process(database) as server:
        ben = await server.join(user="ben")
        await quiet(server)
        assert str(ben.client.text) == "unsaved"


@pytest.mark.rule("RE4")
async def test_a_document_that_does_not_load_is_not_opened() -> None:
    database = MemoryDatabase()
    await write(database, "hello")
    async with process(database) as server:
        database.unavailable = True
        with pytest.raises(RoomClosed) as closed:
            await server.join(user="ana")
        assert closed.value.code == 4503
        database.unavailable = False
        ana = await server.join(user="ana")
        await quiet(server)
        assert str(ana.client.text) == "hello"


@pytest.mark.rule("RE4")
async def test_a_damaged_document_is_left_as_it_is() -> None:
    database = MemoryDatabase()
    await write(database, "hello")
    database.damage_update("doc", 1)
    before = list(database.tables.documents["doc"].rows)
    async with process(database) as server:
        with pytest.raises(RoomClosed) as closed:
            await server.join(user="ana")
        assert closed.value.code == 4503
        assert database.tables.documents["doc"].rows == before


@pytest.mark.rule("RE5")
async def test_news_while_opening_is_not_missed() -> None:
    database, hub = MemoryDatabase(), LocalHub()
    async with process(database, hub) as one, process(database, hub) as two:
        ana = await one.join(user="ana")
        ana.client.text.insert(0, "a")
        await quiet(one)
        load = database.hold_next("load")
        joining = asyncio.ensure_future(two.join(user="ben"))
        await quiet(two)
        ana.client.text.insert(1, "b")
        await quiet(one)
        load.release()
        ben = await joining
        await quiet(one, two)
        assert str(ben.client.text) == "ab"
        assert two.room().replicas.head == one.room().replicas.head


@pytest.mark.rule("RE6")
async def test_the_look_at_the_heads_repairs_what_the_broker_lost() -> None:
    database = MemoryDatabase()
    async with process(database) as one, process(database) as two:
        ana, ben = await one.join(user="ana"), await two.join(user="ben")
        await quiet(one, two)
        for n in range(3):
            ana.client.text.insert(0, f"{n}")
            await quiet(one)
        assert str(ben.client.text) == ""
        await two.heads.look([two.room()])
        await quiet(two)
        assert str(ben.client.text) == "210"


@pytest.mark.rule("RE3")
async def test_a_document_whose_only_opener_left_while_it_was_loaded_goes() -> None:
    database = MemoryDatabase()
    await write(database, "hello")
    async with process(database) as server:
        load = database.hold_next("load")
        joining = asyncio.ensure_future(server.join(user="ana"))
        await quiet(server)
        joining.cancel()
        await quiet(server)
        load.release()
        await quiet(server)
        assert len(server.registry) == 1
        server.clock.advance(31)  # type: ignore[attr-defined]
        assert len(server.registry) == 0


# ---- large documents ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """In which threads documents are prepared for their first edit."""
    found: set[int] = set()
    prepare = Document.prepare

    def watched(self: Document) -> None:
        found.add(threading.get_ident())
        prepare(self)

    def watched_too(encoded: bytes) -> Outline:
        found.add(threading.get_ident())
        return outline_of_state(encoded)

    monkeypatch.setattr(Document, "prepare", watched)
    monkeypatch.setattr(making, "outline_of_state", watched_too)
    return found


async def until(condition: Callable[[], object], *servers: Process) -> None:
    """Let threads work."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)
            await quiet(*servers)


@pytest.mark.rule("RE20")
async def test_a_large_document_is_opened_beside_the_loop(threads: set[int]) -> None:
    """Its first edit finds everything made."""
    database = MemoryDatabase()
    await write(database, "x" * 100_000)
    async with process(database) as server:
        ana = await server.join(user="ana")
        await server.room().waking.over()
        assert threads
        assert threading.get_ident() not in threads
        live = server.room().replicas.live
        assert live is not None
        assert live._places is not None
        ana.client.text.insert(0, "y")
        await quiet(server)
        assert ana.client.saved
    gc.collect()


@pytest.mark.rule("RE20")
async def test_a_large_document_is_made_anew_beside_the_loop(threads: set[int]) -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        ana.client.text.insert(0, "x" * 100_000)
        await quiet(server)
        for _ in range(2):  # from entries, and from a checkpoint
            database.fail_next("commit", StoreUnavailable("away"))
            ana.client.text.insert(0, "y")
            await quiet(server)
            assert server.room().replicas.log is None
            server.clock.advance(1)  # type: ignore[attr-defined]
            await until(lambda: ana.client.saved, server)
            assert not threads
        server.room().rebuild(CloseCode.NEW_EPOCH, "for a test")
        await until(lambda: server.room().replicas.live is not None, server)
        assert threads
        assert threading.get_ident() not in threads
        back = await server.join(client=ana.client, user="ana")
        await quiet(server)
        assert back.client.saved
        assert str(back.client.text) == "yy" + "x" * 100_000
    gc.collect()


@pytest.mark.rule("RE20")
@pytest.mark.parametrize("under_lock", [False, True])
async def test_much_that_others_have_committed_is_learned_in_portions(
    under_lock: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = MemoryDatabase()
    async with process(database) as one, process(database) as two:
        ana, ben = await one.join(user="ana"), await two.join(user="ben")
        await quiet(one, two)
        for number in range(6):
            ana.client.text.insert(0, str(number) * 7000)
            await quiet(one)
        assert ana.client.saved
        portions: list[int] = []
        advance = two.room().advance

        def watched(entries: Sequence[Entry]) -> None:
            portions.append(len(entries))
            advance(entries)

        monkeypatch.setattr(two.room(), "advance", watched)
        if under_lock:
            ben.client.text.insert(0, "ben")
            await quiet(two)
            assert ben.client.saved
        else:
            two.clock.advance(2)  # type: ignore[attr-defined]
            await quiet(two)
        assert portions == [2, 2, 2]
        assert len(ben.client.text) == 42_000 + 3 * under_lock


def test_portions() -> None:
    assert list(portions(())) == []


@pytest.mark.rule("RE6")
async def test_news_that_somebody_knows_of_is_read_at_once() -> None:
    database = MemoryDatabase()
    async with process(database) as one, process(database) as two:
        ana, ben = await one.join(user="ana"), await two.join(user="ben")
        await quiet(one, two)
        ana.client.text.insert(0, "x")
        await quiet(one)
        two.room().look_for_news()
        await quiet(two)
        assert str(ben.client.text) == "x"


@pytest.mark.rule("HT46")
async def test_a_deleted_document_is_not_opened() -> None:
    database = MemoryDatabase()
    await write(database, "hello")
    storage = memory_storage(database)
    async with process(database) as server:
        registry = Registry(storage.store, LocalBroker(), server.registry._ports, storage.directory)
        async with registry.open("doc") as room:
            assert room.document_id == "doc"
        await registry.close()
        change = AccessChange("019b0000-0000-7000-8000-000000000000", "root", 0, "doc", restores=True)
        assert await storage.directory.delete("doc", change)
        with pytest.raises(RoomClosed, match="deleted") as closed:
            async with registry.open("doc"):
                pass
        assert closed.value.code == 4410
