"""What a connection's messages cost it, by two clocks."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from cowrite.core.excess import Excess
from cowrite.core.incoming import SMALL_BYTES, Incoming
from cowrite.core.limits import Limits
from cowrite.core.turn_share import TurnShare
from cowrite.testing.clock import ManualClock
from cowrite.transports.backlog import FRAME_OVERHEAD
from cowrite.transports.lane import BEHIND_QUEUE_BYTES, BRIEF_SECONDS, WATCHED_FRAMES, Lane

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
        self.lane = Lane(
            self.clock, limits, Excess(), Incoming(limits), TurnShare(self.clock), take=self._take, flood=pytest.fail
        )

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


@pytest.mark.rule("TR50")
def test_what_waits_in_small_messages_has_a_bound_of_its_own() -> None:
    """Large ones are bounded with all else that has come: whoever was offline sends one for each document."""
    limits, floods = Limits(), list[str]()
    incoming = Incoming(limits)
    lane = Lane(
        clock := ManualClock(), limits, Excess(), incoming, TurnShare(clock), take=lambda frame: None, flood=floods.append
    )
    lane.user = "eve"
    lane.hold()
    for _ in range(6):
        lane.receive(bytes(2 << 20))
    small = BEHIND_QUEUE_BYTES // (1000 + FRAME_OVERHEAD)
    for _ in range(small):
        lane.receive(bytes(1000))
    assert floods == []
    lane.receive(bytes(1000))
    assert floods == [f"more than {BEHIND_QUEUE_BYTES} bytes wait to be read"]
    lane.release()
    assert (lane.waiting_bytes, incoming.bytes) == (0, 0)
    lane.hold()
    for _ in range(small):  # what was taken counts no more
        lane.receive(bytes(1000))
    assert len(floods) == 1


@pytest.mark.rule("LM20")
def test_what_waits_counts_with_all_else_that_does() -> None:
    """Of its user; and no longer when it is taken, or nobody wants it any more."""
    limits = Limits(incoming_bytes=4 << 20)
    incoming, floods, taken = Incoming(limits), list[str](), list[bytes]()
    lanes = [
        Lane(clock := ManualClock(), limits, Excess(), incoming, TurnShare(clock), take=taken.append, flood=floods.append)
        for _ in range(3)
    ]
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


@pytest.mark.rule("LM20")
def test_a_frame_that_is_taken_waits_no_more() -> None:
    """Whoever takes it may count it: were it counted twice, the second of two large ones would have no room."""
    limits = Limits(incoming_bytes=8 << 20)
    incoming, fits = Incoming(limits), list[bool]()

    def take(frame: bytes) -> None:
        share = incoming.share("ana")
        fits.append(share.hold(len(frame)))
        share.release()

    lane = Lane(clock := ManualClock(), limits, Excess(), incoming, TurnShare(clock), take=take, flood=pytest.fail)
    lane.user = "ana"
    lane.hold()
    for _ in range(2):
        lane.receive(bytes(900_000))
    lane.release()
    assert (fits, incoming.bytes) == ([True, True], 0)


@pytest.mark.rule("TR50")
def test_nothing_more_is_read_while_much_waits() -> None:
    """Until little does, or it ends; but all that may wait before the first release is read."""
    read = list[bool]()

    def lane(held_bytes: int = 0) -> Lane:
        limits = Limits()
        return Lane(
            clock := ManualClock(),
            limits,
            Excess(),
            Incoming(limits),
            TurnShare(clock),
            take=lambda frame: made.hold(),
            flood=pytest.fail,
            throttle=lambda paused: read.append(not paused),
            held_bytes=held_bytes,
        )

    made = lane(held_bytes=4 << 20)
    for _ in range(4):
        made.receive(bytes(500_000))
    assert not made.stall()
    made.release()
    made.receive(b"")
    assert read == [False]
    made.release()
    made.release()
    assert read == [False], "more than a little waits"
    made.release()
    assert read == [False, True]
    made.release()
    made.release()
    assert not made.stall(), "nothing is about to be taken"
    made.hold()
    assert made.stall()
    assert made.stall()
    made.stop()
    made.release()
    assert read == [False, True, False, True]
    assert not made.stall()


FRAMES = [bytes(size) for size in (0, 100, 20_000, 500_000, 3_000_000)]


class Wild:
    """A lane whose frames do anything that a connection may do with it: hold it, leave, or take long."""

    def __init__(self, dice: random.Random, limits: Limits, incoming: Incoming) -> None:
        self.dice = dice
        self.clock = ManualClock()
        self.taken = 0
        self.ended = False
        self.lane = Lane(
            self.clock,
            limits,
            Excess(),
            incoming,
            TurnShare(self.clock),
            take=self._take,
            flood=lambda _: self.stop(),
            held_bytes=4 << 20,
        )
        self.lane.user = self.dice.choice(("", "eve", "ana"))

    def stop(self) -> None:
        self.ended = True
        self.lane.stop()

    def step(self) -> None:
        kind = self.dice.randrange(20)
        if kind < 12:
            self._send(self.lane.receive)
        elif kind < 14:
            self._send(lambda frame: self.lane.put_first([frame]))
        elif kind < 17:
            self.lane.release()
        elif kind < 18:
            self.lane.hold()
        elif kind < 19:
            self.clock.advance(self.dice.choice((0.0, 0.5, 40.0)))
        elif self.dice.random() < 0.2:
            self.lane.when_empty(self.stop)

    def _send(self, put: Callable[[bytes], None]) -> None:
        put(self.dice.choice(FRAMES))

    def _take(self, _: bytes) -> None:
        self.taken += 1
        kind = self.dice.randrange(8)
        if kind < 3:
            self.lane.hold()
        elif kind < 4:
            self.clock.advance(self.dice.choice((0.02, 2.0)))
        elif kind < 5 and self.dice.random() < 0.1:
            self.stop()


@pytest.mark.rule("LM20")
@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_to_lanes_nothing_is_counted_that_does_not_wait(seed: int) -> None:
    """What is counted is what waits, but for what is small; and nothing after the end, whatever comes then."""
    limits = Limits(incoming_bytes=64 << 20, cpu_share=0.25, cpu_burst_seconds=1.0)
    incoming, dice, taken = Incoming(limits), random.Random(seed), 0
    wild = [Wild(dice, limits, incoming) for _ in range(5)]
    for _ in range(400):
        number = dice.randrange(len(wild))
        wild[number].step()
        waiting = sum(one.lane.waiting_bytes for one in wild)
        assert waiting - len(wild) * SMALL_BYTES <= incoming.bytes <= waiting
        if wild[number].ended and dice.random() < 0.5:  # else it goes on: what has held it does not know
            taken += wild[number].taken
            wild[number] = Wild(dice, limits, incoming)
    assert taken > 20
    for one in wild:
        one.stop()
        for _ in range(5):
            one.step()
    assert incoming.bytes == 0


def test_brief_messages_count_by_the_wall() -> None:
    """One second at once, and a quarter of what goes by meanwhile."""
    assert Socket().send(seconds=0.005) == pytest.approx(1.0 / (0.75 * 0.005), abs=2)


def test_after_a_long_one_the_cpu_clock_counts() -> None:
    socket = Socket()
    # One in a hundred by the wall, the others with half of that; meanwhile a quarter of what goes by is given back.
    assert WATCHED_FRAMES == 100
    assert socket.send(seconds=2 * BRIEF_SECONDS) == pytest.approx((1.0 - 2 * 0.015) / 0.005 + 2, abs=2)
