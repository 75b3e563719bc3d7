"""Work that can wait, a little of it in each turn of the event loop.

Theory of operation. Whoever is served in a turn of the loop waits for all else that is done in it. Each piece of work may be
short, and there may be hundreds of pieces at once: connections that come or go together, messages of as many who have sent too
much. So work of one kind has a share of each turn. What is beyond it waits in a line, and the turns with it are short ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from cowrite.core.ports import Clock

SHARE_SECONDS: Final = 0.001


class TurnShare:
    """Does work of one kind on the event loop, in the order in which it is given, at most so long in a turn; the piece that
    exceeds that is the turn's last. What work raises goes to whoever called it: the loop, where it had to wait.
    """

    def __init__(self, clock: Clock, seconds: float = SHARE_SECONDS) -> None:
        self._clock = clock
        self._seconds = self._left = seconds
        self._waiting: deque[Callable[[], None]] = deque()
        self._counting = False
        """The next turn is awaited."""

    def do(self, work: Callable[[], None]) -> bool:
        """At once, where something of this turn's share is left and nothing waits; else later. Returns whether it was."""
        if self._waiting or self._left <= 0:
            self.later(work)
            return False
        self._do(work)
        return True

    def later(self, work: Callable[[], None]) -> None:
        """In the next turn, or when its turn comes."""
        self._waiting.append(work)
        self._await_turn()

    def _do(self, work: Callable[[], None]) -> None:
        self._await_turn()
        began = self._clock.monotonic()
        try:
            work()
        finally:
            self._left -= self._clock.monotonic() - began

    def _await_turn(self) -> None:
        if not self._counting:
            self._counting = True
            self._clock.call_later(0, self._begin_turn)

    def _begin_turn(self) -> None:
        self._counting = False
        self._left = self._seconds
        for _ in range(len(self._waiting)):  # what they give again is for another turn
            if self._left <= 0:
                break
            self._do(self._waiting.popleft())
