"""What is traced of one transaction of the journal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

from cowrite.core.operations.submissions import Waiting
from cowrite.core.ports.tracing import CommitSpan, EditSpan, Tracing
from cowrite.core.rooms.received import Received
from cowrite.core.rooms.room import Room


@contextmanager
def traced(tracing: Tracing | None, rooms: Sequence[Room]) -> Iterator[CommitSpan | None]:
    """The span of a transaction for what waits in these rooms, which lasts as long as the block. None: no traced edit waits."""
    edits = _waiting(rooms) if tracing is not None else iter(())
    first = next(edits, None)
    if tracing is None or first is None:
        yield None
    else:
        with tracing.commit(chain((first,), edits)) as span:
            yield span


def tell_held(span: CommitSpan, updates: Sequence[Received], submissions: Sequence[Waiting]) -> None:
    """The transaction has taken these."""
    for one in chain(updates, submissions):
        if (edit := one.span) is not None:
            span.holds(edit)


def _waiting(rooms: Sequence[Room]) -> Iterator[EditSpan]:
    for room in rooms:
        for one in chain(room.pending, room.submissions):
            if (edit := one.span) is not None:
                yield edit
