"""Last characters that are deleted where they were typed, and what is typed in their place: told without the engine."""

from __future__ import annotations

import random
from typing import Any

import pytest

from cowrite.crdt.state import get_state
from cowrite.testing.yjs_writer import block, write_update
from cowrite.testing.yjs_writer import text as string
from crdt.random_edits import FUZZ
from crdt.typists import Logs, Typist, act, typing

pytestmark = pytest.mark.rule("OP31")


def test_who_deletes_what_was_typed_last_and_types_on_needs_no_engine() -> None:
    logs, ana = typing("Once ", "uponn")
    ben = Typist(2)
    ben.receive(logs.log)
    for _ in range(3):
        ana.backspace()
        ana.type("n a t")
        ana.backspace(2)
        ana.backspace(1, and_type="xx")
        ana.type("y")
        logs.check_each(ana)
        ben.type("Oh, ", at=0)
        logs.check_each(ben)
        ana.cursor += 4
        ana.receive(logs.log)
    assert logs.typed == 1 + 3 * 5
    assert logs.corrected == 3 * 3
    assert str(ana.text) == "Oh, Oh, Oh, Once uponn xxn xxn xxy"


def test_what_stands_before_what_was_deleted_needs_no_engine() -> None:
    """So does an editor write that keeps its cursor at the left neighbour; with the deletion or after it."""
    logs, _ = typing("abc")
    first = write_update([block(1, 3, string("D", origin=(1, 1), right=(1, 2)))], {1: [(2, 1)]})
    more = write_update([block(1, 4, string("EF", origin=(1, 3), right=(1, 2)))])
    gone = write_update(deletes={1: [(5, 1)]})
    again = write_update([block(1, 6, string("G", origin=(1, 4), right=(1, 5)))])
    last = write_update([block(1, 7, string("H", origin=(1, 6), right=(1, 5)))])
    for update in (first, more, gone, again, last):
        logs.commit([update])
        logs.check()
    assert (logs.typed, logs.corrected) == (5, 2)
    assert get_state(logs.log) == {"t": {"$text": [{"insert": "abDEGH"}]}}


def test_anybody_may_delete_what_somebody_typed_last() -> None:
    logs, ana = typing("abc")
    ben = Typist(2)
    ben.receive(logs.log)
    del ben.text[2:3]
    logs.take(ben)
    ana.type("d")
    logs.take(ana)
    assert (logs.typed, logs.corrected) == (2, 1)
    ben.receive(logs.log)
    del ben.text[2:3]
    logs.take(ben)
    assert logs.corrected == 1, "behind what was deleted, only one is known to stand there"
    logs.check()


def between(ben: Typist) -> None:
    ben.text.insert(3, "-")


def before_the_last(ben: Typist) -> None:
    ben.text.insert(4, "-")


def delete_within(ben: Typist) -> None:
    del ben.text[1:3]


@pytest.mark.parametrize(("change", "fewer"), [(between, 2), (before_the_last, 1), (delete_within, 2)])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_what_does_not_stand_side_by_side_any_more_is_looked_for(change: Any, fewer: int, count: int) -> None:
    logs, ana = typing("ab", "cde")
    ben = Typist(2)
    ben.receive(logs.log)
    change(ben)
    logs.take(ben)
    ana.backspace(count)
    ana.type("x")
    logs.check_each(ana)
    assert logs.corrected == (count < fewer)


@pytest.mark.parametrize("other", [1, 3])
@pytest.mark.parametrize("at", [2, 3, 4])
def test_who_types_beside_what_was_deleted_makes_it_uncertain(at: int, other: int) -> None:
    logs, ana = typing("abcd", client=2)
    ben = Typist(other)
    ben.receive(logs.log)
    ana.backspace(2)
    logs.check_each(ana)
    ben.type("X", at=at)
    logs.check_each(ben)
    for text in ("e", "f"):
        ana.type(text)
        logs.check_each(ana)
    assert (logs.typed, logs.corrected) == (2, 1)


@pytest.mark.parametrize(
    "odd",
    [
        write_update([block(1, 5, string("x", origin=(1, 3), right=(2, 0)))], {1: [(4, 1)]}),
        write_update([block(1, 5, string("x", origin=(1, 4), right=(2, 0)))], {1: [(4, 1)]}),
        write_update([block(1, 5, string("x", origin=(1, 2), right=(1, 4)))], {1: [(4, 1)]}),
        write_update([block(1, 5, string("x", origin=(1, 4)))], {1: [(1, 1), (4, 1)]}),
        write_update([block(1, 5, string("x", origin=(1, 4)))], {1: [(4, 1)], 2: [(0, 1)]}),
        write_update([block(1, 5, string("x", origin=(1, 4)), string("y", origin=(1, 0), right=(1, 1)))], {1: [(4, 1)]}),
        write_update(deletes={1: [(3, 1)]}),
        write_update(deletes={1: [(0, 5)]}),
    ],
)
def test_another_deletion_or_other_neighbours_are_looked_for(odd: bytes) -> None:
    logs, _ = typing("ab", "cde")
    ben = Typist(2)
    ben.receive(logs.log)
    ben.type("Z", at=0)
    logs.take(ben)
    logs.commit([odd])
    logs.check()
    assert logs.corrected == 0


def test_half_a_character_is_not_deleted_without_a_look() -> None:
    logs, ana = typing("a", "b😀", "c", "d")
    for _ in range(2):
        ana.backspace()
    logs.check_each(ana)
    assert logs.corrected == 1, "behind it all are characters"
    ana.backspace(2)
    logs.check_each(ana)
    assert logs.corrected == 1
    ana.type("e😀")
    ana.type("!", at=ana.cursor)
    logs.check_each(ana)


def mistype(rng: random.Random, typist: Typist) -> None:
    """Somebody who strikes wrong keys, and takes them back in every way that editors have."""
    typist.cursor = min(typist.cursor, len(typist.text))
    count = min(rng.choice((1, 1, 2, 4)), typist.cursor)
    kind = rng.random()
    if kind < 0.5 or not count:
        typist.type(rng.choice(("a", "bc", "xyz", "uvwxyz", "é")))
    else:
        typist.backspace(count, and_type=rng.choice(("", "", "d", "ef")))


def correct(logs: Logs, client: int) -> None:
    """As an editor does that keeps its cursor at its left neighbour."""
    end = logs.log._tails._ends.get(client)
    if end is not None and end.left > end.first:
        place: Any = {"origin": (client, end.left - 1), "right": (client, end.left)}
        logs.commit([write_update([block(client, end.clock, string("k", **place))], {client: [(end.left, 1)]})])


@pytest.mark.fuzz
def test_what_many_mistype_at_random_is_told_as_the_engine_tells_it() -> None:
    corrected = 0
    for seed in range(40 * FUZZ):
        rng = random.Random(seed)
        logs = Logs()
        typists = [Typist(client) for client in rng.sample(range(1, 100), rng.randrange(2, 5))]
        for _ in range(rng.randrange(10, 60)):
            typist = rng.choice(typists)
            if rng.random() < 0.8:
                mistype(rng, typist)
            else:
                act(rng, typist, logs)
            logs.take_each(typist)
            if rng.random() < 0.3:
                correct(logs, typist.client)
                typist.receive(logs.log)
        logs.check()
        corrected += logs.corrected
    assert corrected > 60 * FUZZ, "else this has tested nothing"
