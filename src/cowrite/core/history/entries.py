"""Reading stretches of a document's log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from cowrite.core.ports import HistoryForgotten, Store
from cowrite.core.records import DocumentInfo, Entry

_PORTION: Final = 1000
"""Entries that are read at once."""


async def entries_between(store: Store, info: DocumentInfo, after: int, until: int) -> AsyncIterator[Entry]:
    """The entries behind the offset ``after`` up to ``until``, in order and without gaps. Raises :class:`HistoryForgotten`."""
    while after < until:
        entries = await store.entries(info.document_id, start=after + 1, limit=min(_PORTION, until - after))
        if not entries or entries[0].offset != after + 1:
            raise HistoryForgotten(info.document_id, entries[0].offset if entries else until + 1)
        for entry in entries:
            yield entry
        after = entries[-1].offset
