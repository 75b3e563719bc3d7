"""Sessions that are known to several processes: what they told last holds, and is looked at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from core.presence.presence_tools import Town, compare, look, session
from cowrite.core.ids import Ids
from cowrite.core.limits import Limits
from cowrite.core.ports import Access, Grant, PresenceNews, PresenceRecord
from cowrite.core.presence.notes import Urgency
from cowrite.core.presence.presence import PresenceList
from cowrite.core.presence.present import Activity, Present, Transport
from cowrite.core.presence_records import check_records
from cowrite.core.sessions.session import Session
from cowrite.testing.clock import ManualClock

IDS = Ids(ManualClock())


def people(process: str = "here", *, size: int = 1000, noted: list[tuple[Present, Urgency]] | None = None) -> PresenceList:
    kept: list[tuple[Present, Urgency]] = [] if noted is None else noted
    return PresenceList(
        lambda change: None,
        Limits(presence_bytes=size),
        process=process,
        note=lambda present, urgency: kept.append((present, urgency)),
    )


def visitor(user: str) -> Session:
    return Session(IDS.new(), "doc", Access(user, Grant.WRITE), 0)


def record(one: Session, process: str = "there", *, user: str = "ana", **told: object) -> PresenceRecord:
    return PresenceRecord(one.id, user, "doc", 1, process, None, {"transport": "polling", "state": "active", **told})


@pytest.mark.rule("PE19")
@pytest.mark.parametrize("linked", [True, False])
async def test_what_is_told_before_the_next_process_has_heard_of_the_session(linked: bool) -> None:
    town = Town(linked=linked)
    async with town.process() as one, town.process() as other:
        rooms = [await look(one), await look(other)]
        await one.join(user="ben")
        await other.join(user="ben")
        await town.step(6)
        ana = session(one, "ana")
        rooms[0].presence.visit(ana, one.clock.now(), one.clock.monotonic(), 30)
        rooms[0].presence.tell(ana, {"cursor": 5, "data": {"n": 1}}, one.clock.now())
        town.clock.advance(0.1)
        rooms[1].presence.visit(ana, one.clock.now(), one.clock.monotonic(), 30)
        rooms[1].presence.tell(ana, {"cursor": 6}, one.clock.now())
        await town.step(6)
        for room in rooms:
            found = room.presence.crowd.get(ana.id)
            assert found is not None
            assert (found.cursor, found.data) == (6, {"n": 1})


@pytest.mark.rule("PE19")
@pytest.mark.parametrize("linked", [True, False])
async def test_what_is_told_to_a_process_that_does_not_answer_for_the_session(linked: bool) -> None:
    """It has a socket elsewhere, or polls there."""
    town = Town(linked=linked)
    async with town.process() as one, town.process() as other:
        rooms = [await look(one), await look(other)]
        await one.join(user="cem")
        await other.join(user="cem")
        await town.step(6)
        ana, ben = session(one, "ana"), session(one, "ben")
        rooms[0].presence.connect(ana, Transport.WEBSOCKET, one.clock.now())
        rooms[0].presence.visit(ben, one.clock.now(), one.clock.monotonic(), 30)
        await town.step(3)
        for moved in (ana, ben):
            rooms[1].presence.tell(moved, {"cursor": 1}, one.clock.now())
            assert [each.cursor for each in rooms[1].presence.crowd if each.session_id == moved.id] == [None], "not here"
            rooms[1].presence.visit(moved, one.clock.now(), one.clock.monotonic(), 30)
            rooms[1].presence.tell(moved, {"cursor": 7, "state": "away"}, one.clock.now())
        await town.step(6)
        for room in rooms:
            for moved in (ana, ben):
                found = room.presence.crowd.get(moved.id)
                assert found is not None
                assert (found.cursor, found.activity) == (7, Activity.AWAY)


@pytest.mark.rule("PE19")
def test_what_was_told_here_is_not_replaced_by_what_is_older() -> None:
    noted: list[tuple[Present, Urgency]] = []
    here, ana = people(noted=noted), visitor("ana")
    here.visit(ana, 1, 0.0, 30.0)
    here.tell(ana, {"cursor": 5}, 10)
    noted.clear()
    compare(here, [record(ana, cursor=4, told_at=[0, 9, 0])], 1.0, settled=True)
    [(kept, urgency)] = noted
    assert (kept.process, kept.cursor, urgency) == ("here", 5, Urgency.NOW)
    compare(here, [record(ana, cursor=6, told_at=[0, 11, 0])], 2.0, settled=True)
    assert [(one.process, one.cursor) for one in here.crowd] == [("there", 6)]
    here.hear(PresenceNews("doc", "there", (record(ana, cursor=3, told_at=[0, 8, 0]),), ()), 3.0)
    assert [(one.process, one.cursor) for one in here.crowd] == [("there", 6)]


@pytest.mark.rule("PE19")
def test_what_does_not_fit_is_not_taken_over() -> None:
    here, ana = people(size=20), visitor("ana")
    here.connect(ana, Transport.WEBSOCKET, 1)
    here.hear(PresenceNews("doc", "there", (record(ana, data={"x": "x" * 30}, told_at=[0, 0, 9]),), ()), 1.0)
    assert [(one.process, one.data) for one in here.crowd] == [("here", None)]
    here.hear(PresenceNews("doc", "there", (record(ana, cursor=1, told_at="?"),), ()), 1.0)
    assert [(one.process, one.cursor) for one in here.crowd] == [("here", None)], "it does not say when it was told"


@pytest.mark.rule("PE4")
def test_what_other_processes_tell_is_bounded_together() -> None:
    here = people(size=50)
    records = [record(visitor(user), user=user, data={"x": "x" * 20}) for user in ("ana", "ben", "cem")]
    compare(here, records, 1.0, settled=True)
    assert [one.data is not None for one in here.crowd] == [True, False, False]


@pytest.mark.rule("PE19")
def test_who_stays_for_a_time_is_written_down_with_what_was_told_last() -> None:
    noted: list[tuple[Present, Urgency]] = []
    here, bot = people(noted=noted), visitor("bot")
    here.stay(bot, 1, 60_000)
    here.tell(bot, {"cursor": 5}, 10)
    noted.clear()
    older = PresenceRecord(bot.id, "bot", "doc", 1, None, 60_001, {"transport": "polling", "state": "active"})
    compare(here, [older], 1.0, settled=True)
    assert [(one.cursor, urgency) for one, urgency in noted] == [(5, Urgency.SOON)]


@pytest.mark.rule("PE8")
def test_one_with_a_socket_does_not_go_by_saying_so() -> None:
    here, ana = people(), visitor("ana")
    here.connect(ana, Transport.WEBSOCKET, 1)
    here.go(ana)
    here.connect(ana, Transport.WEBSOCKET, 2)
    here.disconnect(ana)
    assert [one.user_id for one in here.persons] == ["ana"]
    here.disconnect(ana)
    assert here.persons == []
    here.stay(ana, 1, 60_000)
    here.go(ana)
    assert here.persons == []


@pytest.mark.rule("PE21")
@pytest.mark.parametrize("linked", [True, False])
async def test_whose_time_is_over_is_gone_at_once(linked: bool) -> None:
    """Rooms are looked after every second here, and every five in a server: that is too seldom."""
    town = Town(linked=linked)
    async with town.process() as one, town.process() as other:
        rooms = [await look(one), await look(other)]
        await one.join(user="cem")
        await other.join(user="cem")
        await town.step(6)
        for room in rooms:
            room.tend = lambda now: False  # type: ignore[method-assign]
        ana, ben, dan = (session(one, user) for user in ("ana", "ben", "dan"))
        rooms[0].presence.visit(ana, one.clock.now(), one.clock.monotonic(), 4)
        rooms[0].presence.stay(ben, one.clock.now(), 9000)
        rooms[0].presence.stay(dan, one.clock.now(), 6000)
        shown = []
        for seconds in (3.6, 0.8, 1.4, 0.4, 2.6, 0.4):
            await town.step(seconds)
            shown.append([[each.user_id for each in room.presence.persons if each.user_id != "cem"] for room in rooms])
        everybody, two, last = ["ana", "ben", "dan"], ["ben", "dan"], ["ben"]
        assert [here for here, _ in shown] == [everybody, two, two, last, last, []]
        assert [sorted(there) for _, there in shown[2:]] == [two, last, last, []]


@pytest.mark.rule("PE10", "PE12")
async def test_what_is_told_is_on_all_processes_within_three_seconds_without_a_broker() -> None:
    town = Town()
    async with town.process() as one, town.process() as other:
        room, there = await look(one), await look(other)
        ana = session(one, "ana")
        room.presence.connect(ana, Transport.WEBSOCKET, one.clock.now())
        await other.join(user="cem")
        await town.step(8)
        for cursor in range(5):
            room.presence.tell(ana, {"cursor": cursor}, one.clock.now())
            await town.step(3)
            assert [each.cursor for each in there.presence.crowd if each.user_id == "ana"] == [cursor]
            await town.step(0.4)


@pytest.mark.rule("PE8")
def test_who_polls_stays_when_the_time_that_was_said_is_over() -> None:
    here, bot = people(), visitor("bot")
    here.stay(bot, 1000, 3000)
    here.tell(bot, {"cursor": 5}, 1000)
    here.visit(bot, 3500, 2.5, 30.0)
    here.tend(4000, 3.0)
    assert [(one.process, one.expires_at, one.cursor) for one in here.crowd] == [("here", None, 5)]
    here.tend(40_000, 33.0)
    assert here.persons == []


@pytest.mark.rule("PE15")
def test_one_that_polls_here_is_taken_when_nobody_speaks_of_it_any_more() -> None:
    here, ana, ben, cem = people(), visitor("ana"), visitor("ben"), visitor("cem")
    told = tuple(record(one, user=one.author, cursor=1, told_at=[0, 1, 0]) for one in (ana, ben, cem))
    here.hear(PresenceNews("doc", "there", told, ()), 0.0)
    here.visit(ana, 1, 5.0, 30.0)
    here.visit(cem, 1, 5.0, 3.0)
    compare(here, list(told), 9.0, settled=True)
    here.tend(10_000, 9.5)
    assert {one.process for one in here.crowd} == {"there"}
    here.tend(11_000, 11.0)
    assert [(one.user_id, one.process, one.cursor) for one in here.crowd] == [
        ("ana", "here", 1),
        ("ben", "there", 1),
        ("cem", "there", 1),
    ]


@pytest.mark.rule("PE15")
def test_one_that_polls_here_stays_when_its_process_is_dead() -> None:
    here, ana, ben = people(), visitor("ana"), visitor("ben")
    records = tuple(record(one, user=one.author, cursor=1, told_at=[0, 1, 0]) for one in (ana, ben))
    here.hear(PresenceNews("doc", "there", records, ()), 0.0)
    here.visit(ana, 1, 5.0, 30.0)
    here.keep(frozenset({"here"}), 11.0)
    assert [(one.user_id, one.process, one.cursor) for one in here.crowd] == [("ana", "here", 1)]


@pytest.mark.rule("PE15")
def test_a_record_that_somebody_else_has_written_under_the_id_of_a_session() -> None:
    here, ana = people(), visitor("ana")
    here.hear(PresenceNews("doc", "there", (record(ana, user="eve"),), ()), 0.0)
    here.connect(ana, Transport.WEBSOCKET, 1)
    assert [one.user_id for one in here.persons] == ["ana"]
    here.hear(PresenceNews("doc", "there", (record(ana, user="eve"),), ()), 1.0)
    assert [one.user_id for one in here.persons] == ["ana"]


@pytest.mark.rule("PE20")
def test_a_record_that_is_as_it_was_is_not_looked_at_again() -> None:
    here, ana = people(), visitor("ana")
    compare(here, [record(ana, cursor=[1])], 1.0, settled=True)
    before = here.crowd.get(ana.id)
    compare(here, [record(ana, cursor=[1])], 2.0, settled=True)
    assert here.crowd.get(ana.id) is before
    here.hear(PresenceNews("doc", "there", (record(ana, cursor=[1]),), ()), 20.0)
    assert here.crowd.get(ana.id) is before
    here.keep(frozenset({"here"}), 21.0)
    assert here.crowd.get(ana.id) is before, "it was heard of just now"
    compare(here, [record(ana, cursor=[2])], 22.0, settled=True)
    assert here.crowd.get(ana.id) is not before


@pytest.mark.rule("PE20")
@pytest.mark.parametrize("opened", [True, False])
async def test_thousands_are_learned_while_other_things_happen(opened: bool) -> None:
    town = Town()
    async with town.process() as one, town.process() as other:
        presence = town.presences[one]
        await presence.beat("there")
        records = [record(visitor(str(n)), user=str(n)) for n in range(1000)]
        await presence.write([replace(one, document_id="doc" if opened else "other") for one in records], [])
        sizes, steps = set[int](), 0
        shown = (await look(other)).presence.crowd

        async def watch() -> None:
            nonlocal steps
            while True:
                sizes.add(len(list(shown)))
                steps += 1
                await asyncio.sleep(0)

        watching = asyncio.ensure_future(watch())
        if opened:
            await town.step(0.4)
            assert sizes >= {0, 200, 400, 600, 800, 1000}
        else:
            assert len(await other.presence.of("other")) == 1000
            assert steps >= 4
        watching.cancel()


@pytest.mark.rule("PE19")
def test_what_is_told_after_a_move_is_newer_whatever_the_clocks_say() -> None:
    """The process that it comes from is five minutes ahead."""
    noted: list[tuple[Present, Urgency]] = []
    here, there = people(noted=noted), people("there")
    ana = visitor("ana")
    there.visit(ana, 300_000, 0.0, 30.0)
    there.tell(ana, {"cursor": 1}, 300_000)
    here.learn([one.record("doc") for one in there.crowd], 0.0)
    here.visit(ana, 1000, 0.1, 30.0)
    for cursor in (2, 3):
        here.tell(ana, {"cursor": cursor}, 1000 + cursor)
        there.hear(PresenceNews("doc", "here", (noted[-1][0].record("doc"),), ()), 1.0)
        assert [one.cursor for one in there.crowd] == [cursor]


@pytest.mark.rule("PE16")
@pytest.mark.parametrize("at", [2**60, -1, True, 10**4000])
def test_a_time_at_which_nothing_can_have_been_told(at: int) -> None:
    noted: list[tuple[Present, Urgency]] = []
    here, ana = people(noted=noted), visitor("ana")
    here.learn([record(ana, told_at=[0, at, 0])], 0.0)
    here.visit(ana, 1000, 0.1, 30.0)
    here.tell(ana, {"cursor": 1}, 1001)
    check_records([noted[-1][0].record("doc")])


@pytest.mark.rule("PE15")
def test_one_that_polls_elsewhere_does_not_go_when_its_last_poll_here_is_long_ago() -> None:
    here, ana = people(), visitor("ana")
    here.visit(ana, 1, 0.0, 30.0)
    here.hear(PresenceNews("doc", "there", (record(ana),), ()), 29.0)
    here.end(2, 31.0)
    assert [one.process for one in here.crowd] == ["there"]


@pytest.mark.rule("PE15")
def test_one_that_polls_here_is_not_taken_from_a_process_that_speaks_of_it() -> None:
    """Also when that says what it has said before."""
    here, ana = people(), visitor("ana")
    said = PresenceNews("doc", "there", (record(ana),), ())
    here.hear(said, 0.0)
    here.visit(ana, 1, 1.0, 30.0)
    here.hear(said, 9.0)
    here.tend(2, 15.0)
    assert [one.process for one in here.crowd] == ["there"]
    here.tend(3, 19.0)
    assert [one.process for one in here.crowd] == ["here"]


@pytest.mark.rule("PE6", "PE19")
def test_who_tells_something_to_another_process_is_active() -> None:
    here, ana = people(), visitor("ana")
    here.connect(ana, Transport.WEBSOCKET, 1)
    here.tend(70_000, 70.0)
    assert [one.activity for one in here.crowd] == [Activity.IDLE]
    here.learn([replace(record(ana, cursor=5, told_at=[0, 80_000, 0]), last_active=80_000)], 80.0)
    here.tend(81_000, 81.0)
    assert [(one.cursor, one.activity, one.last_active) for one in here.crowd] == [(5, Activity.ACTIVE, 80_000)]
