"""The queue of one peer: what a slow one loses, and how it gets it in the end."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from core.delivery.outbox_tools import relay
from cowrite.core.delivery.outbox import OUTBOX_LIMIT, Arrears, Outbox, Relay
from cowrite.testing.clock import ManualClock
from cowrite.testing.wire import FakeWire


@dataclass
class Box:
    """An outbox on a fake wire, and what it asked for."""

    wire: FakeWire = field(default_factory=FakeWire)
    clock: ManualClock = field(default_factory=ManualClock)
    limit: int = OUTBOX_LIMIT
    settled: list[Arrears] = field(default_factory=list)
    overflows: int = 0

    def __post_init__(self) -> None:
        self.outbox = Outbox(self.wire, self.clock, settle=self.settled.append, overflow=self.overflow, limit=self.limit)
        self.wire.drained = self.outbox.drained

    def overflow(self) -> None:
        self.overflows += 1


@pytest.fixture
def box() -> Box:
    return Box()


# ---- nothing waits ----------------------------------------------------------------------------------------------------------


@pytest.mark.rule("OU1")
def test_a_peer_that_reads_is_given_everything_at_once(box: Box) -> None:
    update = relay(0)
    box.outbox.send(b"step")
    box.outbox.relay(update)
    box.outbox.announce(b"carets", [7])
    box.outbox.acknowledge(b"saved")
    assert box.wire.received == [b"step", update.frame, b"carets", b"saved"]
    assert box.wire.received[1] is update.frame
    assert box.outbox.waiting == 0
    assert not box.outbox.blocked


@pytest.mark.rule("OU1")
def test_frames_go_to_the_transport_only_while_the_wire_is_writable(box: Box) -> None:
    box.wire.stop_reading()
    while box.wire.buffered < box.wire.capacity:
        box.outbox.send(b"x" * 10_000)
    held = box.wire.buffered
    assert box.outbox.blocked
    box.outbox.send(b"later")
    box.outbox.relay(relay(0))
    box.outbox.announce(b"carets", [7])
    box.outbox.acknowledge(b"saved")
    assert box.wire.buffered == held


@pytest.mark.rule("OU2")
def test_the_time_of_the_last_frame_is_known(box: Box) -> None:
    box.clock.advance(5)
    box.outbox.send(b"a")
    assert box.outbox.last_sent == 5
    box.wire.fill()
    box.clock.advance(5)
    box.outbox.send(b"b")
    assert box.outbox.last_sent == 5, "it waits, so the peer has not been given it"
    box.clock.advance(5)
    box.wire.read()
    assert box.outbox.last_sent == 15
    box.outbox.relay(relay(0, at=16))
    assert box.outbox.last_sent == 16


# ---- order ------------------------------------------------------------------------------------------------------------------


@pytest.mark.rule("OU3")
def test_what_waits_is_handed_over_in_order(box: Box) -> None:
    box.wire.fill()
    updates = [relay(n) for n in range(3)]
    box.outbox.send(b"step")
    for update in updates:
        box.outbox.relay(update)
    box.outbox.send(b"answer")
    box.wire.read_on()
    assert box.wire.received == [b"step", *(update.frame for update in updates), b"answer"]
    assert box.outbox.waiting == 0


@pytest.mark.rule("OU3")
def test_nothing_overtakes_what_waits_though_the_socket_has_room_again(box: Box) -> None:
    """Between the socket's becoming writable and the transport's word of it, frames still queue up behind the others."""
    box.wire.fill()
    box.outbox.send(b"first")
    drained, box.wire.drained = box.wire.drained, lambda: None
    box.wire.read_on()
    box.outbox.send(b"second")
    box.outbox.relay(relay(0))
    box.outbox.announce(b"carets", [7])
    box.outbox.acknowledge(b"saved")
    assert box.wire.received == []
    drained()
    assert box.wire.received == [b"first", b"second", relay(0).frame]
    assert box.settled == [Arrears(None, {7}, b"saved")]


@pytest.mark.rule("OU3")
def test_nothing_overtakes_arrears(box: Box) -> None:
    box.wire.fill()
    box.outbox.announce(b"carets", [7])
    drained, box.wire.drained = box.wire.drained, lambda: None
    box.wire.read_on()
    box.outbox.send(b"step")
    assert box.wire.received == []
    drained()
    assert box.wire.received == [b"step"]
    assert box.settled == [Arrears(None, {7}, None)]


@pytest.mark.rule("OU4")
def test_the_wire_may_fill_up_again_in_the_middle_of_draining(box: Box) -> None:
    box.wire.fill()
    frames = [bytes([65 + n]) * 40_000 for n in range(5)]
    for frame in frames:
        box.outbox.send(frame)
    box.outbox.acknowledge(b"saved")
    rounds = 0
    while not box.settled:
        assert box.wire.buffered < box.wire.capacity + 40_000
        box.wire.read()
        rounds += 1
    box.wire.read()
    assert rounds == 3, "two frames fill the wire; what is due in another form comes after the last one"
    assert box.wire.received == frames
    assert box.settled == [Arrears(None, set(), b"saved")]


# ---- a peer that does not read ----------------------------------------------------------------------------------------------


@pytest.mark.rule("OU5")
def test_updates_for_a_peer_that_does_not_read_are_bounded(box: Box) -> None:
    box.wire.fill()
    for n in range(5000):
        box.outbox.relay(relay(n, size=1000))
        assert box.outbox.waiting <= OUTBOX_LIMIT
    assert box.overflows == 0
    box.wire.read_on()
    assert box.wire.received == []
    assert box.settled == [Arrears({1: 0}, set(), None)]


@pytest.mark.rule("OU5")
def test_small_updates_are_not_free(box: Box) -> None:
    """Ten bytes in a queue cost more than ten bytes of memory."""
    box.wire.fill()
    for n in range(30_000):
        box.outbox.relay(relay(n, size=0))
    box.wire.read_on()
    assert box.wire.received == []
    assert box.settled == [Arrears({1: 0}, set(), None)]


@pytest.mark.rule("OU6")
def test_what_a_peer_lacks_is_where_the_dropped_updates_began() -> None:
    box = Box(limit=1000)
    box.outbox.relay(relay(3, client=1))  # given
    box.wire.fill()
    box.outbox.relay(relay(4, client=1))
    box.outbox.relay(relay(20, client=2))
    box.outbox.relay(Relay(b"." * 1000, {1: 9, 3: 0}, 0.0))  # overflows
    assert box.outbox.waiting == 0
    box.outbox.relay(relay(18, client=2))  # after it
    box.outbox.relay(relay(5, client=4))
    box.outbox.relay(relay(30, client=2))
    box.wire.read_on()
    assert box.settled == [Arrears({1: 4, 2: 18, 3: 0, 4: 5}, set(), None)]


@pytest.mark.rule("OU6")
def test_a_dropped_update_that_only_deletes_makes_a_diff_due_too() -> None:
    """Deletions are in no state vector; every diff carries all of them."""
    box = Box(limit=100)
    box.wire.fill()
    box.outbox.relay(Relay(b"." * 200, {}, 0.0))
    box.wire.read_on()
    assert box.settled == [Arrears({}, set(), None)]


@pytest.mark.rule("OU7")
def test_control_frames_survive_the_overflow_of_updates() -> None:
    box = Box(limit=1000)
    box.wire.fill()
    box.outbox.relay(relay(0, size=500))
    box.outbox.send(b"step 1")
    box.outbox.relay(relay(1, size=500))
    box.outbox.send(b"answer")
    assert box.outbox.waiting < 500
    box.wire.read_on()
    assert box.wire.received == [b"step 1", b"answer"]
    assert box.settled == [Arrears({1: 0}, set(), None)]


@pytest.mark.rule("OU8")
def test_of_acknowledgements_the_newest_survives(box: Box) -> None:
    box.wire.fill()
    for n in range(10):
        box.outbox.acknowledge(b"saved %d" % n)
    assert box.outbox.waiting == 0
    box.wire.read_on()
    assert box.settled == [Arrears(None, set(), b"saved 9")]
    assert box.wire.received == []


@pytest.mark.rule("OU9")
def test_of_awareness_only_the_client_ids_are_kept(box: Box) -> None:
    box.wire.fill()
    for n in range(1000):
        box.outbox.announce(b"." * 10_000, [n % 3, 7])
    assert box.outbox.waiting == 0
    box.wire.read_on()
    assert box.settled == [Arrears(None, {0, 1, 2, 7}, None)]


@pytest.mark.rule("OU10")
@pytest.mark.parametrize("blocked", [False, True])
def test_a_frame_larger_than_the_limit_arrives(blocked: bool) -> None:
    """An update's content comes as a diff, a control frame as it is."""
    box = Box(limit=1000)
    if blocked:
        box.wire.fill()
    box.outbox.send(b"s" * 5000)
    box.outbox.relay(relay(0, size=5000))
    box.wire.read_on()
    if blocked:
        assert box.wire.received == [b"s" * 5000]
        assert box.settled == [Arrears({1: 0}, set(), None)]
    else:
        assert box.wire.received == [b"s" * 5000, relay(0, size=5000).frame]
        assert box.settled == []


