"""Answers that their clients do not read, or hardly: how long they are kept, and what the server's buffers hold of them.

The application gives an answer in parts, the next when there is room in the buffer, and counts the whole of it
(:mod:`cowrite.core.leaving`). Here counts what is in the buffer; and an answer has the time that a message has to arrive: the
longer, the more of it has left. It runs on while parts of it leave, so that a client does not have it anew for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from cowrite.core.leaving import Held, Leaving
from cowrite.core.limits import Limits

LATE: Final = "leaving_late"
"""What ``cowrite_refused_total`` calls it."""


class Departure:
    """Of one connection. ``written``: how much it was given so far. ``end``: give the connection up; it is told for which
    limit, or None where that was counted.
    """

    __slots__ = ("_before", "_end", "_held", "_limits", "_since", "_stuck", "_timer", "_transport", "_written")

    def __init__(
        self,
        transport: asyncio.Transport,
        leaving: Leaving,
        limits: Limits,
        whose: str | None,
        *,
        written: Callable[[], int],
        end: Callable[[str | None], None],
    ) -> None:
        self._transport = transport
        self._limits = limits
        self._written = written
        self._end = end
        self._held = Held(leaving, whose)
        self._since = 0.0
        self._before = 0
        """What had left when the time began."""
        self._stuck = False
        """The client does not read as fast as it is written to, now."""
        self._timer: asyncio.TimerHandle | None = None

    def pause(self) -> None:
        """The client reads slower than it is written to, or not at all."""
        loop = asyncio.get_running_loop()
        self._stuck = True
        if self._timer is None:
            self._since, self._before = loop.time(), self._left()
            self._timer = loop.call_later(self._limits.arrival_seconds, self._look)

    def given(self) -> None:
        """The application has given all of the answer, and holds nothing of it any more: what is left is in the buffer."""
        if self._stuck and not self._held.buffer(self._transport.get_write_buffer_size()):
            self._end(None)

    def resume(self) -> None:
        """It has read what it was given; there may be more of the same answer."""
        self._stuck = False
        self._held.release()

    def over(self) -> None:
        """It has read all of the answer, or it is gone. Idempotent."""
        self.resume()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _left(self) -> int:
        return self._written() - self._transport.get_write_buffer_size()

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        due = self._since + self._limits.arrives_within(self._left() - self._before) - loop.time()
        if due > 0:
            self._timer = loop.call_later(due, self._look)
        elif self._stuck:
            self._timer = None
            self._end(LATE)
        else:
            self._timer = None  # the application is slow, not the client: the time begins anew
