"""What one connection's messages cost the process, and when it has to wait because of it.

A message's cost has little to do with its size: an edit of eleven bytes may make the engine walk through all of a large
document, and one byte asks for everybody's awareness. So CPU time is counted, not messages. Whoever uses more than a share of
it is not refused anything but served later, so that everybody else is served meanwhile.
"""

from __future__ import annotations

from collections import OrderedDict

from cowrite.core.limits import Limits
from cowrite.core.ports import Clock

TURN_SECONDS = 0.02
"""CPU time after which others get their turn."""
_LEAST_SECONDS = 0.01
"""Whoever has waited may use as much before it waits again, so that not every message has a wait of its own."""
MAX_SESSIONS = 10_000
"""Sessions whose accounts are kept."""


class CpuAccount:
    """A bucket of CPU time: it fills at ``Limits.cpu_share`` and holds ``Limits.cpu_burst_seconds``."""

    __slots__ = ("_burst", "_clock", "_late_since", "_left", "_patience", "_seen", "_share", "_turn")

    def __init__(self, clock: Clock, limits: Limits) -> None:
        self._clock = clock
        self._share = limits.cpu_share
        self._burst = self._left = limits.cpu_burst_seconds
        self._patience = limits.cpu_late_seconds
        self._turn = 0.0
        self._seen = clock.monotonic()
        self._late_since: float | None = None

    def charge(self, seconds: float) -> float | None:
        """A message took this much CPU time. Returns how many seconds the connection has to wait now: 0 until the loop's next
        turn, None not at all.
        """
        now = self._clock.monotonic()
        self._left = min(self._burst, self._left + self._share * (now - self._seen)) - seconds
        self._seen = now
        self._turn += seconds
        if self._left < 0:
            self._turn = 0.0
            if self._late_since is None:
                self._late_since = now
            return (min(_LEAST_SECONDS, self._burst) - self._left) / self._share
        if self._turn >= TURN_SECONDS:
            self._turn = 0.0
            return 0.0
        return None

    def caught_up(self) -> None:
        """Nothing waits any more of what the connection has sent."""
        self._late_since = None

    @property
    def exhausted(self) -> bool:
        """Its messages have waited for longer than ``Limits.cpu_late_seconds`` without an end."""
        return self._late_since is not None and self._clock.monotonic() - self._late_since >= self._patience


class SessionAccounts:
    """The accounts of sessions whose operations are turned into updates by the server, whatever way they came."""

    def __init__(self, clock: Clock, limits: Limits) -> None:
        self._clock = clock
        self._limits = limits
        self._accounts: OrderedDict[str, CpuAccount] = OrderedDict()
        self._until: dict[str, float] = {}

    def charge(self, session_id: str, seconds: float) -> None:
        """A submission of this session took this much CPU time."""
        account = self._accounts.get(session_id)
        if account is None:
            account = self._accounts[session_id] = CpuAccount(self._clock, self._limits)
        self._accounts.move_to_end(session_id)
        if wait := account.charge(seconds):
            self._until[session_id] = self._clock.monotonic() + wait
        if len(self._accounts) > MAX_SESSIONS:
            forgotten, _ = self._accounts.popitem(last=False)
            self._until.pop(forgotten, None)

    def wait(self, session_id: str) -> float:
        """How many seconds the session has to wait before it may submit more; 0: not at all."""
        until = self._until.get(session_id)
        left = 0.0 if until is None else until - self._clock.monotonic()
        if left <= 0:
            self._until.pop(session_id, None)
        return max(0.0, left)
