"""Work that can wait, a little of it in each turn of the event loop."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from cowrite.core.ports import Timer
from cowrite.core.turn_share import SHARE_SECONDS, TurnShare
from cowrite.testing.clock import ManualClock

pytestmark = pytest.mark.rule("RO26")


class Loop(ManualClock):
    """Turns one at a time: what a turn makes due is for the next one."""

    def __init__(self) -> None:
        super().__init__()
        self._due: list[Callable[[], None]] = []

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        assert delay == 0
        self._due.append(callback)
        return super().call_later(1e6, callback)

    def turn(self) -> None:
        due, self._due = self._due, []
        for callback in due:
            callback()


class Work:
    """Pieces that take time by the clock, and what was done in which turn."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.share = TurnShare(self.loop)
        self.turns: list[list[str]] = [[]]

    def piece(self, name: str, seconds: float = SHARE_SECONDS / 4, *, again: bool = False) -> None:
        self.turns[-1].append(name)
        self.loop.advance(seconds)
        if again:
            self.share.later(partial(self.piece, f"{name} again"))

    def turn(self) -> list[str]:
        """The loop's next turn, and what was done in it."""
        self.turns.append([])
        self.loop.turn()
        return self.turns[-1]


def test_a_little_is_done_at_once_and_the_rest_in_its_order() -> None:
    work = Work()
    at_once = [work.share.do(partial(work.piece, str(number))) for number in range(10)]
    assert at_once == [True] * 4 + [False] * 6
    assert work.turns[0] == ["0", "1", "2", "3"]
    assert [work.turn(), work.turn(), work.turn()] == [["4", "5", "6", "7"], ["8", "9"], []]
    assert work.share.do(partial(work.piece, "new"))


def test_nothing_overtakes_what_waits() -> None:
    work = Work()
    work.share.later(partial(work.piece, "first"))
    assert not work.share.do(partial(work.piece, "second"))
    assert work.turns == [[]]
    assert work.turn() == ["first", "second"]


def test_a_long_piece_is_the_last_of_its_turn() -> None:
    work = Work()
    for name, seconds in (("a", 0.0), ("long", 1.0), ("b", 0.0), ("c", 0.0)):
        work.share.later(partial(work.piece, name, seconds))
    assert [work.turn(), work.turn(), work.turn()] == [["a", "long"], ["b", "c"], []]


def test_what_goes_on_does_so_in_another_turn() -> None:
    """However little it takes: one that always has more to do keeps nobody waiting."""
    work = Work()
    work.share.later(partial(work.piece, "a", 0.0, again=True))
    assert [work.turn(), work.turn(), work.turn()] == [["a"], ["a again"], []]


def test_what_fails_stops_nobody() -> None:
    work = Work()

    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work.share.do(broken)
    work.share.later(broken)
    work.share.later(partial(work.piece, "next"))
    with pytest.raises(ZeroDivisionError):
        work.turn()
    assert work.turn() == ["next"]
