"""What copies stand for."""

from __future__ import annotations

import pytest

from cowrite.crdt.history.origins import Origins
from cowrite.crdt.history.pairing import heaviest


@pytest.mark.rule("HI15", "RS13")
def test_a_copy_of_a_copy_is_the_same() -> None:
    origins = Origins([(2, 0, 4, 1, 10), (3, 5, 2, 2, 1), (3, 0, 1, 9, 0), (4, 0, 6, 3, 3)])
    assert origins.spans(1, 0, 3) == [(0, 3, 1, 0)]
    assert origins.spans(2, 1, 6) == [(1, 4, 1, 11), (4, 6, 2, 4)]
    assert origins.spans(3, 0, 9) == [(0, 1, 9, 0), (1, 5, 3, 1), (5, 7, 1, 11), (7, 9, 3, 7)]
    assert origins.spans(4, 1, 5) == [(1, 2, 3, 4), (2, 4, 1, 11), (4, 5, 3, 7)]
    assert [origins.copied(*span) for span in ((1, 0, 99), (2, 3, 9), (2, 4, 9), (3, 0, 1), (4, 6, 7))] == [
        False,
        True,
        False,
        True,
        False,
    ]
    assert origins
    assert not Origins()


@pytest.mark.rule("HI15", "RS13")
def test_the_heaviest_chain() -> None:
    """What has moved costs as little as it can."""
    assert heaviest(iter([])) == []
    assert heaviest(iter([(0, 0, 2), (2, 2, 1)])) == [(0, 0, 2), (2, 2, 1)]
    assert heaviest(iter([(5, 0, 2), (0, 2, 3), (7, 5, 2)])) == [(0, 2, 3), (7, 5, 2)]
    assert heaviest(iter([(5, 0, 4), (0, 4, 3), (3, 7, 2)])) == [(0, 4, 3), (3, 7, 2)]
