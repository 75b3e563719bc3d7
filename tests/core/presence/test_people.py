"""A room's people: what counts as doing something."""

from __future__ import annotations

import pytest

from core.presence.presence_tools import Town
from cowrite.core.presence.present import Activity
from cowrite.protocol.awareness import AwarenessEntry


@pytest.mark.rule("PE6")
async def test_who_types_or_moves_a_cursor_is_active_and_who_renews_is_not() -> None:
    town = Town()
    async with town.process() as server:
        ana = await server.join(user="ana")
        room = server.room()

        async def activity_after(clock: int, state: str) -> Activity:
            """Of one who is idle, and announces that."""
            await town.step(70)
            assert [one.activity for one in room.presence.crowd] == [Activity.IDLE]
            room.announce(ana.peer, [AwarenessEntry(7, clock, state)])
            room.tend(server.clock.monotonic())
            return next(one.activity for one in room.presence.crowd)

        room.announce(ana.peer, [AwarenessEntry(7, 1, '{"cursor":1}')])
        assert await activity_after(2, '{"cursor":1}') is Activity.IDLE
        assert await activity_after(3, '{"cursor":2}') is Activity.ACTIVE
        assert await activity_after(4, '{"cursor":2}') is Activity.IDLE
        ana.client.text += "x"
        await town.step(1)
        assert [one.activity for one in room.presence.crowd] == [Activity.ACTIVE]
