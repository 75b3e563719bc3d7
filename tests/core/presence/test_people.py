"""A room's people: what counts as doing something."""

from __future__ import annotations

from itertools import count

import pytest

from core.presence.presence_tools import Town
from cowrite.core.presence.present import Activity
from cowrite.protocol.awareness import AwarenessEntry


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
