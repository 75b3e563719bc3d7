"""The clock of a running server."""

from __future__ import annotations

import asyncio
import time

import pytest

from cowrite.core.clock import SystemClock
from cowrite.testing.clock_contract import ClockContract
from timing import MS


class TestSystemClock(ClockContract):
    @pytest.fixture
    def clock(self) -> SystemClock:
        return SystemClock()


@pytest.mark.rule("ID4")
def test_wall_time_is_in_milliseconds_since_1970() -> None:
    before = time.time() * 1000
    now = SystemClock().now()
    assert before - 1 <= now <= time.time() * 1000


@pytest.mark.rule("ID4")
def test_monotonic_time_is_in_seconds() -> None:
    clock = SystemClock()
    before = time.monotonic()
    assert before <= clock.monotonic() <= time.monotonic()


@pytest.mark.rule("ID4")
def test_cpu_time_is_that_of_the_calling_thread() -> None:
    clock = SystemClock()
    before = clock.cpu()
    time.sleep(20 * MS)
    rested = clock.cpu()
    while clock.cpu() - rested < 0.005:
        pass
    assert before <= rested < before + 10 * MS


@pytest.mark.rule("ID5")
@pytest.mark.parametrize("delay", [0.0, -1.0, float("-inf")])
async def test_without_delay_a_callback_comes_in_the_loops_next_turn(delay: float) -> None:
    called: list[str] = []
    loop = asyncio.get_running_loop()
    SystemClock().call_later(delay, lambda: called.append("callback"))
    loop.call_soon(called.append, "after it")
    assert called == []
    await asyncio.sleep(0)
    assert called == ["callback", "after it"]


@pytest.mark.rule("ID5")
async def test_a_callback_comes_after_its_delay() -> None:
    clock = SystemClock()
    loop = asyncio.get_running_loop()
    done: asyncio.Future[float] = loop.create_future()
    began = clock.monotonic()
    clock.call_later(20 * MS, lambda: done.set_result(clock.monotonic()))
    assert await asyncio.wait_for(done, 2000 * MS) - began >= 19 * MS


@pytest.mark.rule("ID5")
async def test_a_cancelled_timer_does_not_call() -> None:
    clock = SystemClock()
    called: list[str] = []
    at_once = clock.call_later(0, lambda: called.append("at once"))
    later = clock.call_later(5 * MS, lambda: called.append("later"))
    for timer in (at_once, later):
        timer.cancel()
        timer.cancel()
    await clock.sleep(20 * MS)
    assert called == []


@pytest.mark.rule("ID5")
async def test_sleeping_takes_its_time() -> None:
    clock = SystemClock()
    began = clock.monotonic()
    await clock.sleep(20 * MS)
    assert clock.monotonic() - began >= 19 * MS
