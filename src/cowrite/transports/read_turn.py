"""How long one socket is read before the others are served: what comes as fast as it is read would else be all that is done.

Theory of operation. The event loop reads a socket again and again while it gives something: thousands of pings at a time, or of
questions. What these cost is not known before. So the time is measured that reading takes (with all
that is done at once for a message), of one socket after another, and a socket that has taken more than its turn is not read for
three times as long, or 10 ms: its peer's system keeps what comes, and then its peer. Nothing is refused, and nothing waits
here.

Nothing is kept for each socket, of which there are ten thousand: whoever is read next begins a turn. A socket that is read
alone, long after it was read before, ends its turn sooner than it should; that costs it milliseconds.
"""

from __future__ import annotations

import asyncio
from typing import Final

TURN_SECONDS: Final = 0.001
"""Of the clock on the wall."""
READ_BYTES: Final = 8 << 10
"""Of one socket at a time: a thousand pings, which take about a turn."""
_REST: Final = 3.0
"""How many times as long it rests: whoever floods has a quarter of the loop's time at most."""
_LONGEST_REST: Final = 0.01
"""The clock shows more than the work where the process had to wait for its core: nobody is to be deaf for seconds because of
that. What one message costs counts elsewhere (:class:`Account`)."""


class ReadTurn:
    """Of the sockets of one event loop."""

    def __init__(self) -> None:
        self._socket: asyncio.Transport | None = None
        """Whose turn it is."""
        self._taken = 0.0

    def took(self, socket: asyncio.Transport, seconds: float) -> None:
        """What came of this socket has taken so long."""
        if socket is not self._socket:
            self._socket, self._taken = socket, 0.0
        self._taken += seconds
        if self._taken > TURN_SECONDS:
            rest, self._socket = min(_REST * self._taken, _LONGEST_REST), None
            if not socket.is_closing():
                socket.pause_reading()
                asyncio.get_running_loop().call_later(rest, _go_on, socket)

    def forget(self, socket: asyncio.Transport) -> None:
        """It is gone."""
        if socket is self._socket:
            self._socket = None


def _go_on(socket: asyncio.Transport) -> None:
    if not socket.is_closing():
        socket.resume_reading()
