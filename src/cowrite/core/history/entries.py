"""Reading stretches of a document's log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from cowrite.core.ports import History, HistoryForgotten
from cowrite.core.records import DocumentInfo, Entry

_PORTION: Final = 1000
"""Entries that are read at once."""


async def entries_between(history: History, info: DocumentInfo, after: int, until: int) -> AsyncIterator[Entry]:
    """The entries behind the offset ``after`` up to ``until``, in order and without gaps, without their operations.

    Raises :class:`HistoryForgotten`.
    """
    while after < until:
        entries = await history.entries(info.document_id, after=after, limit=min(_PORTION, until - after))
        if not entries:  # the document is gone, or another one
            raise HistoryForgotten(info.document_id, until + 1)
        for entry in entries:
            yield entry
        after = entries[-1].offset
