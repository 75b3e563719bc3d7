"""Fresh ids: UUID version 7 in text form."""

from __future__ import annotations

import os
import re
import uuid

import pytest

from cowrite.core.clock import SystemClock
from cowrite.core.ids import Ids, _forget
from cowrite.testing.clock import ManualClock


def milliseconds(text: str) -> int:
    return uuid.UUID(text).int >> 80


@pytest.mark.rule("ID1")
def test_an_id_has_the_form_of_rfc_9562() -> None:
    clock = ManualClock(now=1_790_000_000_123)
    for text in (Ids(clock).new() for _ in range(1000)):
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", text)
        parsed = uuid.UUID(text)
        assert str(parsed) == text
        assert parsed.version == 7
        assert parsed.variant == uuid.RFC_4122
        assert milliseconds(text) == 1_790_000_000_123


@pytest.mark.rule("ID1")
def test_an_id_says_when_it_was_made() -> None:
    clock = ManualClock()
    ids = Ids(clock)
    for _ in range(100):
        clock.advance(0.007)
        assert milliseconds(ids.new()) == clock.now()


@pytest.mark.rule("ID2")
def test_ids_sort_in_the_order_of_their_making() -> None:
    """Also many in one millisecond, when the clock steps back, and while it stays behind."""
    clock = ManualClock()
    ids = Ids(clock)
    made = [ids.new() for _ in range(20_000)]
    clock.step_wall(-3_600_000)
    made += [ids.new() for _ in range(5000)]
    clock.advance(10)
    made += [ids.new() for _ in range(5000)]
    clock.step_wall(2 * 3_600_000)
    made += [ids.new() for _ in range(5000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert milliseconds(made[-1]) == pytest.approx(clock.now(), abs=2), "the clock counts again once it is ahead"


@pytest.mark.rule("ID2")
def test_a_used_up_millisecond_begins_the_next_one_early() -> None:
    clock = ManualClock()
    ids = Ids(clock)
    times = [milliseconds(ids.new()) - clock.now() for _ in range(4096 * 2 + 1)]
    assert times == [0] * 4096 + [1] * 4096 + [2]


@pytest.mark.rule("ID3")
@pytest.mark.large
def test_ids_are_unique() -> None:
    """In one process, and among processes that start at the same moment."""
    one = Ids(SystemClock())
    assert len({one.new() for _ in range(100_000)}) == 100_000
    clock = ManualClock()
    many = [Ids(clock) for _ in range(100)]
    assert len({ids.new() for ids in many for _ in range(100)}) == 10_000


@pytest.mark.rule("ID1")
def test_many_at_once() -> None:
    ids = Ids(ManualClock())
    made = [ids.new(), *ids.many(5000), ids.new()]
    assert made == sorted(set(made))
    assert all(uuid.UUID(one).version == 7 and uuid.UUID(one).variant == uuid.RFC_4122 for one in made)
    assert ids.many(0) == []


@pytest.mark.rule("ID2")
def test_processes_that_were_one_make_different_ids() -> None:
    ids = Ids(ManualClock())
    ids.new()
    theirs, mine = os.pipe()
    child = os.fork()
    if not child:  # as little as possible: this is a copy of a test runner
        os.write(mine, ids.new().encode())
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert os.read(theirs, 36).decode() != ids.new()
    os.close(theirs)
    os.close(mine)


@pytest.mark.rule("ID2")
def test_what_was_asked_for_is_used_by_nobody_after_it_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the process that a fork makes."""
    monkeypatch.setattr("secrets.token_bytes", bytes)
    ids = Ids(ManualClock())
    assert ids.new().endswith("-8000-000000000000")
    monkeypatch.setattr("secrets.token_bytes", lambda count: b"\x01" * count)
    assert ids.new().endswith("-8000-000000000000")
    _forget()
    assert ids.new().endswith("-8101-010101010101")
