"""Every promise of the port ``Clock``, as tests. An adapter's own tests subclass :class:`ClockContract`:

    class TestMyClock(ClockContract):
        @pytest.fixture
        def clock(self) -> Clock:
            return MyClock()

It needs pytest and pytest-asyncio in automatic mode.
"""

from __future__ import annotations

import asyncio

import pytest

from cowrite.core.ports import Clock

_SHORT = 0.02
"""Seconds that are waited for; a real clock takes at least so long."""


class ClockContract:
    """The tests; see the module."""

    async def pass_time(self, clock: Clock, seconds: float) -> None:
        """Let so much time pass. A clock that does not go by itself is turned here."""
        await asyncio.sleep(seconds)

    @pytest.mark.rule("ID4")
    async def test_time_goes_forward(self, clock: Clock) -> None:
        """Wall time in whole milliseconds, monotonic time in seconds, and both count the time that passes."""
        wall, monotonic = clock.now(), clock.monotonic()
        assert isinstance(wall, int)
        assert wall > 1_577_836_800_000, "the year 2020, in milliseconds"
        await self.pass_time(clock, _SHORT)
        assert clock.monotonic() >= monotonic + 0.9 * _SHORT
        assert clock.now() >= wall

    @pytest.mark.rule("ID5")
    @pytest.mark.parametrize("delay", [0.0, -1.0])
    async def test_without_delay_in_the_next_turn(self, clock: Clock, delay: float) -> None:
        """A timer never calls within the call that makes it."""
        called: list[str] = []
        clock.call_later(delay, lambda: called.append("called"))
        assert called == []
        await self.pass_time(clock, 0)
        assert called == ["called"]

    @pytest.mark.rule("ID5")
    async def test_timers_wait_for_their_time(self, clock: Clock) -> None:
        """In the order of their times, none before its own."""
        began = clock.monotonic()
        called: list[tuple[str, float]] = []
        for name, delay in (("late", 2 * _SHORT), ("early", _SHORT)):
            clock.call_later(delay, lambda name=name: called.append((name, clock.monotonic() - began)))  # type: ignore[misc]
        await self.pass_time(clock, 0)
        assert called == []
        await self.pass_time(clock, 5 * _SHORT)
        assert [name for name, _ in called] == ["early", "late"]
        assert [at >= 0.9 * delay for (_, at), delay in zip(called, (_SHORT, 2 * _SHORT), strict=True)] == [True, True]

    @pytest.mark.rule("ID5")
    async def test_a_cancelled_timer_does_not_call(self, clock: Clock) -> None:
        """Cancelled once or twice, before its time or after its call."""
        called: list[str] = []
        cancelled, fired = (clock.call_later(_SHORT / 2, lambda name=name: called.append(name)) for name in ("no", "yes"))  # type: ignore[misc]
        cancelled.cancel()
        cancelled.cancel()
        await self.pass_time(clock, 3 * _SHORT)
        fired.cancel()
        assert called == ["yes"]

    @pytest.mark.rule("ID5")
    async def test_sleeping(self, clock: Clock) -> None:
        """A sleeper wakes when its time is over, and one that is cancelled does no harm."""
        began = clock.monotonic()
        given_up, sleeping = (asyncio.create_task(clock.sleep(_SHORT)) for _ in range(2))
        await asyncio.sleep(0)
        given_up.cancel()
        assert not sleeping.done()
        await self.pass_time(clock, 3 * _SHORT)
        await asyncio.wait_for(sleeping, 10)
        assert clock.monotonic() - began >= 0.9 * _SHORT
