"""How well a socket works, and how much a server has to do."""

from __future__ import annotations

import asyncio

import pytest

from cowrite.testing.clock import ManualClock
from cowrite.transports.link import LATE_SECONDS, LinkMeter
from cowrite.transports.load import MEASURE_SECONDS, ServerLoad


def quality(link: LinkMeter) -> str:
    return link.quality


def status(load: ServerLoad) -> str:
    return load.status


@pytest.mark.rule("JS6")
def test_a_link_is_degraded_by_what_does_not_come_back() -> None:
    clock = ManualClock()
    link = LinkMeter(clock)
    link.answered()
    assert (quality(link), link.round_trip) == ("ok", None)
    link.asked()
    clock.advance(0.2)
    link.asked()
    link.answered()
    assert link.round_trip == pytest.approx(0.2)
    link.asked()
    clock.advance(LATE_SECONDS)
    assert quality(link) == "degraded", "no pong"
    link.answered()
    assert link.round_trip == pytest.approx(0.2 + 0.3 * (LATE_SECONDS - 0.2))
    assert quality(link) == "degraded", "slow"
    for _ in range(20):
        link.asked()
        link.answered()
    assert quality(link) == "ok"
    link.full()
    clock.advance(LATE_SECONDS / 2)
    link.full()
    assert quality(link) == "ok"
    clock.advance(LATE_SECONDS / 2 + 0.01)
    assert quality(link) == "degraded", "nothing is read"
    link.drained()
    assert quality(link) == "ok"


@pytest.mark.rule("JS6", "JS12")
async def test_a_server_tells_when_it_is_late_crowded_or_failing() -> None:
    clock = ManualClock()
    now = {"connections": 0, "failing": False}
    load = ServerLoad(clock, max_connections=10, connections=lambda: now["connections"], failing=lambda: bool(now["failing"]))
    assert (status(load), load.accepts, load.crowded) == ("ok", True, False)
    now["connections"] = 9
    assert (status(load), load.accepts, load.crowded) == ("degraded", True, True)
    now["connections"] = 10
    assert not load.accepts
    now.update(connections=0, failing=True)
    assert status(load) == "degraded"
    now["failing"] = False
    measuring = asyncio.ensure_future(load.run())
    for late in [1.0] * 3 + [0.0] * 30:
        await asyncio.sleep(0)
        clock.advance(MEASURE_SECONDS + late)
        await asyncio.sleep(0)
        if late:
            assert load.lag > 0
    assert status(load) == "ok", "it is over"
    clock.advance(MEASURE_SECONDS + 3)
    await asyncio.sleep(0)
    assert status(load) == "degraded"
    measuring.cancel()
    load.draining = True
    assert (status(load), load.accepts) == ("draining", False)
