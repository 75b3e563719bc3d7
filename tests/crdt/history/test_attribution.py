"""Whose clocks these are."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from cowrite.crdt.history.attribution import NOBODY, Attribution, Authored, Copy, Credit


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
    assert (attribution.number_of(3), attribution.head) == (2, 3)
    assert attribution.number_of(4) == attribution.number_of(0) == NOBODY


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
