"""Moving operations over others that were made concurrently, without a document: pure, fast, and nearly exact.

A client that shows its own operations before they are committed rebases them with this when operations of others arrive. It is
an approximation; the truth is what the server answers, which is computed by a Yjs replica
(:mod:`cowrite.crdt.apply_operations`). Measured against that, on texts of a line with some edits since: deletes are equal.
Inserts differ in one of 20 at a tie (both at the same place; which one comes first is for the Yjs client ids to say) or where a
deletion has swallowed their place, on longer texts hardly ever. Of formats the range is equal, not what text that was inserted
meanwhile inherits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cowrite.crdt.operations import OperationDraft, OperationType
from cowrite.crdt.text_index import utf16_length


def transform_operations(
    operations: Sequence[OperationDraft], since: Sequence[OperationDraft], *, after_ties: bool = True
) -> tuple[OperationDraft, ...]:
    """Return ``operations`` as they must be applied to a document to which ``since`` has been applied already.

    Both were made for the same document: ``operations`` one after the other, and ``since`` one after the other. An operation
    may vanish (its place is gone) or be split (a deletion around something new). ``after_ties``: of two inserts at the same
    place those of ``since`` come first. Takes time in proportion to the product of the two lengths.
    """
    return tuple(_cross(list(operations), list(since), after_ties)[0])


def _cross(
    ours: list[OperationDraft], theirs: list[OperationDraft], after_ties: bool
) -> tuple[list[OperationDraft], list[OperationDraft]]:
    """Move two sequences made for the same document over one another: each as it must be applied after the other."""
    if len(ours) == 1 and len(theirs) == 1:
        return _over(ours[0], theirs[0], after_ties), _over(theirs[0], ours[0], not after_ties)
    moved: list[OperationDraft] = []
    for operation in ours:
        parts = [operation]
        rest: list[OperationDraft] = []
        for other in theirs:
            parts, others = _cross(parts, [other], after_ties) if parts else ([], [other])
            rest += others
        moved += parts
        theirs = rest
    return moved, theirs


def _over(operation: OperationDraft, other: OperationDraft, after_ties: bool) -> list[OperationDraft]:
    """Move one operation over one other. Several parts come in the order in which they are applied: from right to left."""
    at = len(other.position) - 1
    position = operation.position
    if other.type is OperationType.FORMAT or len(position) <= at or position[:at] != other.position[:at]:
        return [operation]
    start, step = other.position[at], position[at]
    if isinstance(start, str) or isinstance(step, str):
        return _over_entry(operation, other, at)
    width = _width(other)
    if len(position) - 1 > at:
        if other.type is OperationType.INSERT:
            return [_shifted(operation, at, width if step >= start else 0)]
        if step >= start + width:
            return [_shifted(operation, at, -width)]
        return [] if step >= start else [operation]
    if operation.type is OperationType.INSERT:
        return [_shifted(operation, at, _shift_of_insert(step, other.type, start, width, after_ties))]
    if other.type is OperationType.INSERT:
        return _range_over_insert(operation, step, start, width)
    return _range_over_delete(operation, step, start, width)


def _over_entry(operation: OperationDraft, other: OperationDraft, at: int) -> list[OperationDraft]:
    if operation.position[at] != other.position[at]:
        return [operation]
    inside = len(operation.position) - 1 > at  # of a value that is replaced or gone
    return [] if inside or operation.type is not OperationType.INSERT else [operation]


def _shift_of_insert(index: int, kind: OperationType, start: int, width: int, after_ties: bool) -> int:
    if kind is OperationType.INSERT:
        return width if start < index or (start == index and after_ties) else 0
    return -min(width, max(0, index - start))


def _range_over_insert(operation: OperationDraft, index: int, start: int, width: int) -> list[OperationDraft]:
    at = len(operation.position) - 1
    length = operation.length or 0
    if start <= index:
        return [_shifted(operation, at, width)]
    if start >= index + length:
        return [operation]
    if operation.type is OperationType.FORMAT:
        return [replace(operation, length=length + width)]
    right = replace(_shifted(operation, at, start + width - index), length=index + length - start)
    return [right, replace(operation, length=start - index)]


def _range_over_delete(operation: OperationDraft, index: int, start: int, width: int) -> list[OperationDraft]:
    end = index + (operation.length or 0)
    new_index = index - min(width, max(0, index - start))
    new_end = end - min(width, max(0, end - start))
    if new_end == new_index:
        return []
    return [replace(_shifted(operation, len(operation.position) - 1, new_index - index), length=new_end - new_index)]


def _shifted(operation: OperationDraft, at: int, shift: int) -> OperationDraft:
    if not shift:
        return operation
    position = operation.position
    return replace(operation, position=(*position[:at], _index(position[at]) + shift, *position[at + 1 :]))


def _index(step: str | int) -> int:
    assert isinstance(step, int), "keys are not shifted"
    return step


def _width(operation: OperationDraft) -> int:
    if operation.type is OperationType.DELETE:
        return operation.length or 0
    if isinstance(operation.content, str):
        return utf16_length(operation.content)
    return len(operation.content) if isinstance(operation.content, list) else 1
