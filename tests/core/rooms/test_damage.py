"""Documents that cannot be read to their end: read as far as they can be, and left as they are."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from core.fault_tools import on_disk, process
from core.operations.thin_client import ThinClient, writer_of
from cowrite.brokers.local import LocalHub
from cowrite.core.damaged import Damaged
from cowrite.core.delivery.peer import Peer
from cowrite.core.errors import DocumentDamaged
from cowrite.core.operations.reading import DocumentReader, Operations
from cowrite.core.operations.state import State
from cowrite.core.operations.submissions import SubmissionRefused
from cowrite.core.operations.writing import WriteRequest, enqueue
from cowrite.core.ports import Grant, HistoryForgotten, News, StoreCorrupt, StoreUnavailable
from cowrite.core.records import Checkpoint, StoredDocument
from cowrite.core.rooms.damage import Damage
from cowrite.core.rooms.damaged_room import LOOK_SECONDS, DamagedRoom
from cowrite.core.rooms.room import Room
from cowrite.crdt.errors import EngineFault
from cowrite.protocol.messages import Message, PermissionDenied
from cowrite.stores.memory import MemoryDatabase, MemoryStore
from cowrite.testing.process import Connection, Process, quiet

WORDS = "one ", "two ", "three ", "four "


async def write(database: MemoryDatabase, *words: str) -> None:
    async with process(database) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        for word in words:
            ana.client.text += word
            await quiet(server)
        assert ana.client.saved


async def damaged(offset: int = 3) -> MemoryDatabase:
    """A document of four entries, of which one is not what was stored."""
    database = MemoryDatabase()
    await write(database, *WORDS)
    database.damage_update("doc", offset)
    return database


async def later(server: Process, seconds: float) -> None:
    """Time passes in one step."""
    server.clock.advance(seconds)  # type: ignore[attr-defined] # the clock of a Process is turned by hand
    await quiet(server)


def damaged_room(server: Process) -> DamagedRoom:
    room = server.room()
    assert isinstance(room, DamagedRoom)
    return room


def why(connection: Connection) -> int | None:
    return connection.closed[0] if connection.closed is not None else None


@pytest.mark.rule("RE50", "RE53", "ST18")
async def test_a_damaged_document_is_opened_as_far_as_it_can_be_read() -> None:
    """For all who come while it is opened; the log is told once; and once it is mended, it is opened as any other."""
    database = await damaged()
    async with process(database) as server:
        load = database.hold_next("load")
        with capture_logs() as lines:
            coming = [asyncio.ensure_future(server.join(user=name)) for name in ("ana", "ben", "cem")]
            await load.reached.wait()
            load.release()
            there = await asyncio.gather(*coming)
            await quiet(server)
            assert {str(one.client.text) for one in there} == {"one two "}
            assert damaged_room(server).damage == Damaged(2)
            for one in there:
                one.lose()
            await later(server, server.limits.eviction_seconds + 1)
            assert len(server.registry) == 0
            await server.join(user="ana")
        assert [line["readable_at"] for line in lines if line["event"].startswith("document damaged")] == [2]
        assert "offset 3" in server.registry.damaged["doc"]
        server.connections[-1].lose()
        await later(server, server.limits.eviction_seconds + 1)
        database.damage_update("doc", 3)  # the same bit, turned back
        with capture_logs() as lines:
            ben = await server.join(user="ben")
            await quiet(server)
        ben.client.text += "five "
        await quiet(server)
        assert ben.client.saved
        assert [line["event"] for line in lines if "again" in line["event"]] == ["document can be read again"]
        assert not server.registry.damaged
    assert await on_disk(database) == "one two three four five "


@pytest.mark.rule("RE50")
@pytest.mark.parametrize(("offset", "forgotten"), [(1, 1), (3, 3)])
async def test_nothing_before_the_damage(offset: int, forgotten: int) -> None:
    database = MemoryDatabase()
    await write(database, *WORDS)
    database.forget_history("doc", forgotten)
    database.damage_update("doc", offset)
    async with process(database) as server:
        for _ in range(2):
            with pytest.raises(DocumentDamaged, match="cannot be shown"):
                await server.join(user="ben")
        assert "doc" in server.registry.damaged


@pytest.mark.rule("RE50")
async def test_the_first_entry_behind_what_was_forgotten() -> None:
    """What forgetting has kept is what can be read."""
    database = MemoryDatabase()
    await write(database, *WORDS[:2])
    async with process(database) as server, server.registry.open("doc") as room:
        assert await server.storage.erasure.forget("doc", await checkpoint_of(room))
    await write(database, *WORDS[2:])
    database.damage_update("doc", 3)
    async with process(database) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        assert (str(ana.client.text), damaged_room(server).damage) == ("one two ", Damaged(2))
        for user, cursor in (("bot", None), ("late", await server.storage.history.last_operation("doc", until=2))):
            reader = ThinClient(user, head=cursor)
            await reader.read(server)
            assert (reader.model.state != {}) == (cursor is None)


class Past:
    """A history of which nothing is used but this."""

    def __init__(self, found: StoredDocument | Exception | None) -> None:
        self.found = found

    async def load_at(self, document_id: str, offset: int) -> StoredDocument | None:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


@pytest.mark.rule("RE50")
async def test_what_stands_before_the_damage_cannot_be_had_either() -> None:
    broken = StoreCorrupt("broken", offset=3)
    history: Any
    for error, history in (
        (EngineFault("it broke"), Past(None)),  # nobody knows where
        (StoreCorrupt("broken"), Past(None)),
        (broken, None),
        (broken, Past(None)),  # the log went back meanwhile
        (broken, Past(StoreCorrupt("that, too"))),
        (broken, Past(HistoryForgotten("doc", 3))),
    ):
        damage = Damage(history)
        with pytest.raises(DocumentDamaged):
            await damage.open("doc", error)
        assert damage.documents == {"doc": str(error)}
    away: Any = Past(StoreUnavailable("the database is away"))
    with pytest.raises(StoreUnavailable):
        await Damage(away).open("doc", broken)


@pytest.mark.rule("RE50")
async def test_a_checkpoint_behind_the_damage_makes_the_document_whole() -> None:
    """It is not even met: the document is opened as any other, and written. Of what happened before, the state is given."""
    database = MemoryDatabase()
    await write(database, *WORDS)
    await checkpoint(database)
    database.damage_update("doc", 2)
    async with process(database) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        ana.client.text += "five "
        await quiet(server)
        assert ana.client.saved
        assert not server.registry.damaged
    assert await on_disk(database) == "one two three four five "


async def checkpoint(database: MemoryDatabase) -> None:
    """Keep one of the whole log."""
    async with process(database) as server, server.registry.open("doc") as room:
        await keep_checkpoint(database, room)


async def keep_checkpoint(database: MemoryDatabase, room: Room) -> None:
    await MemoryStore(database).save_checkpoint("doc", await checkpoint_of(room))


async def checkpoint_of(room: Room) -> Checkpoint:
    committed = await room.committed()
    assert committed is not None
    return Checkpoint(committed.head.offset, committed.head.entry_id, committed.state, committed.roots)


@pytest.mark.rule("RE55")
async def test_operations_that_cannot_be_read_are_given_as_the_state() -> None:
    database = MemoryDatabase()
    await write(database, *WORDS)
    await checkpoint(database)
    database.damage_update("doc", 2)
    async with process(database) as server:
        await server.join(user="ana")
        reader, room = DocumentReader(server.storage), server.room()
        for cursor, lacks in ((None, None), (1, None), (3, 1)):
            last = None if cursor is None else await server.storage.history.last_operation("doc", until=cursor)
            found = await reader.since(room, last)
            if lacks is None:
                assert isinstance(found, State)
                assert "one two three four " in found.json.decode()
            else:
                assert isinstance(found, Operations)
                assert found.count == lacks


@pytest.mark.rule("RE51", "RE52", "RO8")
async def test_everybody_reads_and_nobody_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit is dropped as a reader's is, and the peer told why, once; all are seen; nothing in the database changes."""
    database = await damaged()
    before = copy.deepcopy(database.tables)
    told: list[str] = []
    send = Peer.send

    def keep(peer: Peer, message: Message) -> None:
        if isinstance(message, PermissionDenied):
            told.append(message.reason)
        send(peer, message)

    monkeypatch.setattr(Peer, "send", keep)  # to look at what is sent
    async with process(database) as server:
        ana, ben = await server.join(user="ana"), await server.join(user="ben", grant=Grant.READ)
        root = await server.join(user="root", grant=Grant.ADMIN)
        await quiet(server)
        assert ana.client.saved, "it had nothing new"
        for one in (ana, root):
            one.client.text += "lost?"
            one.client.text += "lost?"
            one.client.point('{"name":"somebody"}')
            await quiet(server)
            assert (one.peer.refused, one.closed, one.client.saved) == (2, None, False)
        assert str(ben.client.text) == "one two "
        assert set(ben.client.states) == {ana.client.client_id, root.client.client_id}
        assert told == [Damaged(2).told] * 2
        assert "cowrite export --at 2" in told[0]
        assert "cowrite verify" in told[0]
        # Somebody comes back who holds what is behind the damage, and more.
        cem = await server.join(user="cem", client=ana.client)
        await quiet(server)
        assert (cem.peer.refused, cem.closed) == (1, None)
        with pytest.raises(AssertionError):
            server.room().submit(submission=object())  # type: ignore[arg-type]
        await later(server, 30)
        assert not damaged_room(server).needs_commit
        assert (server.journal.groups, len(server.connections)) == (0, 4)
    assert database.tables == before


