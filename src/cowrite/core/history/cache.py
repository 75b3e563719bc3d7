"""What was computed of documents' pasts and may be asked for again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Cache(Generic[T]):
    """Keeps what was used last, as far as all of it has no more than ``max_bytes``; what is larger alone is not kept."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[tuple[str, Hashable], tuple[T, int]] = OrderedDict()
        self.bytes = 0
        """Of all that is kept."""

    def get(self, document_id: str, key: Hashable) -> T | None:
        """What was kept under that key."""
        found = self._kept.get((document_id, key))
        if found is None:
            return None
        self._kept.move_to_end((document_id, key))
        return found[0]

    def put(self, document_id: str, key: Hashable, value: T, size: int) -> None:
        """Keep something of about so many bytes, in the place of what was kept under that key."""
        self._drop((document_id, key))
        if size > self._max_bytes:
            return
        self._kept[document_id, key] = value, size
        self.bytes += size
        while self.bytes > self._max_bytes:
            self._drop(next(iter(self._kept)))

    def forget(self, document_id: str) -> None:
        """Keep nothing of this document."""
        for place in [place for place in self._kept if place[0] == document_id]:
            self._drop(place)

    def _drop(self, place: tuple[str, Hashable]) -> None:
        found = self._kept.pop(place, None)
        if found is not None:
            self.bytes -= found[1]
