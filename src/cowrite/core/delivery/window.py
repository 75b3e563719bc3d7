"""When a room flushes: at once when it was quiet, and the less often the more a flush costs."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, sqrt

from cowrite.core.ports import Clock, Timer

_LEAST_SHARE = 2.5
"""A flush waits at least this many times the cost of the one before, so flushing takes less than a third of the loop."""
_SHARE = 1.35
"""So many times as long as the root of the number of updates in it, if that is more.

What a flush costs is nearly the same for one update and for many: a frame for each peer. It costs the less the longer it waits
for more of them, and delays the more, each of them. The sum of both is least when the time between two flushes goes with the
root of the cost over the rate of updates; and so it does where the wait is most of that time.
"""
_MEMORY = 0.2
"""Seconds after which about a third of what flushes have taken still counts."""
_PATIENCE = 1 / 3
"""Seconds that a room waits times the share of the loop's time that other rooms' flushes take.

A flush to ten peers costs so little that a room alone would never wait; a hundred of them fill the process with frames of one
update each. With a hundred such rooms it comes to some 40 ms, and with three to none that anybody notices.
"""


class FlushTime:
    """How much of the loop's time flushes have taken lately."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._counted_at = 0.0

    def add(self, seconds: float, now: float) -> None:
        """A flush that took so long has ended now (monotonic time)."""
        self._seconds = self.share(now) * _MEMORY + seconds
        self._counted_at = now

    def share(self, now: float) -> float:
        """The share of the loop's time, 0 to 1; more for a moment after one long flush."""
        return self._seconds * exp((self._counted_at - now) / _MEMORY) / _MEMORY


class FlushWindow:
    """Calls ``flush`` after :meth:`wake`: in the loop's next turn, or when the window since the end of the last flush is over.

    The window is 2.5 times what the last flush took on the loop, more when it sent several updates as one or when flushes of
    other rooms take much of the loop's time, at least ``shortest`` and at most ``longest`` seconds. A fixed interval (both
    equal) costs least and delays most; no window at all falls behind under load. What ``flush`` raises goes to the clock's
    caller (the event loop), and the window goes on.
    """

    def __init__(
        self, clock: Clock, flush: Callable[[], int], everybodys: FlushTime, *, shortest: float, longest: float
    ) -> None:
        """``flush`` returns how many updates it has sent; ``everybodys``: the time of all flushes of this process."""
        self._clock = clock
        self._flush = flush
        self._everybodys, self._own = everybodys, FlushTime()
        self._shortest = shortest
        self._longest = longest
        self._timer: Timer | None = None
        self._opens_at = float("-inf")
        self._flushing = False
        self._again = False
        """Woken by the flush itself: the next one is due, when the window is over."""

    def wake(self) -> None:
        """Something waits. Cheap when a flush is due already."""
        if self._flushing:
            self._again = True
        elif self._timer is None:
            self._timer = self._clock.call_later(max(0.0, self._opens_at - self._clock.monotonic()), self._run)

    def cancel(self) -> None:
        """No flush will come from an earlier :meth:`wake`."""
        self._again = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _run(self) -> None:
        self._timer = None
        self._flushing = True
        began = self._clock.monotonic()
        updates = 0
        try:
            updates = self._flush()
        finally:
            ended = self._clock.monotonic()
            self._opens_at = ended + self._wait(ended - began, updates, ended)
            self._flushing = False
            if self._again:
                self._again = False
                self.wake()

    def _wait(self, took: float, updates: int, now: float) -> float:
        self._own.add(took, now)
        self._everybodys.add(took, now)
        for_own = max(_LEAST_SHARE, _SHARE * sqrt(updates)) * took
        for_others = _PATIENCE * (self._everybodys.share(now) - self._own.share(now))
        return min(self._longest, max(self._shortest, for_own, for_others))
