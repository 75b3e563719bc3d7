"""When a room that is open and quiet stops holding its document in the engine.

A document in the engine takes some ten times its encoded size, twice (``log`` and ``live``). So a room in which nothing has
happened for a while keeps the encoded state only. Who reads it, and who opens it anew, is served from that; the next one who
writes wakes it, which takes about 20 ms for a megabyte.
"""

from __future__ import annotations

from typing import Final

from cowrite.core.records import Head

REST_SECONDS: Final = 20.0
"""How long nothing must have happened."""


class Rest:
    """Looks now and then whether anything has happened to one room."""

    def __init__(self) -> None:
        self._head: Head | None = None
        self._since = 0.0

    def is_due(self, now: float, head: Head, *, busy: bool) -> bool:
        """Whether nothing has happened for long, by the monotonic time ``now``; ``busy``: something is happening."""
        if busy or head != self._head:
            self._head, self._since = head, now
        return now - self._since >= REST_SECONDS
