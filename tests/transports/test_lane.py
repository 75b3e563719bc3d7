"""What a connection's messages cost it, by two clocks."""

from __future__ import annotations

import pytest

from cowrite.core.excess import Excess
from cowrite.core.incoming import Incoming
from cowrite.core.limits import Limits
from cowrite.testing.clock import ManualClock
from cowrite.transports.lane import BRIEF_SECONDS, WATCHED_FRAMES, Lane

pytestmark = pytest.mark.rule("RO20")


class BusyMachine(ManualClock):
    """A process that waits for its core as long as it has it."""

    def cpu(self) -> float:
        return self.monotonic() / 2


class Socket:
    """Sends frames, each of which takes so long by the clock on the wall."""

    def __init__(self) -> None:
        self.clock = BusyMachine()
        self.taken = 0
        self.seconds = 0.0
        limits = Limits(cpu_share=0.25, cpu_burst_seconds=1.0)
        self.lane = Lane(self.clock, limits, Excess(), Incoming(limits), take=self._take, flood=pytest.fail)

    def _take(self, _: bytes) -> None:
        self.taken += 1
        self.clock.advance(self.seconds)

    def send(self, *, seconds: float) -> int:
        """Until it has to wait; returns how many were taken until then."""
        self.seconds = seconds
        before = self.taken
        while not self.lane.held:
            self.lane.receive(b"x")
            self.clock.advance(0)  # lets others be served
        return self.taken - before


@pytest.mark.rule("LM20")
def test_what_waits_counts_with_all_else_that_does() -> None:
    """Of its user; and no longer when it is taken, or nobody wants it any more."""
    limits = Limits(incoming_bytes=4 << 20)
    incoming, floods, taken = Incoming(limits), list[str](), list[bytes]()
    lanes = [Lane(ManualClock(), limits, Excess(), incoming, take=taken.append, flood=floods.append) for _ in range(3)]
    for lane in lanes:
        lane.user = "eve"
        lane.hold()
        lane.receive(bytes(600_000))
    assert floods == 2 * ["too much waits to be read; connect again later"]
    assert incoming.bytes == 600_064
    lanes[0].receive(bytes(100_000))
    lanes[0].release()
    assert (incoming.bytes, len(taken)) == (0, 2)
    lanes[2].receive(b"")
    assert incoming.bytes == 600_128
    lanes[2].stop()
    assert incoming.bytes == 0


def test_brief_messages_count_by_the_wall() -> None:
    """One second at once, and a quarter of what goes by meanwhile."""
    assert Socket().send(seconds=0.005) == pytest.approx(1.0 / (0.75 * 0.005), abs=2)


def test_after_a_long_one_the_cpu_clock_counts() -> None:
    socket = Socket()
    # One in a hundred by the wall, the others with half of that; meanwhile a quarter of what goes by is given back.
    assert WATCHED_FRAMES == 100
    assert socket.send(seconds=2 * BRIEF_SECONDS) == pytest.approx((1.0 - 2 * 0.015) / 0.005 + 2, abs=2)
