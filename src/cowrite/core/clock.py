"""The clock of a running server. Tests use :class:`cowrite.testing.clock.ManualClock`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from cowrite.core.ports import Clock, Timer


class SystemClock:
    """The operating system's time and the running event loop's timers."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    def cpu(self) -> float:
        return time.thread_time()

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        loop = asyncio.get_running_loop()
        return loop.call_soon(callback) if delay <= 0 else loop.call_later(delay, callback)

    async def sleep(self, delay: float) -> None:
        await asyncio.sleep(delay)


if TYPE_CHECKING:
    _: type[Clock] = SystemClock
