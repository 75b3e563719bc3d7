"""What was committed in the last minute."""

from __future__ import annotations

import pytest

from cowrite.core.journal.recent import RECENT_SECONDS, RecentCommits
from cowrite.testing.clock import ManualClock


@pytest.mark.rule("AD5")
def test_entries_of_the_last_minute() -> None:
    """Counted in all and for each document; what is older is not."""
    clock = ManualClock()
    recent = RecentCommits(clock)
    clock.advance(RECENT_SECONDS)
    recent.count("a", 20)
    clock.advance(30)
    recent.count("a", 10)
    recent.count("b", 30)
    assert recent.per_second() == 1.0
    assert recent.per_minute() == {"a": 30, "b": 30}
    assert recent.per_minute()["c"] == 0
    clock.advance(35)
    assert recent.per_minute() == {"a": 10, "b": 30}
    clock.advance(RECENT_SECONDS)
    assert recent.per_second() == 0
    assert recent.per_minute() == {}


@pytest.mark.rule("AD5")
def test_a_young_process() -> None:
    """It has not been there for a minute: what it has seen is taken as the whole, but one edit is no flood."""
    clock = ManualClock()
    recent = RecentCommits(clock)
    recent.count("a", 5)
    assert recent.per_second() == 1.0
    clock.advance(20)
    assert recent.per_second() == 0.25
    assert recent.per_minute() == {"a": 15}


@pytest.mark.rule("AD5")
def test_times_of_transactions() -> None:
    """Of a minute, and of a busy one the last of each slot: however many there are, little is kept."""
    clock = ManualClock()
    recent = RecentCommits(clock)
    assert recent.quantile(0.5) is None
    for time in range(100, 0, -1):
        recent.took(time / 1000)
    assert recent.quantile(0.5) == 0.051
    assert recent.quantile(0.95) == 0.096
    assert recent.quantile(1.0) == 0.1
    for _ in range(10_000):
        recent.took(0.001)
    assert recent.quantile(1.0) == 0.001
    clock.advance(RECENT_SECONDS + 5)
    assert recent.quantile(0.5) is None
