"""The engine in one place: what the specification asks of it.

``apply_operation``, ``transform_operations``, ``get_state``, and the document at any point of its log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cowrite.crdt.apply_operations import apply_operations
from cowrite.crdt.errors import EngineFault, HostileUpdate
from cowrite.crdt.guard import SYNC_LIMITS, inspect, outline_of_state
from cowrite.crdt.log_document import Change, LogDocument
from cowrite.crdt.operations import OperationDraft
from cowrite.crdt.outline import missing
from cowrite.crdt.roots import RootKind
from cowrite.crdt.state import get_state
from cowrite.crdt.transform import transform_operations

__all__ = ["apply_operation", "get_state", "rebuild_at", "transform_operations"]


def apply_operation(document: LogDocument, operation: OperationDraft, *, client_id: int) -> Change | None:
    """Apply an operation that was made for the document as it is now; returns what it changed, None when nothing.

    The change is made under the Yjs client id ``client_id``, which belongs to one writer in one process. For an operation that
    was made for an older state see :mod:`cowrite.crdt.apply_operations`. Raises
    :class:`~cowrite.crdt.operations.OperationInvalid` before anything has changed,
    :class:`~cowrite.crdt.errors.EngineFault`.
    """
    update = apply_operations(document.encode(), document.roots, [operation], client_id=client_id)
    return None if update is None else document.commit([update], [inspect(update, SYNC_LIMITS)])


def rebuild_at(state: bytes | None, roots: Mapping[str, RootKind], updates: Iterable[bytes]) -> LogDocument:
    """Make the document at a point of its log: a checkpoint's state and roots (None and none: the beginning), then the entries'
    updates after it, in order.

    Nothing is limited: what is in the log was taken under the limits of its time, and merged since. Raises
    :class:`~cowrite.crdt.errors.EngineFault` when that is no log.
    """
    document = LogDocument.empty() if state is None else LogDocument.from_state(state, roots)
    for number, update in enumerate(updates, 1):
        try:
            outline = outline_of_state(update)
        except HostileUpdate as error:
            raise EngineFault(f"entry {number} of the log cannot be read: {error}") from error
        if missing(outline, document.state):
            raise EngineFault(f"entry {number} of the log builds on something that is not there before it")
        document.commit([update], [outline])
    return document
