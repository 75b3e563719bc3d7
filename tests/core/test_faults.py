"""Rare faults, most of them put in by hand: each hurts nobody but who caused it, and loses nothing in silence."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from core.fault_tools import GONE, on_disk, process, step
from cowrite.brokers.local import LocalBroker, LocalHub
from cowrite.core.errors import RoomClosed
from cowrite.core.limits import Limits
from cowrite.core.ports import News
from cowrite.core.records import Entry
from cowrite.core.rooms.inspecting import inspect_from_peer
from cowrite.crdt.document import Document
from cowrite.crdt.errors import EngineFault
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.outline import Outline
from cowrite.protocol import yjs
from cowrite.protocol.messages import AwarenessUpdate, QueryAwareness, SyncStep1, SyncStep2, Update
from cowrite.stores.memory import MemoryDatabase, MemoryStore, memory_storage
from cowrite.testing.process import Process, quiet
from cowrite.testing.yjs_client import YjsClient


class Hub(LocalBroker):
    """A broker that says that it reaches other processes."""

    @property
    def reaches_others(self) -> bool:
        return True


def frames_of(*words: str, client: YjsClient | None = None) -> list[bytes]:
    """The Update frames of a client that types these words."""
    client = client if client is not None else YjsClient()
    frames: list[bytes] = []
    client.connect(frames.append)
    for word in words:
        client.text.insert(len(client.text), word)
    client.disconnect()
    return frames[1:]


@pytest.mark.rule("RO11")
@pytest.mark.parametrize("fault", ["the log is gone", "the pending ones break it, too"])
async def test_a_live_document_that_cannot_be_mended_is_made_again(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    admit, integrate = Document.admit, Document._integrate_untold

    def break_admit(self: Document, update: bytes, outline: Outline) -> bytes | None:
        if b"poison" in update:
            self._fault = "put in by hand"
            raise EngineFault("the engine panicked")
        return admit(self, update, outline)

    def break_making(self: Document, updates: Sequence[bytes]) -> None:
        if not isinstance(self, LogDocument) and patched and any(b"frail" in update for update in updates):
            raise EngineFault("the engine panicked")
        integrate(self, updates)

    database = MemoryDatabase()
    patched: list[bool] = []
    async with process(database) as server:
        ana, ben = await server.join(user="ana"), await server.join(user="ben")
        await quiet(server)
        database.fail_next("commit", GONE)
        ben.client.text.insert(0, "frail")
        await quiet(server)
        if fault != "the log is gone":
            server.room().replicas.log = LogDocument.empty()
        monkeypatch.setattr(Document, "admit", break_admit)
        monkeypatch.setattr(Document, "_integrate_untold", break_making)
        patched.append(True)
        ana.client.text.insert(0, "poison")
        if fault != "the log is gone":
            assert ben.closed is None
            eve = await server.join(user="eve")
            await quiet(server)
            assert str(eve.client.text) == "frail", "what live rests on is shown"
            ben.client.text.insert(0, "very ")
        patched.clear()
        assert ana.closed is not None
        assert ben.closed is not None
        assert ben.closed[0] == 4505
        with pytest.raises(RoomClosed):
            await server.join(user="eve")
        await step(server, 3)
        again = await server.join(client=ben.client, user="ben")
        await step(server, 1)
        assert again.client.saved
    assert await on_disk(database) == ("frail" if fault == "the log is gone" else "very frail")


@pytest.mark.rule("RO11")
async def test_a_live_document_that_breaks_together_with_the_log_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_admit(self: Document, update: bytes, outline: Outline) -> bytes | None:
        raise EngineFault("the engine panicked")

    database = MemoryDatabase()
    async with process(database) as server:
        ana, eve = await server.join(user="ana"), await server.join(user="eve")
        ana.client.text.insert(0, "kept")
        await quiet(server)
        room = server.room()
        log = room.replicas.log
        assert log is not None
        log._encoded, log._fault = None, "put in by hand"
        with monkeypatch.context() as patched:
            patched.setattr(Document, "admit", break_admit)
            eve.client.text.insert(0, "poison")
        assert room.replicas.live is None
        with pytest.raises(RoomClosed):
            room.synchronise(ana.peer, b"\0")
        await step(server, 1)
        again = await server.join(client=ana.client, user="ana")
        await quiet(server)
        assert str(again.client.text) == "kept"


@pytest.mark.rule("RO10")
async def test_what_is_put_where_nothing_can_be_is_refused() -> None:
    """An update that only the document can judge: its parent is a character, not a shared type."""
    database = MemoryDatabase()
    async with process(database) as server:
        ana, ben = await server.join(client=YjsClient(7), user="ana"), await server.join(user="ben")
        ana.client.text.insert(0, "x")
        await quiet(server)
        # One client (9) with one struct at clock 0: a string "y" whose parent is the item (7, 0).
        ben.send(yjs.encode(Update(b"\x01\x01\x09\x00\x04\x00\x07\x00\x01y\x00")))
        assert ben.closed is not None
        assert ben.closed[0] == 4422
        await quiet(server)
        assert ana.closed is None


@pytest.mark.rule("RO5")
async def test_what_was_inspected_elsewhere_is_not_inspected_again() -> None:
    """Large updates are inspected in a thread; what comes of it is the same."""
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        (frame,) = frames_of("hello")
        update = yjs.decode(frame)
        assert isinstance(update, Update)
        outline = inspect_from_peer(update.update, everything=False, limits=Limits())
        server.room().receive(ana.peer, update.update, everything=False, outline=outline)
        await quiet(server)
        assert str(ana.client.text) == ""
    assert await on_disk(database) == "hello"


@pytest.mark.rule("RO9")
async def test_a_held_update_that_turns_out_to_contradict_closes_its_sender() -> None:
    database = MemoryDatabase()
    one, two = YjsClient(7), YjsClient(7)
    first, second = frames_of("aa", "bb", client=one)
    _, forged = frames_of("aa", "cc", client=two)
    async with process(database) as server:
        ana, eve = await server.join(user="ana"), await server.join(user="eve")
        await quiet(server)
        eve.reading = False
        eve.send(forged)
        ana.send(first)
        ana.send(second)
        await step(server, 1)
        assert eve.closed is not None
        assert eve.closed[0] == 4409
        assert ana.closed is None
    assert await on_disk(database) == "aabb"


@pytest.mark.rule("RO7")
async def test_a_sync_step_2_of_which_nothing_can_be_taken() -> None:
    database = MemoryDatabase()
    _, second = frames_of("first ", "second")
    update = yjs.decode(second)
    assert isinstance(update, Update)
    async with process(database) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        ana.send(yjs.encode(SyncStep2(update.update)))
        ana.client.sent += 1
        await quiet(server)
        assert ana.closed is None
        assert not ana.client.saved


@pytest.mark.rule("RO8")
async def test_whoever_asks_is_told_who_is_here() -> None:
    async with process(MemoryDatabase()) as server:
        ana, ben = await server.join(user="ana"), await server.join(user="ben")
        ana.client.point('{"name":"ana"}')
        await quiet(server)
        ben.reading = False
        ben.send(yjs.encode(QueryAwareness()))
        (answer,) = [yjs.decode(frame) for frame in ben.incoming]
        assert isinstance(answer, AwarenessUpdate)
        assert [entry.state for entry in answer.entries] == ['{"name":"ana"}']


@pytest.mark.rule("RO15")
async def test_who_comes_back_with_an_old_clock_is_told_so() -> None:
    """Its client then announces itself again with a higher clock, and is seen at once."""
    async with process(MemoryDatabase()) as server:
        ana = await server.join(user="ana")
        ana.client.point('{"name":"ana"}')
        await quiet(server)
        ana.lose(clean=True)
        await quiet(server)
        again = await server.join(client=ana.client, user="ana")
        await quiet(server)
        again.reading = False
        ana.client._clock -= 1
        ana.client.point('{"name":"ana"}')
        (told,) = [message for frame in again.incoming if isinstance(message := yjs.decode(frame), AwarenessUpdate)]
        assert [(entry.client_id, entry.clock, entry.state) for entry in told.entries] == [(ana.client.client_id, 1, None)]


@pytest.mark.rule("RO13")
async def test_a_blocked_peer_that_asks_gets_one_diff_and_the_newest_of_the_rest() -> None:
    async with process(MemoryDatabase()) as server:
        slow, ana = await server.join(user="slow"), await server.join(user="ana")
        await quiet(server)
        slow.reading = False
        ana.client.text.insert(0, "x" * 70_000)
        await quiet(server)
        slow.client.text.insert(0, "mine")
        slow.send(yjs.encode(SyncStep1(slow.client.doc.get_state())))
        slow.send(yjs.encode(SyncStep1(slow.client.doc.get_state())))
        for n in range(3):
            ana.client.point(f'{{"n":{n}}}')
            await quiet(server)
        before = len(slow.incoming)
        slow.reading = True
        slow.read()
        names = [type(yjs.decode(frame)).__name__ for frame in slow.incoming]
        assert before == 1
        assert sorted(names) == ["Acknowledged", "AwarenessUpdate", "SyncStep2"]
        await quiet(server)
        slow.reading = False
        ana.client.text.insert(0, "y" * 70_000)
        slow.client.text.insert(0, "more")
        await quiet(server)
        slow.reading = True
        slow.read()
        assert [type(yjs.decode(frame)).__name__ for frame in slow.incoming] == ["Acknowledged"]
        await quiet(server)
        assert str(slow.client.text) == str(ana.client.text)
        assert slow.client.saved


@pytest.mark.rule("RO1")
async def test_flush_does_not_wait_for_the_window() -> None:
    database = MemoryDatabase()
    async with Process(memory_storage(database), LocalBroker(), shortest_window=0.1) as server:
        ana, ben = await server.join(user="ana"), await server.join(user="ben")
        await quiet(server)
        ana.client.text.insert(0, "one")
        await quiet(server)
        ana.client.text.insert(3, " two")
        await quiet(server)
        assert str(ben.client.text) == "one"
        server.room().flush()
        await quiet(server)
        assert str(ben.client.text) == "one two"
        await server.journal.drained()
        assert ana.client.saved


@pytest.mark.rule("JO18")
async def test_a_log_whose_entries_do_not_fit_together_is_not_opened() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        for word in ("one", "two"):
            ana.client.text.insert(0, word)
            await quiet(server)
    document = database.tables.documents["doc"]
    first, second = (row.entry for row in document.rows)
    document.rows[0], document.rows[1] = (
        type(row)(type(entry)(entry.id, entry.group, n + 1, entry.author, 0, entry.update, entry.ranges), (), row.checksum, 0)
        for n, (row, entry) in enumerate([(document.rows[1], second), (document.rows[0], first)])
    )
    async with process(database) as server:
        with pytest.raises(RoomClosed):
            await server.join(user="ana")


@pytest.mark.rule("JO19")
async def test_news_that_breaks_the_engine_makes_the_room_start_again(monkeypatch: pytest.MonkeyPatch) -> None:
    database, hub = MemoryDatabase(), LocalHub()
    commit = LogDocument.commit

    def break_(self: LogDocument, updates: Sequence[bytes], outlines: Sequence[Outline]) -> object:
        if broken:
            raise EngineFault("the engine panicked")
        return commit(self, updates, outlines)

    broken: list[bool] = []
    monkeypatch.setattr(LogDocument, "commit", break_)
    async with process(database, hub) as one, process(database, hub) as two:
        ana, ben = await one.join(user="ana"), await two.join(user="ben")
        await quiet(one, two)
        ana.client.text.insert(0, "a")
        await quiet(one)
        (entry,) = await MemoryStore(database).entries("doc", start=1, limit=1)
        broken.append(True)
        two.room().replicas.head = type(two.room().replicas.head)(one.room().replicas.head.epoch, 0, "")
        two.room().learn(News("doc", one.room().replicas.head.epoch, 1, (entry,)))
        broken.clear()
        assert ben.closed is not None
        assert ben.closed[0] == 4505
        await step(two, 2)
        again = await two.join(user="ben")
        await quiet(two)
        assert str(again.client.text) == "a"


@pytest.mark.rule("RE6")
async def test_news_without_its_entries_and_news_after_a_gap_are_read_from_the_store() -> None:
    database = MemoryDatabase()
    async with process(database) as one, Process(memory_storage(database), Hub()) as two:
        ana, ben = await one.join(user="ana"), await two.join(user="ben")
        await quiet(one, two)
        for word in "ab":
            ana.client.text.insert(0, word)
            await quiet(one)
        epoch = one.room().replicas.head.epoch
        entries: Sequence[Entry] = await MemoryStore(database).entries("doc", start=1, limit=9)
        two.room().learn(News("doc", epoch, 2, tuple(entries[1:])))
        await quiet(two)
        assert str(ben.client.text) == "ba"
        ana.client.text.insert(0, "c")
        await quiet(one)
        two.room().learn(News("doc", epoch, 3, ()))
        await quiet(two)
        assert str(ben.client.text) == "cba"
        two.room().learn(News("doc", epoch, 2, tuple(entries)))
        assert two.room().replicas.head.offset == 3


@pytest.mark.rule("RE3")
async def test_an_opener_that_only_looks_leaves_a_room_that_goes() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        async with server.registry.open("doc") as room:
            assert room.idle
        async with server.registry.open("doc"), server.registry.open("doc") as again:
            assert again is room
            server.clock.advance(31)  # type: ignore[attr-defined]
            assert len(server.registry) == 1
        server.clock.advance(31)  # type: ignore[attr-defined]
        assert len(server.registry) == 0
        server.registry.forget(room)


@pytest.mark.rule("RE1")
async def test_closing_while_a_document_loads() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        database.hold_next("load")
        joining = asyncio.ensure_future(server.join(user="ana"))
        await quiet(server)
        await server.registry.close()
        with pytest.raises(asyncio.CancelledError):
            await joining
