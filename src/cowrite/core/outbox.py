"""Frames on their way to one peer.

A frame is handed to the transport only while less than 64 KB wait in the socket's buffer; else it waits here, bounded: a peer that
does not read loses its queue, not the server's memory. What it lost is made up for with one diff from the state vector of what
it was last given. That vector is not kept anywhere; it is today's vector, lowered to where the dropped updates began.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from cowrite.core.ports import Clock

OUTBOX_LIMIT = 1 << 20
"""Bytes of updates that wait for one slow peer before they are dropped."""


class Wire(Protocol):
    """The sending half of a socket, as each transport implements it."""

    def write(self, message: bytes) -> None:
        """Send one binary message. Never blocks, never raises; a closed socket swallows it."""
        ...

    def writable(self) -> bool:
        """Less than 64 KB wait in the socket's buffer. After False, the transport calls back once when it is true again."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Close after what was written. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class Relay:
    """An update on its way to many peers: encoded once, with the clocks at which what it brings begins."""

    frame: bytes
    begins: Mapping[int, int]


@dataclass(slots=True)
class Arrears:
    """What a peer was not given while its socket was full, and gets in another form once it reads again."""

    lacks: dict[int, int] | None = None
    """By Yjs client, the clock from which the peer has nothing (clients that are not named: it has all). None: no diff is due."""
    awareness: set[int] = field(default_factory=set)
    """Yjs client ids whose newest awareness is due."""
    acknowledgement: bytes | None = None
    """The newest acknowledgement; it stands for the earlier ones."""

    def __bool__(self) -> bool:
        return self.lacks is not None or bool(self.awareness) or self.acknowledgement is not None


class Outbox:
    """The queue of one peer. Synchronous; ``settle`` is called (once per backlog) when arrears can be made good."""

    def __init__(self, wire: Wire, clock: Clock, *, settle: Callable[[Arrears], None], limit: int = OUTBOX_LIMIT) -> None:
        self._wire = wire
        self._clock = clock
        self._settle = settle
        self._limit = limit
        self._queue: deque[Relay | bytes] = deque()
        self._queued = 0
        """Bytes of the updates in the queue."""
        self._arrears = Arrears()
        self.last_sent = clock.monotonic()
        """When a frame was last handed to the transport."""

    @property
    def blocked(self) -> bool:
        """Something waits, so whatever comes must wait behind it."""
        return bool(self._queue) or bool(self._arrears) or not self._wire.writable()

    @property
    def waiting(self) -> int:
        """Bytes of updates that wait here."""
        return self._queued

    def send(self, frame: bytes) -> None:
        """A frame that must arrive. For few and small ones, or for the answer to a request of this peer."""
        if self.blocked:
            self._queue.append(frame)
        else:
            self._write(frame)

    def relay(self, relay: Relay) -> None:
        """An update from somebody else."""
        if self._arrears.lacks is not None:
            _lower(self._arrears.lacks, relay.begins)
        elif self.blocked:
            self._queue.append(relay)
            self._queued += len(relay.frame)
            if self._queued > self._limit:
                self._drop_updates()
        else:
            self._write(relay.frame)

    def announce(self, frame: bytes, clients: Iterable[int]) -> None:
        """Awareness of these Yjs clients; a blocked peer gets only the newest of each, later."""
        if self.blocked:
            self._arrears.awareness.update(clients)
        else:
            self._write(frame)

    def acknowledge(self, frame: bytes) -> None:
        """An acknowledgement; only the newest is kept for a blocked peer."""
        if self.blocked:
            self._arrears.acknowledgement = frame
        else:
            self._write(frame)

    def owe(self, lacks: Mapping[int, int]) -> None:
        """A blocked peer asked for what it lacks (SyncStep1): it gets one diff when it reads again."""
        self._drop_updates()
        self._arrears.lacks = dict(lacks)

    def drained(self) -> None:
        """The socket is writable again: hand over what waits, then make good the arrears."""
        while self._queue and self._wire.writable():
            item = self._queue.popleft()
            if isinstance(item, Relay):
                self._queued -= len(item.frame)
                item = item.frame
            self._write(item)
        if self._arrears and not self._queue and self._wire.writable():
            arrears, self._arrears = self._arrears, Arrears()
            self._settle(arrears)

    def _write(self, frame: bytes) -> None:
        self.last_sent = self._clock.monotonic()
        self._wire.write(frame)

    def _drop_updates(self) -> None:
        lacks: dict[int, int] = {}
        kept: deque[Relay | bytes] = deque()
        for item in self._queue:
            if isinstance(item, Relay):
                _lower(lacks, item.begins)
            else:
                kept.append(item)
        self._queue, self._queued = kept, 0
        self._arrears.lacks = lacks


def _lower(lacks: dict[int, int], begins: Mapping[int, int]) -> None:
    for client, clock in begins.items():
        lacks[client] = min(clock, lacks.get(client, clock))