@pytest.mark.rule("OU11")
def test_a_blocked_peer_that_asks_gets_one_diff_when_it_reads(box: Box) -> None:
    box.wire.fill()
    box.outbox.relay(relay(5))
    box.outbox.send(b"step")
    asked = {1: 4, 2: 99}
    for n in range(99):
        box.outbox.owe({1: 3, 2: n, 5: 0})
    box.outbox.owe(asked)
    box.outbox.relay(relay(50, client=2))
    box.outbox.relay(relay(8, client=9))
    assert box.settled == []
    box.wire.read_on()
    assert box.wire.received == [b"step"]
    assert box.settled == [Arrears({1: 4, 2: 50, 9: 8}, set(), None)]
    assert asked == {1: 4, 2: 99}


# ---- settling ---------------------------------------------------------------------------------------------------------------


@pytest.mark.rule("OU11")
def test_a_peer_that_reads_gets_its_diff_at_once(box: Box) -> None:
    box.outbox.owe({1: 0})
    assert box.settled == [Arrears({1: 0}, set(), None)]
    assert not box.outbox.blocked


@pytest.mark.rule("OU12")
def test_arrears_are_settled_once(box: Box) -> None:
    box.wire.fill()
    box.outbox.owe({1: 0})
    box.outbox.announce(b"carets", [7])
    box.outbox.acknowledge(b"saved")
    box.wire.read_on()
    assert box.settled == [Arrears({1: 0}, {7}, b"saved")]
    box.outbox.drained()
    box.outbox.drained()
    assert len(box.settled) == 1
    update = relay(1)
    box.outbox.relay(update)
    assert box.wire.received == [update.frame], "the peer is given everything at once again"