@pytest.mark.rule("RE51", "RE52")
async def test_operations_are_refused_and_read() -> None:
    """Whoever has read beyond the damage is given the state as it is shown."""
    database = await damaged()
    before = copy.deepcopy(database.tables)
    async with process(database) as server:
        bot, reader = ThinClient("bot"), DocumentReader(server.storage)
        await bot.read(server)
        assert bot.model.state["body"]["$text"] == [{"insert": "one two "}]
        request = WriteRequest([{"type": "insert", "position": ["body", 0], "content": "x"}], bot.head)
        with pytest.raises(SubmissionRefused) as refused:
            await writer_of(server).queue(bot.session, request)
        assert (refused.value.code, refused.value.readable, refused.value.retry) == ("document_damaged", 2, False)
        async with server.registry.open("doc") as room:
            waiting: Any = object()
            with pytest.raises(SubmissionRefused):
                enqueue(room, waiting, server.clock, server.limits)
            operations = await reader.operations(room, None)
            assert operations is not None
            assert (operations.count, operations.offset) == (2, 2)
            for until, count in ((1, 1), (2, 0), (3, None), (4, None)):
                cursor = await server.storage.history.last_operation("doc", until=until)
                found = await reader.since(room, cursor)
                assert found.offset == 2
                if count is None:
                    assert isinstance(found, State)
                    assert (found.head, "one two " in found.json.decode()) == (operations.head, True)
                else:
                    assert isinstance(found, Operations)
                    assert found.count == count
            info = await server.storage.directory.info("doc")
            assert info is not None
            for _ in range(2):
                assert (await reader.state(room, at_least=info.head)).offset == 2
    assert database.tables == before


