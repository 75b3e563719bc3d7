"""The port to time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A callback that waits for its time."""

    def cancel(self) -> None:
        """It will not be called. Idempotent; harmless after it was called."""
        ...


class Clock(Protocol):
    """All time comes from here, so that tests turn it by hand."""

    def now(self) -> int:
        """Wall clock, milliseconds since 1970. May step backwards."""
        ...

    def monotonic(self) -> float:
        """Seconds that only go forward."""
        ...

    def cpu(self) -> float:
        """Seconds of CPU time that the calling thread has used; only differences mean something."""
        ...

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Call back on the event loop after ``delay`` seconds (0: in the loop's next turn)."""
        ...

    async def sleep(self, delay: float) -> None:
        """Wait ``delay`` seconds."""
        ...
