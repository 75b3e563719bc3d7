"""Acknowledgements for clients that are told of each of their messages by itself.

Such a client (a Hocuspocus provider) counts. It adds one when it asks for synchronisation (SyncStep1, upon which it expects to
be asked, too), and one for each Update; each "stored" takes one off, and at 0 it says that everything is saved. "Not stored"
changes nothing. So there is one answer for each message, in order, and as many "stored" as the client counts:

* A SyncStep2 is not counted when the server asked for it of its own accord. It is answered with "not stored" then...
* ... unless messages before it were answered so because they were refused. When it is durable it makes up for all of them, and
  there is a "stored" for each.
"""

from __future__ import annotations

from collections import deque
from typing import ClassVar, Final

from cowrite.core.delivery.acknowledgements import Acknowledgements
from cowrite.core.delivery.dialect import Dialect
from cowrite.core.delivery.outbox import Outbox
from cowrite.core.errors import PeerError
from cowrite.protocol.close_codes import CloseCode

MAX_UNANSWERED: Final = 20_000
"""Messages of one peer that may wait for their answer: while the store is away, refused ones wait behind those taken before."""


class SyncStatuses(Acknowledgements):
    """See the module's docstring."""

    tells_refusals: ClassVar = True

    def __init__(self, stored: bytes, refused: bytes, *, asked: int = 0) -> None:
        """``stored`` and ``refused`` are the frames of the two answers. ``asked``: so many SyncStep1 of somebody else may be
        answered by this client, too.
        """
        super().__init__()
        self._stored = stored
        self._refused_frame = refused
        self._untold: deque[bool | None] = deque()
        """Of each message in turn: whether it is a SyncStep2 that the client counts; None for an Update."""
        self._refusals: set[int] = set()
        self._invited = 0
        """SyncStep1 messages that the client expected, and whose answers have not come."""
        self._asked = asked
        """The same for those of the server's own accord."""
        self._owed = 0
        """How many messages that the client counts were answered with "not stored"."""

    @property
    def unanswered(self) -> int:
        """How many SyncStep1 messages the client has not answered."""
        return self._invited + self._asked

    def ask(self, *, invited: bool) -> None:
        if invited:
            self._invited += 1
        else:
            self._asked += 1

    def receive(self, *, everything: bool = False) -> int:
        if len(self._untold) >= MAX_UNANSWERED:
            raise PeerError(CloseCode.TOO_FAST, f"{len(self._untold)} messages wait for the store; come back later")
        self._untold.append(self._counts() if everything else None)
        return super().receive(everything=everything)

    def refuse(self, number: int) -> None:
        self._refusals.add(number)
        super().refuse(number)

    def tell(self, outbox: Outbox, dialect: Dialect) -> None:
        while self._untold and (number := self.received - len(self._untold)) < self.ended:
            for frame in self._answers(number, self._untold.popleft()):
                outbox.send(frame)

    def _counts(self) -> bool:
        """Whether the client counts the SyncStep2 that has come. In the end there is one for each SyncStep1, so that it does
        not matter which of them it answers.
        """
        if self._invited:
            self._invited -= 1
            return True
        uninvited = self._asked > 0
        self._asked -= uninvited
        return not uninvited

    def _answers(self, number: int, counted: bool | None) -> list[bytes]:
        if number in self._refusals:
            self._refusals.discard(number)
            self._owed += counted is not False
            return [self._refused_frame]
        if counted is None:
            return [self._stored]
        stored, self._owed = self._owed + counted, 0
        return [self._stored] * stored or [self._refused_frame]
