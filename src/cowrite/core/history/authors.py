"""Who wrote and deleted which Yjs ids of a document, read from the log once and then only what is new."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from cowrite.core.history.cache import Cache
from cowrite.core.history.worker import HistoryWorker
from cowrite.core.ports import History, HistoryForgotten, Store
from cowrite.core.records import Authored, DocumentInfo
from cowrite.crdt.history.attribution import Attribution
from cowrite.crdt.history.attribution import Authored as Brought

CACHE_BYTES: Final = 32 << 20
"""What the attributions that are kept may take, about."""
_LEAST_BYTES: Final = 4000
_PORTION: Final = 5000
"""Entries that are read at once."""


class Authors:
    """Keeps the attributions of documents that were asked for last. Use one only within the worker's thread."""

    def __init__(self, history: History, store: Store, worker: HistoryWorker, *, max_bytes: int = CACHE_BYTES) -> None:
        self._history = history
        self._store = store
        self._worker = worker
        self._kept: Cache[Attribution] = Cache(max_bytes)

    def forget(self, document_id: str) -> None:
        """Keep nothing of this document."""
        self._kept.forget(document_id)

    async def until(self, info: DocumentInfo, offset: int, *, since: int | None = None) -> Attribution:
        """Whose the entries are up to that offset at least; nobody's those that were forgotten.

        Raises :class:`HistoryForgotten` when that befell entries behind ``since`` meanwhile.
        """
        attribution = self._kept.get(info, None) or Attribution()
        if attribution.unowned and await self._store.clients(info.document_id, frozenset(attribution.unowned)):
            attribution = Attribution()  # an owner has shown up
        with self._kept.making(info, None) as keep:
            await self._read(attribution, info, offset, since)
            keep(attribution, attribution.size + _LEAST_BYTES)
        return attribution

    async def _read(self, attribution: Attribution, info: DocumentInfo, offset: int, since: int | None) -> None:
        after = max(attribution.head, info.first_offset - 1)
        while after < offset:
            entries = await self._history.authored(info.document_id, after=after, limit=_PORTION)
            first = entries[0].offset if entries else offset + 1
            if since is not None and first > max(after, since) + 1:
                raise HistoryForgotten(info.document_id, first)
            if not entries:
                break
            await self._worker.run(info.document_id, partial(_append, attribution, entries))
            after = entries[-1].offset


def _append(attribution: Attribution, entries: Sequence[Authored]) -> None:
    # Somebody else may have read the same meanwhile.
    attribution.append(_brought(entry) for entry in entries if entry.offset > attribution.head)


def _brought(entry: Authored) -> Brought:
    copies = entry.cause.copies if entry.cause is not None else ()
    return Brought(entry.offset, entry.author, entry.created_at, entry.ranges, copies, entry.writers, entry.deletes)
