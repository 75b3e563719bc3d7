"""What brings a peer up to date, as frames: the whole state, or what it lacks; and everybody's awareness."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import structlog

from cowrite.core.delivery.dialect import Dialect
from cowrite.core.delivery.peer import Peer
from cowrite.core.presence.awareness import Awareness, in_messages
from cowrite.crdt.document import Document
from cowrite.crdt.errors import EngineFault
from cowrite.crdt.merging import merge_updates
from cowrite.crdt.state_vector import encode_state_vector
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.messages import AwarenessUpdate, SyncStep2, Update

_log = structlog.get_logger(__name__)

_PORTION_BYTES: Final = 16 << 10
_LARGE_BYTES: Final = 256 << 10
"""Documents under this size are encoded in some 2 ms: everybody gets them in one frame, as they are now."""


class StateFrames:
    """Encodes the frames of one room that bring a peer up to date.

    Whoever has nothing yet of a large document gets a SyncStep2 with all of it as it was some time ago, and before that Updates
    with what has come since: a crowd of joiners costs one encoding, also while others type, and shares the bytes. Yjs keeps
    the Updates until it has what they build on; were they sent behind the SyncStep2, clients would take what is old for all
    there is. The SyncStep2 in the last dialect is kept as long as the document keeps its base.
    """

    def __init__(self) -> None:
        self._base: bytes | None = None
        self._dialect: Dialect | None = None
        self._whole: list[bytes] = []
        """The SyncStep2 with the base, and Updates of some 16 KB with what has come since."""
        self._last = b""
        """The update in the last of these; it may still grow."""
        self._merged = 0
        """How many of those that have come are in them."""
        self._diff: tuple[bytes, Dialect, bytes] | None = None
        """The last update that was behind a state vector, its dialect, and the frame."""

    def forget(self) -> None:
        """Keep no frame."""
        self._base = self._dialect = self._diff = None
        self._whole = []

    def behind(self, has: Mapping[int, int], live: Document, dialect: Dialect) -> Sequence[bytes]:
        """What is behind these clocks, and all deletions. The same objects as last time while the answer is the same."""
        known = {client: has[client] for client in live.state if has.get(client)}
        if not known and live.encoded_size > _LARGE_BYTES:
            return self._of_all(live, dialect)
        update = live.diff(encode_state_vector(known))
        if self._diff is None or self._diff[0] is not update or self._diff[1] != dialect:
            self._diff = update, dialect, dialect.encode(SyncStep2(update))
        return (self._diff[2],)

    def lacking(self, lacks: Mapping[int, int], live: Document, dialect: Dialect) -> Sequence[bytes]:
        """What is behind these clocks, and all deletions; of clients that are not named there is nothing to give."""
        return self.behind({client: lacks.get(client, clock) for client, clock in live.state.items()}, live, dialect)

    def _of_all(self, live: Document, dialect: Dialect) -> Sequence[bytes]:
        base, since = live.base()
        if base is not self._base or dialect != self._dialect:
            self._base, self._dialect, self._merged = base, dialect, 0
            self._whole, self._last = [dialect.encode(SyncStep2(base))], b""
        if self._merged < len(since):
            try:
                self._add(since[self._merged :], dialect)
            except EngineFault as fault:
                _log.error("updates not merged, the state encoded instead", updates=len(since), reason=str(fault))
                self._base = None
                return (dialect.encode(SyncStep2(live.encode())),)
            self._merged = len(since)
        return (*self._whole[1:], self._whole[0])

    def _add(self, fresh: Sequence[bytes], dialect: Dialect) -> None:
        if len(self._whole) > 1 and len(self._last) < _PORTION_BYTES:
            self._whole.pop()
            fresh = (self._last, *fresh)
        for portion in _portions(fresh):
            self._last = merge_updates(portion) if len(portion) > 1 else portion[0]
            self._whole.append(dialect.encode(Update(self._last)))


def _portions(updates: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Updates in portions of some 16 KB; at least one."""
    portion: list[bytes] = []
    size = 0
    for update in updates:
        if size >= _PORTION_BYTES:
            yield portion
            portion, size = [], 0
        portion.append(update)
        size += len(update)
    yield portion


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
