"""When people do something, and what is told of a generator that is late."""

from __future__ import annotations

import asyncio
import time

import pytest

from cowrite.loadtest.pacing import Pacer
from timing import MS


async def told_of(every: float, *, blocked_for: float) -> list[tuple[float, int]]:
    """What it told of each beat, when the event loop stood still at the first one; of four at least."""
    acted, told, enough = 0, list[tuple[float, int]](), asyncio.Event()

    def act() -> None:
        nonlocal acted
        acted += 1
        if acted == 1:
            end = time.monotonic() + blocked_for
            while time.monotonic() < end:
                pass
        if acted == 4:
            enough.set()

    pacer = Pacer(act, 1 / every, 0, lambda late, missed: told.append((late, missed)))
    await enough.wait()
    pacer.stop()
    stopped_at = acted
    await asyncio.sleep(2 * every)
    assert acted == stopped_at == len(told)
    return told


@pytest.mark.rule("LG21")
async def test_how_late_a_beat_was_is_told() -> None:
    """The first one after the loop stood still for most of two beats: it is not left out."""
    every = 40 * MS
    told = await told_of(every, blocked_for=1.9 * every)
    assert told[1][0] >= 900 * every
    assert all(late >= 0 for late, _ in told)


@pytest.mark.rule("LG21")
async def test_beats_that_cannot_be_made_up_for_are_counted() -> None:
    """The loop stood still for more than five: the first that was due is made, late, and so is the last."""
    every = 20 * MS
    told = await told_of(every, blocked_for=5.5 * every)
    assert told[1][0] >= 4500 * every
    assert told[1][1] >= 3
