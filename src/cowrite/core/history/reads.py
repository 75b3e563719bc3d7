"""Reading the past from the store, without taking the store from those who read the present."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from cowrite.core.history.turns import Turns
from cowrite.core.ports import History
from cowrite.core.records import ActivityGroup, Authored, Entry, StoredDocument

AT_ONCE: Final = 2
"""Long reads of history at once: a store reads with a few threads, and whoever opens a document needs one of them."""
_SHORT: Final = 1
"""So many entries are read without waiting for a turn."""


class BoundedHistory:
    """A store's history, of which reads that may take long wait for their turn. Each of these raises :class:`HistoryRefused`
    (``overloaded``) when too many wait; else it is as the port says.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._turns = Turns(at_once=AT_ONCE)

    async def close(self) -> None:
        """Drop what waits, and let what is read come to its end. Before the storage is closed."""
        await self._turns.close()

    async def load_at(self, document_id: str, offset: int) -> StoredDocument | None:
        """In turn."""
        return await self._turns.run(document_id, lambda: self._history.load_at(document_id, offset))

    async def damaged_checkpoints(self, document_id: str) -> Mapping[int, str]:
        """In turn."""
        return await self._turns.run(document_id, lambda: self._history.damaged_checkpoints(document_id))

    async def locate(self, document_id: str, operation_id: str) -> int | None:
        """At once."""
        return await self._history.locate(document_id, operation_id)

    async def operations(self, document_id: str, *, after: int, limit: int, size: int) -> Sequence[Entry]:
        """In turn."""
        read = self._history.operations
        return await self._turns.run(document_id, lambda: read(document_id, after=after, limit=limit, size=size))

    async def entries(self, document_id: str, *, after: int, limit: int) -> Sequence[Entry]:
        """In turn."""
        return await self._turns.run(document_id, lambda: self._history.entries(document_id, after=after, limit=limit))

    async def last_operation(self, document_id: str, *, until: int) -> str | None:
        """At once."""
        return await self._history.last_operation(document_id, until=until)

    async def offset_at(self, document_id: str, at: int) -> int:
        """At once."""
        return await self._history.offset_at(document_id, at)

    async def authored(self, document_id: str, *, after: int, limit: int) -> Sequence[Authored]:
        """In turn, when it is more than one entry."""
        if limit <= _SHORT:
            return await self._history.authored(document_id, after=after, limit=limit)
        return await self._turns.run(document_id, lambda: self._history.authored(document_id, after=after, limit=limit))

    async def activity(
        self, document_id: str, *, before: int | None, pause: int, limit: int, by_author: bool = False
    ) -> Sequence[ActivityGroup]:
        """In turn."""
        read = partial(self._history.activity, before=before, pause=pause, limit=limit, by_author=by_author)
        return await self._turns.run(document_id, partial(read, document_id))


if TYPE_CHECKING:
    _history: type[History] = BoundedHistory
