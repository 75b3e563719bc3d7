"""Answers that their clients do not read, or hardly: how long they are kept, and how much of them.

An answer is whole in memory, each client's its own; and who does not read it has its server keep it. So what has not left is
counted, as what comes is (:class:`cowrite.core.incoming.Incoming`), of all clients and of each address; and an answer has the
time that a message has to arrive: the longer, the more of it has left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from cowrite.core.incoming import Incoming
from cowrite.core.limits import Limits

LATE: Final = "leaving_late"
"""What ``cowrite_refused_total`` calls it."""


class Departure:
    """Of one connection. ``end``: give the connection up; it is told for which limit, or None where that was counted."""

    __slots__ = ("_end", "_limits", "_share", "_since", "_size", "_timer", "_transport")

    def __init__(
        self, transport: asyncio.Transport, leaving: Incoming, limits: Limits, whose: str, *, end: Callable[[str | None], None]
    ) -> None:
        self._transport = transport
        self._limits = limits
        self._end = end
        self._share = leaving.share(whose)
        self._size = 0
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """The client reads slower than it is written to, or not at all."""
        loop = asyncio.get_running_loop()
        self._size, self._since = self._transport.get_write_buffer_size(), loop.time()
        if self._share.hold(self._size):
            self._timer = loop.call_later(self._limits.arrival_seconds, self._look)
        else:
            self._end(None)

    def over(self) -> None:
        """It has read, or it is gone. Idempotent."""
        self._share.release()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        loop, left = asyncio.get_running_loop(), self._transport.get_write_buffer_size()
        self._share.hold(left)
        due = self._since + self._limits.arrives_within(max(0, self._size - left)) - loop.time()
        if due > 0:
            self._timer = loop.call_later(due, self._look)
        else:
            self._timer = None
            self._end(LATE)
