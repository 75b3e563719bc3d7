"""How large a document may become: what would make it larger is refused before anybody sees it; what shrinks it is not.

Its size is that of its encoded state, which is what everybody who comes in is sent. To encode a large document takes as long
as many edits do, so what has come since it was last encoded is added, update by update, and something for each piece that a
deletion may have cut in three. For what people do that is more than it is, since the encoded state has what many keystrokes
made in one piece. Only where this sum is beyond the limit the document is encoded for the sake of knowing, and that takes no
more than a small share of the time, however many edits knock: in between the sum counts. Everybody would notice how long a
large document takes (3 ms for a megabyte, in which no thread gets on), so no edit has it encoded. Its size becomes known
when it is encoded for something else, such as who comes in, or its rest; and, where that was asked for in vain, once
in a while between edits (:meth:`Fullness.look`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cowrite.core.limits import Limits
from cowrite.core.ports import Clock
from cowrite.core.rooms.replicas import Replicas
from cowrite.crdt.document import Document
from cowrite.crdt.outline import Outline

_REST: Final = 20
"""For so many times as long as encoding took, it is not done again to know the size."""
_LARGE_BYTES: Final = 8 << 20
"""From which size on no edit has a document encoded."""
_LARGE_REST: Final = 200
"""As ``_REST``, of these."""
_SHARE: Final = 16
"""What deletes at least as much as it brings may go beyond the limit by one in so many bytes of it: else nobody could put
something shorter in the place of what is there.
"""
_FEW: Final = 64
"""Where the ranges that an update deletes may take more than one in so many bytes, those that are new are counted."""
_PIECE: Final = 32
"""Bytes that the state may become larger by a range that is deleted, where that cuts something into three. What deletes less
than that a range is no way to make a full document smaller, and could be one to make it larger without an end.
"""


class Fullness:
    """Of one document."""

    def __init__(self, replicas: Replicas, clock: Clock, limits: Limits) -> None:
        self._replicas = replicas
        self._clock = clock
        self._limit = limits.document_bytes
        self._again = float("-inf")
        self._wanted = False
        """Something was refused, or not asked for, because of a sum that may be too much."""

    def admits(self, update: Outline) -> bool:
        """Whether an update may come in: there is room for what it brings, or it brings nothing that is new."""
        live, pieces = self._replicas.live, _PIECE * len(update.deletes)
        if live is None or not self._limit:
            return True
        few = pieces <= self._limit // _FEW  # a SyncStep2 has all that was ever deleted
        if few and live.encoded_size + pieces + update.layout.deletes_at <= self._limit:
            if pieces:
                live.expect(pieces)
            return True
        return self.admits_all((update,))

    def admits_all(self, updates: Sequence[Outline]) -> bool:
        """The same for updates that come together or not at all."""
        live, limit = self._replicas.live, self._limit
        if live is None or not limit:
            return True
        pieces = _PIECE * sum(map(live.new_deletions, updates))
        if admitted := self._has_room_for(live, updates, pieces):
            live.expect(pieces)
        return admitted

    def has_room(self, size: int) -> bool:
        """Whether the document may become larger by so many bytes."""
        live = self._replicas.live
        return live is None or not self._limit or self._fits(live, size, self._limit)

    def look(self) -> None:
        """Find out how large a large document is, where somebody wanted to know. Call every few seconds, between edits."""
        live = self._replicas.live
        if self._wanted and live is not None and not live.resting:
            self._measure(live, _LARGE_REST)

    @property
    def reason(self) -> str:
        """Why something was refused, for people."""
        return f"the document is full: it may have {self._limit} bytes, and this would make it larger; delete something first"

    def _has_room_for(self, live: Document, updates: Sequence[Outline], pieces: int) -> bool:
        known, beyond = live.state.get, self._limit + self._limit // _SHARE
        new = [one for one in updates if any(known(client, 0) < end for client, _, end in one.brings)]
        size = sum(one.layout.deletes_at for one in new)
        deleted = sum(end - start for one in updates for _, start, end in one.deletes)
        if size:
            return self._fits(live, size + pieces, beyond if deleted >= size else self._limit)
        return deleted >= pieces or self._fits(live, pieces, beyond) or all(map(live.holds, updates))

    def _fits(self, live: Document, size: int, limit: int) -> bool:
        if live.encoded_size + size > limit:
            if live.encoded_size <= _LARGE_BYTES:
                self._measure(live, _REST)
            else:
                self._wanted = True
        return live.encoded_size + size <= limit

    def _measure(self, live: Document, rest: int) -> None:
        if self._clock.monotonic() >= self._again:
            began = self._clock.cpu()
            live.encode()
            self._wanted = False
            self._again = self._clock.monotonic() + rest * (self._clock.cpu() - began)
