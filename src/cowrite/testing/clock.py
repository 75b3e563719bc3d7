"""A clock that is turned by hand."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING

from cowrite.core.ports import Clock, Timer


class _ManualTimer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class ManualClock:
    """Stands still until :meth:`advance`. Timers fire in the order of their times, then of their making.

    Counts in whole nanoseconds, so that ten steps of 0.1 s are one second.
    """

    def __init__(self, *, now: int = 1_790_000_000_000) -> None:
        self._wall = now
        """The wall clock when monotonic time was 0."""
        self._elapsed = 0
        self._timers: list[tuple[int, int, _ManualTimer]] = []
        self._numbers = count()

    def now(self) -> int:
        return self._wall + self._elapsed // 1_000_000

    def monotonic(self) -> float:
        return self._elapsed / 1e9

    def cpu(self) -> float:
        """As :meth:`monotonic`: a call that turns the clock has worked for so long."""
        return self._elapsed / 1e9

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        timer = _ManualTimer(callback)
        heapq.heappush(self._timers, (self._elapsed + round(max(0.0, delay) * 1e9), next(self._numbers), timer))
        return timer

    async def sleep(self, delay: float) -> None:
        awake = asyncio.Event()
        self.call_later(delay, awake.set)
        await awake.wait()

    def advance(self, seconds: float = 0.0) -> None:
        """Turn the clock; what is due is called on the way, what that makes due too.

        A callback may turn the clock further, as work does that takes time. What it raises is passed on at once: the clock has
        come as far as that callback, which will not be called again.
        """
        until = self._elapsed + round(seconds * 1e9)
        while self._timers and self._timers[0][0] <= until:
            self._elapsed, _, timer = heapq.heappop(self._timers)
            if timer.callback is not None:
                timer.callback()
        self._elapsed = max(self._elapsed, until)

    def step_wall(self, milliseconds: int) -> None:
        """Set the wall clock forward or back; monotonic time does not notice."""
        self._wall += milliseconds


if TYPE_CHECKING:
    _: type[Clock] = ManualClock
