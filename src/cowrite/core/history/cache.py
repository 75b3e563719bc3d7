"""What was computed of documents' pasts and may be asked for again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from cowrite.core.records import DocumentInfo

T = TypeVar("T")
_Past = tuple[str, int]


class Cache(Generic[T]):
    """Keeps what was used last, as far as all of it has no more than ``max_bytes``; what is larger alone is not kept.

    Nothing outlives the history that it was computed of: with another epoch, or when something was forgotten or a document
    purged, on whatever process, all that was kept of the document goes, and what is just being computed of it is not kept. So
    everybody who asks shows what is known of the document now.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[tuple[str, Hashable], tuple[T, int]] = OrderedDict()
        self._pasts: dict[str, _Past] = {}
        """Of each document of which something is kept, the history that it is of."""
        self._making: dict[str, set[object]] = {}
        """Of each document, what is being computed and may be kept."""
        self.bytes = 0
        """Of all that is kept."""

    def get(self, info: DocumentInfo, key: Hashable) -> T | None:
        """What was kept of the document under that key."""
        if not self._renew(info):
            return None
        found = self._kept.get((info.document_id, key))
        if found is None:
            return None
        self._kept.move_to_end((info.document_id, key))
        return found[0]

    @contextmanager
    def making(self, info: DocumentInfo, key: Hashable) -> Iterator[Callable[[T, int], None]]:
        """Compute something within, and keep it with what this gives: it takes it and about how many bytes it has, in the place
        of what was kept under that key. When the document's history has gone meanwhile it does nothing.
        """
        mine, document_id = object(), info.document_id
        making = self._making.setdefault(document_id, set())
        making.add(mine)

        def keep(value: T, size: int) -> None:
            if mine in making and self._renew(info):
                self._put(info, key, value, size)

        try:
            yield keep
        finally:
            making.discard(mine)
            if not making and self._making.get(document_id) is making:
                del self._making[document_id]

    def _put(self, info: DocumentInfo, key: Hashable, value: T, size: int) -> None:
        self._drop((info.document_id, key))
        if size > self._max_bytes:
            return
        self._pasts[info.document_id] = _past(info)
        self._kept[info.document_id, key] = value, size
        self.bytes += size
        while self.bytes > self._max_bytes:
            self._drop(next(iter(self._kept)))

    def forget(self, document_id: str) -> None:
        """Keep nothing of this document, nor of what is just being computed of it."""
        self._making.pop(document_id, set()).clear()
        for place in [place for place in self._kept if place[0] == document_id]:
            self._drop(place)
        self._pasts.pop(document_id, None)

    def _renew(self, info: DocumentInfo) -> bool:
        """Drop what is of another history; False: it is this one that has gone, as more of it was forgotten since."""
        known = self._pasts.get(info.document_id, _past(info))
        if known[0] == info.head.epoch and known[1] > info.first_offset:
            return False
        if known != _past(info):
            self.forget(info.document_id)
        return True

    def _drop(self, place: tuple[str, Hashable]) -> None:
        found = self._kept.pop(place, None)
        if found is not None:
            self.bytes -= found[1]


def _past(info: DocumentInfo) -> _Past:
    return info.head.epoch, info.first_offset
