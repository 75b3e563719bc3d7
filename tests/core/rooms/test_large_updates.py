"""Updates of many structs, taken in slices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from pycrdt import Text

from core.rooms.large_updates_tools import STRUCTS, embeds, receive, state, turn
from cowrite.brokers.local import LocalBroker
from cowrite.core.errors import PeerError, RoomClosed
from cowrite.core.imports.work import SLICE_PARTS
from cowrite.core.ports import Grant, StoreUnavailable
from cowrite.core.rooms.large_updates import is_large
from cowrite.core.rooms.received import Received
from cowrite.crdt.guard import inspect
from cowrite.protocol import yjs
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.messages import Update
from cowrite.stores.memory import MemoryDatabase, MemoryStore, memory_storage
from cowrite.testing.clock import ManualClock
from cowrite.testing.process import Process, quiet
from cowrite.testing.yjs_writer import block, embed, skip, text, write_update


def after_slices(server: Process, monkeypatch: pytest.MonkeyPatch, count: int, action: Callable[[], object]) -> None:
    """Do something when so many slices were taken."""
    large = server.room().large
    wake, taken = large._wake, list[int]()

    def woken() -> None:
        wake()
        taken.append(1)
        if len(taken) == count:
            action()

    monkeypatch.setattr(large, "_wake", woken)


@pytest.fixture
def database() -> MemoryDatabase:
    return MemoryDatabase()


@pytest.fixture
async def server(database: MemoryDatabase) -> AsyncIterator[Process]:
    async with Process(memory_storage(database), LocalBroker()) as process:
        yield process


def test_what_is_large() -> None:
    assert not is_large(inspect(embeds(SLICE_PARTS)))
    assert is_large(inspect(embeds(SLICE_PARTS + 1)))
    deletes = write_update([], {1: [(2 * n, 1) for n in range(SLICE_PARTS + 1)]})
    assert is_large(inspect(deletes))


@pytest.mark.rule("RO23")
async def test_others_are_served_between_its_slices(server: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody sees the part that is there, and what others type meanwhile is taken; it is acknowledged as a whole."""
    eve, ana, ben = await server.join(user="eve"), await server.join(user="ana"), await server.join(user="ben")
    await quiet(server)
    seen: list[tuple[int, int]] = []

    def type_something() -> None:
        ana.client.text.insert(0, "meanwhile")
        seen.append((state(server), eve.peer.acknowledgements.count))

    known = eve.peer.acknowledgements.count
    after_slices(server, monkeypatch, 2, type_something)
    assert await receive(server, eve, embeds(STRUCTS)) == 0
    assert seen == [(2 * SLICE_PARTS, known)]
    await quiet(server)
    assert eve.peer.acknowledgements.count == known + 1
    assert ben.client.doc.get_state() == ana.client.doc.get_state()
    assert str(ben.client.text) == "meanwhile"
    assert state(server) == STRUCTS


@pytest.mark.rule("RO23")
async def test_it_is_acknowledged_when_all_of_it_is_stored(server: Process, database: MemoryDatabase) -> None:
    eve = await server.join(user="eve")
    await quiet(server)
    known = eve.peer.acknowledgements.count
    database.fail_next("commit", StoreUnavailable("away"), times=2)
    await receive(server, eve, embeds(STRUCTS))
    await quiet(server)
    assert eve.peer.acknowledgements.count == known
    await turn(server, until=lambda: eve.peer.acknowledgements.count > known)
    entries = await MemoryStore(database).entries("doc", start=1, limit=100)
    assert [(one.ranges[0].start, one.ranges[0].end) for one in entries] == [(0, 1000), (1000, 2000), (2000, 3000)]


