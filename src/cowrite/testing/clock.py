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
    """Stands still until :meth:`advance`. Timers fire in the order of their times, then of their making."""

    def __init__(self, *, now: int = 1_790_000_000_000) -> None:
        self._now = now
        self._monotonic = 0.0
        self._timers: list[tuple[float, int, _ManualTimer]] = []
        self._numbers = count()

    def now(self) -> int:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        timer = _ManualTimer(callback)
        heapq.heappush(self._timers, (self._monotonic + max(0.0, delay), next(self._numbers), timer))
        return timer

    async def sleep(self, delay: float) -> None:
        awake = asyncio.Event()
        self.call_later(delay, awake.set)
        await awake.wait()

    def advance(self, seconds: float = 0.0) -> None:
        """Turn the clock; what is due is called on the way, what that makes due too."""
        until = self._monotonic + seconds
        while self._timers and self._timers[0][0] <= until:
            due, _, timer = heapq.heappop(self._timers)
            self._now += round((due - self._monotonic) * 1000)
            self._monotonic = due
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()
        self._now += round((until - self._monotonic) * 1000)
        self._monotonic = until

    def step_wall(self, milliseconds: int) -> None:
        """Set the wall clock forward or back; monotonic time does not notice."""
        self._now += milliseconds


if TYPE_CHECKING:
    _: type[Clock] = ManualClock