@pytest.mark.rule("OU12")
def test_what_is_sent_while_settling_waits_when_the_wire_is_full_again() -> None:
    """As a room does it: a large diff first, then what is newest of the rest."""
    box = Box()

    def settle(arrears: Arrears) -> None:
        box.settled.append(arrears)
        box.outbox.send(b"diff" * 50_000)
        box.outbox.acknowledge(b"saved")
        box.outbox.announce(b"carets", [7])

    outbox = Outbox(box.wire, box.clock, settle=settle, overflow=box.overflow)
    box.outbox, box.wire.drained = outbox, outbox.drained
    box.wire.fill()
    outbox.owe({1: 0})
    box.wire.read(0)
    assert box.settled == [Arrears({1: 0}, set(), None)]
    assert outbox.blocked
    assert box.wire.read() == [b"diff" * 50_000]
    assert box.settled[1:] == [Arrears(None, {7}, b"saved")]


@pytest.mark.rule("OU12")
def test_nothing_due_is_not_settled(box: Box) -> None:
    box.wire.fill()
    box.outbox.send(b"step")
    box.wire.read_on()
    assert box.settled == []


# ---- a peer that asks and does not read -------------------------------------------------------------------------------------


@pytest.mark.rule("OU13")
@pytest.mark.parametrize("size", [0, 10, 1000, 300_000])
def test_control_frames_are_bounded(box: Box, size: int) -> None:
    """Whoever makes the server answer and does not read the answers is given up: everything of it is forgotten."""
    box.wire.fill()
    box.outbox.relay(relay(0))
    box.outbox.owe({1: 0})
    most = count = 0
    while not box.overflows:
        most = max(most, box.outbox.waiting)
        box.outbox.send(b"." * size)
        count += 1
    assert count == OUTBOX_LIMIT // (size + 64) + 1
    assert most <= OUTBOX_LIMIT
    assert box.outbox.waiting == 0
    box.wire.read_on()
    assert box.wire.received == []
    assert box.settled == []


@pytest.mark.rule("OU13")
def test_an_answer_in_several_frames_counts_as_one(box: Box) -> None:
    """What has come since a large state was encoded goes before it, and the socket is full in the middle of that."""
    box.wire.fill()
    box.outbox.send_all([b"since", b"then", b"." * 3 * OUTBOX_LIMIT])
    assert not box.overflows
    box.outbox.send(b"more")
    assert box.overflows, "what comes behind it counts"


@pytest.mark.rule("OU13")
def test_awareness_that_is_due_is_bounded(box: Box) -> None:
    box.wire.fill()
    count = 0
    while not box.overflows:
        box.outbox.announce(b"carets", [count])
        count += 1
    assert count == OUTBOX_LIMIT // 64 + 1
    box.wire.read_on()
    assert box.settled == []


@pytest.mark.rule("OU14")
def test_a_discarded_outbox_swallows_everything(box: Box) -> None:
    box.wire.fill()
    box.outbox.send(b"step")
    box.outbox.relay(relay(0))
    box.outbox.acknowledge(b"saved")
    box.outbox.discard()
    assert box.outbox.waiting == 0
    box.outbox.send(b"step")
    box.outbox.relay(relay(0))
    box.outbox.acknowledge(b"saved")
    box.outbox.announce(b"carets", [7])
    assert box.outbox.waiting == 0
    box.wire.read_on()
    box.outbox.drained()
    assert box.wire.received == []
    assert box.settled == []
    assert box.overflows == 0
