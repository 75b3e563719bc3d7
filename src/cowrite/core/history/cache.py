"""What was computed of documents' pasts and may be asked for again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from cowrite.core.records import DocumentInfo

T = TypeVar("T")
_Past = tuple[str, int]


class Cache(Generic[T]):
    """Keeps what was used last, as far as all of it has no more than ``max_bytes``; what is larger alone is not kept.

    Nothing outlives the history that it was computed of: with another epoch, or when something was forgotten or a document
    purged, on whatever process, all that was kept of the document goes. So everybody who asks shows what is known of the
    document now.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[tuple[str, Hashable], tuple[T, int]] = OrderedDict()
        self._pasts: dict[str, _Past] = {}
        """Of each document of which something is kept, the history that it is of."""
        self.bytes = 0
        """Of all that is kept."""

    def get(self, info: DocumentInfo, key: Hashable) -> T | None:
        """What was kept of the document under that key."""
        self._renew(info)
        found = self._kept.get((info.document_id, key))
        if found is None:
            return None
        self._kept.move_to_end((info.document_id, key))
        return found[0]

    def put(self, info: DocumentInfo, key: Hashable, value: T, size: int) -> None:
        """Keep something of about so many bytes, in the place of what was kept under that key."""
        self._renew(info)
        self._drop((info.document_id, key))
        if size > self._max_bytes:
            return
        self._pasts[info.document_id] = _past(info)
        self._kept[info.document_id, key] = value, size
        self.bytes += size
        while self.bytes > self._max_bytes:
            self._drop(next(iter(self._kept)))

    def forget(self, document_id: str) -> None:
        """Keep nothing of this document."""
        for place in [place for place in self._kept if place[0] == document_id]:
            self._drop(place)
        self._pasts.pop(document_id, None)

    def _renew(self, info: DocumentInfo) -> None:
        if self._pasts.get(info.document_id, _past(info)) != _past(info):
            self.forget(info.document_id)

    def _drop(self, place: tuple[str, Hashable]) -> None:
        found = self._kept.pop(place, None)
        if found is not None:
            self.bytes -= found[1]


def _past(info: DocumentInfo) -> _Past:
    return info.head.epoch, info.first_offset
