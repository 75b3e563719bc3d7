"""The clock that tests turn by hand."""

from __future__ import annotations

import asyncio

import pytest

from cowrite.core.ports import Clock
from cowrite.testing.clock import ManualClock
from cowrite.testing.clock_contract import ClockContract


class TestManualClock(ClockContract):
    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    async def pass_time(self, clock: Clock, seconds: float) -> None:
        assert isinstance(clock, ManualClock)
        await asyncio.sleep(0)  # who has just begun to sleep gets that far
        clock.advance(seconds)
        await asyncio.sleep(0)


@pytest.mark.rule("ID4")
def test_time_stands_still_until_it_is_turned() -> None:
    clock = ManualClock(now=1000)
    assert (clock.now(), clock.monotonic()) == (1000, 0.0)
    clock.advance(1.5)
    assert (clock.now(), clock.monotonic()) == (2500, 1.5)


@pytest.mark.rule("ID4")
def test_the_wall_clock_may_step_back_and_monotonic_time_does_not() -> None:
    clock = ManualClock(now=10_000)
    clock.advance(1)
    clock.step_wall(-5000)
    assert (clock.now(), clock.monotonic()) == (6000, 1.0)
    clock.advance(1)
    assert (clock.now(), clock.monotonic()) == (7000, 2.0)


def test_many_small_steps_are_one_large_one() -> None:
    clock = ManualClock(now=0)
    called: list[float] = []
    clock.call_later(1.0, lambda: called.append(clock.monotonic()))
    for _ in range(10):
        clock.advance(0.1)
    assert called == [1.0]
    for _ in range(10_000):
        clock.advance(0.0001)
    assert (clock.now(), clock.monotonic()) == (2000, 2.0)


@pytest.mark.rule("ID5")
def test_timers_fire_in_the_order_of_their_times_then_of_their_making() -> None:
    clock = ManualClock()
    called: list[tuple[str, float]] = []

    def timer(name: str, delay: float) -> None:
        clock.call_later(delay, lambda: called.append((name, clock.monotonic())))

    for name, delay in (("c", 2), ("a", 1), ("b", 1), ("now", 0), ("past", -5), ("later", 4)):
        timer(name, delay)
    assert called == [], "not within the call"
    clock.advance(3)
    assert called == [("now", 0.0), ("past", 0.0), ("a", 1.0), ("b", 1.0), ("c", 2.0)]
    assert clock.monotonic() == 3.0


@pytest.mark.rule("ID5")
def test_what_a_timer_makes_due_is_called_too() -> None:
    clock = ManualClock()
    called: list[float] = []

    def again() -> None:
        called.append(clock.monotonic())
        clock.call_later(1, again)

    clock.call_later(0, again)
    clock.advance(3)
    assert called == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.rule("ID5")
def test_a_cancelled_timer_does_not_call() -> None:
    clock = ManualClock()
    called: list[str] = []
    timer = clock.call_later(1, lambda: called.append("timer"))
    timer.cancel()
    timer.cancel()
    clock.advance(2)
    done = clock.call_later(1, lambda: called.append("done"))
    clock.advance(2)
    done.cancel()
    assert called == ["done"]


def test_work_may_take_time() -> None:
    """A callback that turns the clock further: time does not go back behind it."""
    clock = ManualClock()
    called: list[float] = []
    clock.call_later(1, lambda: clock.advance(5))
    clock.call_later(2, lambda: called.append(clock.monotonic()))
    clock.advance(3)
    assert called == [2.0]
    assert clock.monotonic() == 6.0


def test_a_callback_that_raises_is_not_called_again() -> None:
    clock = ManualClock()
    called: list[float] = []
    clock.call_later(1, lambda: [][0])
    clock.call_later(2, lambda: called.append(clock.monotonic()))
    with pytest.raises(IndexError):
        clock.advance(5)
    assert clock.monotonic() == 1.0
    clock.advance(1)
    assert called == [2.0]


@pytest.mark.rule("ID5")
async def test_sleepers_wake_when_the_clock_is_turned() -> None:
    clock = ManualClock()
    woken: list[str] = []

    async def sleeper() -> None:
        await clock.sleep(1)
        woken.append("woken")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(sleeper())
        await asyncio.sleep(0)
        clock.advance(0.5)
        await asyncio.sleep(0)
        assert woken == []
        clock.advance(0.5)
    assert woken == ["woken"]
