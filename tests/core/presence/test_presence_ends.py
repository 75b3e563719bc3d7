"""Sessions that end elsewhere or lose their access, and storages that lose what was written."""

from __future__ import annotations

import pytest

from core.presence.presence_tools import Town, look, session, shown
from cowrite.core.presence.present import Transport
from cowrite.core.records import AccessChange
from cowrite.presence.local import LocalPresenceHub


def revoked(*, document: str | None = "doc", user: str | None = None, restores: bool = False) -> AccessChange:
    return AccessChange("change", "admin", 0, document, user, restores=restores)


@pytest.mark.rule("PE22")
async def test_who_may_not_be_here_any_more_is_not_shown() -> None:
    town = Town()
    async with town.process() as here, town.process() as there:
        rooms = [await look(here), await look(there)]
        await there.join(user="watching")
        await town.step(6)
        people, now = rooms[0].presence, here.clock.now()
        bot, ana, ben, cem = (session(here, user) for user in ("bot", "ana", "ben", "cem"))
        people.stay(bot, now, 600_000)
        people.visit(ana, now, here.clock.monotonic(), 60)
        people.visit(ben, now, here.clock.monotonic(), 60)
        people.connect(cem, Transport.WEBSOCKET, now)
        await town.step(8)
        everybody = {"watching": 1, "bot": 1, "ana": 1, "ben": 1, "cem": 1}
        assert shown(rooms[1]) == everybody
        for process in (here, there):
            process.presence.access_changed(revoked(document="other", user="bot"))
            process.presence.access_changed(revoked(user="bot", restores=True))
            process.presence.access_changed(revoked(user="cem"))
        await town.step(3)
        assert shown(rooms[1]) == everybody, "a socket is closed by those who know it"
        for process in (here, there):
            process.presence.access_changed(revoked(user="bot"))
            process.presence.access_changed(revoked(document=None, user="ana"))
        here.presence.follow(here.access)
        here.access.end(ben)
        here.access.end(session(here, "not here"))
        await town.step(3)
        for room in rooms:
            assert shown(room) == {"watching": 1, "cem": 1}


@pytest.mark.rule("PE22")
async def test_nobody_is_shown_in_a_document_that_is_not_open_either() -> None:
    town = Town()
    async with town.process() as here:
        room = await look(here)
        now = here.clock.now()
        room.presence.stay(session(here, "bot"), now, 600_000)
        room.presence.stay(session(here, "cat"), now, 600_000)
        await town.step(1)
        here.registry.forget(room)
        await town.step(1)
        here.presence.session_ended("unknown")
        town.presences[here].fails = True
        here.presence.access_changed(revoked(user="bot"))
        await town.step(2)
        town.presences[here].fails = False
        await town.step(2)
        assert [one.user_id for one in await here.presence.of("doc")] == ["cat"]
        here.presence.access_changed(revoked(user="eve"))
        await town.step(2)
        assert [one.user_id for one in await here.presence.of("doc")] == ["cat"]


@pytest.mark.rule("PE14")
async def test_who_stays_is_written_to_another_storage_though_the_document_is_not_open() -> None:
    town = Town()
    async with town.process() as here:
        room = await look(here)
        bot, gone = session(here, "bot"), session(here, "gone")
        room.presence.stay(bot, here.clock.now(), 60_000)
        room.presence.stay(gone, here.clock.now(), 60_000)
        await town.step(1)
        room.presence.go(gone)
        await town.step(1)
        town.presences[here].take_over(LocalPresenceHub())
        await town.step(1)
        here.registry.forget(room)
        await town.step(8)
        hub = town.written = LocalPresenceHub()
        town.presences[here].take_over(hub)
        await town.step(2)
        assert [one.user_id for one in await here.presence.of("doc")] == ["bot"]
        await town.step(50)
        town.presences[here].take_over(LocalPresenceHub())
        beats = town.presences[here].beats
        await town.step(20)
        assert town.presences[here].beats == beats, "nobody is here any more"


@pytest.mark.rule("PE14")
async def test_a_lease_that_was_lost_is_no_reason_to_drop_others() -> None:
    town = Town()
    async with town.process() as here, town.process() as there:
        rooms = [await look(here), await look(there)]
        await here.join(user="ana")
        await there.join(user="ben")
        for number in range(20):  # more than are compared in one step
            await look(here, f"doc {number}")
        await town.step(8)
        presence = town.presences[here]
        beat = presence.beat

        async def emptied(process: str) -> frozenset[str]:
            presence.beat = beat  # type: ignore[method-assign]
            presence.takeovers += 1  # as a storage that finds that it has lost everything
            return frozenset((process,))

        await town.step(12)
        presence.beat = emptied  # type: ignore[method-assign]
        for _ in range(40):
            await town.step(0.2)
            assert shown(rooms[0]) == {"ana": 1, "ben": 1}