@pytest.mark.rule("RE52", "RE53")
async def test_what_another_process_goes_on_to_write_is_not_applied() -> None:
    """It has the document in memory from before. Its next checkpoint makes the document whole, which is noticed."""
    database, hub = MemoryDatabase(), LocalHub()
    async with process(database, hub) as one, process(database, hub) as two:
        ana = await one.join(user="ana")
        for word in WORDS:
            ana.client.text += word
            await quiet(one)
        database.damage_update("doc", 3)
        viewer = await two.join(user="viewer")
        for word in ("five ", "six "):
            ana.client.text += word
            await quiet(one, two)
        assert ana.client.saved
        assert (str(viewer.client.text), damaged_room(two).replicas.head.offset) == ("one two ", 2)
        for _ in range(3):
            await later(two, LOOK_SECONDS)
        assert (viewer.closed, str(viewer.client.text)) == (None, "one two ")
        await keep_checkpoint(database, one.room())
        await later(two, LOOK_SECONDS + 2)
        assert why(viewer) == 4505
        again = await two.join(user="viewer", client=viewer.client)
        await quiet(two)
        again.client.text += "seven"
        await quiet(one, two)
        assert again.client.saved
        assert str(ana.client.text) == "one two three four five six seven"


@pytest.mark.rule("RE53")
async def test_an_open_room_notices_that_it_was_mended() -> None:
    """In its time; not while the database is away; and what another log says is looked at at once."""
    database = await damaged()
    async with process(database) as server:
        ana = await server.join(user="ana")
        database.damage_update("doc", 3)
        await later(server, LOOK_SECONDS / 2)
        database.fail_next("load", StoreUnavailable("away"), times=1)
        await later(server, LOOK_SECONDS)
        assert why(ana) is None
        await later(server, LOOK_SECONDS)
        assert why(ana) == 4505
        assert len(server.registry) == 0

        database.damage_update("doc", 3)
        ana = await server.join(user="ana", client=ana.client)
        room = damaged_room(server)
        room.learn(News("doc", "another epoch", 9, (), ""))
        await quiet(server)
        assert why(ana) is None, "it is not what the store says"
        document = database.tables.documents["doc"]
        database.damage_update("doc", 3)
        document.head = replace(document.head, epoch="another epoch")
        room.learn(News("doc", "another epoch", 9, (), ""))
        await quiet(server)
        assert why(ana) == 4505
        await server.registry.look_again(room)  # somebody was about to when it went
        ana = await server.join(user="ana", client=ana.client)
        await quiet(server)
        assert ana.client.saved
        assert server.room().damage is None


