"""Lines of the log that others cause, told once a minute."""

from __future__ import annotations

import pytest
import structlog
from structlog.testing import capture_logs

from cowrite.core.seldom import MAX_KEYS, MINUTE, Seldom
from cowrite.testing.clock import ManualClock

_log = structlog.get_logger(__name__)


@pytest.mark.rule("CL20")
def test_once_a_minute_with_the_number_of_those_that_were_not_told() -> None:
    """Of each thing; with debug each is there; the number is told though nothing more happens."""
    clock = ManualClock()
    seldom = Seldom(clock)
    with capture_logs() as lines:
        for bytes_ in (1, 2, 3):
            seldom.say(_log, "warning", "full", "a", bytes=bytes_)
        seldom.say(_log, "warning", "full", "b", bytes=4)
        seldom.say(_log, "info", "closed", "a")
    told = [line for line in lines if line["log_level"] != "debug"]
    assert [(line["event"], line["log_level"], line.get("bytes")) for line in told] == [
        ("full", "warning", 1),
        ("full", "warning", 4),
        ("closed", "info", None),
    ]
    assert [line["bytes"] for line in lines if line["log_level"] == "debug"] == [2, 3]
    with capture_logs() as lines:
        clock.advance(MINUTE)
    assert lines == [{"event": "full", "log_level": "warning", "bytes": 3, "times": 2}]
    with capture_logs() as lines:
        seldom.say(_log, "warning", "full", "a", bytes=5)
        seldom.say(_log, "warning", "full", "b", bytes=6)
        clock.advance(2 * MINUTE)
    told = [line for line in lines if line["log_level"] == "warning"]
    assert [(line["bytes"], line.get("times")) for line in told] == [(6, None), (5, 1)], "each has its own minute"
    with capture_logs() as lines:
        clock.advance(10 * MINUTE)
    assert lines == []


@pytest.mark.rule("CL20")
def test_made_up_names_are_told_together() -> None:
    clock = ManualClock()
    seldom = Seldom(clock)
    with capture_logs() as lines:
        for number in range(3 * MAX_KEYS):
            seldom.say(_log, "info", "refused", f"user-{number}", user=number)
        clock.advance(MINUTE)
    told = [line for line in lines if line["log_level"] == "info"]
    assert len(told) == MAX_KEYS + 2
    assert sum(line.get("times", 1) for line in told) == 3 * MAX_KEYS
