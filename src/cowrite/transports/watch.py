"""When to look after sockets that may be silent: one timer of the event loop for all that are due about the same time.

A timer for each of ten thousand idle sockets is a twentieth of what they need, and is made anew every half minute.
"""

from __future__ import annotations

from math import ceil
from typing import Protocol

from cowrite.core.ports import Clock


class Watched(Protocol):
    """A socket. Compared by identity."""

    def look(self) -> None:
        """It is time. Never raises."""
        ...


class Watch:
    """Calls sockets at their time or up to ``grain`` seconds later."""

    def __init__(self, clock: Clock, grain: float) -> None:
        self._clock = clock
        self._grain = grain
        self._due: dict[int, set[Watched]] = {}
        """By the number of the grain at the end of which they are called."""

    def put(self, socket: Watched, delay: float) -> int:
        """Call it in so many seconds. Returns what :meth:`drop` needs."""
        now = self._clock.monotonic()
        due = ceil((now + delay) / self._grain)
        if due not in self._due:
            self._due[due] = set()
            self._clock.call_later(due * self._grain - now, lambda: self._call(due))
        self._due[due].add(socket)
        return due

    def drop(self, socket: Watched, due: int) -> None:
        """Do not call it, unless it was called already."""
        self._due.get(due, set()).discard(socket)

    def _call(self, due: int) -> None:
        sockets = self._due[due]
        while sockets:  # one may be dropped meanwhile
            sockets.pop().look()
        del self._due[due]
