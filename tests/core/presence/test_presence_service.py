"""Who is in a document, on all processes."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence

import pytest
from structlog.testing import capture_logs

from core.presence.presence_tools import Town, compare, look, session, shown
from cowrite.core.ports import PresenceError, PresenceNews, PresenceRecord
from cowrite.core.presence.present import Transport
from cowrite.presence.local import LocalPresenceHub
from cowrite.protocol.strict_json import Json
from cowrite.testing.process import quiet


@pytest.mark.rule("PE10")
@pytest.mark.parametrize(("linked", "first", "seconds"), [(True, 0.4, 0.4), (False, 7.4, 2.4)])
async def test_everybody_is_shown_on_all_processes(linked: bool, first: float, seconds: float) -> None:
    """Without a broker it takes longer, in particular until processes know of one another."""
    town = Town(linked=linked)
    async with town.process() as here, town.process() as there:
        room = await look(there)
        await there.join(user="ben")
        await town.step(6)
        ana = await here.join(user="ana")
        await town.step(first)
        assert shown(room) == {"ben": 1, "ana": 1}
        second = await here.join(user="ana")
        await town.step(seconds)
        assert shown(room) == {"ben": 1, "ana": 2}
        assert await there.presence.of("doc") == room.presence.persons
        ana.lose(clean=True)
        second.lose(clean=True)
        await town.step(seconds)
        assert shown(room) == {"ben": 1}


@pytest.mark.rule("PE10")
async def test_a_document_that_is_not_open_here() -> None:
    town = Town()
    async with town.process() as here, town.process() as there:
        await here.join(user="ana")
        await town.step(1)
        assert [one.user_id for one in await there.presence.of("doc")] == ["ana"]
        assert await there.presence.of("other") == []
        room = await look(there)
        await town.step(0.4)
        assert shown(room) == {"ana": 1}


@pytest.mark.rule("PE11")
@pytest.mark.parametrize("linked", [True, False])
async def test_the_people_of_a_killed_process_are_gone_within_30_s(linked: bool) -> None:
    town = Town(linked=linked)
    async with town.process() as here, town.process() as there:
        await there.join(user="ben")
        await here.join(user="ana")
        await town.step(8)
        room = there.room()
        assert shown(room) == {"ben": 1, "ana": 1}
        await town.kill(here)
        await town.step(15)
        assert shown(room) == {"ben": 1, "ana": 1}
        await town.step(15)
        assert shown(room) == {"ben": 1}


@pytest.mark.rule("PE11")
async def test_a_process_that_stops_leaves_nobody() -> None:
    town = Town()
    async with town.process() as here, town.process() as there:
        await there.join(user="ben")
        await here.join(user="ana")
        await town.step(6)
        await here.presence.close()
        await town.kill(here)
        await town.step(6)
        assert shown(there.room()) == {"ben": 1}


@pytest.mark.rule("PE12")
async def test_a_cursor_that_moves_is_written_now_and_then() -> None:
    town = Town(linked=True)
    async with town.process() as here, town.process() as there:
        room, other = await look(here), await look(there)
        ana = session(here, "ana")
        room.presence.connect(ana, Transport.WEBSOCKET, here.clock.now())
        await town.step(1)
        presence = town.presences[here]
        before = presence.writes
        seen = set()
        for move in range(50):
            room.presence.tell(ana, {"cursor": move}, here.clock.now())
            await town.step(0.2)
            seen |= {one.cursor for one in other.presence.crowd}
        assert presence.writes - before <= 6
        assert len(seen) >= 40, "the broker carries them five times a second"
        await town.step(3)
        assert presence.written[-1].metadata["cursor"] == 49
        assert json.loads(json.dumps(dict(presence.written[-1].metadata))) == {
            "name": None,
            "colour": None,
            "client": None,
            "transport": "websocket",
            "state": "active",
            "cursor": 49,
            "data": None,
            "told_at": [0, presence.written[-1].last_active, 0],
        }


@pytest.mark.rule("PE13")
@pytest.mark.large
async def test_a_room_in_which_nothing_happens_costs_nothing() -> None:
    """But the beat, which is one for all rooms; a process without people does not even beat."""
    town = Town()
    async with town.process() as server:
        presence = town.presences[server]
        await town.step(20)
        assert (presence.beats, presence.writes, presence.reads) == (0, 0, 0)
        connections = [await server.join(f"doc{number}") for number in range(3)]
        await town.step(70)
        before = presence.beats, presence.writes, presence.reads
        await town.step(60)
        assert (presence.writes, presence.reads) == before[1:]
        assert presence.beats - before[0] == 12
        for one in connections:
            one.lose(clean=True)
        await town.step(40)
        beats = presence.beats
        await town.step(20)
        assert presence.beats == beats
        assert town.written.documents == {}


@pytest.mark.rule("PE14")
async def test_a_storage_that_fails_for_a_time() -> None:
    town, degraded = Town(), []
    async with town.process() as here, town.process() as there:
        await there.join(user="ben")
        await here.join(user="ana")
        await town.step(6)
        degraded.append(here.presence.degraded)
        town.presences[here].fails = True
        cem = await here.join(user="cem")
        room = here.room()
        await town.step(40)
        degraded.append(here.presence.degraded)
        assert shown(room) == {"ben": 1, "ana": 1, "cem": 1}
        assert shown(there.room()) == {"ben": 1}
        cem.lose(clean=True)
        await here.join(user="eve")
        town.presences[here].fails = False
        await town.step(9)
        degraded.append(here.presence.degraded)
        assert shown(there.room()) == shown(room) == {"ben": 1, "ana": 1, "eve": 1}
        assert degraded == [False, True, False]


@pytest.mark.rule("PE14")
@pytest.mark.parametrize("linked", [True, False])
async def test_another_storage_takes_over(linked: bool) -> None:
    """It is empty, and processes notice one after the other: nobody is missed meanwhile."""
    town = Town(linked=linked)
    async with town.process() as here, town.process() as there:
        await there.join(user="ben")
        await here.join(user="ana")
        await town.step(16)
        fallback, seen = LocalPresenceHub(), set()
        for process, seconds in ((here, 1), (there, 9)):
            town.presences[process].take_over(fallback)
            for _ in range(seconds * 2):
                await town.step(0.5)
                seen |= {(tuple(sorted(shown(one.room()))), sum(shown(one.room()).values())) for one in (here, there)}
        assert seen == {(("ana", "ben"), 2)}
        assert len(fallback.documents["doc"]) == 2


@pytest.mark.rule("PE15")
@pytest.mark.parametrize("linked", [True, False])
@pytest.mark.large
async def test_a_session_that_polls_here_and_there_does_not_blink(linked: bool) -> None:
    town = Town(linked=linked)
    async with town.process() as one, town.process() as other, town.process() as third:
        rooms = [await look(one), await look(other)]
        await third.join(user="ben")
        for process in (one, other):
            await process.join(user=f"of {process.registry}")
        watching = third.room()
        ana = session(one, "ana")
        rooms[0].presence.visit(ana, one.clock.now(), one.clock.monotonic(), 55)
        await town.step(6)
        for turn in (0, 1, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0):
            rooms[turn].presence.visit(ana, one.clock.now(), one.clock.monotonic(), 55)
            for _ in range(50):
                await town.step(0.5)
                assert shown(watching)["ana"] == 1
        await town.step(70)
        assert "ana" not in shown(watching)


@pytest.mark.rule("PE15")
async def test_a_session_that_is_removed_elsewhere_though_it_is_here() -> None:
    """It has a socket here, and had one there that ended: others are told again that it is present."""
    town = Town(linked=True)
    async with town.process() as here, town.process() as there, town.process() as third:
        rooms = [await look(here), await look(there)]
        await third.join(user="ben")
        ana = session(here, "ana")
        rooms[0].presence.connect(ana, Transport.YJS, here.clock.now())
        await town.step(1)
        rooms[1].presence.connect(ana, Transport.YJS, here.clock.now())
        await town.step(1)
        rooms[1].presence.disconnect(ana)
        await town.step(1)
        assert shown(third.room()) == shown(rooms[0]) == shown(rooms[1]) == {"ben": 1, "ana": 1}
        assert [one.process for one in third.room().presence.crowd if one.user_id == "ana"] == [
            one.process for one in rooms[0].presence.crowd if one.user_id == "ana"
        ]


@pytest.mark.rule("PE8")
async def test_who_stays_for_a_time_stays_when_its_process_is_killed() -> None:
    town = Town()
    async with town.process() as here, town.process() as there:
        room = await look(here)
        room.presence.stay(session(here, "bot"), here.clock.now(), 60_000)
        await there.join(user="ben")
        await here.join(user="ana")
        await town.step(6)
        await town.kill(here)
        await town.step(40)
        assert shown(there.room()) == {"ben": 1, "bot": 1}
        await town.step(20)
        assert shown(there.room()) == {"ben": 1}


@pytest.mark.rule("PE16")
async def test_what_cannot_be_read_is_left_out() -> None:
    town = Town()
    async with town.process() as server:
        await server.join(user="ben")
        good: dict[str, Json] = {"transport": "yjs", "state": "active"}
        told: list[dict[str, Json]] = [
            {},
            good | {"state": "?"},
            good | {"name": 7},
            good | {"data": []},
            good | {"transport": None},
            good,
        ]
        records = [
            PresenceRecord(f"s{number}", f"u{number}", "doc", 0, None, 10**14, metadata) for number, metadata in enumerate(told)
        ]
        await town.presences[server].write(records, [])
        room = server.room()
        compare(room.presence, records, server.clock.monotonic(), settled=True)
        await quiet(server)
        assert shown(room) == {"ben": 1, "u5": 1}


@pytest.mark.rule("PE12")
async def test_what_was_noted_of_a_document_that_is_closed() -> None:
    """Who has gone is removed, who stays for a time is there, and another one that was opened meanwhile stays open."""
    town = Town()
    async with town.process() as server:
        room = await look(server)
        await town.step(1)
        room.presence.connect(session(server, "ana"), Transport.YJS, server.clock.now())
        room.presence.stay(session(server, "bot"), server.clock.now(), 3_600_000)
        await town.step(1)
        assert len(town.written.documents["doc"]) == 2
        room.presence.stay(session(server, "cat"), server.clock.now(), 3_600_000)
        server.registry.forget(room)
        again = await look(server)
        server.presence.closed("doc", room.presence)
        await town.step(1)
        assert sorted(one.user_id for one in town.written.documents["doc"].values()) == ["bot", "cat"]
        await town.step(60)
        assert shown(again) == {"bot": 1, "cat": 1}


@pytest.mark.rule("PE14")
async def test_a_storage_that_cannot_be_read_when_a_document_is_opened() -> None:
    town = Town()
    async with town.process() as here, town.process() as there:
        await here.join(user="ana")
        await town.step(1)
        presence = town.presences[there]
        presence.fails = True
        room = await look(there)
        await town.step(3)
        with pytest.raises(PresenceError):
            await there.presence.of("other")
        assert shown(room) == {}
        presence.fails = False
        await town.step(2)
        assert shown(room) == {"ana": 1}
        presence.fails = True
        await there.presence.close()


@pytest.mark.rule("PE10", "PE14")
async def test_the_broker_carries_presence_also_while_the_storage_does_not_work() -> None:
    """And who has come and gone meanwhile leaves nothing behind."""
    town = Town(linked=True)
    async with town.process() as here, town.process() as there:
        await there.join(user="ben")
        await here.join(user="ana")
        await town.step(6)
        for presence in town.presences.values():
            presence.fails = True
        for _ in range(20):
            cem = await here.join(user="cem")
            await town.step(2)
            assert shown(there.room()) == {"ben": 1, "ana": 1, "cem": 1}
            cem.lose(clean=True)
            await town.step(2)
            assert shown(there.room()) == {"ben": 1, "ana": 1}
        assert len(here.presence._unwritten) < 5, "of the twenty only whom it tried to write down"
        for presence in town.presences.values():
            presence.fails = False
        await town.step(3)
        assert sorted(one.user_id for one in town.written.documents["doc"].values()) == ["ana", "ben"]


@pytest.mark.rule("PE15")
async def test_a_session_with_a_socket_here_is_written_again_when_another_process_has_written_it() -> None:
    town = Town()
    async with town.process() as here, town.process() as there:
        rooms = [await look(here), await look(there)]
        await there.join(user="ben")
        ana = session(here, "ana")
        rooms[0].presence.connect(ana, Transport.YJS, here.clock.now())
        await town.step(6)
        late = PresenceRecord(
            ana.id, "ana", "doc", 1, there.presence.process, None, {"transport": "polling", "state": "active"}
        )
        await town.presences[there].write([late], [])
        await town.step(5)
        assert [one.process for one in town.written.documents["doc"].values() if one.user_id == "ana"] == [
            here.presence.process
        ]
        assert [one.transport for one in rooms[1].presence.crowd if one.user_id == "ana"] == ["yjs"]


@pytest.mark.rule("PE17")
async def test_a_storage_that_does_not_work_at_the_start() -> None:
    town = Town()
    async with town.process() as server:
        town.presences[server].fails = True
        await server.presence.start()
        assert server.presence.degraded
        town.presences[server].fails = False
        await server.presence.start()
        await server.join(user="ana")
        await town.step(2)
        assert [one.user_id for one in town.written.documents["doc"].values()] == ["ana"]


@pytest.mark.rule("PE8")
async def test_who_stays_for_a_time_is_written_down_before_the_process_stops() -> None:
    town = Town()
    async with town.process() as server:
        room = await look(server)
        await server.join(user="ana")
        room.presence.stay(session(server, "bot"), server.clock.now(), 60_000)
        await server.presence.close()
        assert [one.user_id for one in town.written.documents["doc"].values()] == ["bot"]


@pytest.mark.rule("PE14")
async def test_a_write_that_fails_is_made_again() -> None:
    town = Town()
    async with town.process() as server:
        await server.join(user="ana")
        await town.step(1)
        presence = town.presences[server]
        presence.refuses = True
        ben = await server.join(user="ben")
        await server.join(user="cem")
        await town.step(2)
        ben.lose(clean=True)
        await town.step(2)
        assert [one.user_id for one in town.written.documents["doc"].values()] == ["ana"]
        presence.refuses = False
        await town.step(3)
        assert [one.user_id for one in town.written.documents["doc"].values()] == ["ana", "cem"]


@pytest.mark.rule("PE2")
async def test_ones_own_signals_are_ignored() -> None:
    town = Town()
    async with town.process() as server:
        room = await look(server)
        process = server.presence.process
        room.hear(PresenceNews("doc", process, (PresenceRecord("s", "u", "doc", 0, process, None, {}),), ()))
        assert shown(room) == {}


@pytest.mark.rule("PE14")
async def test_a_session_that_changes_and_goes_while_it_is_written_down() -> None:
    town = Town()
    async with town.process() as server:
        room = await look(server)
        await server.join(user="ben")
        await town.step(1)
        presence, ana, done = town.presences[server], session(server, "ana"), list[bool]()

        def meanwhile() -> None:
            done.append(True)
            presence.writing = None
            room.presence.tell(ana, {"cursor": 1}, server.clock.now())
            room.presence.disconnect(ana)

        presence.writing = meanwhile
        room.presence.connect(ana, Transport.YJS, server.clock.now())
        await town.step(4)
        assert done == [True]
        assert [one.user_id for one in town.written.documents["doc"].values()] == ["ben"]


@pytest.mark.rule("PE15")
async def test_a_session_that_moves_before_it_is_written_down() -> None:
    town = Town()
    async with town.process() as server:
        room = await look(server)
        await town.step(1)
        ana = session(server, "ana")
        room.presence.visit(ana, server.clock.now(), server.clock.monotonic(), 30)
        moved = PresenceRecord(ana.id, "ana", "doc", 1, "there", None, {"transport": "yjs", "state": "active"})
        room.hear(PresenceNews("doc", "there", (moved,), ()))
        await town.step(1)
        assert town.written.documents == {}
        assert shown(room) == {"ana": 1}


@pytest.mark.rule("PE10")
async def test_a_document_that_is_closed_while_it_is_read() -> None:
    town = Town()
    async with town.process() as server:
        room = await look(server)
        presence = town.presences[server]
        presence.reading = lambda: server.registry.forget(room)
        await town.step(1)
        assert presence.reads == 1
        assert shown(room) == {}


@pytest.mark.rule("PE17")
async def test_a_storage_that_breaks_in_a_way_that_nobody_has_thought_of() -> None:
    town = Town()
    async with town.process() as here, town.process() as there:
        await here.join(user="ana")
        await there.join(user="ben")
        await town.step(6)
        presence, read = town.presences[here], town.presences[here].read

        async def broken(document_ids: Collection[str]) -> Mapping[str, Sequence[PresenceRecord]]:
            raise ZeroDivisionError

        presence.read = broken  # type: ignore[method-assign]
        with capture_logs() as lines:
            await town.step(20)
        broke: bool = here.presence.degraded
        assert broke
        assert [line["event"] for line in lines] == ["presence neither written nor read; it is tried again"]
        assert shown(here.room()) == shown(there.room()) == {"ana": 1, "ben": 1}
        presence.read = read  # type: ignore[method-assign]
        await town.step(6)
        recovered: bool = here.presence.degraded
        assert not recovered

        async def gone(process: str) -> None:
            raise ZeroDivisionError

        presence.leave = gone  # type: ignore[method-assign]
        await here.presence.close()


@pytest.mark.rule("PE17")
async def test_a_session_that_no_storage_takes_does_not_keep_others_from_being_written() -> None:
    town = Town()
    async with town.process() as here:
        room = await look(here)
        now = here.clock.now()
        for user in ("o" * 300, "ana"):
            room.presence.connect(session(here, user), Transport.WEBSOCKET, now)
        with capture_logs() as lines:
            await town.step(3)
        assert [one.user_id for one in town.written.documents["doc"].values()] == ["ana"]
        assert {line["log_level"] for line in lines} == {"error"}
