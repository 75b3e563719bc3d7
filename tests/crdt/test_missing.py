"""What an update needs, and whether a document has it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from pycrdt import Doc, merge_updates

from cowrite.crdt.errors import HostileUpdate
from cowrite.crdt.guard import SYNC_LIMITS, inspect, outline_of_state
from cowrite.crdt.outline import ClockRange, Outline, missing
from cowrite.crdt.state_vector import decode_state_vector
from cowrite.testing.yjs_writer import Block, block, deleted, gc, shared_type, skip, text, write_update
from yjs_replicas import FUZZ, Replica, play

pytestmark = pytest.mark.rule("GU16")

AB = text("ab", root="t")


def needs(*blocks: Block, deletes: dict[int, list[tuple[int, int]]] | None = None) -> dict[int, int]:
    return dict(inspect(write_update(blocks, deletes)).needs)


def test_the_first_structs_of_a_client_need_nothing() -> None:
    assert needs(block(1, 0, AB)) == {}


def test_what_comes_before_the_first_struct_is_needed() -> None:
    assert needs(block(1, 5, AB)) == {1: 4}


def test_what_a_hole_leaves_out_is_needed() -> None:
    assert needs(block(1, 0, AB, skip(3), text("c", origin=(1, 4)))) == {1: 4}


def test_nothing_is_needed_of_a_hole_at_the_end() -> None:
    assert needs(block(1, 0, AB, skip(3))) == {}
    assert needs(block(1, 7, skip(3))) == {}


@pytest.mark.parametrize(
    "place", [{"origin": (2, 7)}, {"right": (2, 7)}, {"origin": (2, 1), "right": (2, 7)}, {"parent": (2, 7)}]
)
def test_neighbours_and_parents_of_other_clients_are_needed(place: Any) -> None:
    assert needs(block(1, 0, text("a", **place))) == {2: 7}


def test_the_highest_clock_counts() -> None:
    assert needs(block(1, 0, text("a", origin=(2, 7)), text("b", origin=(2, 3)))) == {2: 7}


def test_the_ends_of_deletions_are_needed() -> None:
    assert needs(deletes={3: [(0, 2), (5, 4)]}) == {3: 8}
    assert needs(block(3, 0, AB), deletes={3: [(0, 2)]}) == {}
    assert needs(block(3, 0, AB), deletes={3: [(0, 3)]}) == {3: 2}
    assert needs(block(3, 0, AB, skip(2), deleted(1, origin=(3, 3))), deletes={3: [(1, 2)], 4: [(0, 1)]}) == {3: 3, 4: 0}


def test_what_another_client_of_the_update_brings_is_not_needed() -> None:
    assert needs(block(2, 0, AB), block(1, 0, text("x", origin=(2, 1)))) == {}


def test_what_another_client_of_the_update_leaves_out_is_needed() -> None:
    assert needs(block(2, 0, AB, skip(2), gc(1)), block(1, 0, text("x", origin=(2, 3)))) == {2: 3}
    assert needs(block(2, 0, AB), block(1, 0, text("x", origin=(2, 5)))) == {2: 5}


def test_clients_may_build_on_one_another_by_turns() -> None:
    first = block(1, 0, text("a", root="t"), text("c", origin=(2, 0)), text("e", origin=(2, 1)))
    second = block(2, 0, text("b", origin=(1, 0)), text("d", origin=(1, 1)))
    assert needs(first, second) == {}
    assert needs(second, first) == {}


@pytest.mark.rule("GU10")
def test_a_circle_of_clients_is_refused() -> None:
    circle = [
        block(1, 0, text("a", origin=(2, 0))),
        block(2, 0, text("b", origin=(3, 0))),
        block(3, 0, text("c", origin=(1, 0))),
    ]
    with pytest.raises(HostileUpdate) as caught:
        inspect(write_update(circle))
    assert caught.value.code == "cycle"


def test_missing_names_what_the_state_does_not_hold() -> None:
    outline = inspect(write_update([block(1, 5, text("a", origin=(2, 7)))]))
    assert sorted(missing(outline, {})) == [(1, 4), (2, 7)]
    assert missing(outline, {1: 5, 2: 7}) == ((2, 7),)
    assert missing(outline, {1: 5, 2: 8}) == ()


def test_repeats_and_partly_known_ranges_need_no_more() -> None:
    outline = inspect(write_update([block(1, 5, text("abc", origin=(1, 4)))]))
    assert [missing(outline, {1: clock}) for clock in (4, 5, 6, 8, 9)] == [((1, 4),), (), (), (), ()]


# ---- against the engine ---------------------------------------------------------------------------------------------------


def leaves_pending(doc: Doc[Any], outline: Outline) -> bool:
    """Whether the engine, to which the update was applied, has not taken all of it."""
    state = decode_state_vector(doc.get_state())
    if any(state.get(client, 0) < end for client, _, end in outline.brings):
        return True
    gone = {client: [] for client, _, _ in outline.deletes}  # type: dict[int, list[tuple[int, int]]]
    for client, start, end in outline_of_state(doc.get_update()).deletes:
        gone.setdefault(client, []).append((start, end))
    return not all(any(a <= start and end <= b for a, b in gone[client]) for client, start, end in outline.deletes)


def deliveries(rng: random.Random, played: list[Replica]) -> Iterator[bytes]:
    """Everything that was written, in disorder: single updates, parts and the whole, merged, repeated."""
    written = [update for replica in played for update in replica.written]
    pool = written + [replica.doc.get_update(rng.choice(played).doc.get_state()) for replica in played]
    for _ in range(4):
        some = [update for update in written if rng.random() < 0.4]
        if some:
            pool.append(merge_updates(*some))
    disorder = rng.choice((0.05, 0.3, 1.0))
    places = {index: index / len(pool) + rng.random() * disorder for index in range(len(pool))}
    for index in sorted(places, key=lambda index: places[index]):
        yield pool[index]


def check_deliveries(seed: int) -> tuple[int, int]:
    """Compare ``missing`` with the engine for each delivery. Returns their number, and how many left something pending."""
    rng = random.Random(seed)
    played = play(rng, steps=rng.randrange(5, 30), replicas=rng.randrange(2, 5))
    received: Doc[Any] = Doc()
    count = pending = 0
    for update in deliveries(rng, played):
        outline = inspect(update, SYNC_LIMITS)
        state = decode_state_vector(received.get_state())
        trial: Doc[Any] = Doc()
        trial.apply_update(received.get_update())
        trial.apply_update(update)
        left = leaves_pending(trial, outline)
        assert bool(missing(outline, state)) == left, (seed, count, update.hex())
        if not left:
            received.apply_update(update)
        count += 1
        pending += left
    return count, pending


@pytest.mark.fuzz
@pytest.mark.parametrize("part", range(4))
def test_missing_is_what_the_engine_leaves_pending(part: int) -> None:
    counts = [check_deliveries(10_000 * part + seed) for seed in range(40 * FUZZ)]
    assert sum(count for count, _ in counts) > 500 * FUZZ
    assert sum(pending for _, pending in counts) > 100 * FUZZ


def test_brings_are_the_ranges_without_holes() -> None:
    outline = inspect(write_update([block(1, 2, text("ab", origin=(1, 1)), skip(3), gc(2), skip(1))], {1: [(0, 1)]}))
    assert outline.brings == (ClockRange(1, 2, 4), ClockRange(1, 7, 9))
    assert outline.deletes == (ClockRange(1, 0, 1),)
    assert outline.structs == 4


def test_a_type_brought_by_another_client_is_not_needed() -> None:
    assert needs(block(9, 0, text("in", parent=(1, 0))), block(1, 0, shared_type("xmltext", root="x"))) == {}
