"""How much memory an outline says that it takes."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from cowrite.crdt.guard import SYNC_LIMITS, inspect
from cowrite.testing.yjs_writer import block, deleted, text, values, write_update

COLLECTED, SKIPPED = b"\x00\x01", b"\x0a\x01"

UPDATES = {
    "a keystroke": write_update([block(123_456_789, 100_000, text("x", origin=(123_456_789, 99_999)))]),
    "a few structs": write_update([block(5, 100_001, *[deleted(1, origin=(5, 100_000 + n)) for n in range(20)])]),
    "500 structs": write_update([block(5, 100_001, *[deleted(1, origin=(5, 100_000 + n)) for n in range(500)])]),
    "many structs": write_update([block(5, 1, *[deleted(1, origin=(5, n)) for n in range(2_000)])]),
    "collected": write_update([block(5, 0, *[COLLECTED] * 2_000)]),
    "holes": write_update([block(5, 0, *[COLLECTED, SKIPPED] * 1_000, COLLECTED)]),
    "deletions": write_update([], {5: [(2 * n, 1) for n in range(2_000)]}),
    "clients": write_update([block(2**32 - n, 0, COLLECTED) for n in range(2250)]),
    "roots": write_update([block(5, 0, *[text("x", root=f"r{n}") for n in range(900)])]),
    "keys": write_update([block(5, 0, *[values(1, root="r", key=f"k{n}") for n in range(2250)])]),
    "halves": write_update([block(5, 0, text("\U0001f600" * 2_000, root="r"))]),
    "neighbours": write_update([block(5, 0, *[text("x", origin=(10**9 + n, 0)) for n in range(2250)])]),
    "parents": write_update([block(5, 0, *[values(1, parent=(1000 + n, 10**6 + n), key="k") for n in range(2250)])]),
}


@pytest.mark.rule("GU30")
@pytest.mark.parametrize("kind", UPDATES)
@pytest.mark.large
def test_memory_is_no_more_than_the_weight_says(kind: str) -> None:
    update = UPDATES[kind]
    gc.collect()
    tracemalloc.start()
    try:
        outline = inspect(update, SYNC_LIMITS)
        gc.collect()
        memory, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert memory <= 1.1 * (len(update) + outline.weight + 4096)


@pytest.mark.rule("GU30")
def test_what_people_type_weighs_nothing() -> None:
    """The number of such updates is bounded, and their bytes."""
    assert inspect(UPDATES["a keystroke"]).weight == 0
