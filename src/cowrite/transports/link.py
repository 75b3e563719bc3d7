"""How well one socket works, as its own server sees it: pings without an answer, round trips, a buffer that does not empty."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from cowrite.core.ports import Clock

SLOW_SECONDS: Final = 1.0
"""A round trip from which on a link counts as degraded."""
LATE_SECONDS: Final = 5.0
"""A ping that has no answer for so long, or a full buffer that does not empty for so long, do the same."""
_WEIGHT: Final = 0.3
"""Of the newest round trip in the average."""

Quality: TypeAlias = Literal["ok", "degraded"]


class LinkMeter:
    """Measures one link."""

    __slots__ = ("_asked", "_clock", "_full_since", "round_trip")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._asked: float | None = None
        """When the ping left that is not answered yet."""
        self._full_since: float | None = None
        self.round_trip: float | None = None
        """Seconds, averaged over the last ones; None: none was measured yet."""

    def asked(self) -> None:
        """A ping leaves. Only one at a time is timed."""
        if self._asked is None:
            self._asked = self._clock.monotonic()

    def answered(self) -> None:
        """A pong has come."""
        if self._asked is not None:
            took = self._clock.monotonic() - self._asked
            self._asked = None
            self.round_trip = took if self.round_trip is None else self.round_trip + _WEIGHT * (took - self.round_trip)

    def full(self) -> None:
        """The socket takes nothing more."""
        if self._full_since is None:
            self._full_since = self._clock.monotonic()

    def drained(self) -> None:
        """It takes more again."""
        self._full_since = None

    @property
    def quality(self) -> Quality:
        """``degraded``: polling may work better."""
        now = self._clock.monotonic()
        late = any(since is not None and now - since >= LATE_SECONDS for since in (self._asked, self._full_since))
        return "degraded" if late or (self.round_trip or 0.0) >= SLOW_SECONDS else "ok"
