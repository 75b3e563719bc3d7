"""What brings a peer up to date: the whole state, or what it lacks."""

from __future__ import annotations

from collections.abc import Mapping

from cowrite.core.dialect import Dialect
from cowrite.core.peer import Peer
from cowrite.crdt.document import Document
from cowrite.crdt.state_vector import encode_state_vector
from cowrite.protocol.messages import SyncStep2


class StateFrames:
    """Encodes SyncStep2 frames of one room; a storm of joiners costs one encoding."""

    def __init__(self) -> None:
        self._last: tuple[bytes, Dialect, bytes] | None = None
        """The last update that was asked for, its dialect, and the frame."""

    def bring(self, peer: Peer, has: Mapping[int, int], state_vector: bytes, live: Document) -> None:
        """Send a peer what it lacks that has this (the same twice); it is owed to one that does not read."""
        if peer.outbox.blocked:
            peer.outbox.owe({client: has.get(client, 0) for client, clock in live.state.items() if has.get(client, 0) < clock})
        else:
            peer.outbox.send(self.behind(state_vector, live, peer.dialect))

    def make_good(self, peer: Peer, lacks: Mapping[int, int], live: Document) -> None:
        """Send a peer what it was not given meanwhile: of these Yjs clients everything from their clocks on."""
        has = {client: lacks.get(client, clock) for client, clock in live.state.items()}
        peer.outbox.send(self.behind(encode_state_vector(has), live, peer.dialect))

    def behind(self, state_vector: bytes, live: Document, dialect: Dialect) -> bytes:
        """What is behind that state vector, and all deletions. The same object as last time while the answer is the same."""
        update = live.diff(state_vector)
        if self._last is None or self._last[0] is not update or self._last[1] != dialect:
            self._last = update, dialect, dialect.encode(SyncStep2(update))
        return self._last[2]
