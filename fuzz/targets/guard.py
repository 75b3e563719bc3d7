"""The guard: refused with a code, or an outline that tells the truth, and slices that make the whole."""

from __future__ import annotations

from collections.abc import Iterable

from cowrite.crdt.errors import HostileUpdate
from cowrite.crdt.guard import LIVE_LIMITS, SYNC_LIMITS, deletes_of, inspect, outline_of_state
from cowrite.crdt.outline import Outline, missing
from cowrite.crdt.slices import ready_part, slices
from fuzz.vectors import updates_of_yjs

MAX_BYTES = 4096


def check(data: bytes) -> None:
    try:
        outline = inspect(data, LIVE_LIMITS)
    except HostileUpdate as refused:
        assert refused.code
        assert refused.reason
        return
    everything = inspect(data, SYNC_LIMITS)
    assert (everything.brings, everything.deletes, everything.needs) == (outline.brings, outline.deletes, outline.needs)
    assert outline_of_state(data).brings == outline.brings
    assert deletes_of(data) == outline.deletes
    check_outline(outline, len(data))
    check_parts(data, outline)


def check_outline(outline: Outline, size: int) -> None:
    """It brings ranges without holes that do not overlap, and no more structs than there are bytes."""
    assert outline.structs <= size
    ends: dict[int, int] = {}
    for client, start, end in outline.brings:
        assert start < end
        assert start >= ends.get(client, 0)
        ends[client] = end


def check_parts(data: bytes, outline: Outline) -> None:
    """What is ready for an empty document needs nothing, and slices are updates that bring the same."""
    ready = inspect(ready_part(data, outline, {}))
    assert not missing(ready, {})
    for size in (8, len(data)):
        parts = [inspect(part) for part in slices(data, outline, structs=2, ranges=2, size=size)]
        brought = sum(end - start for part in parts for _, start, end in part.brings)
        assert brought == sum(end - start for _, start, end in outline.brings)
        assert [one for part in parts for one in part.deletes] == list(outline.deletes)


def seeds() -> Iterable[bytes]:
    return updates_of_yjs(5)
