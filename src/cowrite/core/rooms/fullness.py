"""How large a document may become: what would make it larger is refused before anybody sees it; what shrinks it is not.

Its size is that of its encoded state, which is what everybody who comes in is sent. To encode a large document takes as long
as many edits do, so what has come since it was last encoded is added, update by update: that is never less, and often more,
since the encoded state has what many keystrokes made in one piece. Only where this sum is beyond the limit the document is
encoded for the sake of knowing, and that takes no more than a small share of the time, however many edits knock: in between the
sum counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cowrite.core.limits import Limits
from cowrite.core.ports import Clock
from cowrite.core.rooms.replicas import Replicas
from cowrite.crdt.outline import Outline

_REST: Final = 20
"""For so many times as long as encoding took, it is not done again to know the size."""
_SHARE: Final = 16
"""What deletes at least as much as it brings may go beyond the limit by one in so many bytes of it: else nobody could put
something shorter in the place of what is there.
"""


class Fullness:
    """Of one document."""

    def __init__(self, replicas: Replicas, clock: Clock, limits: Limits) -> None:
        self._replicas = replicas
        self._clock = clock
        self._limit = limits.document_bytes
        self._again = float("-inf")

    def admits(self, update: Outline) -> bool:
        """Whether an update may come in: there is room for what it brings, or it brings nothing that is new."""
        live = self._replicas.live
        if live is None or not self._limit or live.encoded_size + update.layout.deletes_at <= self._limit:
            return True
        return self.admits_all((update,))

    def admits_all(self, updates: Sequence[Outline]) -> bool:
        """The same for updates that come together or not at all."""
        live, limit = self._replicas.live, self._limit
        if live is None or not limit:
            return True
        known = live.state.get
        new = [one for one in updates if any(known(client, 0) < end for client, _, end in one.brings)]
        size = sum(one.layout.deletes_at for one in new)
        deleted = sum(end - start for one in updates for _, start, end in one.deletes)
        return not size or self._has_room(size, limit + limit // _SHARE if deleted >= size else limit)

    def has_room(self, size: int) -> bool:
        """Whether the document may become larger by so many bytes."""
        return not self._limit or self._has_room(size, self._limit)

    @property
    def reason(self) -> str:
        """Why something was refused, for people."""
        return f"the document is full: it may have {self._limit} bytes, and this would make it larger; delete something first"

    def _has_room(self, size: int, limit: int) -> bool:
        live = self._replicas.live
        if live is None:
            return True
        if live.encoded_size + size > limit and self._clock.monotonic() >= self._again:
            began = self._clock.cpu()
            live.encode()
            self._again = self._clock.monotonic() + _REST * (self._clock.cpu() - began)
        return live.encoded_size + size <= limit
