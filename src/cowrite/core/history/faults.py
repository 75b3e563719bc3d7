"""What goes wrong where a past is read, in the words of core."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cowrite.core.history.errors import HistoryRefused
from cowrite.core.ports import StoreCorrupt
from cowrite.crdt.errors import EngineFault, HostileUpdate
from cowrite.crdt.history.scratch import RestoreFailed


@contextmanager
def reading(document_id: str) -> Iterator[None]:
    """What the block does with a document's past raises :class:`HistoryRefused` or :class:`StoreCorrupt`."""
    try:
        yield
    except RestoreFailed as failed:
        raise HistoryRefused("restore_failed", str(failed)) from failed
    except HostileUpdate as refused:
        raise HistoryRefused("history_too_costly", f"this takes more work than one may cause: {refused.reason}") from refused
    except EngineFault as fault:
        raise StoreCorrupt(f"The history of document {document_id!r} cannot be read: {fault}") from fault
