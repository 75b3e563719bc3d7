"""Which ids something stands in for, against sets of single ids."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import pytest

from cowrite.crdt.history.copies import Copy
from cowrite.crdt.history.living import Spans, standing_in, written_again
from cowrite.crdt.outline import ClockRange

CLIENTS = (1, 2)
CLOCKS = 16
Id = tuple[int, int]
Copies = Sequence[tuple[Copy, bool]]


def some_ranges(rng: random.Random, most: int) -> list[ClockRange]:
    starts = [(rng.choice(CLIENTS), rng.randrange(CLOCKS - 1)) for _ in range(rng.randrange(most + 1))]
    return [ClockRange(client, start, rng.randrange(start + 1, CLOCKS)) for client, start in starts]


def ids(ranges: Iterable[ClockRange]) -> set[tuple[int, int]]:
    return {(client, clock) for client, start, end in ranges for clock in range(start, end)}


def held(spans: Spans) -> set[tuple[int, int]]:
    return ids(spans.common(ClockRange(client, 0, 2 * CLOCKS) for client in range(20)))


@pytest.mark.rule("RS12")
def test_ids_that_something_stands_in_for() -> None:
    """Of all that is the same, what is there is there once after an undo."""
    rng = random.Random(5)
    returned = 0
    for _ in range(400):
        copies = []
        for client in range(10, 10 + rng.randrange(6)):
            length = rng.randrange(1, 6)
            old = rng.choice((*CLIENTS, *range(10, client)))
            copies.append(((client, rng.randrange(3), length, old, rng.randrange(5)), rng.random() < 0.2))
        gone = [*some_ranges(rng, 3), *(ClockRange(client, 0, rng.randrange(1, 8)) for client in range(10, 16))]
        back = Spans(gone).common([*some_ranges(rng, 3), *(ClockRange(client, 1, 9) for client in range(10, 16))])
        assert held(Spans(gone)) == ids(gone)
        coming = ids(back) - taken_away(copies)
        expected = set()
        for first, family in families(copies).items():
            there = [copy for copy in family if copy not in taken_away(copies) and copy not in ids(gone)]
            returning = [copy for copy in family if copy in coming]
            returned += bool(returning)
            chosen = there or returning[-1:]
            expected |= (coming & {first, *family}) - set(chosen) if chosen else set()
        assert held(standing_in(copies, Spans(gone), Spans(back))) & coming == expected
    assert returned > 100


def taken_away(copies: Copies) -> set[Id]:
    return {(client, clock + number) for (client, clock, length, *_), taken in copies if taken for number in range(length)}


def families(copies: Copies) -> dict[Id, list[Id]]:
    """What was written first, and all copies of it, the newest last."""
    first: dict[Id, Id] = {}
    found: dict[Id, list[Id]] = {}
    for (client, clock, length, old, old_clock), _ in copies:
        for number in range(length):
            original = old, old_clock + number
            copy = client, clock + number
            first[copy] = first.get(original, original)
            found.setdefault(first[copy], []).append(copy)
    return found


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
