"""Which ids something stands in for, against sets of single ids."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from cowrite.crdt.history.living import Spans, standing_in, written_again
from cowrite.crdt.outline import ClockRange

CLIENTS = (1, 2)
CLOCKS = 16


def some_ranges(rng: random.Random, most: int) -> list[ClockRange]:
    starts = [(rng.choice(CLIENTS), rng.randrange(CLOCKS - 1)) for _ in range(rng.randrange(most + 1))]
    return [ClockRange(client, start, rng.randrange(start + 1, CLOCKS)) for client, start in starts]


def ids(ranges: Iterable[ClockRange]) -> set[tuple[int, int]]:
    return {(client, clock) for client, start, end in ranges for clock in range(start, end)}


def held(spans: Spans) -> set[tuple[int, int]]:
    return ids(spans.common(ClockRange(client, 0, 2 * CLOCKS) for client in range(20)))


@pytest.mark.rule("RS12")
def test_ids_that_something_stands_in_for() -> None:
    rng = random.Random(5)
    for _ in range(300):
        copies = []
        for client in range(10, 10 + rng.randrange(5)):
            length = rng.randrange(1, 6)
            old = rng.choice((*CLIENTS, *range(10, client)))
            copies.append(((client, rng.randrange(4), length, old, rng.randrange(8)), rng.random() < 0.3))
        gone, back = some_ranges(rng, 3), some_ranges(rng, 3)
        gone += [ClockRange(10, 0, rng.randrange(1, 6))]
        assert held(Spans(gone)) == ids(gone)
        lasting: set[tuple[int, int]] = set()
        for (client, clock, length, old, old_clock), taken in reversed(copies):
            for number in range(length):
                copy = client, clock + number
                there = not taken and (copy not in ids(gone) or copy in ids(back))
                if there or copy in lasting:
                    lasting.add((old, old_clock + number))
        assert held(standing_in(copies, Spans(gone), Spans(back))) == lasting


@pytest.mark.rule("RS12")
def test_ids_under_which_what_a_person_wrote_is_there_again() -> None:
    rng = random.Random(6)
    for _ in range(300):
        copies = []
        for client in range(10, 10 + rng.randrange(5)):
            length = rng.randrange(1, 6)
            old = rng.choice((*CLIENTS, *range(10, client)))
            copies.append(((client, rng.randrange(4), length, old, rng.randrange(8)), rng.random() < 0.3))
        inserted = [*some_ranges(rng, 3), ClockRange(10, 0, rng.randrange(1, 6))]
        new = {(client, clock + number) for (client, clock, length, *_), _ in copies for number in range(length)}
        theirs, cut = ids(inserted) - new, set()
        for (client, clock, length, old, old_clock), taken in copies:
            for number in range(length):
                also = (old, old_clock + number) in theirs
                cut.add((client, clock + number, old, old_clock + number, taken or also))
                theirs |= {(client, clock + number)} if also else set()
        pieces, found = written_again(copies, inserted)
        assert ids(found) == theirs & new
        told = {
            (client, clock + number, old, old_clock + number, taken)
            for (client, clock, length, old, old_clock), taken in pieces
            for number in range(length)
        }
        assert told == cut
