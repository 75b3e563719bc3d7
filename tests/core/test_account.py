"""The account of one connection's CPU time."""

from __future__ import annotations

import pytest

from cowrite.core import account as accounting
from cowrite.core.account import TURN_SECONDS, Account, SessionAccounts
from cowrite.core.limits import Limits
from cowrite.testing.clock import ManualClock

LIMITS = Limits(cpu_share=0.25, cpu_burst_seconds=1.0, late_seconds=30.0)


@pytest.mark.rule("RO20")
def test_ordinary_messages_never_wait() -> None:
    """Ten messages a second of half a millisecond each: once in a while others get a turn, and that is all."""
    clock = ManualClock()
    account = Account(clock, LIMITS)
    waits = []
    for _ in range(10_000):
        waits.append(account.charge(TURN_SECONDS / 2))
        clock.advance(0.1)
    assert set(waits) == {None, 0.0}
    assert waits.count(0.0) == 5000
    assert not account.exhausted


@pytest.mark.rule("LM7")
def test_what_is_owed() -> None:
    """Asking for it costs nothing, and time makes it less."""
    clock = ManualClock()
    account = Account(clock, LIMITS)
    assert account.owed() == 0.0
    account.charge(2.0)
    assert account.owed() == account.owed() == pytest.approx(4 * 1.01)
    clock.advance(3)
    assert account.owed() == pytest.approx(4 * 1.01 - 3)


@pytest.mark.rule("RO20")
def test_a_burst_and_then_a_share() -> None:
    """A second at once, and from then on a quarter of the time, in small portions."""
    clock = ManualClock()
    account = Account(clock, LIMITS)
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
    account = Account(clock, LIMITS)
    clock.advance(3600)
    assert account.charge(1.0) == 0.0
    assert account.charge(0.5) == pytest.approx(4 * 0.51)


@pytest.mark.rule("RO21")
def test_without_an_end() -> None:
    """Its patience ends when something has waited for 30 s, and begins anew whenever nothing waits any more."""
    clock = ManualClock()
    account = Account(clock, LIMITS)
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
    monkeypatch.setattr(accounting, "MAX_ACCOUNTS", 2)
    accounts = SessionAccounts(ManualClock(), LIMITS)
    for session in ("a", "b", "c"):
        accounts.charge(session, 2.0)
    assert [accounts.late(session) is not None for session in ("a", "b", "c")] == [False, True, True]


@pytest.mark.rule("SU16", "LM8")
def test_how_long_a_session_waits() -> None:
    """It is told for how long and why; when that is over it may go on."""
    clock = ManualClock()
    accounts = SessionAccounts(clock, LIMITS)
    assert accounts.late("a") is None
    accounts.charge("a", 1.25)
    accounts.charge("b", 0.0, messages=1, size=LIMITS.burst_bytes + LIMITS.rate_bytes)
    told = {
        name: (late.limit, late.reason, round(late.seconds, 2)) for name in "ab" if (late := accounts.late(name)) is not None
    }
    assert told == {
        "a": ("cpu_share", "take more work than one user may cause", 1.04),
        "b": ("rate_bytes", "have more bytes than one user may send", 1.01),
    }
    clock.advance(1.02)
    assert accounts.late("a") is not None
    clock.advance(0.03)
    assert accounts.late("a") is accounts.late("b") is None


@pytest.mark.rule("LM7")
def test_number_and_bytes() -> None:
    """A burst, then the rate, whatever a message costs; the largest debt says how long to wait, and why."""
    clock = ManualClock()
    limits = Limits(rate_messages=100, burst_messages=1000, rate_bytes=1000, burst_bytes=50_000)
    account = Account(clock, limits)
    assert {account.charge(0.0, 10) for _ in range(1000)} == {None}
    assert account.charge(0.0, 10) == pytest.approx(0.02)  # the one beyond, and what comes in 10 ms
    assert [account.late_by, account.reason("x")] == ["rate_messages", "are more than one x may send"]
    taken = 0
    while clock.monotonic() < 10:
        clock.advance(account.charge(0.0, 10) or 0.0)
        taken += 1
    assert taken == pytest.approx(1000, rel=0.01)
    assert account.charge(0.0, 60_000) == pytest.approx(20, abs=1)
    assert [account.late_by, account.reason("x")] == ["rate_bytes", "have more bytes than one x may send"]
    account.caught_up()
    assert account.late_by is None
    clock.advance(1e6)
    assert {account.charge(0.0, 50) for _ in range(1000)} == {None}


@pytest.mark.rule("LM7")
def test_whoever_has_looked_at_the_clock_says_so() -> None:
    """It is looked at once for each message, and not twice."""
    clock = ManualClock()
    account = Account(clock, LIMITS)
    assert account.charge(LIMITS.cpu_burst_seconds, now=0.0) == 0.0
    assert account.charge(0.25, now=1.0) == 0.0
    assert account.charge(0.25, now=1.0) == pytest.approx(1.04)


@pytest.mark.rule("LM7")
def test_what_honest_clients_send() -> None:
    """By the limits that nobody has changed: a mouse at 60 Hz in ten documents, a paste of a megabyte each second, all that 200
    documents lack after a long time offline, and a client that sends again what it has typed in an hour.
    """
    clock, limits = ManualClock(), Limits()
    mouse, pasting, back, again = (Account(clock, limits) for _ in range(4))
    waits = [back.charge(0.0, 32 << 20)]
    waits += [back.charge(0.0, 1 << 20) for _ in range(200)]
    waits += [again.charge(0.0, 40) for _ in range(36_000)]
    for _ in range(600):
        waits += [mouse.charge(0.0, 100) for _ in range(600)]
        waits.append(pasting.charge(0.0, 1 << 20))
        clock.advance(1)
    assert set(waits) == {None}
