"""Updates cut into small ones, and to what can be taken of them."""

from __future__ import annotations

import random
from typing import Any

import pytest
from pycrdt import Doc, merge_updates

from cowrite.crdt.document import Document
from cowrite.crdt.guard import SYNC_LIMITS, inspect
from cowrite.crdt.outline import missing
from cowrite.crdt.slices import ready_part, slices
from cowrite.testing.yjs_writer import block, gc, skip, text, write_update
from yjs_replicas import FUZZ, play, seen


@pytest.mark.rule("GU25")
def test_slices_hold_as_much_as_was_asked_for() -> None:
    update = write_update(
        [block(2, 0, text("ab", root="t"), text("c", origin=(1, 0))), block(1, 0, *[text("x", root="t")] * 5, gc(1))],
        {1: [(0, 1), (2, 1)], 2: [(0, 1)]},
    )
    parts = [inspect(each) for each in slices(update, inspect(update), structs=2, ranges=2)]
    assert [sum(end - start for _, start, end in part.brings) for part in parts] == [2, 1, 1, 2, 2, 1, 0, 0]
    assert [len(part.deletes) for part in parts] == [0, 0, 0, 0, 0, 0, 2, 1]


@pytest.mark.rule("GU25")
def test_holes_are_in_no_slice() -> None:
    update = write_update([block(1, 0, skip(1), gc(1), skip(1), skip(1), gc(1), gc(1), skip(1))])
    parts = [inspect(each) for each in slices(update, inspect(update), structs=9, ranges=1)]
    assert [part.brings for part in parts] == [((1, 1, 2),), ((1, 4, 6),)]


@pytest.mark.fuzz
@pytest.mark.rule("GU25")
def test_slices_do_what_the_whole_does() -> None:
    for seed in range(60 * FUZZ):
        rng = random.Random(seed)
        played = play(rng)
        whole: Doc[Any] = Doc()
        for replica in played:
            whole.apply_update(replica.doc.get_update())
        update = whole.get_update()
        sliced = Document.empty()
        for part in slices(update, inspect(update, SYNC_LIMITS), structs=rng.randrange(1, 9), ranges=rng.randrange(1, 9)):
            outline = inspect(part)
            assert not missing(outline, sliced.state)
            sliced.apply(part, outline)
        assert seen(sliced.encode()) == seen(update)


@pytest.mark.rule("GU16")
def test_the_ready_part_ends_where_something_is_missing() -> None:
    update = write_update(
        [
            block(3, 0, text("c", origin=(9, 9))),
            block(2, 4, skip(2), text("ab", root="t"), text("c", origin=(1, 1)), text("d", parent=(1, 3)), skip(2), gc(1)),
            block(1, 0, text("ab", root="t"), text("cd", right=(2, 6)), text("e", origin=(3, 0)), text("f", root="t")),
        ],
        {1: [(0, 1), (3, 2), (6, 1)], 2: [(0, 99)], 4: [(0, 1)]},
    )
    part = inspect(ready_part(update, inspect(update), {2: 6}))
    assert part.brings == ((2, 6, 10), (1, 0, 4))
    assert part.deletes == ((1, 0, 1), (1, 3, 4), (2, 0, 10))
    assert not missing(part, {2: 6})
    later = inspect(ready_part(update, inspect(update), {2: 12}))
    assert later.brings == ((2, 6, 10), (2, 12, 13), (1, 0, 4))
    assert inspect(ready_part(update, inspect(update), {9: 10})).brings == ((3, 0, 1), (1, 0, 2))
    assert ready_part(write_update([block(1, 5, gc(1))]), inspect(write_update([block(1, 5, gc(1))])), {}) == b"\x00\x00"


@pytest.mark.fuzz
@pytest.mark.rule("GU16")
def test_the_ready_part_can_be_taken_and_the_whole_later() -> None:
    cut = 0
    for seed in range(100 * FUZZ):
        rng = random.Random(seed)
        written = [update for replica in play(rng) for update in replica.written]
        if not written:
            continue
        some = [update for update in written if rng.random() < 0.6] or written
        update = merge_updates(*some)
        outline = inspect(update, SYNC_LIMITS)
        document = Document.empty()
        part = ready_part(update, outline, document.state)
        ready = inspect(part, SYNC_LIMITS)
        assert not missing(ready, document.state)
        document.apply(part, ready)
        if missing(outline, {}):
            cut += 1
        else:
            assert (ready.brings, ready.deletes) == (outline.brings, outline.deletes)
        rest = merge_updates(*written)
        document.apply(rest, inspect(rest, SYNC_LIMITS))
        assert seen(document.encode()) == seen(rest)
    assert cut > 30 * FUZZ


@pytest.mark.fuzz
@pytest.mark.rule("GU16")
def test_nothing_more_can_be_taken_than_the_ready_part() -> None:
    """Against a slow search: try the update's structs one by one, again and again, while anything is new."""
    for seed in range(30 * FUZZ):
        rng = random.Random(seed)
        written = [update for replica in play(rng, steps=15) for update in replica.written]
        some = [update for update in written if rng.random() < 0.6]
        if not some:
            continue
        update = merge_updates(*some)
        outline = inspect(update, SYNC_LIMITS)
        state: dict[int, int] = {}
        parts = [inspect(each) for each in slices(update, outline, structs=1, ranges=1)]
        grown = True
        while grown:
            grown = False
            for part in parts:
                for client, _, end in part.brings:
                    if not missing(part, state) and end > state.get(client, 0):
                        state[client] = end
                        grown = True
        ready = inspect(ready_part(update, outline, {}), SYNC_LIMITS)
        assert {client: end for client, _, end in ready.brings} == state
