"""A room's people: what counts as doing something, who is told when, and what passes between processes."""

from __future__ import annotations

from itertools import count

import pytest

from core.presence.presence_tools import Town, look, session
from cowrite.core.limits import Limits
from cowrite.core.presence import announcements
from cowrite.core.presence.present import Activity
from cowrite.core.rooms.inspecting import inspect_from_peer
from cowrite.core.rooms.room import Room
from cowrite.protocol import yjs
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.hocuspocus import HocuspocusDialect, Stateless
from cowrite.protocol.messages import AwarenessUpdate
from cowrite.protocol.yjs import YjsDialect
from cowrite.testing.process import Process, quiet
from cowrite.testing.wire import FakeWire
from cowrite.testing.yjs_client import YjsClient


@pytest.mark.rule("PE6")
async def test_who_answers_that_there_is_nothing_new_does_nothing() -> None:
    """All who come in are asked for what they have, and answer: that is not editing."""
    town = Town()
    async with town.process() as server:
        ana = await server.join(user="ana")
        await town.step(1)
        ana.peer.active = False
        other = YjsClient()
        other.text += "x"
        for update, active in ((b"\0\0", False), (other.doc.get_update(), True), (b"\0\0", True)):
            outline = inspect_from_peer(update, everything=True, limits=Limits())
            server.room().receive(ana.peer, update, everything=True, outline=outline)
            assert ana.peer.active is active
        await quiet(server)
        assert ana.peer.acknowledgements.ended == ana.peer.acknowledgements.received == 4


@pytest.mark.rule("PE6")
async def test_who_types_or_moves_a_cursor_is_active_and_who_renews_is_not() -> None:
    town = Town()
    async with town.process() as server:
        ana = await server.join(user="ana")
        room, clocks = server.room(), count(1)

        def announce(state: str) -> None:
            room.announce(ana.peer, [AwarenessEntry(7, next(clocks), state)])

        async def renew(state: str) -> Activity:
            """As clients do, though their people do nothing."""
            for _ in range(5):
                announce(state)
                await town.step(15)
            return next(one.activity for one in room.presence.crowd)

        announce('{"cursor":1}')
        assert await renew('{"cursor":1}') is Activity.IDLE
        announce('{"cursor":2}')
        await town.step(1)
        assert [one.activity for one in room.presence.crowd] == [Activity.ACTIVE]
        assert await renew('{"cursor":2}') is Activity.IDLE
        ana.client.text += "x"
        await town.step(1)
        assert [one.activity for one in room.presence.crowd] == [Activity.ACTIVE]


SHARED = HocuspocusDialect("doc")


def hocuspocus(process: Process, room: Room) -> FakeWire:
    """The wire of one more peer."""
    wire = FakeWire()
    room.attach(session(process, "ana"), wire, SHARED, acknowledgements=None)
    wire.received.clear()
    return wire


@pytest.mark.rule("HP18")
async def test_a_stateless_message_reaches_all_that_understand_it_on_all_processes() -> None:
    town = Town(linked=True)
    async with town.process() as here, town.process() as there:
        rooms = [await look(here), await look(there)]
        near, far, also, slow = hocuspocus(here, rooms[0]), *(hocuspocus(there, rooms[1]) for _ in range(3))
        other = await there.join(user="ben")
        await town.step(1)
        before = len(other.incoming)
        slow.fill()
        rooms[0].people.relay("ping")
        expected = SHARED.encode(Stateless("ping"))
        assert [wire.received[-1] for wire in (near, far, also)] == [expected] * 3
        assert far.received[-1] is also.received[-1], "it is encoded once"
        assert expected not in slow.received
        assert len(other.incoming) == before


@pytest.mark.rule("AW21", "AW23")
async def test_the_peers_of_a_large_room_take_turns() -> None:
    """Half of a hundred peers at a time, each once in 200 ms, with the newest only."""
    town = Town()
    async with town.process() as server:
        room = await look(server)
        wires = [FakeWire() for _ in range(100)]
        peers = [
            room.attach(session(server, f"u{number}"), wire, YjsDialect(), acknowledgements=None)
            for number, wire in enumerate(wires)
        ]

        def states(wire: FakeWire) -> list[str | None]:
            messages = [yjs.decode(frame) for frame in wire.received]
            return [entry.state for one in messages if isinstance(one, AwarenessUpdate) for entry in one.entries]

        await town.step(1)
        for first in (1, 4):
            for clock in range(first, first + 3):
                room.announce(peers[0], [AwarenessEntry(7, clock, str(clock))])
            await quiet(server)
            told = [sum(str(first + 2) in states(wire) for wire in wires)]
            await town.step(0.2)
            told.append(sum(str(first + 2) in states(wire) for wire in wires))
            await town.step(1)
        assert told == [50, 100]
        assert {tuple(states(wire)) for wire in wires} == {("3", "6")}


@pytest.mark.rule("AW21")
async def test_a_large_room_is_told_no_more_than_so_many_bytes_in_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcements, "BYTES_PER_SECOND", 50_000)
    town = Town()
    async with town.process() as server:
        room = await look(server)
        wires = [FakeWire() for _ in range(50)]
        peers = [
            room.attach(session(server, f"u{number}"), wire, YjsDialect(), acknowledgements=None)
            for number, wire in enumerate(wires)
        ]
        await town.step(1)

        def told() -> int:
            return sum(len(frame) for wire in wires for frame in wire.received)

        before, size = told(), 0
        for clock in range(1, 51):
            room.announce(peers[0], [AwarenessEntry(7, clock, '"%s"' % ("x" * 1000))])
            await town.step(0.2)
            size = size or told() - before
        assert size > 50_000
        assert told() - before <= 10 * 50_000 + size
