"""When people do something: each in a rhythm of their own, whatever the server does meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Rhythm:
    """Calls ``act`` so many times a second from now on. Beats that are missed are left out, and ``missed`` is told how many."""

    def __init__(self, act: Callable[[], None], rate: float, phase: float, missed: Callable[[int], None]) -> None:
        self._act = act
        self._every = 1 / rate
        self._missed = missed
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + phase * self._every
        self._timer = self._loop.call_at(self._due, self._beat)

    def stop(self) -> None:
        """No more."""
        self._timer.cancel()

    def _beat(self) -> None:
        self._due += self._every
        behind = int((self._loop.time() - self._due) / self._every)
        if behind > 0:
            self._missed(behind)
            self._due += behind * self._every
        self._timer = self._loop.call_at(self._due, self._beat)
        self._act()
