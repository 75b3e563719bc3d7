"""Whose large update is looked at next: one at a time, of each user one, and whoever has caused much work later than others.

Theory of operation. Places are taken in the order in which they came, and a user has one: so a hundred sockets of one are
served like one of anybody else. What else a user brings waits behind it, for that place; how much that is, :class:`Incoming`
bounds. What the processes take of the CPU is on the account of the user and not of the connection, which ends with what is
refused: it fills at the share that a connection has (``Limits.cpu_share``), and whoever has used it up comes into the line only
when it is full enough again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from cowrite.core.account import SessionAccounts
from cowrite.core.errors import PeerError
from cowrite.core.excess import Excess
from cowrite.core.imports.process import ImportProcess, ImportRefused
from cowrite.core.limits import Limits
from cowrite.core.ports import Clock, Timer
from cowrite.protocol.close_codes import CloseCode

IMPORT_WAIT_SECONDS: Final = 60.0
"""How long it may take until then; whoever would have to wait for longer is sent away."""
_ALREADY: Final = "another large update of this user is looked at; connect again later"


class Place:
    """That of one large update. ``Imports`` makes them."""

    def __init__(self, author: str) -> None:
        self.author = author
        self.begun = False
        """Something of the update was taken: then the rest is, too, even if its sender is lost."""
        self.process: ImportProcess | None = None
        """What looks at it."""
        self.timer: Timer | None = None
        self.is_theirs = False
        """It is the one of its user: others of the same user wait for it."""
        self.turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """Done when it is its turn; False: its sender left before. Raises :class:`PeerError` when that would be too late."""

    def give_up(self) -> None:
        """Its sender leaves: it is not waited for any more, nor looked at. Idempotent."""
        if not self.turn.done():
            self.turn.set_result(False)
        if self.process is not None:
            self.process.kill()


class Imports:
    """The line of one server process."""

    def __init__(self, clock: Clock, limits: Limits, excess: Excess | None = None) -> None:
        self._clock = clock
        self._late_seconds = limits.late_seconds
        self._accounts = SessionAccounts(clock, limits)
        self._excess = excess if excess is not None else Excess()
        self._line: deque[Place] = deque()
        self._first: Place | None = None
        """Whose turn it is."""
        self._behind: dict[str, deque[Place]] = {}
        """By who has a place: those of the same user that wait for it."""

    def enter(self, author: str, *, waits: bool = True) -> Place:
        """Get a place, to be given back with :meth:`leave`. Raises :class:`PeerError` when the user must wait for long;
        ``waits=False``: also when another one of the user is there, and sooner: somebody waits for an answer meanwhile.
        """
        place = Place(author)
        if author not in self._behind:
            self._admit(place, IMPORT_WAIT_SECONDS if waits else min(IMPORT_WAIT_SECONDS, self._late_seconds))
        elif waits:
            self._behind[author].append(place)
        else:
            raise PeerError(CloseCode.TOO_FAST, _ALREADY)
        return place

    def leave(self, place: Place) -> None:
        """It is over, or given up: the next one's turn comes."""
        if not place.is_theirs:
            return  # it is passed over
        if place.process is not None:
            self._accounts.charge(place.author, place.process.cpu_seconds)
        if place.timer is not None:
            place.timer.cancel()
        behind = self._behind.pop(place.author)
        self._follow(behind)
        if place is self._first:
            self._first = None
            self._go_on()
        elif place in self._line:
            self._line.remove(place)

    def refused(self, error: ImportRefused) -> None:
        """Count it, when it was because of a limit."""
        if error.limit is not None:
            self._excess.count(error.limit)

    def _admit(self, place: Place, patience: float) -> None:
        """The user's place is its from now on."""
        late = self._accounts.late(place.author)
        if (wait := late.seconds if late is not None else 0.0) > patience:
            reason = f"to look at this user's large updates took much work; connect again in {wait:.0f} s"
            raise PeerError(CloseCode.TOO_FAST, reason)
        self._behind[place.author] = deque()
        place.is_theirs = True
        if wait:
            place.timer = self._clock.call_later(wait, lambda: self._line_up(place))
        else:
            self._line_up(place)

    def _follow(self, behind: deque[Place]) -> None:
        """Of those of one user the next one gets the place."""
        while behind:
            place = behind.popleft()
            if place.turn.done():
                continue
            try:
                self._admit(place, IMPORT_WAIT_SECONDS)
            except PeerError as error:
                place.turn.set_exception(error)
            else:
                self._behind[place.author] = behind
                return

    def _line_up(self, place: Place) -> None:
        self._line.append(place)
        self._go_on()

    def _go_on(self) -> None:
        """Those who have given up are passed over; they leave by themselves."""
        while self._first is None and self._line:
            place = self._line.popleft()
            if not place.turn.done():
                self._first = place
                place.turn.set_result(True)
