"""What is told while presence is being read: it is newer than what is read."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import pytest

from core.presence.presence_tools import Town, look, session, shown
from cowrite.core.ports import PresenceRecord


@pytest.mark.rule("PE8", "PE23")
async def test_a_program_that_comes_while_the_document_is_read() -> None:
    town = Town()
    async with town.process() as here:
        bot = session(here, "bot")
        came: list[bool] = []

        def reading() -> None:
            if not came:
                came.append(True)
                here.room().presence.stay(bot, here.clock.now(), 600_000)

        town.presences[here].reading = reading
        room = await look(here)
        await here.join(user="ana")
        await town.step(60)
        assert came
        assert shown(room) == {"ana": 1, "bot": 1}


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


@pytest.mark.rule("PE8", "PE23")
async def test_a_stay_that_is_prolonged_while_it_is_read() -> None:
    town = Town()
    async with town.process() as here, town.process() as there:
        rooms = [await look(here), await look(there)]
        await here.join(user="ana")
        await there.join(user="ben")
        bot = session(here, "bot")
        rooms[0].presence.stay(bot, here.clock.now(), 20_000)
        await town.step(10)
        presence, prolonged = town.presences[here], list[bool]()
        read_once = presence.read

        async def read(document_ids: Collection[str]) -> Mapping[str, Sequence[PresenceRecord]]:
            found = await read_once(document_ids)
            if not prolonged and document_ids:
                prolonged.append(True)
                rooms[0].presence.stay(bot, here.clock.now(), 600_000)
            return found

        presence.read = read  # type: ignore[method-assign]
        await town.step(15)
        assert prolonged
        assert [shown(room).get("bot") for room in rooms] == [1, 1]


@pytest.mark.rule("PE8", "PE15")
async def test_a_program_that_stays_here_and_leaves_there() -> None:
    """It polled there, and says here that it stays; that it has left there is told afterwards."""
    town = Town(linked=True)
    async with town.process() as here, town.process() as there:
        rooms = [await look(here), await look(there)]
        await here.join(user="ana")
        await there.join(user="ben")
        bot = session(there, "bot")
        rooms[1].presence.visit(bot, 0, there.clock.monotonic(), 30)
        await town.step(10)
        rooms[0].presence.stay(bot, here.clock.now(), 600_000)
        rooms[1].presence.leave(bot)
        await town.step(3)
        assert [shown(room).get("bot") for room in rooms] == [1, 1]
        rooms[0].presence.leave(bot)
        await town.step(3)
        assert [shown(room).get("bot") for room in rooms] == [None, None]