@pytest.mark.rule("RE54", "JO18")
async def test_damage_that_a_transaction_meets() -> None:
    """What waits is put aside; whoever comes back reads, and the same process writes nothing behind the damage."""
    database = MemoryDatabase()
    async with process(database) as one, process(database) as two:
        ana, ben = await one.join(user="ana"), await two.join(user="ben")
        await quiet(one, two)
        for word in WORDS:
            ana.client.text += word
            await quiet(one)
        database.damage_update("doc", 3)
        rows = copy.deepcopy(database.tables.documents)
        ben.client.text += "mine"
        await later(two, 1)
        assert why(ben) == 4503
        assert [one.author for one in database.quarantined()] == ["ben"]
        again, cem = await two.join(user="ben", client=ben.client), await two.join(user="cem")
        await later(two, 5)
        assert (again.closed, str(cem.client.text)) == (None, "one two ")
        assert damaged_room(two).damage == Damaged(2)
        assert not again.client.saved
        assert database.tables.documents == rows
        assert len(database.quarantined()) == 1
        ana.client.text += "five "  # has it in memory
        await quiet(one)
        assert ana.client.saved


@pytest.mark.rule("RE52")
async def test_a_damaged_room_that_breaks_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal never makes it again: who comes back opens it anew."""
    database = await damaged()
    before = copy.deepcopy(database.tables)
    async with process(database) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        room = damaged_room(server)
        room.look_under_lock()

        def breaks() -> bool:
            raise EngineFault("it broke")

        monkeypatch.setattr(room.replicas, "rest", breaks)
        for now in (0.0, 1000.0, 2000.0):
            room.tend(now)
        await quiet(server)
        assert (why(ana), room.needs_commit) == (4503, False)
        again = await server.join(user="ana", client=ana.client)
        await quiet(server)
        assert (again.closed, str(again.client.text), damaged_room(server) is room) == (None, "one two ", False)
    assert database.tables == before
