"""One timer for many silent sockets."""

from __future__ import annotations

import pytest

from cowrite.testing.clock import ManualClock
from cowrite.transports.watch import Watch


class Socket:
    def __init__(self, watch: Watch, clock: ManualClock) -> None:
        self.looked: list[float] = []
        self.drops: tuple[Socket, int] | None = None
        self._watch = watch
        self._clock = clock

    def look(self) -> None:
        self.looked.append(self._clock.monotonic())
        if self.drops is not None:
            self._watch.drop(*self.drops)


@pytest.mark.rule("TR27")
def test_each_is_called_once_and_not_too_early() -> None:
    clock = ManualClock()
    watch = Watch(clock, 0.5)
    sockets = [Socket(watch, clock) for _ in range(100)]
    for number, socket in enumerate(sockets):
        watch.put(socket, number / 10)
    clock.advance(20)
    for number, socket in enumerate(sockets):
        (at,) = socket.looked
        assert number / 10 <= at + 1e-9 <= number / 10 + 0.5 + 1e-6


@pytest.mark.rule("TR27")
def test_one_that_is_dropped_is_not_called() -> None:
    """Also when the first of those that are due has the others dropped."""
    clock = ManualClock()
    watch = Watch(clock, 0.5)
    one, other, third = (Socket(watch, clock) for _ in range(3))
    due = watch.put(one, 1)
    watch.put(other, 1)
    one.drops, other.drops = (other, due), (one, due)
    watch.drop(third, watch.put(third, 1))
    clock.advance(1)
    assert len(one.looked) + len(other.looked) == 1
    assert third.looked == []
    watch.drop(one, due)
    watch.put(one, 1)
    clock.advance(1)
    assert one.looked[-1] == 2
