"""Neighbours that an update may name, and those of which each replica would make another order."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from cowrite.crdt.document import Document
from cowrite.crdt.errors import HostileUpdate
from cowrite.crdt.guard import inspect, outline_of_state
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.neighbours import Neighbours
from cowrite.crdt.roots import RootKind
from cowrite.crdt.state import get_state
from cowrite.testing.yjs_writer import (
    Block,
    Id,
    Place,
    block,
    deleted,
    embed,
    gc,
    shared_type,
    skip,
    text,
    values,
    write_update,
)
from crdt.test_attacks import CPU_MS
from crdt.tree_of_lists import Lists, text_of
from yjs_replicas import FUZZ, play

pytestmark = pytest.mark.rule("GU32")


def noted(*updates: bytes) -> Neighbours:
    neighbours = Neighbours()
    for update in updates:
        neighbours.note(inspect(update))
    return neighbours


def refused(neighbours: Neighbours, *blocks: Block) -> bool:
    try:
        neighbours.check(inspect(write_update(blocks)))
    except HostileUpdate as error:
        return error.code == "neighbours"
    return False


def between(origin: Id | None, right: Id | None) -> Block:
    return block(9, 0, text("x", origin=origin, right=right))


DOCUMENT = noted(
    write_update([block(1, 0, text("abcd", root="t"), text("ef", right=(1, 0)), text("g", origin=(1, 3)))]),
    write_update([block(2, 0, text("uvw", origin=(1, 1), right=(1, 2)), text("y", origin=(1, 1), right=(1, 2)))]),
    write_update([block(3, 0, text("lm", origin=(2, 1), right=(2, 2)), text("n", origin=(3, 0), right=(3, 1)))]),
    write_update([block(4, 0, shared_type("array", root="a"), values(1, 2, parent=(4, 0)))]),
    write_update([block(5, 0, gc(2)), block(6, 0, values(1, root="m", key="k"))]),
)
"""t is efab(y)u v(l(n)m)w cdg; a holds a list with two values."""


@pytest.mark.parametrize(
    ("origin", "right", "wrong"),
    [
        ((1, 0), (1, 1), False),
        ((1, 3), (1, 6), False),
        ((2, 2), (1, 2), False),
        ((2, 3), (2, 0), False),
        ((3, 1), (2, 2), False),
        ((1, 5), (1, 0), False),
        ((4, 1), (4, 2), False),
        (None, (1, 4), False),
        (None, (4, 1), False),
        # Left of the origin, but never in one piece with it: all replicas go on to the end of what hangs under that.
        ((2, 1), (1, 1), False),
        ((3, 2), (1, 0), False),
        ((2, 0), (2, 0), False),
        ((1, 6), (1, 6), False),
        ((2, 1), (2, 0), False),
        ((2, 0), (2, 3), False),
        # In one piece with it.
        ((1, 1), (1, 1), True),
        ((1, 3), (1, 1), True),
        ((2, 2), (2, 1), True),
        ((1, 5), (1, 5), True),
        ((4, 2), (4, 2), True),
        # Deeper under it.
        ((1, 0), (1, 2), True),
        ((1, 1), (2, 2), True),
        ((1, 1), (3, 1), True),
        ((2, 1), (3, 2), True),
        ((1, 0), (1, 6), True),
        (None, (1, 1), True),
        (None, (2, 0), True),
        (None, (4, 2), True),
        # In another list.
        ((4, 0), (4, 1), True),
        ((1, 0), (4, 1), True),
        ((4, 1), (1, 0), True),
        ((4, 1), (1, 6), True),
        # Collected; what stands under keys is judged elsewhere.
        ((1, 0), (5, 0), True),
        ((5, 0), (5, 1), False),
        ((5, 0), (1, 0), True),
        (None, (5, 0), False),
        ((6, 0), (1, 1), False),
        ((1, 1), (6, 0), False),
        (None, (6, 0), False),
        # Not known, which missing() tells before.
        ((7, 0), None, False),
    ],
)
def test_neighbours_may_stand(origin: Id | None, right: Id | None, wrong: bool) -> None:
    assert refused(DOCUMENT, between(origin, right)) is wrong


def test_what_was_checked_and_not_applied_is_forgotten() -> None:
    neighbours = noted(write_update([block(1, 0, text("ab", root="t"))]))
    columns = len(neighbours._parents)
    assert refused(neighbours, block(2, 0, text("x", origin=(1, 0)), text("y", origin=(1, 1), right=(1, 1))))
    assert len(neighbours._parents) == columns
    assert list(neighbours._clients) == [1]
    assert not refused(neighbours, block(1, 2, text("c", root="t")), block(2, 0, text("x", origin=(1, 2))))
    assert not refused(neighbours, block(1, 2, text("c", origin=(1, 1))))
    assert neighbours._clients[1].end == 3
    assert not refused(neighbours, block(3, 0, text("x", root="t")))
    assert neighbours._clients[1].end == 2
    neighbours.note(inspect(write_update([block(1, 2, text("c", origin=(1, 1)))])))
    assert refused(neighbours, block(3, 0, text("x", origin=(1, 2), right=(1, 1))))


def test_what_is_known_in_part_goes_on_where_it_was() -> None:
    neighbours = noted(write_update([block(1, 0, text("ab", root="t"))]), write_update([block(1, 0, text("abcd", root="t"))]))
    assert refused(neighbours, between((1, 3), (1, 1)))
    assert not refused(neighbours, between((1, 1), (1, 2)))
    neighbours.note(inspect(write_update([block(1, 0, skip(4), text("e", origin=(1, 3)), gc(2))])))
    assert refused(neighbours, between((1, 4), (1, 1)))
    assert refused(neighbours, between((1, 4), (1, 5)))


def test_what_is_put_into_something_collected_is_collected() -> None:
    neighbours = noted(
        write_update([block(1, 0, gc(1), text("a", parent=(1, 0)), text("b", origin=(1, 1)))]),
        write_update([block(2, 0, text("c", right=(1, 2)), text("d", root="t"), text("e", origin=(2, 1), right=(1, 2)))]),
    )
    for unit in ((1, 1), (1, 2), (2, 0), (2, 2)):
        assert refused(neighbours, between((2, 1), unit))


def restored(document: Document) -> Document:
    return Document.from_state(document.encode())


def admitted(*updates: bytes) -> Document:
    document = Document.empty()
    for update in updates:
        document.admit(update, inspect(update))
    return document


LIST = write_update([block(1, 0, shared_type("array", root="a"), values(1, 2, 3, parent=(1, 0)))])


def shown(document: Document) -> Any:
    """What a reader sees who has to make the document from its state."""
    return get_state(LogDocument.from_state(document.encode(), {"a": RootKind.ARRAY}))["a"]


@pytest.mark.parametrize("together", [False, True])
def test_beside_something_collected_stands_only_what_dies_with_it(together: bool) -> None:
    """Somebody who had not heard that the list was deleted may go on in it; nobody may in a list that is there."""
    document = admitted(LIST, write_update([block(2, 0, values(7, root="a"), values(8, origin=(1, 1), right=(1, 2)))]))
    if not together:
        gone = write_update([], {1: [(0, 1)]})
        document.admit(gone, inspect(gone))
    more = [values(9, origin=(2, 1), right=(4, 0)), values(10, origin=(4, 0), right=(1, 3))]
    late = write_update([block(4, 0, gc(1)), block(3, 0, *more)], {1: [(0, 1)]})
    document.admit(late, inspect(late))
    assert shown(document) == {"$array": [7]}
    alive = write_update([block(5, 0, values(9, origin=(2, 0), right=(4, 0)))])
    with pytest.raises(HostileUpdate):
        document.admit(alive, inspect(alive))


@pytest.mark.parametrize("place", [{"origin": (1, 2), "right": (4, 0)}, {"origin": (4, 0), "right": (1, 2)}])
def test_a_list_that_lives_takes_nothing_beside_something_collected(place: Place) -> None:
    document = admitted(LIST, write_update([block(4, 0, gc(1))]))
    update = write_update([block(3, 0, values(9, **place))])
    with pytest.raises(HostileUpdate, match="collected"):
        document.admit(update, inspect(update))


COLLECTED = write_update([block(4, 0, gc(2))])


@pytest.mark.parametrize("place", [{"root": "a"}, {"origin": (1, 2)}, {"right": (1, 2)}, {"parent": (1, 0)}])
def test_what_was_collected_does_not_go_on_where_something_lives(place: Place) -> None:
    """The engine puts it where it says, and after a restart takes it as collected."""
    document = admitted(LIST, COLLECTED)
    update = write_update([block(4, 0, values(7, 8, 9, **place))])
    with pytest.raises(HostileUpdate, match="collected"):
        document.admit(update, inspect(update))
    document.apply(update, inspect(update))  # as if it were in the log
    assert document.state == {1: 4, 4: 3}


def test_that_is_seen_by_who_has_not_looked_at_anything_yet() -> None:
    document = Document.from_state(COLLECTED)
    update = write_update([block(4, 0, text("abc", root="t"))])
    with pytest.raises(HostileUpdate, match="collected"):
        document.admit(update, inspect(update))


@pytest.mark.parametrize("place", [{"origin": (1, 2)}, {"right": (1, 2)}, {"parent": (1, 0)}])
def test_what_was_collected_goes_on_in_a_list_that_was_deleted(place: Place) -> None:
    """Somebody had typed on in it, and sends all of that. The document may know the list or have collected it, too."""
    late = write_update([block(4, 0, values(7, 8, 9, **place)), block(5, 0, values(1, origin=(4, 2)))])
    gone = write_update([], {1: [(0, 1)]})
    for document in (admitted(LIST, COLLECTED, gone), restored(admitted(LIST, COLLECTED, gone))):
        document.admit(late, inspect(late))
        assert shown(document) == {"$array": []}
    document = admitted(write_update([block(1, 0, gc(4))]), COLLECTED)
    document.admit(late, inspect(late))


def test_what_was_collected_may_have_stood_under_a_key() -> None:
    entries = write_update([block(1, 0, values(1, root="m", key="k"), values(2, origin=(1, 0)))])
    document = admitted(entries, COLLECTED)
    late = write_update([block(4, 0, deleted(3, origin=(1, 1)))])
    document.admit(late, inspect(late))


def test_what_is_in_the_log_is_read_all_the_same() -> None:
    log = write_update([block(1, 0, text("abc", root="t"), text("x", origin=(1, 2), right=(1, 1)))])
    document = Document.from_state(log)
    assert document.state == {1: 4}
    document.apply(log, inspect(log))
    again = write_update([block(2, 0, text("y", origin=(1, 2), right=(1, 1)))])
    with pytest.raises(HostileUpdate):
        restored(document).admit(again, inspect(again))


def by_turns(count: int) -> bytes:
    """Two people who always go on behind one another: each unit hangs under the one before it."""
    mine = [text("a", root="t"), *(text("a", origin=(2, at)) for at in range(count - 1))]
    yours = [text("b", origin=(1, at)) for at in range(count)]
    return write_update([block(1, 0, *mine), block(2, 0, *yours)])


def test_thousands_of_levels_are_no_matter() -> None:
    count = 4000
    neighbours = noted(by_turns(count))
    structs = [embed(1, origin=(2, count - 1 - at), right=(1, at)) for at in range(count)]
    started = time.thread_time()
    assert refused(neighbours, block(9, 0, *structs)), "the second half stands deeper"
    neighbours.check(inspect(write_update([block(9, 0, *structs[: count // 2])])))
    assert time.thread_time() - started < 1000 * CPU_MS


# ---- at random ------------------------------------------------------------------------------------------------------------


def lists_of(seed: int, steps: int) -> tuple[Lists, Neighbours, int, int]:
    """Random structs, each judged by the tree itself and by its shortcuts."""
    rng = random.Random(seed)
    lists, neighbours = Lists(rng), Neighbours()
    taken = given_up = 0
    for _ in range(steps):
        written = lists.write()
        outline = inspect(written.update)
        try:
            dead = neighbours.check(outline)
        except HostileUpdate:
            assert not written.fits, written
            given_up += 1
            continue
        assert written.fits, written
        assert not dead
        if rng.random() < 0.2:
            neighbours.check(inspect(write_update([block(99, 0, text("lost", root="t"))])))  # and is not applied
        neighbours.note(outline)
        lists.take(written)
        taken += 1
    return lists, neighbours, taken, given_up


@pytest.mark.fuzz
@pytest.mark.rule("GU35")
def test_what_is_taken_stands_alike_in_whatever_order_it_comes() -> None:
    """However it is cut, and after each restart; and shortcuts judge as the tree does."""
    taken = given_up = 0
    for seed in range(40 * FUZZ):
        rng = random.Random(seed)
        lists, _, some, others = lists_of(seed, 25)
        taken += some
        given_up += others
        expected = text_of(lists.in_order(rng))
        for _ in range(4):
            updates = lists.in_order(rng)
            half = Document.from_log(updates[: len(updates) // 2])
            assert text_of([half.encode(), *updates[len(updates) // 2 :]]) == expected, f"seed {seed}"
            assert text_of([restored(Document.from_log(updates)).encode()]) == expected, f"seed {seed}"
    assert taken > 10 * 40 * FUZZ
    assert given_up > 40 * FUZZ


@pytest.mark.fuzz
@pytest.mark.rule("GU1")
def test_nothing_that_replicas_write_is_refused() -> None:
    for seed in range(20 * FUZZ):
        rng = random.Random(seed)
        written = [inspect(update) for replica in play(rng, exchange=0.4) for update in replica.written]
        neighbours, state = Neighbours(), dict[int, int]()
        while written:
            waiting: list[Any] = []
            for outline in written:
                if any(state.get(client, 0) <= clock for client, clock in outline.needs):
                    waiting.append(outline)
                    continue
                assert neighbours.check(outline) == []
                neighbours.note(outline)
                for client, _, end in outline.brings:
                    state[client] = max(end, state.get(client, 0))
            assert len(waiting) < len(written)
            written = waiting


def test_deleted_content_keeps_its_place() -> None:
    neighbours = Neighbours()
    neighbours.note(outline_of_state(write_update([block(1, 0, deleted(3, root="t"), text("a", origin=(1, 2)))])))
    assert refused(neighbours, between((1, 3), (1, 1)))
    assert refused(neighbours, between((1, 0), (1, 2)))
    assert not refused(neighbours, between((1, 2), (1, 3)))
