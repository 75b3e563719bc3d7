"""What happens to sessions while what is written down is being read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import pytest

from core.presence.presence_tools import Town, Watched, compare, look, session, shown
from core.presence.test_presence_moves import people, record, visitor
from cowrite.core.ports import PresenceNews, PresenceRecord
from cowrite.core.presence.notes import Urgency
from cowrite.core.presence.present import Present
from cowrite.presence.local import LocalPresenceHub


def once_read(presence: Watched, act: Callable[[], None]) -> Callable[[], bool]:
    """``act`` when the next read is over, and before what it found is looked at. Tells whether it was."""
    read, done = presence.read, False

    async def acting(document_ids: Collection[str]) -> Mapping[str, Sequence[PresenceRecord]]:
        nonlocal done
        found = await read(document_ids)
        if document_ids and not done:
            done = True
            act()
        return found

    presence.read = acting  # type: ignore[method-assign]
    return lambda: done


@pytest.mark.rule("PE8", "PE23")
async def test_who_comes_for_a_time_while_the_document_is_read() -> None:
    """It is not written down yet, and nobody else is here who would have it read once more."""
    town = Town()
    async with town.process() as server:
        bot = session(server, "bot")
        done = once_read(town.presences[server], lambda: server.room().presence.stay(bot, server.clock.now(), 600_000))
        room = await look(server)
        await town.step(10)
        assert done()
        assert shown(room) == {"bot": 1}


@pytest.mark.rule("PE8", "PE23")
async def test_who_stays_for_longer_while_the_document_is_read() -> None:
    town = Town()
    async with town.process() as here, town.process() as there:
        rooms = [await look(here), await look(there)]
        await here.join(user="ana")
        await there.join(user="ben")
        bot = session(here, "bot")
        rooms[0].presence.stay(bot, here.clock.now(), 20_000)
        await town.step(10)
        done = once_read(town.presences[here], lambda: rooms[0].presence.stay(bot, here.clock.now(), 600_000))
        await town.step(15)
        assert done()
        assert [shown(room).get("bot") for room in rooms] == [1, 1]


@pytest.mark.rule("PE8")
async def test_who_is_active_here_and_stays_for_longer_there() -> None:
    """That it was active may be written down half a minute later, and hides nothing."""
    town = Town()
    async with town.process() as here, town.process() as there:
        rooms = [await look(here), await look(there)]
        await here.join(user="ana")
        await there.join(user="ben")
        bot = session(here, "bot")
        rooms[0].presence.stay(bot, here.clock.now(), 60_000)
        await town.step(10)
        rooms[0].presence.active(bot.id, here.clock.now())
        await town.step(3)
        rooms[1].presence.stay(bot, there.clock.now(), 600_000)
        await town.step(70)
        assert [shown(room).get("bot") for room in rooms] == [1, 1]


@pytest.mark.rule("PE8", "PE15")
def test_who_stays_for_a_time_is_not_removed_by_the_process_where_it_has_polled() -> None:
    """That one does not know yet; one that does says that it has ended."""
    here, bot = people(), visitor("bot")
    here.stay(bot, 1, 600_000)
    here.hear(PresenceNews("doc", "there", (), (bot.id,)), 1.0)
    assert len(here.persons) == 1
    here.hear(PresenceNews("doc", "elsewhere", (), (), (bot.id,)), 2.0)
    assert here.persons == []


@pytest.mark.rule("PE8", "PE15")
async def test_who_stays_for_a_time_and_says_that_it_goes_to_another_process() -> None:
    town = Town(linked=True)
    async with town.process() as here, town.process() as there:
        rooms = [await look(here), await look(there)]
        bot = session(there, "bot")
        rooms[0].presence.stay(bot, here.clock.now(), 600_000)
        await town.step(1)
        assert [shown(room) for room in rooms] == [{"bot": 1}] * 2
        rooms[1].presence.go(bot)
        await town.step(1)
        assert [shown(room) for room in rooms] == [{}] * 2


@pytest.mark.rule("PE14")
async def test_another_storage_takes_over_while_it_is_read() -> None:
    town = Town()
    async with town.process() as here, town.process() as there:
        await here.join(user="ana")
        await there.join(user="ben")
        await town.step(10)
        hub = LocalPresenceHub()
        presence = town.presences[here]

        def take_over() -> None:
            presence.reading = None
            presence.take_over(hub)

        presence.reading = take_over
        for step in range(40):
            await town.step(0.2)
            assert shown(here.room()) == {"ana": 1, "ben": 1}
            if step == 20:
                town.presences[there].take_over(hub)
        assert presence.reading is None


@pytest.mark.rule("PE4")
def test_what_does_not_fit_in_here_is_not_taken_from_others() -> None:
    noted: list[tuple[Present, Urgency]] = []
    here = people(size=30, noted=noted)
    bot = visitor("ana")
    written = replace(record(bot, data={"x": "x" * 40}, told_at=[0, 5, 5]), process=None, expires_at=10_000)
    compare(here, [written], 1.0, settled=True)
    assert [one.data for one in here.crowd] == [None]
    assert noted == []
    assert here.writable == []
    other = visitor("ben")
    compare(here, [written, record(other, user="ben", data={"x": 1})], 2.0, settled=True)
    assert [one.data for one in here.crowd] == [None, {"x": 1}]


@pytest.mark.rule("PE4")
def test_what_did_not_fit_in_is_shown_when_there_is_room() -> None:
    here, ana, ben = people(size=30), visitor("ana"), visitor("ben")
    records = [record(one, user=one.author, data={"x": "x" * 15}, told_at=[0, 0, 5]) for one in (ana, ben)]
    compare(here, records, 1.0, settled=True)
    assert [one.data is not None for one in here.crowd] == [True, False]
    compare(here, records[1:], 2.0, settled=True)
    compare(here, records[1:], 3.0, settled=True)
    assert [one.data for one in here.crowd] == [{"x": "x" * 15}]


@pytest.mark.rule("PE1", "PE15")
def test_one_that_polls_here_when_another_process_answers_for_it_stays_when_that_one_lets_go() -> None:
    here = people()
    one = visitor("ana")
    here.visit(one, 1, 0.0, 30.0)
    here.learn([record(one)], 1.0)
    here.tend(2, 20.0)  # nothing has been heard of it for so long
    assert [each.process for each in here.crowd] == ["here"]
    here.tend(3, 29.0)
    assert len(here.persons) == 1
    here.tend(4, 30.0)
    assert here.persons == []


@pytest.mark.rule("PE8", "PE23")
@pytest.mark.parametrize("linked", [False, True])
async def test_what_a_program_that_stays_tells_later(linked: bool) -> None:
    town = Town(linked=linked)
    async with town.process() as here, town.process() as there:
        rooms = [await look(here), await look(there)]
        await here.join(user="ana")
        await there.join(user="ben")
        bot = session(here, "bot")
        rooms[0].presence.stay(bot, here.clock.now(), 600_000)
        await town.step(10)
        for number in range(6):
            rooms[0].presence.tell(bot, {"cursor": number}, here.clock.now())
            await town.step(5.2)
            seen = [room.presence.crowd.get(bot.id) for room in rooms]
            assert [one.cursor for one in seen if one is not None] == [number, number]
