"""Large messages on their way out of one socket: in fragments, as views of the one ``bytes`` object that all joiners share, and
counted meanwhile with all that has not left (:mod:`cowrite.core.leaving`), once for all of them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from cowrite.core.leaving import Leaving
from cowrite.transports.framing import CONTINUATION, FINAL, WriteTurn, header

FRAGMENT_BYTES: Final = 64 << 10
"""Longer messages are sent in parts of this size."""


class LargeMessages:
    """Made when there is one: an idle socket needs less than this takes. False when all are written."""

    __slots__ = ("_kind", "_leaving", "_messages", "_sent", "_socket", "_turn", "_whose")

    def __init__(self, socket: asyncio.Transport, turn: WriteTurn, kind: int, leaving: Leaving, whose: str) -> None:
        """``whose``: the user who is sent them; empty: that is not known."""
        self._leaving = leaving
        self._whose = whose or None
        self._socket = socket
        self._turn = turn
        self._kind = kind
        self._messages: deque[bytes] = deque()
        self._sent = 0
        """How much of the first one has been written."""

    def __bool__(self) -> bool:
        return bool(self._messages)

    def append(self, message: bytes) -> bool:
        """The next one. False: there is no room for it, and it is dropped."""
        taken = self._leaving.take(self._whose, message, len(message))
        if taken:
            self._messages.append(message)
        return taken

    def drop(self) -> None:
        """None of them is written any more."""
        while self._messages:
            self._give_back(self._messages.popleft())

    def write(self, full: Callable[[], bool]) -> bool:
        """Write parts of them until the socket is ``full``, or all are written. False: it is the others' turn before."""
        while self._messages and not full():
            message = self._messages[0]
            start, end = self._sent, min(self._sent + FRAGMENT_BYTES, len(message))
            if not self._turn.spend(end - start):
                return False
            first = (CONTINUATION if start else self._kind) | (FINAL if end == len(message) else 0)
            self._sent = end
            if end == len(message):
                self._give_back(self._messages.popleft())
                self._sent = 0
            part: memoryview | bytes = memoryview(message)[start:end]
            if len(message) - start <= 2 * FRAGMENT_BYTES:
                part = bytes(part)  # views of the last ones, which may stay in the socket's buffer, would keep all of it
            self._socket.writelines((header(first, end - start), part))
        return True

    def _give_back(self, message: bytes) -> None:
        self._leaving.give_back(self._whose, message, len(message))
