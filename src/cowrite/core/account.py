"""What one connection's messages cost the process, and when it has to wait because of it.

A message's cost has little to do with its size: an edit of eleven bytes may make the engine walk through all of a large
document, and one byte asks for everybody's awareness. So CPU time is counted. But what a message costs later, in the outboxes
of all others, in the log and on the disk, no clock shows while it is taken: so messages and their bytes are counted, too.
Whoever uses more than a share is not refused anything but served later, so that everybody else is served meanwhile.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from cowrite.core.limits import Limits
from cowrite.core.ports import Clock

TURN_SECONDS = 0.001
"""CPU time after which others get their turn."""
_LEAST_SECONDS = 0.01
"""Whoever has waited may use as much before it waits again, so that not every message has a wait of its own: of CPU time so
much, of messages and bytes what comes in the same time by their rates."""
_REASONS: Final = {
    "cpu_share": "take more work than one {} may cause",
    "rate_messages": "are more than one {} may send",
    "rate_bytes": "have more bytes than one {} may send",
}
_FILL_SECONDS = 1.0
MAX_ACCOUNTS = 10_000
"""Accounts that are kept."""


class Account:
    """Three buckets, of CPU time, messages and bytes: each fills at its rate and holds its burst (:class:`Limits`).

    What a message takes is taken also where a bucket has not so much left: it is below zero then, and has to fill first. They
    are filled once a second, or when one is empty: to do so for every message would cost more than to count it.
    """

    __slots__ = ("_bytes", "_clock", "_filled", "_late_since", "_limits", "_messages", "_seconds", "_turn", "late_by")

    def __init__(self, clock: Clock, limits: Limits) -> None:
        self._clock = clock
        self._limits = limits
        self._seconds = limits.cpu_burst_seconds
        self._messages: float = limits.burst_messages
        self._bytes: float = limits.burst_bytes
        self._turn = 0.0
        self._filled = clock.monotonic()
        self._late_since: float | None = None
        self.late_by: str | None = None
        """The limit for which something waits, or has waited last: its name in :class:`Limits`."""

    def charge(self, seconds: float, size: int = 0, messages: int = 1, *, now: float | None = None) -> float | None:
        """So many messages of ``size`` bytes together took this much CPU time, until ``now`` (monotonic; None: this moment).
        Returns how many seconds the connection has to wait: 0 until the loop's next turn, None not at all.
        """
        if now is None:
            now = self._clock.monotonic()
        if now - self._filled >= _FILL_SECONDS:
            self._fill(now)
        self._seconds -= seconds
        self._messages -= messages
        self._bytes -= size
        self._turn += seconds
        if self._seconds < 0 or self._messages < 0 or self._bytes < 0:
            self._fill(now)
            if wait := self._empty():
                self._turn = 0.0
                if self._late_since is None:
                    self._late_since = now
                return wait
        if self._turn >= TURN_SECONDS:
            self._turn = 0.0
            return 0.0
        return None

    def caught_up(self) -> None:
        """Nothing waits any more of what the connection has sent."""
        self._late_since = self.late_by = None

    def reason(self, who: str) -> str:
        """What there is too much of, for people, behind "its messages": ``who`` is what may not cause so much."""
        return _REASONS[self.late_by or "cpu_share"].format(who)

    @property
    def exhausted(self) -> bool:
        """Its messages have waited for longer than ``Limits.late_seconds`` without an end."""
        return self._late_since is not None and self._clock.monotonic() - self._late_since >= self._limits.late_seconds

    def owed(self) -> float:
        """How many seconds it would have to wait now, if it sent something that costs nothing."""
        self._fill(self._clock.monotonic())
        return self._empty()

    def _fill(self, now: float) -> None:
        limits, passed = self._limits, now - self._filled
        self._filled = now
        self._seconds = min(limits.cpu_burst_seconds, self._seconds + limits.cpu_share * passed)
        self._messages = min(limits.burst_messages, self._messages + limits.rate_messages * passed)
        self._bytes = min(limits.burst_bytes, self._bytes + limits.rate_bytes * passed)

    def _empty(self) -> float:
        """How long it takes until all have a little again; 0: none is empty."""
        limits, wait = self._limits, 0.0
        for name, left, rate, most, least in (
            ("cpu_share", self._seconds, limits.cpu_share, limits.cpu_burst_seconds, _LEAST_SECONDS),
            (
                "rate_messages",
                self._messages,
                limits.rate_messages,
                limits.burst_messages,
                _LEAST_SECONDS * limits.rate_messages,
            ),
            ("rate_bytes", self._bytes, limits.rate_bytes, limits.burst_bytes, _LEAST_SECONDS * limits.rate_bytes),
        ):
            if left < 0 and (seconds := (min(least, most) - left) / rate) > wait:
                wait, self.late_by = seconds, name
        return wait


@dataclass(frozen=True, slots=True)
class Late:
    """A user has to wait, in one document."""

    seconds: float
    limit: str
    """Because of which: its name in :class:`Limits`."""
    reason: str
    """For people, behind what is too much: "its operations"."""


class KeptAccounts:
    """Accounts that outlive the requests that they are charged for. Which is whose, :attr:`Session.account` says. Of more than
    :data:`MAX_ACCOUNTS` the one that was not used for longest is forgotten: who comes again begins with a full one.
    """

    def __init__(self, clock: Clock, limits: Limits) -> None:
        self._clock = clock
        self._limits = limits
        self._accounts: OrderedDict[str, Account] = OrderedDict()

    def of(self, account_id: str) -> Account:
        """The one of this name."""
        account = self._accounts.get(account_id)
        if account is None:
            account = self._accounts[account_id] = Account(self._clock, self._limits)
            if len(self._accounts) > MAX_ACCOUNTS:
                self._forget(self._accounts.popitem(last=False)[0])
        self._accounts.move_to_end(account_id)
        return account

    def _forget(self, account_id: str) -> None:
        """It is kept no longer."""


class SessionAccounts(KeptAccounts):
    """The accounts of users whose operations are turned into updates by the server, whatever way they came."""

    def __init__(self, clock: Clock, limits: Limits) -> None:
        super().__init__(clock, limits)
        self._until: dict[str, float] = {}

    def charge(self, account_id: str, seconds: float, *, messages: int = 0, size: int = 0) -> None:
        """A submission of this session took this much CPU time, or has come: one message of ``size`` bytes."""
        if wait := self.of(account_id).charge(seconds, size, messages):
            self._until[account_id] = self._clock.monotonic() + wait

    def late(self, account_id: str) -> Late | None:
        """How long the session has to wait before it may submit more; None: not at all."""
        until = self._until.get(account_id)
        if until is None:
            return None
        left = until - self._clock.monotonic()
        if left <= 0:
            del self._until[account_id]
            return None
        account = self._accounts[account_id]
        return Late(left, account.late_by or "cpu_share", account.reason("user"))

    def _forget(self, account_id: str) -> None:
        self._until.pop(account_id, None)
