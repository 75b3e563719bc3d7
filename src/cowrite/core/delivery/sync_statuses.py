"""Acknowledgements for clients that are told of each of their messages by itself.

Such a client (a Hocuspocus provider) counts. When it begins to synchronise (SyncStep1) it *sets* its count to 1, whatever it
was, and it adds one for each Update; each "stored" takes one off, and at 0 it says that everything is saved. "Not stored"
changes nothing. There is one answer for each message, in order, and as many "stored" as the client counts:

* The 1 of its SyncStep1 is for the SyncStep2 with which it answers the server's. What it sent before it counts no more, and is
  answered with "not stored", whatever became of it: the SyncStep2 has it, too.
* An Update that it made while it was away has left the count with the SyncStep1 that it sent as it came back, and comes behind
  that: the SyncStep1 says already what is in it. One that only deletes says nothing by which to tell; until the first SyncStep2
  it is taken for one of these. A SyncStep1 that waited with them is older than the one before, and sets nothing.
* A SyncStep2 is not counted when the server asked for it of its own accord. It is answered with "not stored" then...
* ... unless messages before it were answered so because they were refused. When it is durable it makes up for all of them, and
  there is a "stored" for each.

What is under way to a client that begins anew is taken off its new count, and cannot be called back: nothing that it sends
tells what had reached it. Providers 3 and 4 do not count below 0, and are even again once everything is durable; 2 stays below
until it begins anew again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import ClassVar, Final, NamedTuple

from cowrite.core.delivery.acknowledgements import Acknowledgements
from cowrite.core.delivery.dialect import Dialect
from cowrite.core.delivery.outbox import Outbox
from cowrite.core.errors import PeerError
from cowrite.crdt.outline import Outline
from cowrite.protocol.close_codes import CloseCode

MAX_UNANSWERED: Final = 20_000
"""Messages of one peer that may wait for their answer: while the store is away, refused ones wait behind those taken before."""


class _Message(NamedTuple):
    everything: bool
    """It is a SyncStep2."""
    counted: bool
    """The client waits for a "stored"."""


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
        self._untold: deque[_Message] = deque()
        self._refusals: set[int] = set()
        self._has: Mapping[int, int] = {}
        """What the client had when it set its count."""
        self._opening = True
        """No SyncStep2 has come: before it may be what the client made while it was away."""
        self._due = 0
        """1 while the SyncStep2 that the client counts has not come."""
        self._asked = asked
        """How many others were asked for, and have not come."""
        self._owed = 0
        """How many messages that the client counts were answered with "not stored"."""

    @property
    def unanswered(self) -> int:
        """How many SyncStep1 messages the client has not answered."""
        return self._due + self._asked

    def ask(self) -> None:
        self._asked += 1

    def begin(self, has: Mapping[int, int]) -> None:
        if self._opening and any(has.get(client, 0) < clock for client, clock in self._has.items()):
            return
        self._has = has
        self._untold = deque(message._replace(counted=False) for message in self._untold)
        self._owed = 0
        unanswered = self.unanswered
        self._due = min(1, unanswered)
        self._asked = unanswered - self._due

    def receive(self, *, everything: bool = False, outline: Outline | None = None) -> int:
        if len(self._untold) >= MAX_UNANSWERED:
            raise PeerError(CloseCode.TOO_FAST, f"{len(self._untold)} messages wait for the store; come back later")
        counted = self._counts_step_2() if everything else not self._is_older(outline)
        self._untold.append(_Message(everything, counted))
        return super().receive(everything=everything, outline=outline)

    def refuse(self, number: int) -> None:
        self._refusals.add(number)
        super().refuse(number)

    def tell(self, outbox: Outbox, dialect: Dialect) -> None:
        while self._untold and (number := self.received - len(self._untold)) < self.ended:
            for frame in self._answers(number, self._untold.popleft()):
                outbox.send(frame)

    def _counts_step_2(self) -> bool:
        """Whether the client counts the SyncStep2 that has come. Which SyncStep1 it answers does not matter: it was made after
        the client's own, and so has all that was sent before that.
        """
        self._opening = False
        if self._due or not self._asked:
            self._due = 0
            return True
        self._asked -= 1
        return False

    def _is_older(self, outline: Outline | None) -> bool:
        """Whether the client made this Update before it set its count."""
        if outline is None:
            return False
        if not outline.brings:
            return self._opening and not outline.is_empty
        return any(brought.start < self._has.get(brought.client, 0) for brought in outline.brings)

    def _answers(self, number: int, message: _Message) -> list[bytes]:
        if number in self._refusals:
            self._refusals.discard(number)
            self._owed += message.counted
            return [self._refused_frame]
        stored = int(message.counted)
        if message.everything:
            stored, self._owed = stored + self._owed, 0
        return [self._stored] * stored or [self._refused_frame]
