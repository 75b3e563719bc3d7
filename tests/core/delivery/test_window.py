"""When a room flushes."""

from __future__ import annotations

import pytest

from cowrite.core.delivery.window import FlushTime, FlushWindow
from cowrite.testing.clock import ManualClock


class Flushes:
    """A window on a manual clock; each flush takes ``cost`` seconds."""

    def __init__(self, *, cost: float = 0.0, shortest: float = 0.0, longest: float = 0.1) -> None:
        self.clock = ManualClock()
        self.cost = cost
        self.updates = 1
        self.times: list[float] = []
        self.wake_in_flush = self.cancel_in_flush = False
        self.fault: Exception | None = None
        self.everybodys = FlushTime()
        self.window = FlushWindow(self.clock, self.flush, self.everybodys, shortest=shortest, longest=longest)

    def flush(self) -> int:
        self.times.append(round(self.clock.monotonic(), 6))
        if self.wake_in_flush:
            self.wake_in_flush = False
            self.window.wake()
        if self.cancel_in_flush:
            self.window.cancel()
        self.clock.advance(self.cost)
        if self.fault is not None:
            raise self.fault
        return self.updates

    def run(self, seconds: float, *, every: float = 0.001) -> None:
        """Wake again and again for so long."""
        for _ in range(round(seconds / every)):
            self.window.wake()
            self.clock.advance(every)


@pytest.mark.rule("OU20")
def test_a_quiet_room_flushes_in_the_loops_next_turn() -> None:
    flushes = Flushes()
    flushes.clock.advance(100)
    flushes.window.wake()
    flushes.window.wake()
    assert flushes.times == [], "not within the call"
    flushes.clock.advance()
    assert flushes.times == [100.0]
    flushes.clock.advance(100)
    assert flushes.times == [100.0], "nothing waits"


@pytest.mark.rule("OU21")
@pytest.mark.parametrize(("updates", "times"), [(0, 2.5), (1, 2.5), (4, 2.7), (25, 6.75), (100, 13.5)])
def test_the_next_flush_waits_longer_than_the_last_one_took(updates: int, times: float) -> None:
    """The more updates that one has sent, the longer."""
    flushes = Flushes(cost=0.004)
    flushes.updates = updates
    flushes.window.wake()
    flushes.clock.advance()  # ends at 0.004
    flushes.window.wake()
    flushes.clock.advance(0.004 * times - 0.0001)
    assert flushes.times == [0.0]
    flushes.clock.advance(0.0001)
    assert flushes.times == [0.0, pytest.approx(0.004 + 0.004 * times)]


@pytest.mark.rule("OU21")
def test_the_window_is_over_for_a_room_that_was_quiet_meanwhile() -> None:
    flushes = Flushes(cost=0.004)
    flushes.window.wake()
    flushes.clock.advance(1)
    flushes.window.wake()
    flushes.clock.advance()
    assert len(flushes.times) == 2


@pytest.mark.rule("OU21")
def test_under_load_flushing_takes_less_than_a_third_of_the_time() -> None:
    flushes = Flushes(cost=0.01)
    flushes.run(3, every=0.0001)
    assert len(flushes.times) * 0.01 == pytest.approx(flushes.clock.monotonic() / 3.5, rel=0.02)


@pytest.mark.rule("OU25")
def test_a_room_waits_for_the_flushes_of_other_rooms() -> None:
    """Others have taken 12 ms of the last 0.2 s: 6 %, of a third of a second."""
    flushes = Flushes(cost=0.0001)
    flushes.everybodys.add(0.012, now=0.0)
    flushes.run(0.0198, every=0.0001)
    assert flushes.times == [0.0]
    flushes.run(0.0004, every=0.0001)
    assert len(flushes.times) == 2


@pytest.mark.rule("OU25")
def test_flushes_of_other_rooms_are_forgotten() -> None:
    flushes = Flushes(cost=0.0001)
    flushes.everybodys.add(0.06, now=0.0)
    flushes.clock.advance(2)
    flushes.run(0.002, every=0.0001)
    assert len(flushes.times) > 4


@pytest.mark.rule("OU25")
def test_a_hundred_busy_rooms_send_several_updates_as_one() -> None:
    """Each has an update every 20 ms; a flush of 80 µs for each of these would take 40 % of the loop."""
    clock, everybodys, flushed = ManualClock(), FlushTime(), []

    def flush() -> int:
        flushed.append(clock.monotonic())
        clock.advance(0.00008)
        return 1

    rooms = [FlushWindow(clock, flush, everybodys, shortest=0, longest=0.1) for _ in range(100)]
    while clock.monotonic() < 2:
        for room in rooms:
            room.wake()
            clock.advance(0.0002)
    lately = [at for at in flushed if at >= 1]
    assert 1000 < len(lately) < 2200
    assert clock.monotonic() < 4


@pytest.mark.rule("OU22")
def test_a_window_is_never_longer_than_the_longest() -> None:
    flushes = Flushes(cost=10.0, longest=0.1)
    flushes.window.wake()
    flushes.clock.advance()
    flushes.window.wake()
    flushes.clock.advance(0.1)
    assert flushes.times == [0.0, 10.1]


@pytest.mark.rule("OU22")
def test_a_window_is_never_shorter_than_the_shortest() -> None:
    flushes = Flushes(cost=0.0, shortest=0.1, longest=0.1)
    flushes.run(1.05)
    assert flushes.times == [pytest.approx(n / 10) for n in range(11)]


@pytest.mark.rule("OU23")
def test_a_flush_that_fails_does_not_stop_later_ones() -> None:
    flushes = Flushes(cost=0.01)
    flushes.fault = ZeroDivisionError()
    flushes.window.wake()
    with pytest.raises(ZeroDivisionError):
        flushes.clock.advance()
    flushes.fault = None
    flushes.window.wake()
    flushes.clock.advance(0.024)
    assert len(flushes.times) == 1, "its cost counts like any other's"
    flushes.clock.advance(0.001)
    assert len(flushes.times) == 2


@pytest.mark.rule("OU24")
@pytest.mark.parametrize("fails", [False, True])
def test_what_a_flush_itself_brings_waits_for_the_next_window(fails: bool) -> None:
    flushes = Flushes(cost=0.01)
    flushes.wake_in_flush = True
    flushes.fault = ZeroDivisionError() if fails else None
    flushes.window.wake()
    if fails:
        with pytest.raises(ZeroDivisionError):
            flushes.clock.advance()
        flushes.fault = None
    else:
        flushes.clock.advance()
    flushes.clock.advance(0.024)
    assert flushes.times == [0.0]
    flushes.clock.advance(0.001)
    assert flushes.times == [0.0, 0.035]
    flushes.clock.advance(1)
    assert len(flushes.times) == 2


@pytest.mark.rule("OU20")
def test_a_cancelled_flush_does_not_come() -> None:
    flushes = Flushes()
    flushes.window.cancel()
    flushes.window.wake()
    flushes.window.cancel()
    flushes.clock.advance(1)
    assert flushes.times == []
    flushes.window.wake()
    flushes.wake_in_flush = flushes.cancel_in_flush = True
    flushes.clock.advance()
    assert flushes.times == [1.0]
    flushes.clock.advance(1)
    assert flushes.times == [1.0]
