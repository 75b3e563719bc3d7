"""When people do something: each in a rhythm of their own, whatever the server does meanwhile; and how long one waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

Late = Callable[[float, int], None]
"""Is told of each beat how late it came, in ms, and how many after it are left out."""


class Pacer:
    """Calls ``act`` so many times a second from now on. Of the beats that are missed all but the last are left out."""

    def __init__(self, act: Callable[[], None], rate: float, phase: float, late: Late | None = None) -> None:
        self._act = act
        self._every = 1 / rate
        self._late = late
        self._loop = asyncio.get_running_loop()
        # Not the loop's own clock: it stands still while what is due at the same time is done.
        self._due = time.monotonic() + phase * self._every
        self._timer = self._wait()

    def stop(self) -> None:
        """No more."""
        self._timer.cancel()

    def _wait(self) -> asyncio.TimerHandle:
        return self._loop.call_later(max(0.0, self._due - time.monotonic()), self._beat)

    def _beat(self) -> None:
        behind = max(0.0, time.monotonic() - self._due)
        missed = max(0, int(behind / self._every) - 1)
        self._due += (missed + 1) * self._every
        if self._late is not None:
            self._late(behind * 1000, missed)
        self._timer = self._wait()
        self._act()


async def wait_until(holds: Callable[[], bool], seconds: float, *, look_every: float = 0.02) -> bool:
    """Wait until it holds, for so long at most; whether it does."""
    end = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < end:  # noqa: ASYNC110 # a matter of counting, and so no event
        await asyncio.sleep(look_every)
    return held
