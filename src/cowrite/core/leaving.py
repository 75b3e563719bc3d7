"""The memory of what was made for clients and has not left yet: answers to requests, and large messages of sockets.

Theory of operation. A document is large, clients are many, and who does not read has its server keep what was made for it. So
what is made is counted from then on, and not only when it is seen not to leave: until then a hundred more may have been made.
What is given to many is one object, takes its memory once, and is counted once: whoever asks for what others are just being
given takes but a buffer. It counts as a whole until all of it has left, as it stays in memory so long. Each user or address
has at most a quarter, so that no single one keeps others from being answered.

What is small is not counted (:data:`~cowrite.core.incoming.SMALL_BYTES`), and what is alone is not refused.
"""

from __future__ import annotations

from typing import Final

from cowrite.core.excess import Excess
from cowrite.core.incoming import SMALL_BYTES
from cowrite.core.limits import Limits

REASON: Final = "too much waits to be read by clients; come back later"
BUFFER_BYTES: Final = 128 << 10
"""What a server has in its buffer of an answer, at most, before it waits for it to be read."""
_LIMIT: Final = "leaving_bytes"
_PARTS: Final = 4
"""A user or an address has at most one of so many."""


class Leaving:
    """What one process holds."""

    def __init__(self, limits: Limits, excess: Excess | None = None) -> None:
        self._limit = limits.leaving_bytes
        self._excess = excess if excess is not None else Excess()
        self._all = _Account()
        self._of: dict[str, _Account] = {}

    @property
    def bytes(self) -> int:
        """All together."""
        return self._all.bytes

    def take(self, whose: str | None, thing: object, size: int, *, beside: int = 0) -> bool:
        """Something of so many bytes is held for somebody (None: nobody in particular), and so many more each time that are not
        shared: until :meth:`give_back`, once for each time. False: there is no room for it, and nothing has happened.
        """
        if size <= SMALL_BYTES:
            return True
        mine = self._of.get(whose, _Account()) if whose is not None else None
        if not self._all.admits(thing, size, beside, self._limit) or not (
            mine is None or mine.admits(thing, size, beside, self._limit // _PARTS)
        ):
            self._excess.count(_LIMIT)
            return False
        self._all.add(thing, size, beside)
        if whose is not None and mine is not None:
            mine.add(thing, size, beside)
            self._of[whose] = mine
        return True

    def give_back(self, whose: str | None, thing: object, size: int, *, beside: int = 0) -> None:
        """It has left, or is dropped."""
        if size <= SMALL_BYTES:
            return
        self._all.remove(thing, size, beside)
        if whose is not None:
            mine = self._of[whose]
            mine.remove(thing, size, beside)
            if not mine.bytes:
                del self._of[whose]


class Held:
    """One thing at a time of them, held for one client."""

    __slots__ = ("_beside", "_leaving", "_size", "_thing", "_whose")

    def __init__(self, leaving: Leaving, whose: str | None) -> None:
        self._leaving = leaving
        self._whose = whose
        self._thing: object = None
        self._size = 0
        self._beside = 0

    def hold(self, body: bytes) -> bool:
        """It holds this in the place of what it held. False: there is no room for it, and it holds nothing."""
        return body is self._thing or self._change(body, len(body), min(len(body), BUFFER_BYTES))

    def buffer(self, size: int) -> bool:
        """As :meth:`hold`, of bytes that it shares with nobody."""
        return self._change(self, size, 0)

    def release(self) -> None:
        """It has left, or the client has gone. Idempotent."""
        self._change(None, 0, 0)

    def _change(self, thing: object, size: int, beside: int) -> bool:
        self._leaving.give_back(self._whose, self._thing, self._size, beside=self._beside)
        taken = self._leaving.take(self._whose, thing, size, beside=beside)
        self._thing, self._size, self._beside = (thing, size, beside) if taken else (None, 0, 0)
        return taken


class _Account:
    """Of all, or of one."""

    __slots__ = ("_holders", "bytes")

    def __init__(self) -> None:
        self.bytes = 0
        self._holders: dict[int, int] = {}
        """By the thing's id, how many hold it: they keep it alive, and so the id its own."""

    def admits(self, thing: object, size: int, beside: int, most: int) -> bool:
        more = self._more(thing, size, beside)
        return not more or not self.bytes or self.bytes + more <= most

    def add(self, thing: object, size: int, beside: int) -> None:
        self.bytes += self._more(thing, size, beside)
        self._holders[id(thing)] = self._holders.get(id(thing), 0) + 1

    def remove(self, thing: object, size: int, beside: int) -> None:
        self._holders[id(thing)] -= 1
        if not self._holders[id(thing)]:
            del self._holders[id(thing)]
        self.bytes -= self._more(thing, size, beside)

    def _more(self, thing: object, size: int, beside: int) -> int:
        """What it takes where it is held once more than it is now."""
        return beside if id(thing) in self._holders else size + beside
