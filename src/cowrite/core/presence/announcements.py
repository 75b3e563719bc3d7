"""A room's awareness on its way in and out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cowrite.core.delivery.broadcast import Broadcast
from cowrite.core.delivery.peer import Peer
from cowrite.core.delivery.state_frames import AwarenessFrames
from cowrite.core.errors import PeerError
from cowrite.core.limits import Limits
from cowrite.core.ports import Clock, Grant
from cowrite.core.presence.awareness import Awareness, InvalidState
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.messages import QueryAwareness


class Announcements:
    """Puts what is news into the broadcast; ``wake`` is called when there is some."""

    def __init__(
        self, awareness: Awareness, broadcast: Broadcast, clock: Clock, limits: Limits, *, wake: Callable[[], None]
    ) -> None:
        self._awareness = awareness
        self._broadcast = broadcast
        self._clock = clock
        self._limits = limits
        self._wake = wake
        self._frames = AwarenessFrames(awareness)

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
        self._move(announced.news)

    def tell(self, peer: Peer) -> None:
        """All living states, to one peer."""
        self._frames.tell(peer)

    def lose(self, peer: Peer, *, clean: bool) -> None:
        """A peer is gone; unless it said goodbye, what it announced stays for a moment."""
        if clean or not self._awareness.lose(peer):
            self._release(peer)
        else:
            self._clock.call_later(self._limits.loss_grace_seconds, lambda: self._release(peer))

    def expire(self, now: float) -> None:
        """Remove the states that nobody renews."""
        self._move(self._awareness.expire(now))

    def _release(self, peer: Peer) -> None:
        self._move(self._awareness.release(peer))

    def _move(self, entries: Sequence[AwarenessEntry]) -> None:
        self._broadcast.awareness(entries)
        self._wake()
