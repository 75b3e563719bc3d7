"""The account of one connection's CPU time."""

from __future__ import annotations

import pytest

from cowrite.core import cpu_account
from cowrite.core.cpu_account import CpuAccount, SessionAccounts
from cowrite.core.limits import Limits
from cowrite.testing.clock import ManualClock

LIMITS = Limits(cpu_share=0.25, cpu_burst_seconds=1.0, cpu_late_seconds=30.0)


@pytest.mark.rule("RO20")
def test_ordinary_messages_never_wait() -> None:
    """Ten messages a second of a millisecond each: once in a while others get a turn, and that is all."""
    clock = ManualClock()
    account = CpuAccount(clock, LIMITS)
    waits = []
    for _ in range(10_000):
        waits.append(account.charge(0.001))
        clock.advance(0.1)
    assert set(waits) == {None, 0.0}
    assert waits.count(0.0) == 500
    assert not account.exhausted


@pytest.mark.rule("RO20")
def test_a_burst_and_then_a_share() -> None:
    """A second at once, and from then on a quarter of the time, in small portions."""
    clock = ManualClock()
    account = CpuAccount(clock, LIMITS)
    assert [account.charge(0.25) for _ in range(4)] == [0.0] * 4
    assert account.charge(0.001) == pytest.approx(4 * 0.011)
    used = 0.0
    while clock.monotonic() < 20:
        wait = account.charge(0.001)
        used += 0.001
        clock.advance(wait or 0.0)
    assert used == pytest.approx(5, rel=0.01)


@pytest.mark.rule("RO20")
def test_what_was_saved_is_limited() -> None:
    clock = ManualClock()
    account = CpuAccount(clock, LIMITS)
    clock.advance(3600)
    assert account.charge(1.0) == 0.0
    assert account.charge(0.5) == pytest.approx(4 * 0.51)


@pytest.mark.rule("RO21")
def test_without_an_end() -> None:
    """Its patience ends when something has waited for 30 s, and begins anew whenever nothing waits any more."""
    clock = ManualClock()
    account = CpuAccount(clock, LIMITS)
    account.charge(2.0)
    clock.advance(29.9)
    assert not account.exhausted
    account.caught_up()
    clock.advance(1)
    assert not account.exhausted
    account.charge(20.0)
    clock.advance(30)
    account.charge(1.0)
    assert account.exhausted


@pytest.mark.rule("SU16")
def test_only_so_many_sessions_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_account, "MAX_SESSIONS", 2)
    accounts = SessionAccounts(ManualClock(), LIMITS)
    for session in ("a", "b", "c"):
        accounts.charge(session, 2.0)
    assert [accounts.wait(session) > 0 for session in ("a", "b", "c")] == [False, True, True]
