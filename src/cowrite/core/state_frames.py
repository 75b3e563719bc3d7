"""What brings a peer up to date, as a frame: the whole state, or what it lacks."""

from __future__ import annotations

from cowrite.core.dialect import Dialect
from cowrite.crdt.document import Document
from cowrite.protocol.messages import SyncStep2


class StateFrames:
    """Encodes SyncStep2 frames of one room; a storm of joiners costs one encoding."""

    def __init__(self) -> None:
        self._last: tuple[bytes, Dialect, bytes] | None = None
        """The last update that was asked for, its dialect, and the frame."""

    def behind(self, state_vector: bytes, live: Document, dialect: Dialect) -> bytes:
        """What is behind that state vector, and all deletions. The same object as last time while the answer is the same."""
        update = live.diff(state_vector)
        if self._last is None or self._last[0] is not update or self._last[1] != dialect:
            self._last = update, dialect, dialect.encode(SyncStep2(update))
        return self._last[2]
