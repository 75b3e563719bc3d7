"""What has changed in who is here, on its way to those who are told: somebody who points is told of many times a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cowrite.core.ports import Clock, Timer
from cowrite.core.presence.present import Person, PresenceChange

LEAST_SECONDS: Final = 0.05
"""Between two times that all are told, at least; the first change after a quiet time is told at once."""
SECONDS_PER_READER: Final = 0.002
"""So long for each who is told, in larger rooms."""
MOST_SECONDS: Final = 1.0


class PresenceNotices:
    """Tells changes, those of one interval as one: of each person what there is to tell at its end, or nothing."""

    def __init__(self, clock: Clock, tell: Callable[[PresenceChange], None], readers: Callable[[], int]) -> None:
        """``readers``: how many are told now."""
        self._clock = clock
        self._tell = tell
        self._readers = readers
        self._joined: dict[str, Person] = {}
        self._updated: dict[str, Person] = {}
        self._left: dict[str, None] = {}
        self._timer: Timer | None = None

    def take(self, change: PresenceChange) -> None:
        """Something has changed."""
        if self._timer is None:
            self._tell(change)
            self._wait()
        else:
            self._merge(change)

    def flush(self) -> None:
        """Tell what waits, now."""
        if self._joined or self._updated or self._left:
            change = PresenceChange(tuple(self._joined.values()), tuple(self._updated.values()), tuple(self._left))
            self._joined, self._updated, self._left = {}, {}, {}
            self._tell(change)

    def close(self) -> None:
        """Nobody is told any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self) -> None:
        seconds = min(MOST_SECONDS, max(LEAST_SECONDS, SECONDS_PER_READER * self._readers()))
        self._timer = self._clock.call_later(seconds, self._due)

    def _due(self) -> None:
        self._timer = None
        if self._joined or self._updated or self._left:
            self.flush()
            self._wait()

    def _merge(self, change: PresenceChange) -> None:
        for person in change.joined:
            # Whoever has left and is back was never seen to go.
            known = person.user_id in self._left
            self._left.pop(person.user_id, None)
            (self._updated if known else self._joined)[person.user_id] = person
        for person in change.updated:
            (self._joined if person.user_id in self._joined else self._updated)[person.user_id] = person
        for user_id in change.left:
            self._updated.pop(user_id, None)
            if self._joined.pop(user_id, None) is None:
                self._left[user_id] = None
