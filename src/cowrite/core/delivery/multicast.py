"""One message to many sockets at little cost for each.

What a relayed update costs beside the system call is mostly the way through each peer's objects: its outbox, its wire, what its
wire writes in this turn. Nearly always they would only say that nothing waits and everything is taken. So the sockets of
which that is known are kept in a list, and are given the message as one frame, made once. A wire takes itself out of the list
at any event by which that may change, and comes back after the next thing that it has written by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeAlias

import structlog

from cowrite.core.delivery.outbox import Outbox, Relay

SHARED_BYTES: Final = 8 << 10
"""What waits for all together, at most. More is handed to each outbox, whose wire sends a large message in parts."""

Write: TypeAlias = Callable[[bytes], object]

_log = structlog.get_logger(__name__)


class Turn(Protocol):
    """What the sockets of one event loop write in this turn of it."""

    def put_first(self, multicast: Multicast) -> None:
        """Flush this one when the turn is over, before all sockets that write by themselves."""
        ...

    def join(self, messages: list[bytes]) -> bytes:
        """The frames of these messages."""
        ...


class Multicast:
    """The live peers of one room and dialect.

    An outbox is *clear* when nothing waits in it, and its wire would write at once and has nothing else to write in this turn.
    What comes for those that are clear waits here for the end of the turn. A wire that is about to write something else takes
    that over first (:meth:`leave`), so that nothing overtakes and both leave together.
    """

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._clear: dict[Outbox, Write] = {}
        self._others: dict[Outbox, None] = {}
        self._waiting: list[bytes] = []
        self._size = 0
        """Bytes that wait."""
        self._sent_at = float("-inf")
        """When something was last put in for those that were clear."""

    def concerns(self, but: Outbox | None) -> bool:
        """There is somebody other than this one."""
        return len(self._clear) + len(self._others) > (but in self._clear or but in self._others)

    def __bool__(self) -> bool:
        return bool(self._clear or self._others)

    def relay(self, relay: Relay, but: Outbox | None = None) -> None:
        """An update from somebody else, to all but this one."""
        if self._size + len(relay.frame) > SHARED_BYTES:
            for outbox in list(self._clear):
                outbox.step_out()
        elif but is not None:
            # It stays out until it is sent something again: what the others are sent tells nothing of when that was.
            but.step_out()
        if self._clear:
            if not self._waiting:
                self._turn.put_first(self)
            self._waiting.append(relay.frame)
            self._size += len(relay.frame)
            self._sent_at = relay.at
        for outbox in list(self._others):
            if outbox is not but:
                outbox.relay(relay)

    def flush(self) -> None:
        """The turn is over: write what waits."""
        messages, self._waiting, self._size = self._waiting, [], 0
        frames = self._turn.join(messages)
        for write in list(self._clear.values()):
            try:
                write(frames)
            except Exception:  # one that breaks must not silence the others
                _log.exception("socket not written")

    # ---- what outboxes say -------------------------------------------------------------------------------------------

    def add(self, outbox: Outbox) -> None:
        """Its peer is live now."""
        self._others[outbox] = None

    def enter(self, outbox: Outbox, write: Write) -> None:
        """It is clear from now on. Call it only when it was written to, and nothing waits here: see :class:`Turn`."""
        self._others.pop(outbox, None)
        self._clear[outbox] = write

    def leave(self, outbox: Outbox) -> Sequence[bytes]:
        """It is not clear any more, if it was; returns the messages that it is to write before anything else."""
        if self._clear.pop(outbox, None) is None:
            return ()
        self._others[outbox] = None
        return self._waiting

    def remove(self, outbox: Outbox) -> None:
        """Its peer is going away. It is not clear."""
        del self._others[outbox]

    def sent_at(self, outbox: Outbox) -> float:
        """When this one was last sent something from here; before everything else for one that is not clear."""
        return self._sent_at if outbox in self._clear else float("-inf")
