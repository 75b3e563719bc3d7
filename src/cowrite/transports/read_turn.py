"""How long sockets are read before others are served: what comes as fast as it is read would else be all that is done.

Theory of operation. The event loop reads a socket again and again while it gives something: thousands of pings at a time, or of
questions; and in one turn it reads all sockets that have something. What these cost is not known before. So the time is
measured that reading takes (with all that is done at once for a message). A socket is set aside, its peer's system
keeps what comes, and then its peer:

* when it has taken more than its turn, of one socket after another: for three times as long, or 10 ms;
* when all sockets together have taken more than theirs in this turn of the loop, and it was not little that it took;
* then, if it was set aside before, before it is read at all.

Those set aside have a line: one goes on at a time, who has taken least first, and the next one when the loop had as long for
others. So a thousand that flood have half of the loop, as one has a quarter, and neither an honest socket nor a request of HTTP
waits for more than a few of them. Who has said little is never in the line, and who has said much once is at its head. Nothing
is refused, and nothing waits here.

Nothing is kept for each socket, of which there are ten thousand, only for those that were set aside lately: whoever is read
next begins a turn. A socket that is read alone, long after it was read before, ends its turn sooner than it should; that costs
it milliseconds.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Final

TURN_SECONDS: Final = 0.001
"""Of the clock on the wall."""
ALL_SECONDS: Final = 0.003
"""What all sockets may take in one turn of the loop before those are set aside that take more than :data:`LITTLE_SECONDS`."""
LITTLE_SECONDS: Final = 0.0002
"""An ordinary message takes less."""
_READ_BYTES: Final = 8 << 10
"""Of one socket at a time: a thousand pings, which take about a turn."""
_FEW_BYTES: Final = 1 << 10
"""The same when all together have had their turn, or nobody knows whose socket it is."""
_FEWEST_BYTES: Final = 128
"""The same when both is so: a hundred such take some milliseconds in the turn in which they all begin."""
_REST: Final = 3.0
"""How many times as long it rests: whoever floods has a quarter of the loop's time at most."""
_LONGEST_REST: Final = 0.01
"""The clock shows more than the work where the process had to wait for its core: nobody is to be deaf for seconds because of
that. What one message costs counts elsewhere (:class:`Account`)."""
_APART: Final = 2.0
"""How many times as long as the last one is expected to take nobody else of the line is read."""
FORGET_SECONDS: Final = 10.0
"""After so long half of what a socket has taken is forgotten."""


@dataclass(slots=True)
class _Aside:
    """A socket that was set aside, and may be read again by now."""

    used: float
    """Seconds that it has taken."""
    last: float
    """The same, when it was set aside last."""
    resting: bool = True


class ReadTurn:
    """Of the sockets of one event loop."""

    def __init__(self) -> None:
        self._socket: asyncio.Transport | None = None
        """Whose turn it is."""
        self._taken = 0.0
        self._all = 0.0
        """What sockets have taken in this turn of the loop, and at most :data:`TURN_SECONDS` of those before: while a few
        keystrokes are all that comes, one turn need not be told from the next."""
        self._ends = False
        """It is known that the turn ends."""
        self._aside: dict[asyncio.Transport, _Aside] = {}
        self._stopped: set[asyncio.Transport] = set()
        """Those that are not read until they are told to."""
        self._line: list[tuple[float, int, asyncio.Transport]] = []
        """A heap by what they have taken, then by their coming."""
        self._numbers = count()
        self._waiting = False
        """Somebody of the line will go on later."""
        self._halving: asyncio.TimerHandle | None = None

    @property
    def read_bytes(self) -> int:
        """How many bytes may be read of one socket at a time."""
        return _READ_BYTES if self._all <= ALL_SECONDS else _FEW_BYTES

    @property
    def read_bytes_of_strangers(self) -> int:
        """The same of one of which it is not known whose it is."""
        return _FEW_BYTES if self._all <= ALL_SECONDS else _FEWEST_BYTES

    def took(self, socket: asyncio.Transport, seconds: float) -> None:
        """What came of this socket has taken so long."""
        if socket is not self._socket:
            self._socket, self._taken = socket, 0.0
        self._taken += seconds
        self._all += seconds
        if self._all > TURN_SECONDS and not self._ends:
            self._ends = True
            asyncio.get_running_loop().call_soon(self._next_turn)
        if self._taken > TURN_SECONDS:
            self._set_aside(socket, self._taken, min(_REST * self._taken, _LONGEST_REST))
        elif self._all > ALL_SECONDS and self._taken > LITTLE_SECONDS:
            self._set_aside(socket, self._taken, 0.0)
        if self._all > ALL_SECONDS >= self._all - seconds:
            for other, one in list(self._aside.items()):
                if not one.resting:
                    self._set_aside(other, 0.0, 0.0)

    def forget(self, socket: asyncio.Transport) -> None:
        """It is gone."""
        if socket is self._socket:
            self._socket = None
        self._aside.pop(socket, None)
        self._stopped.discard(socket)

    def stop(self, socket: asyncio.Transport) -> None:
        """Do not read it, whoever's turn it is, until :meth:`go_on`."""
        if not socket.is_closing():
            self._stopped.add(socket)
            socket.pause_reading()

    def go_on(self, socket: asyncio.Transport) -> None:
        """Read it again, in its turn."""
        if socket in self._stopped:
            self._stopped.remove(socket)
            one = self._aside.get(socket)
            if not (socket.is_closing() or (one is not None and one.resting)):
                socket.resume_reading()

    def _next_turn(self) -> None:
        self._all, self._ends = 0.0, False

    def _set_aside(self, socket: asyncio.Transport, taken: float, rest: float) -> None:
        if socket is self._socket:
            self._socket = None
        if socket.is_closing():
            return
        one = self._aside.get(socket)
        if one is None:
            one = self._aside[socket] = _Aside(taken, taken)
        else:
            one.used += taken
            one.last = taken or one.last
            if one.resting:  # what its transport had read before
                return
            one.resting = True
        socket.pause_reading()
        loop = asyncio.get_running_loop()
        if self._halving is None:
            self._halving = loop.call_later(FORGET_SECONDS, self._halve)
        if rest:
            loop.call_later(rest, self._join_line, socket)
        else:
            self._join_line(socket)

    def _join_line(self, socket: asyncio.Transport) -> None:
        if (one := self._aside.get(socket)) is not None:
            heappush(self._line, (one.used, next(self._numbers), socket))
            if not self._waiting:
                self._waiting = True
                asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        """The next one of the line is read."""
        self._waiting = False
        while self._line:
            _, _, socket = heappop(self._line)
            one = self._aside.get(socket)
            if one is not None and not socket.is_closing():
                one.resting = False
                if socket in self._stopped:
                    continue
                socket.resume_reading()
                self._waiting = True
                asyncio.get_running_loop().call_later(min(_APART * one.last, _LONGEST_REST), self._go_on)
                return

    def _halve(self) -> None:
        self._halving = None
        for socket, one in list(self._aside.items()):
            one.used /= 2
            if one.used < TURN_SECONDS and not one.resting:
                del self._aside[socket]
        self._line = [(used / 2, number, socket) for used, number, socket in self._line]
        heapify(self._line)
        if self._aside:
            self._halving = asyncio.get_running_loop().call_later(FORGET_SECONDS, self._halve)
