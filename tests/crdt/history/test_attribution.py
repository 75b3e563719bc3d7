"""Whose clocks these are."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest

from cowrite.crdt.history.attribution import NOBODY, PAUSE_MS, Attribution, Authored, Credit
from cowrite.crdt.history.copies import Copy


def attributed(*entries: tuple[str, Sequence[tuple[int, int, int]], Sequence[Copy]], first: int = 1) -> Attribution:
    attribution = Attribution()
    for offset, (author, ranges, copies) in enumerate(entries, first):
        attribution.append([Authored(offset, author, 1000 * offset, ranges, copies)])
    return attribution


@pytest.mark.rule("HI5")
def test_clocks_belong_to_the_entry_that_brought_them() -> None:
    attribution = attributed(("ana", [(7, 0, 3)], ()), ("ben", [(9, 0, 1)], ()), ("ana", [(9, 1, 2), (7, 3, 5)], ()))
    assert attribution.spans(7, 0, 5) == [(0, 3, 0, NOBODY), (3, 5, 2, NOBODY)]
    assert attribution.spans(7, 2, 4) == [(2, 3, 0, NOBODY), (3, 4, 2, NOBODY)]
    assert attribution.spans(9, 0, 2) == [(0, 1, 1, NOBODY), (1, 2, 2, NOBODY)]
    assert attribution.credit(1) == Credit("ben", 2000, 2)
    assert attribution.goes_on(0, 2)
    assert not attribution.goes_on(0, 1)
    assert not attribution.goes_on(0, NOBODY)
    assert attribution.head == 3


@pytest.mark.rule("HI6")
def test_what_no_entry_brought_belongs_to_nobody() -> None:
    """Before the first entry that is kept, behind the last one that is known, and of clients that none names."""
    attribution = attributed(("ana", [(7, 4, 6)], ()), ("ben", [(7, 6, 7), (7, 5, 7), (7, 9, 10)], ()), first=20)
    assert attribution.spans(7, 0, 12) == [
        (0, 4, NOBODY, NOBODY),
        (4, 6, 0, NOBODY),
        (6, 7, 1, NOBODY),
        (7, 9, NOBODY, NOBODY),
        (9, 10, 1, NOBODY),
        (10, 12, NOBODY, NOBODY),
    ]
    assert attribution.spans(8, 0, 2) == [(0, 2, NOBODY, NOBODY)]
    assert attribution.credit(NOBODY) is None
    assert Attribution().head == 0


@pytest.mark.rule("HI5")
@pytest.mark.parametrize("copies", [[], [(1, 3, 2, 2, 0)]], ids=["typed", "brought back"])
def test_entries_that_go_on_are_one_run(copies: Sequence[Copy]) -> None:
    """Wherever it begins and ends: the same clocks as span by span, each run of entries that go on with one another."""
    rng = random.Random(7)
    attribution, now, clocks = Attribution(), 0, [0, 0, 0]
    for offset in range(1, 200):
        now += rng.choice((1, 1000, PAUSE_MS, PAUSE_MS + 1))
        client = rng.choice((1, 1, 2))
        start = clocks[client] + rng.choice((0, 0, 0, 0, 2))
        clocks[client] = start + rng.randrange(1, 4)
        ranges = [(client, start, clocks[client])]
        attribution.append([Authored(offset, rng.choice(("ana", "ana", "ben")), now, ranges, copies if offset == 199 else ())])
    for _ in range(500):
        clock = rng.randrange(clocks[1] + 3)
        end = rng.randrange(clock + 1, clocks[1] + 5)
        runs, spans = attribution.runs(1, clock, end), attribution.spans(1, clock, end)
        assert [run[0] for run in runs[1:]] == [run[1] for run in runs[:-1]]
        for start, stop, first, last, restored in runs:
            within = [span for span in spans if start <= span[0] < stop]
            assert (within[0][0], within[-1][1], within[0][2], within[-1][2]) == (start, stop, first, last)
            assert all(attribution.goes_on(one[2], other[2]) for one, other in pairwise(within))
            assert {span[3] for span in within} == {restored}
        if not copies:
            assert not any(attribution.goes_on(one[3], other[2]) for one, other in pairwise(runs))
    assert attribution.runs(3, 1, 4) == [(1, 4, NOBODY, NOBODY, NOBODY)]


@pytest.mark.rule("HI7")
def test_what_was_brought_back_belongs_to_who_wrote_it_first() -> None:
    """Also what was brought back twice, and where only a part of it is known."""
    attribution = attributed(
        ("ana", [(7, 3, 6)], ()),
        ("ben", [(7, 6, 9)], ()),
        ("cleo", [(8, 0, 9)], [(8, 5, 4, 7, 4), (8, 1, 2, 7, 2)]),
        ("dan", [(9, 0, 9)], [(9, 2, 3, 8, 4)]),
    )
    assert attribution.spans(8, 0, 9) == [
        (0, 1, 2, NOBODY),
        (1, 2, NOBODY, 2),
        (2, 3, 0, 2),
        (3, 5, 2, NOBODY),
        (5, 7, 0, 2),
        (7, 9, 1, 2),
    ]
    assert attribution.spans(8, 6, 8) == [(6, 7, 0, 2), (7, 8, 1, 2)]
    assert attribution.spans(9, 1, 9) == [(1, 2, 3, NOBODY), (2, 3, 2, 3), (3, 5, 0, 3), (5, 9, 3, NOBODY)]


@pytest.mark.rule("HI5")
def test_entries_come_in_order() -> None:
    attribution = attributed(("ana", [(7, 0, 3)], ()))
    with pytest.raises(ValueError, match="entry 1 does not come after entry 1"):
        attribution.append([Authored(1, "ana", 0, ())])


@pytest.mark.rule("HI13")
def test_what_an_entry_carried_of_others_is_theirs() -> None:
    """Also what a restore brought back of it; neighbours of two authors are not told as one."""
    attribution = Attribution()
    ranges = [(7, 0, 3), (8, 0, 2), (9, 0, 1)]
    attribution.append([Authored(4, "ana", 1000, ranges, writers=["ana", "ben", "ben"], deletes=[(8, 1, 2)])])
    attribution.append([Authored(5, "ben", 2000, [(8, 2, 4)], [(8, 3, 1, 7, 2)])])
    (mine,) = attribution.spans(7, 0, 3)
    (his,) = attribution.spans(8, 0, 2)
    assert attribution.spans(9, 0, 1)[0][2] == his[2]
    assert attribution.credit(mine[2]) == Credit("ana", 1000, 4)
    assert attribution.credit(his[2]) == Credit("ben", 1000, 4)
    assert attribution.credit(attribution.deletions(8, 1, 2)[0][2]) == Credit("ana", 1000, 4)
    (own, copied) = attribution.spans(8, 2, 4)
    assert attribution.goes_on(his[2], own[2])
    assert not attribution.goes_on(mine[2], his[2])
    assert (copied[2], copied[3]) == (mine[2], own[2])
    with pytest.raises(ValueError, match="shorter"):
        attribution.append([Authored(6, "ana", 3000, ranges, writers=["ana"])])


@pytest.mark.rule("HI10")
def test_deletions_belong_to_the_entry_that_deleted() -> None:
    """Each clock once; what no entry deleted by itself is of the one that is given."""
    attribution = Attribution()
    assert attribution.deletions(1, 0, 8, 9) == [(0, 8, 9)]
    attribution.append([Authored(1, "ana", 0, (), deletes=[(1, 5, 6), (1, 7, 16)])])
    attribution.append([Authored(2, "ben", 0, (), deletes=[(1, 1, 3), (2, 0, 1)])])
    assert attribution.deletions(1, 0, 8, 9) == [(0, 1, 9), (1, 3, 1), (3, 5, 9), (5, 6, 0), (6, 7, 9), (7, 8, 0)]
    assert attribution.deletions(2, 0, 1) == [(0, 1, 1)]
    assert attribution.deletions(3, 0, 1) == [(0, 1, NOBODY)]


@pytest.mark.rule("HI10")
@pytest.mark.parametrize("portion", [1, 7, 1000])
def test_deletions_in_any_order(portion: int) -> None:
    """However many come at once, and however often somebody asks in between."""
    clocks = random.Random(5).sample(range(1000), 900)
    attribution = Attribution()
    for start in range(0, len(clocks), portion):
        batch = enumerate(clocks[start : start + portion], start + 1)
        attribution.append([Authored(offset, "ana", 0, (), deletes=[(1, clock, clock + 1)]) for offset, clock in batch])
        attribution.deletions(1, 0, 1000)
    by = {clock: number for number, clock in enumerate(clocks)}
    found = attribution.deletions(1, 0, 1000)
    assert {clock: number for start, end, number in found for clock in range(start, end) if number != NOBODY} == by
    assert [span[0] for span in found[1:]] == [span[1] for span in found[:-1]]


@pytest.mark.rule("HV14")
def test_it_knows_what_it_takes() -> None:
    """An entry that deletes in many places takes more than one that types a letter."""
    letter, pieces = Attribution(), Attribution()
    letter.append([Authored(1, "ana", 0, [(7, 0, 1)])])
    pieces.append([Authored(1, "ana", 0, (), deletes=[(7, 2 * at, 2 * at + 1) for at in range(5000)])])
    assert letter.size < 1000
    assert pieces.size > 5000 * 100
