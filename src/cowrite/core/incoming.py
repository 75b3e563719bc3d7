"""The memory of what has come and is not taken yet: messages that have not come to their end, and those that wait.

Theory of operation. One message may be large, and sockets are many: what each of them may hold would together be more than any
machine has. So what is held is counted, of all together and of each user, wherever something may wait for long: half a message
in the transport, a frame in a lane, a large update before its turn, a body of messages. Whoever would take it beyond the limit
is sent away with a code that says to come back, before more of it is kept; and before a user has more than a quarter, so that
no single one keeps the others from sending. Those of whom it is not known yet who they are count as one.

What is small is not counted (:data:`SMALL_BYTES`), and what is alone is not refused.
"""

from __future__ import annotations

from typing import Final

from cowrite.core.excess import Excess
from cowrite.core.limits import Limits

SMALL_BYTES: Final = 16 << 10
"""Up to so many bytes nothing is counted: the number of sockets bounds them."""
REASON: Final = "too much waits to be read; connect again later"
_PARTS: Final = 4
"""A user has at most one of so many."""


class Incoming:
    """What one process holds."""

    def __init__(self, limits: Limits, excess: Excess | None = None) -> None:
        self._limit = limits.incoming_bytes
        self._excess = excess if excess is not None else Excess()
        self._of: dict[str, int] = {}
        self.bytes = 0
        """All together."""

    def share(self, user: str) -> Share:
        """Something of this user has begun to come, or to wait. Empty: it is not known whose it is."""
        return Share(self, user)

    def _fits(self, user: str, before: int, now: int) -> bool:
        of_user, of_all = self._of.get(user, 0) - before, self.bytes - before
        too_much = (of_user and of_user + now > self._limit // _PARTS) or (of_all and of_all + now > self._limit)
        return now <= before or not too_much

    def _change(self, user: str, before: int, now: int) -> bool:
        if not self._fits(user, before, now):
            self._excess.count("incoming_bytes")
            return False
        of_user, of_all = self._of.get(user, 0) - before, self.bytes - before
        self.bytes = of_all + now
        if of_user + now:
            self._of[user] = of_user + now
        else:
            self._of.pop(user, None)
        return True


class Share:
    """The part of one message or queue in it."""

    __slots__ = ("_incoming", "_size", "_user")

    def __init__(self, incoming: Incoming, user: str) -> None:
        self._incoming = incoming
        self._user = user
        self._size = 0

    def fits(self, size: int) -> bool:
        """Whether there is room for so many bytes of it now."""
        return self._incoming._fits(self._user, self._size, _counted(size))

    def hold(self, size: int) -> bool:
        """It has so many bytes now. False: there is no room for them; then it has as many as before."""
        size = _counted(size)
        if size != self._size:
            if not self._incoming._change(self._user, self._size, size):
                return False
            self._size = size
        return True

    def release(self) -> None:
        """It is taken, or gone. Idempotent."""
        self.hold(0)


def _counted(size: int) -> int:
    return size if size > SMALL_BYTES else 0