@pytest.mark.rule("RO23")
async def test_a_repeat_and_deletions(server: Process) -> None:
    """What is there already is relayed to nobody and acknowledged; deletions are cut, too."""
    eve, ana = await server.join(user="eve"), await server.join(user="ana")
    await quiet(server)
    await receive(server, eve, embeds(STRUCTS))
    await quiet(server)
    known, head = eve.peer.acknowledgements.count, server.room().replicas.head
    ana.reading = False
    await receive(server, eve, embeds(STRUCTS))
    await quiet(server)
    assert not ana.incoming
    assert eve.peer.acknowledgements.count == known + 1
    assert server.room().replicas.head == head
    await receive(server, eve, write_update([], {1: [(2 * n, 1) for n in range(STRUCTS // 2)]}))
    await quiet(server)
    ana.reading = True
    await quiet(server)
    assert server.room().replicas.head.offset == head.offset + 2
    assert len(ana.client.doc.get("t", type=Text)) == STRUCTS // 2


@pytest.mark.rule("RO23")
async def test_nothing_but_holes(server: Process) -> None:
    eve = await server.join(user="eve")
    await quiet(server)
    known = eve.peer.acknowledgements.count
    await receive(server, eve, write_update([block(1, 0, *[skip(1)] * (SLICE_PARTS + 1))]))
    assert eve.peer.acknowledgements.count == known + 1


@pytest.mark.rule("RO7")
async def test_what_of_it_can_be_taken(server: Process) -> None:
    """Of a SyncStep2 that builds on something missing the rest is taken, without an acknowledgement."""
    eve = await server.join(user="eve")
    await quiet(server)
    known = eve.peer.acknowledgements.count
    unready = block(2, 5, text("x", origin=(2, 4)))
    ready = block(1, 0, embed(1, root="t"), *[embed(1, origin=(1, n)) for n in range(STRUCTS - 1)])
    await receive(server, eve, write_update([unready, ready]))
    await quiet(server)
    assert (state(server), state(server, 2)) == (STRUCTS, 0)
    await receive(server, eve, embeds(STRUCTS, client=3, start=7))
    await quiet(server)
    assert state(server, 3) == 0
    assert eve.peer.acknowledgements.count == known


@pytest.mark.rule("RO5")
async def test_a_large_update_that_has_to_wait(server: Process) -> None:
    eve = await server.join(user="eve")
    await quiet(server)
    await receive(server, eve, embeds(STRUCTS, start=1), everything=False)
    assert state(server) == 0
    assert eve.peer.held
    eve.send(yjs.encode(Update(embeds(1))))
    await quiet(server)
    assert state(server) == STRUCTS + 1
    assert not eve.peer.held


@pytest.mark.rule("RO9")
async def test_other_content_is_found_before_anything_is_taken(server: Process) -> None:
    eve = await server.join(user="eve")
    await quiet(server)
    eve.send(yjs.encode(Update(write_update([block(1, 0, text("abc", root="t"))]))))
    eve.send(yjs.encode(Update(write_update([block(2, 0, text("abc", root="t"))]))))
    own = block(9, 0, embed(1, root="t"), *[embed(1, origin=(9, n)) for n in range(STRUCTS)])
    with pytest.raises(PeerError) as refused:
        await receive(server, eve, write_update([own, block(1, 0, text("abX", root="t"))]))
    assert refused.value.code == CloseCode.CONTRADICTING_CONTENT
    assert state(server, 9) == 0
    await receive(server, eve, write_update([own, block(1, 0, text("abc", root="t"))]))
    assert state(server, 9) == STRUCTS + 1


@pytest.mark.rule("RO9")
async def test_other_content_that_comes_meanwhile(server: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two contents for one (client, clock) the first one stays; what was taken of the other's sender stays, too."""
    eve, ana = await server.join(user="eve"), await server.join(user="eve")
    await quiet(server)
    other = write_update([block(1, SLICE_PARTS, text("other", origin=(1, 0)))])
    after_slices(server, monkeypatch, 1, lambda: ana.send(yjs.encode(Update(other))))
    with pytest.raises(PeerError) as refused:
        await receive(server, eve, embeds(STRUCTS))
    assert refused.value.code == CloseCode.CONTRADICTING_CONTENT
    assert state(server) == SLICE_PARTS + len("other")
    assert ana.closed is None


@pytest.mark.rule("RO23")
async def test_what_a_slice_builds_on_may_be_gone(server: Process) -> None:
    """Then its sender comes back and syncs."""
    eve = await server.join(user="eve")
    await quiet(server)
    update = embeds(10, start=5)
    with pytest.raises(PeerError) as refused:
        server.room()._intake.take_slice(Received(update, inspect(update), eve.peer, 0, everything=True), {})
    assert refused.value.code == CloseCode.MISSING_DEPENDENCIES


@pytest.mark.rule("RO23")
async def test_its_sender_leaves(server: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is dropped; who left before it began brings nothing."""
    eve, ana = await server.join(user="eve"), await server.join(user="ana")
    await quiet(server)
    after_slices(server, monkeypatch, 1, lambda: server.room().detach(eve.peer, clean=True))
    await receive(server, eve, embeds(STRUCTS))
    assert state(server) == SLICE_PARTS
    await receive(server, eve, embeds(STRUCTS))
    assert state(server) == SLICE_PARTS
    await quiet(server)
    assert ana.client.doc.get_state() != b"\0"


@pytest.mark.rule("RO8")
async def test_its_senders_grant_ends(server: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    eve = await server.join(user="eve")
    await quiet(server)
    known = eve.peer.acknowledgements.count

    def revoke() -> None:
        eve.peer.session.grant = Grant.READ

    after_slices(server, monkeypatch, 1, revoke)
    await receive(server, eve, embeds(STRUCTS))
    assert state(server) == SLICE_PARTS
    assert (eve.peer.acknowledgements.count, eve.peer.refused) == (known, 1)
    await receive(server, eve, embeds(STRUCTS))
    assert eve.peer.refused == 2


@pytest.mark.rule("RO23")
async def test_the_room_is_rebuilt_meanwhile(server: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    eve = await server.join(user="eve")
    await quiet(server)

    def begin_rebuilding() -> None:
        server.room().replicas.live = None

    after_slices(server, monkeypatch, 1, begin_rebuilding)
    with pytest.raises(RoomClosed):
        await receive(server, eve, embeds(STRUCTS))


@pytest.mark.rule("RO23")
async def test_one_at_a_time(server: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    eve, ana = await server.join(user="eve"), await server.join(user="ana")
    await quiet(server)
    seen: list[tuple[int, int]] = []
    take = server.room()._intake.take_slice

    def watch(*arguments: object) -> None:
        take(*arguments)  # type: ignore[arg-type]
        seen.append((state(server, 1), state(server, 2)))

    monkeypatch.setattr(server.room()._intake, "take_slice", watch)
    await asyncio.gather(receive(server, eve, embeds(STRUCTS)), receive(server, ana, embeds(STRUCTS, client=2)))
    assert seen == [*((n * SLICE_PARTS, 0) for n in (1, 2, 3)), *((STRUCTS, n * SLICE_PARTS) for n in (1, 2, 3))]


@pytest.mark.rule("RO20")
async def test_dear_slices_are_charged(server: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """What such an update always costs is not charged, what it costs beyond that is."""
    eve = await server.join(user="eve")
    await quiet(server)
    assert isinstance(server.clock, ManualClock)
    clock = server.clock
    after_slices(server, monkeypatch, 2, lambda: clock.advance(10))
    assert await receive(server, eve, embeds(STRUCTS)) == pytest.approx(10 - STRUCTS * 50e-6)
