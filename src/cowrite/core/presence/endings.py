"""Calls when the time of those is over who said how long they are here, and of those that polled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cowrite.core.ports import Clock, Timer

_LEAST_SECONDS: Final = 0.1
"""Between two calls."""


class Endings:
    """One timer for all in a room, for the earliest end that it was told of."""

    def __init__(self, clock: Clock, end: Callable[[], tuple[float | None, int | None]]) -> None:
        """``end`` removes whose time is over, and tells the next ends: see :meth:`note`."""
        self._clock = clock
        self._end = end
        self._at = float("inf")
        self._timer: Timer | None = None

    def note(self, until: float | None, expires_at: int | None) -> None:
        """Somebody's time is over then: in monotonic seconds, or in milliseconds since 1970."""
        now = self._clock.monotonic()
        ends = [until] if until is not None else []
        if expires_at is not None:
            ends.append(now + (expires_at - self._clock.now()) / 1000)
        at = max(now + _LEAST_SECONDS, min(ends, default=float("inf")))
        if at < self._at:
            self.close()
            self._at = at
            self._timer = self._clock.call_later(at - now, self._due)

    def close(self) -> None:
        """Call no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _due(self) -> None:
        self._timer, self._at = None, float("inf")
        self.note(*self._end())
