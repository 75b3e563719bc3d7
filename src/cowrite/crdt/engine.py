"""The engine in one place: what the specification asks of it.

``apply_operation``, ``transform_operations``, ``get_state``, and the document at any point of its log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cowrite.crdt.apply_operations import apply_operations
from cowrite.crdt.errors import EngineFault, HostileUpdate
from cowrite.crdt.guard import SYNC_LIMITS, inspect
from cowrite.crdt.log_document import Change, LogDocument
from cowrite.crdt.operations import OperationDraft
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

    Raises :class:`~cowrite.crdt.errors.EngineFault`.
    """
    document = LogDocument.empty() if state is None else LogDocument.from_state(state, roots)
    for update in updates:
        try:
            outline = inspect(update, SYNC_LIMITS)
        except HostileUpdate as error:
            raise EngineFault(f"an entry of the log cannot be applied: {error}") from error
        document.commit([update], [outline])
    return document
