"""A room's awareness on its way in and out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

from cowrite.core.delivery.broadcast import Broadcast
from cowrite.core.delivery.peer import Peer
from cowrite.core.delivery.state_frames import AwarenessFrames
from cowrite.core.errors import PeerError
from cowrite.core.limits import Limits
from cowrite.core.ports import AwarenessLost, AwarenessNews, AwarenessQuery, Clock, Grant, ProcessLeft, Timer
from cowrite.core.presence.awareness import Awareness, InvalidState
from cowrite.core.presence.awareness_exchange import AwarenessExchange
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.messages import QueryAwareness

SMALL_ROOM: Final = 10
"""So many peers are told at once, whoever moves."""
SECONDS_PER_PEER: Final = 0.002
"""In larger rooms awareness waits so long for each peer: all of them together get at most 500 frames a second then."""
LONGEST_INTERVAL: Final = 1.0
"""How often a peer is told, unless too much is told for that."""
TURN_SECONDS: Final = 0.1
"""So long after others the next peers have their turn, so that not all are written to at once."""
BYTES_PER_SECOND: Final = 100_000_000
"""What one room tells all its peers in a second, at most: everybody of everybody is a lot in the largest rooms."""
_NO_TIME: Final = 1e-6
"""Timers are not more exact; less than this is not worth one."""


def interval(peers: int) -> float:
    """Seconds between two times that a peer is told the awareness of a room with so many peers."""
    return 0.0 if peers <= SMALL_ROOM else min(LONGEST_INTERVAL, peers * SECONDS_PER_PEER)


class Announcements:
    """Puts what is news into the broadcast; ``wake`` is called when it is time for a flush."""

    def __init__(
        self,
        awareness: Awareness,
        exchange: AwarenessExchange,
        broadcast: Broadcast,
        peers: Collection[Peer],
        clock: Clock,
        limits: Limits,
        *,
        wake: Callable[[], None],
    ) -> None:
        """``peers``: those of the room, as they come and go."""
        self._awareness = awareness
        self._exchange = exchange
        self._broadcast = broadcast
        self._peers = peers
        self._clock = clock
        self._limits = limits
        self._wake = wake
        self._frames = AwarenessFrames(awareness)
        self._next_at = float("-inf")
        self._timer: Timer | None = None

    def take(self, peer: Peer, entries: Sequence[AwarenessEntry]) -> None:
        """What a peer says of its Yjs clients. Raises :class:`PeerError` for a state that is not JSON."""
        if not peer.session.may(Grant.COMMENT):
            return
        try:
            # What a client says before it has answered the handshake is about itself, not an echo of others.
            opening = not peer.acknowledgements.received
            announced = self._awareness.announce(peer.owner, entries, self._clock.monotonic(), opening=opening)
        except InvalidState as error:
            raise PeerError(CloseCode.MALFORMED_FRAME, str(error)) from error
        if announced.stale:
            peer.announce(announced.stale)
            # A Hocuspocus provider 4 then raises its clock, and says nothing of it before its next heartbeat.
            peer.send(QueryAwareness())
        peer.active |= announced.moved
        if announced.own is not None:
            peer.own_client = announced.own
        self._move(announced.news, here=True)
        self._exchange.claim(announced.claims)

    def tell(self, peer: Peer) -> None:
        """All living states, to one peer."""
        self._frames.tell(peer)

    def lose(self, peer: Peer, *, clean: bool) -> None:
        """A peer is gone; unless it said goodbye, what it announced stays for a moment."""
        lost = [] if clean else self._awareness.lose(peer)
        if lost:
            self._clock.call_later(self._limits.loss_grace_seconds, lambda: self._release(peer))
            self._exchange.lost(lost)
        else:
            self._release(peer)

    def hear(self, told: AwarenessNews | AwarenessLost | AwarenessQuery | ProcessLeft) -> None:
        """What another process says."""
        match told:
            case AwarenessNews():
                self._move(self._exchange.hear(told, self._clock.monotonic()), here=False)
            case AwarenessLost(client_ids=client_ids):
                self._awareness.lose_elsewhere(told.process, client_ids)
            case AwarenessQuery():
                self._exchange.answer(told.process)
            case _:
                lost = self._awareness.leave_elsewhere(told.process)
                grace = self._limits.loss_grace_seconds
                self._clock.call_later(grace, lambda: self._move(self._awareness.release(lost), here=False))

    def flush(self) -> None:
        """Tell the peers whose turn it is, and other processes, what is news, unless they were told a moment ago."""
        if self._broadcast.moved and self._is_time():
            between = interval(len(self._peers))
            turns = max(1, round(between / TURN_SECONDS))
            size = self._broadcast.send_awareness(self._peers, turns)
            self._next_at = self._clock.monotonic() + (max(between / turns, size / BYTES_PER_SECOND) if between else 0.0)
            self._exchange.flush()
            if self._broadcast.moved:
                self._is_time()

    def expire(self, now: float) -> None:
        """Remove the states that nobody renews."""
        self._move(self._awareness.expire(now), here=True)
        self._move(self._awareness.expire_elsewhere(now), here=False)

    def _release(self, peer: Peer) -> None:
        self._move(self._awareness.release(peer), here=True)

    def _move(self, entries: Sequence[AwarenessEntry], *, here: bool) -> None:
        if not entries:
            return
        if here:
            self._exchange.note(entries)
        self._broadcast.awareness(entries)
        if self._is_time():
            self._wake()

    def _is_time(self) -> bool:
        """Otherwise it is noted to wake when it is."""
        wait = self._next_at - self._clock.monotonic()
        if wait < _NO_TIME:
            return True
        if self._timer is None:
            self._timer = self._clock.call_later(wait, self._due)
        return False

    def _due(self) -> None:
        self._timer = None
        self._wake()
