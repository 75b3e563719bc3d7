"""Frames on their way to one peer.

A frame is handed to the transport only while less than 64 KB wait in the socket's buffer; else it waits here, bounded: a peer
that does not read loses its queue, not the server's memory. What it lost is made up for with one diff from the state vector of
what it was last given. That vector is not kept anywhere; it is today's vector, lowered to where the dropped updates began.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from cowrite.core.ports import Clock

if TYPE_CHECKING:
    from cowrite.core.delivery.multicast import Multicast, Write

OUTBOX_LIMIT = 1 << 20
"""Bytes of updates that wait for one slow peer before they are dropped; and of other frames before the peer is given up."""
_OVERHEAD = 64
"""Bytes that a waiting frame costs beside its content, and that a Yjs client id costs: many small ones are not free."""


class Wire(Protocol):
    """The sending half of a socket, as each transport implements it."""

    def write(self, message: bytes) -> None:
        """Send one binary message. Never blocks, never raises; a closed socket swallows it."""
        ...

    def writable(self) -> bool:
        """Less than 64 KB wait in the socket's buffer.

        After False, the transport calls ``drained`` once when it is true again: from the event loop, not from within a call of
        these methods.
        """
        ...

    def close(self, code: int, reason: str) -> None:
        """Close after what was written. Idempotent."""
        ...

    def join(self, outbox: Outbox) -> None:
        """Updates may go past this outbox and this wire while both would only hand them on: see :class:`Multicast`.

        A wire that does nothing here is always written to. Else, at the end of a turn in which it has written something, it
        calls :meth:`Outbox.enter` if it is clear: open, with room, nothing waits in it, and it has not said since that it is
        not writable (for then something waits in the outbox). It calls :meth:`Outbox.leave` as soon as that changes, and before
        anything else is written.
        """
        ...


@dataclass(frozen=True, slots=True)
class Relay:
    """An update on its way to many peers: encoded once, with the clocks at which what it brings begins."""

    frame: bytes
    begins: Mapping[int, int]
    at: float
    """When it was put into the outboxes: read once, not for each of a thousand peers."""


@dataclass(slots=True)
class Arrears:
    """What a peer was not given while its socket was full, and gets in another form once it reads again."""

    lacks: dict[int, int] | None = None
    """By Yjs client, the clock from which the peer has nothing; of clients not named it has all. None: no diff is due."""
    awareness: set[int] = field(default_factory=set)
    """Yjs client ids whose newest awareness is due."""
    acknowledgement: bytes | None = None
    """The newest acknowledgement; it stands for the earlier ones."""


class Outbox:
    """The queue of one peer. Synchronous.

    ``settle`` is called (once per backlog, from :meth:`drained`) when arrears can be made good: it sends again what is due,
    through this outbox. ``overflow`` is called when too much waits that cannot be dropped: the peer asks and asks, and does not
    read. The outbox has discarded everything by then; close the peer.
    """

    __slots__ = (
        "_arrears",
        "_clock",
        "_last_sent",
        "_limit",
        "_multicast",
        "_others",
        "_overflow",
        "_queue",
        "_settle",
        "_updates",
        "_wire",
    )

    def __init__(
        self,
        wire: Wire,
        clock: Clock,
        *,
        settle: Callable[[Arrears], None],
        overflow: Callable[[], None],
        limit: int = OUTBOX_LIMIT,
    ) -> None:
        self._wire: Wire | _Nowhere = wire
        self._clock = clock
        self._settle = settle
        self._overflow = overflow
        self._limit = limit
        self._queue: deque[Relay | bytes] | None = None
        """Made when something waits: most peers read, and an empty one is large."""
        self._updates = 0
        """Bytes of the updates in the queue."""
        self._others = 0
        """Bytes of the other frames in the queue, with their overhead."""
        self._arrears: Arrears | None = None
        self._multicast: Multicast | None = None
        self._last_sent = clock.monotonic()

    @property
    def last_sent(self) -> float:
        """When a frame was last handed to the transport."""
        return self._last_sent if self._multicast is None else max(self._last_sent, self._multicast.sent_at(self))

    @property
    def blocked(self) -> bool:
        """Something waits, or the socket is full: whatever comes must wait, too."""
        return bool(self._queue) or self._arrears is not None or not self._wire.writable()

    @property
    def waiting(self) -> int:
        """Bytes that wait here; small frames count for a little more than they have."""
        return self._updates + self._others

    def send(self, frame: bytes) -> None:
        """A frame that must arrive. For few and small ones, or for the answer to a request of this peer."""
        self.send_all((frame,))

    def send_all(self, frames: Iterable[bytes]) -> None:
        """Frames that are one answer, and must arrive: together they may be as large as one alone."""
        waited = self._others
        for frame in frames:
            cost = len(frame) + _OVERHEAD
            if not self.blocked:
                self._write(frame)
            elif waited and self._others + cost > self._limit:
                self._give_up()
                return
            else:
                self._put(frame)
                self._others += cost

    def relay(self, relay: Relay) -> None:
        """An update from somebody else."""
        # As ``blocked``, written out: this is what a delivered update costs, once for each peer.
        if not self._queue and self._arrears is None and self._wire.writable():
            self._last_sent = relay.at
            self._wire.write(relay.frame)
        elif self._arrears is not None and self._arrears.lacks is not None:
            _lower(self._arrears.lacks, relay.begins)
        else:
            self._put(relay)
            self._updates += len(relay.frame) + _OVERHEAD
            if self._updates > self._limit:
                self._due().lacks = self._drop_updates()

    def announce(self, frame: bytes, clients: Iterable[int]) -> None:
        """Awareness of these Yjs clients; a blocked peer gets only the newest of each, later."""
        if self.blocked:
            self.miss(clients)
        else:
            self._write(frame)

    def miss(self, clients: Iterable[int]) -> None:
        """Awareness of these Yjs clients has come while the peer is blocked: nothing need be encoded for it now."""
        due = self._due().awareness
        due.update(clients)
        if len(due) * _OVERHEAD > self._limit:
            self._give_up()

    def acknowledge(self, frame: bytes) -> None:
        """An acknowledgement; only the newest is kept for a blocked peer."""
        if self.blocked:
            self._due().acknowledgement = frame
        else:
            self._write(frame)

    def owe(self, lacks: Mapping[int, int]) -> None:
        """The peer asked for what it lacks (SyncStep1): it gets one diff, as soon as it reads what was written before."""
        self._drop_updates()
        self._due().lacks = dict(lacks)
        self.drained()

    def drained(self) -> None:
        """The socket is writable again: hand over what waits, then make good the arrears. Harmless while it is not."""
        while self._queue and self._wire.writable():
            item = self._queue.popleft()
            if isinstance(item, Relay):
                self._updates -= len(item.frame) + _OVERHEAD
                self._write(item.frame)
            else:
                self._others -= len(item) + _OVERHEAD
                self._write(item)
        if not self._queue:
            self._queue = None
        # A queue that is not empty now has left the wire full.
        if self._arrears is not None and self._wire.writable():
            arrears, self._arrears = self._arrears, None
            self._settle(arrears)

    def discard(self) -> None:
        """The peer is being closed: forget what waits, and swallow what comes."""
        if self._multicast is not None:
            self.step_out()
            self._multicast.remove(self)
            self._multicast = None
        self._queue = None
        self._updates = self._others = 0
        self._arrears = None
        self._wire = _NOWHERE

    # ---- past the outbox ---------------------------------------------------------------------------------------------

    def join(self, multicast: Multicast) -> None:
        """The peer is live: it is sent what this one relays. Idempotent."""
        if self._multicast is None and not isinstance(self._wire, _Nowhere):
            self._multicast = multicast
            multicast.add(self)
            self._wire.join(self)

    @property
    def joined(self) -> bool:
        """It is sent updates."""
        return self._multicast is not None

    def enter(self, write: Write) -> None:
        """For wires: see :meth:`Wire.join`. ``write`` takes WebSocket frames."""
        if self._multicast is not None:
            self._multicast.enter(self, write)

    def leave(self) -> Sequence[bytes]:
        """For wires: see :meth:`Wire.join`. Returns the messages that have to be written before anything else."""
        if self._multicast is None:
            return ()
        self._last_sent = self.last_sent
        return self._multicast.leave(self)

    def step_out(self) -> None:
        """From now on, and until something was written, everything goes by this outbox."""
        for message in tuple(self.leave()):
            self._wire.write(message)

    def _put(self, item: Relay | bytes) -> None:
        if self._queue is None:
            self._queue = deque()
        self._queue.append(item)

    def _write(self, frame: bytes) -> None:
        self._last_sent = self._clock.monotonic()
        self._wire.write(frame)

    def _give_up(self) -> None:
        self.discard()
        self._overflow()

    def _due(self) -> Arrears:
        if self._arrears is None:
            self._arrears = Arrears()
        return self._arrears

    def _drop_updates(self) -> dict[int, int]:
        """Take the updates out of the queue; returns what the peer lacks without them."""
        lacks: dict[int, int] = {}
        for item in self._queue or ():
            if isinstance(item, Relay):
                _lower(lacks, item.begins)
        self._queue = deque(item for item in self._queue or () if not isinstance(item, Relay)) or None
        self._updates = 0
        return lacks


def _lower(lacks: dict[int, int], begins: Mapping[int, int]) -> None:
    for client, clock in begins.items():
        lacks[client] = min(clock, lacks.get(client, clock))


class _Nowhere:
    """Where a discarded outbox writes."""

    def write(self, message: bytes) -> None:
        pass

    def writable(self) -> bool:
        return True


_NOWHERE = _Nowhere()
