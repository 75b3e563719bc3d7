"""One message of a socket that comes in parts: how much memory it has until it is complete, and how long it may take.

A peer that sends a byte now and then is heard, and would not be missed; and half a message takes memory.
"""

from __future__ import annotations

from typing import Final

from cowrite.core.incoming import REASON
from cowrite.protocol.close_codes import CloseCode
from cowrite.transports.services import Connection, Services

LATE: Final = "arrival_seconds"


class Arrival:
    """See the module's docstring. It closes the connection of which it is too much, or too late."""

    __slots__ = ("_connection", "_services", "_share", "_since", "_size")

    def __init__(self, services: Services, connection: Connection, now: float) -> None:
        self._services = services
        self._connection = connection
        self._share = services.incoming.share(connection.user)
        self._since = now
        self._size = 0

    def grow(self, size: int, now: float) -> bool:
        """So many bytes of it have come. False: the connection was closed."""
        self._size = size
        if not self._share.hold(size):
            self._connection.close(CloseCode.TOO_FAST, REASON)
            return False
        return self.look(now)

    def look(self, now: float) -> bool:
        """Whether it may still come. False: it is late, and the connection was closed."""
        allowed = self._services.limits.arrives_within(self._size)
        if now - self._since <= allowed:
            return True
        self._services.excess.count(LATE)
        self._connection.close(CloseCode.IDLE, f"a message has not come to its end within {allowed:.0f} s")
        return False

    def end(self) -> None:
        """It has come, or will not. Idempotent."""
        self._share.release()
