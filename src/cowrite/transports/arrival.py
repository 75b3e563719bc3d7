"""One message of a socket that comes in parts: its fragments, how much memory it has until it is complete, and how long it may
take.

A peer that sends a byte now and then is heard, and would not be missed; and half a message takes memory. While nothing is read
of the socket, the message is not late: its peer may have sent it long ago.
"""

from __future__ import annotations

from typing import Final

from cowrite.core.incoming import REASON
from cowrite.protocol.close_codes import CloseCode
from cowrite.transports.services import Connection, Services

LATE: Final = "arrival_seconds"


class Arrival:
    """See the module's docstring. It closes the connection of which it is too much, or too late."""

    __slots__ = ("_connection", "_services", "_share", "_since", "_size", "_unread_since", "fragments", "is_text")

    def __init__(self, services: Services, connection: Connection, now: float) -> None:
        self._services = services
        self._connection = connection
        self._share = services.incoming.share(connection.user)
        self._since = now
        self._unread_since: float | None = None
        self._size = 0
        self.fragments: bytearray | None = None
        """What came of it in whole frames; None: its first frame is not whole."""
        self.is_text = False

    def grow(self, pending: int, now: float) -> bool:
        """So many bytes have come of its next frame. False: the connection was closed."""
        self._size = pending + len(self.fragments or b"")
        if not self._share.fits(self._size) and self._connection.stall():
            return True  # what it has is not counted until something else of the socket is taken: one read of it
        if not self._share.hold(self._size):
            self._connection.close(CloseCode.TOO_FAST, REASON)
            return False
        return self.look(now)

    def pause(self, now: float) -> None:
        """Nothing is read from now on."""
        self._unread_since = now

    def go_on(self, now: float) -> None:
        """Something is again."""
        if self._unread_since is not None:
            self._since += now - self._unread_since
            self._unread_since = None

    def look(self, now: float) -> bool:
        """Whether it may still come. False: it is late, and the connection was closed."""
        allowed = self._services.limits.arrives_within(self._size)
        if self._unread_since is not None or now - self._since <= allowed:
            return True
        self._services.excess.count(LATE)
        self._connection.close(CloseCode.IDLE, f"a message has not come to its end within {allowed:.0f} s")
        return False

    def end(self) -> None:
        """It has come, or will not. Idempotent."""
        self._share.release()
