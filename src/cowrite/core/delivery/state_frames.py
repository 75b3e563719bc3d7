"""What brings a peer up to date, as frames: the whole state, or what it lacks; and everybody's awareness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cowrite.core.delivery.dialect import Dialect
from cowrite.core.delivery.peer import Peer
from cowrite.core.presence.awareness import Awareness, in_messages
from cowrite.crdt.document import Document
from cowrite.crdt.state_vector import encode_state_vector
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.messages import AwarenessUpdate, SyncStep2


class StateFrames:
    """Encodes SyncStep2 frames of one room; a storm of joiners costs one encoding."""

    def __init__(self) -> None:
        self._last: tuple[bytes, Dialect, bytes] | None = None
        """The last update that was asked for, its dialect, and the frame."""

    def forget(self) -> None:
        """Keep no frame."""
        self._last = None

    def behind(self, state_vector: bytes, live: Document, dialect: Dialect) -> bytes:
        """What is behind that state vector, and all deletions. The same object as last time while the answer is the same."""
        update = live.diff(state_vector)
        if self._last is None or self._last[0] is not update or self._last[1] != dialect:
            self._last = update, dialect, dialect.encode(SyncStep2(update))
        return self._last[2]

    def lacking(self, lacks: Mapping[int, int], live: Document, dialect: Dialect) -> bytes:
        """What is behind these clocks, and all deletions; of clients that are not named there is nothing to give."""
        has = {client: lacks.get(client, clock) for client, clock in live.state.items()}
        return self.behind(encode_state_vector(has), live, dialect)


class AwarenessFrames:
    """Encodes all living states of one room, once until one of them changes, however often it is asked."""

    def __init__(self, awareness: Awareness) -> None:
        self._awareness = awareness
        self._states: Sequence[AwarenessEntry] = ()
        """What the frames were made of."""
        self._parts: list[tuple[tuple[AwarenessEntry, ...], list[int]]] = []
        """For one message each, with their Yjs client ids."""
        self._frames: dict[tuple[Dialect, int], bytes] = {}

    def tell(self, peer: Peer) -> None:
        """All living states to one peer. For one that does not read nothing is encoded: it gets the newest when it does."""
        states = self._awareness.entries()
        if self._states is not states:
            self._states, self._frames = states, {}
            self._parts = [(part, [entry.client_id for entry in part]) for part in in_messages(states)]
        for index, (part, clients) in enumerate(self._parts):
            if peer.outbox.blocked:
                peer.outbox.miss(clients)
                continue
            frame = self._frames.get((peer.dialect, index))
            if frame is None:
                frame = self._frames[peer.dialect, index] = peer.dialect.encode(AwarenessUpdate(part))
            peer.outbox.announce(frame, clients)
