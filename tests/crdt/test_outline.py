"""What an outline takes in memory while its update is kept."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from cowrite.crdt.document import Document
from cowrite.crdt.guard import inspect
from cowrite.crdt.outline import Outline
from cowrite.testing.yjs_writer import block, deleted, embed, skip, text, values, write_update

MANY = 1000
UPDATES = {
    "a keystroke": write_update([block(5, 0, text("a", root="t"))]),
    "structs": write_update([block(5, 1, *(deleted(1, origin=(5, clock)) for clock in range(MANY)))]),
    "deletions": write_update(deletes={5: [(2 * clock, 1) for clock in range(MANY)]}),
    "holes": write_update([block(5, 0, *(struct for _ in range(MANY) for struct in (text("a", root="t"), skip(1))))]),
    "clients": write_update([block(MANY - number, 0, text("a", root="t")) for number in range(MANY)]),
    "needs": write_update([block(5, 0, *(text("a", origin=(1000 + number, 70_000)) for number in range(MANY)))]),
    "halves": write_update([block(5, 0, text("\U0001f600" * MANY, root="t"))]),
    "roots": write_update([block(5, 0, *(values(1, root=f"{number}") for number in range(MANY)))]),
    "a long text": write_update([block(5, 0, text("a" * 100_000, root="t"))]),
}


def kept(update: bytes) -> tuple[Outline, int]:
    """The compact outline, and what it takes."""
    inspect(update).compact()
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        outline = inspect(update).compact()
        gc.collect()
        return outline, tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


@pytest.mark.rule("AK30", "AK22")
@pytest.mark.parametrize("update", UPDATES.values(), ids=UPDATES.keys())
def test_how_much_memory_an_outline_takes(update: bytes) -> None:
    outline, taken = kept(update)
    assert taken / 2 - 2048 < outline.memory < 1.5 * taken
    assert outline.memory < 60 * len(update)


@pytest.mark.rule("AK30")
def test_a_compact_outline_is_the_same() -> None:
    update = write_update([block(5, 0, embed(1, root="t"), *(embed(1, origin=(5, clock)) for clock in range(MANY)))])
    outline = inspect(update)
    compact = outline.compact()
    assert list(compact.layout.rows) == list(outline.layout.rows)
    assert compact._replace(layout=outline.layout) == outline
    assert compact.compact() is compact
    document = Document.empty()
    assert document.admit(update, compact) == update
    assert not document.contradicts(update, compact)
