"""One frame for all who read: what is written past outboxes and wires, and that nothing is lost or overtakes thereby."""

from __future__ import annotations

import asyncio
import os
import random
from types import SimpleNamespace
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from cowrite.core.delivery.multicast import SHARED_BYTES, Multicast
from cowrite.core.delivery.outbox import Arrears, Outbox, Relay
from cowrite.core.excess import Excess
from cowrite.core.ids import Ids
from cowrite.core.incoming import Incoming
from cowrite.core.leaving import Leaving
from cowrite.core.limits import Limits
from cowrite.core.turn_share import TurnShare
from cowrite.testing.clock import ManualClock
from cowrite.transports.framing import WriteTurn
from cowrite.transports.picows_wire import HIGH_WATER, PicowsWire
from cowrite.transports.read_turn import ReadTurn
from cowrite.transports.services import SocketTimes
from cowrite.transports.upgrade import Accepted
from cowrite.transports.watch import Watch

MANY = int(os.environ.get("COWRITE_FUZZ", "1"))


class Transport:
    """An event loop's socket: what is written to it, and a buffer that fills up while nobody reads."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.reading = True
        self.broken = False
        self.buffered = 0
        self.wire: PicowsWire

    def write(self, data: bytes) -> None:
        if self.broken:
            raise OSError("gone")
        self.written.append(data)
        if not self.reading:
            full, self.buffered = self.buffered >= HIGH_WATER, self.buffered + len(data)
            if self.buffered >= HIGH_WATER and not full:
                self.wire.pause_writing()

    def writelines(self, parts: tuple[bytes, ...]) -> None:
        self.write(b"".join(parts))

    def read_on(self) -> None:
        full, self.reading, self.buffered = self.buffered >= HIGH_WATER, True, 0
        if full:
            self.wire.resume_writing()

    def abort(self) -> None:
        pass


class Line:
    """An outbox on the wire of cowrite's own server, above a socket that is none."""

    def __init__(self, room: Room) -> None:
        self.transport = Transport()
        services: Any = SimpleNamespace(
            clock=room.clock,
            times=SocketTimes(),
            turn=room.turn,
            watch=Watch(room.clock, 1.0),
            limits=Limits(),
            excess=Excess(),
            incoming=Incoming(Limits()),
            leaving=Leaving(Limits()),
            behind=TurnShare(room.clock),
            bridge=SimpleNamespace(enter=print),  # never called: nobody comes in
            ids=Ids(room.clock),
        )
        self.wire = PicowsWire(cast("asyncio.Transport", self.transport), Accepted("doc", None, None), services, ReadTurn())
        self.transport.wire = self.wire
        self.outbox = Outbox(self.wire, room.clock, settle=self.settle, overflow=lambda: None)
        self.wire.connection = cast("Any", SimpleNamespace(drained=self.outbox.drained, user="ana", lost=lambda goodbye: None))

    def settle(self, arrears: Arrears) -> None:
        raise AssertionError(f"nothing was dropped: {arrears}")

    @property
    def messages(self) -> list[bytes]:
        """What was written, without the frames around it."""
        data, messages, parts = b"".join(self.transport.written), list[bytes](), b""
        while data:
            size, start = data[1], 2
            if size >= 126:
                start = 4 if size == 126 else 10
                size = int.from_bytes(data[2:start])
            parts += data[start : start + size]
            if data[0] & 0x80:
                messages.append(parts)
                parts = b""
            data = data[start + size :]
        return messages


class Room:
    """Lines of one multicast."""

    def __init__(self, lines: int) -> None:
        self.clock = ManualClock()
        self.turn = WriteTurn()
        self.multicast = Multicast(self.turn)
        self.lines = [Line(self) for _ in range(lines)]
        for line in self.lines:
            line.outbox.join(self.multicast)

    def relay(self, frame: bytes, but: Line | None = None) -> None:
        relay = Relay(frame, {}, self.clock.monotonic())
        self.multicast.relay(relay, but.outbox if but is not None else None)

    def clear(self) -> None:
        """Everybody has been sent something, and was written to."""
        self.relay(b"first")
        self.turn.flush()
        for line in self.lines:
            assert line.messages == [b"first"]
            line.transport.written.clear()


@pytest.fixture
async def room() -> Room:
    room = Room(3)
    room.clear()
    return room


@pytest.mark.rule("OU38")
async def test_all_who_read_are_written_one_frame(room: Room) -> None:
    """The frames of a turn are joined once, and every socket is given the same object."""
    room.relay(b"one")
    room.relay(b"two")
    assert not any(line.transport.written for line in room.lines)
    room.turn.flush()
    first = room.lines[0].transport.written
    assert first == [b"\x82\x03one\x82\x03two"]
    assert all(line.transport.written[0] is first[0] for line in room.lines)
    room.turn.flush()
    assert len(first) == 1


@pytest.mark.rule("OU38", "TR31")
async def test_what_is_sent_to_one_alone_leaves_with_the_update_and_behind_it(room: Room) -> None:
    one, two, _ = room.lines
    two.outbox.send(b"before")
    room.relay(b"update")
    one.outbox.send(b"after")
    room.turn.flush()
    assert [line.messages for line in room.lines] == [[b"update", b"after"], [b"before", b"update"], [b"update"]]
    assert all(len(line.transport.written) == 1 for line in room.lines)


@pytest.mark.rule("OU38", "OU32")
async def test_the_sender_is_left_out(room: Room) -> None:
    one, two, three = room.lines
    room.relay(b"all")
    room.relay(b"of one", one)
    room.turn.flush()
    assert [line.messages for line in room.lines] == [[b"all"], [b"all", b"of one"], [b"all", b"of one"]]
    one.outbox.discard()
    two.outbox.discard()
    assert not room.multicast.concerns(three.outbox)
    assert room.multicast.concerns(None)
    three.outbox.discard()
    assert not room.multicast


@pytest.mark.rule("OU38", "OU1")
async def test_a_full_socket_is_passed_over_until_it_was_written_to_again(room: Room) -> None:
    one, two, _ = room.lines
    one.transport.reading = False
    one.outbox.send(b"." * 8000)
    for _ in range(9):
        room.relay(b"." * 8000)
        room.turn.flush()
    assert one.outbox.waiting
    assert len(one.messages) == 9
    one.transport.read_on()
    room.turn.flush()
    assert len(one.messages) == len(two.messages) + 1 == 10
    room.relay(b"on")
    room.turn.flush()
    assert one.transport.written[-1] is two.transport.written[-1]


@pytest.mark.rule("OU38", "TR24")
async def test_much_at_once_goes_by_the_outboxes(room: Room) -> None:
    """Large messages are sent in parts, as each socket drains."""
    room.relay(b"small")
    room.relay(b"x" * SHARED_BYTES)
    room.relay(b"small, too")
    room.turn.flush()
    assert all(line.messages == [b"small", b"x" * SHARED_BYTES, b"small, too"] for line in room.lines)


@pytest.mark.rule("OU38", "OU14")
async def test_a_peer_that_is_closed_is_given_what_was_sent_before_and_nothing_else(room: Room) -> None:
    one, two, three = room.lines
    room.relay(b"before")
    one.outbox.discard()
    one.wire.close(4400, "enough")
    two.wire.end()
    room.relay(b"after")
    room.turn.flush()
    room.relay(b"later")
    room.turn.flush()
    one.outbox.join(room.multicast)
    assert not one.outbox.joined
    assert one.transport.written == [b"\x82\x06before", b"\x88\x08" + b"\x11\x30enough"]
    assert two.transport.written == []
    assert three.messages == [b"before", b"after", b"later"]


@pytest.mark.rule("OU38")
async def test_a_document_that_was_left_hears_nothing_on_a_socket_that_stays(room: Room) -> None:
    """Several outboxes share the wire of a Hocuspocus client."""
    one, two, _ = room.lines
    other = Multicast(room.turn)
    again = Outbox(one.wire, room.clock, settle=one.settle, overflow=lambda: None)
    again.join(other)
    one.outbox.discard()
    one.wire.write(b"bye")
    room.relay(b"here")
    other.relay(Relay(b"there", {}, 0.0))
    room.turn.flush()
    assert one.messages == [b"bye", b"there"]
    last = Outbox(one.wire, room.clock, settle=one.settle, overflow=lambda: None)
    last.join(other)
    other.relay(Relay(b"twice", {}, 0.0), last)
    other.relay(Relay(b"once", {}, 0.0), again)
    room.turn.flush()
    assert sorted(one.messages[2:]) == [b"once", b"twice"]
    assert two.messages == [b"here"]


@pytest.mark.rule("OU38")
async def test_a_socket_that_breaks_silences_nobody(room: Room) -> None:
    room.lines[0].transport.broken = True
    room.relay(b"on")
    with capture_logs() as logs:
        room.turn.flush()
    assert [line["event"] for line in logs] == ["socket not written"]
    assert [line.messages for line in room.lines] == [[], [b"on"], [b"on"]]


@pytest.mark.rule("OU39", "OU2")
async def test_it_is_known_when_a_peer_was_last_sent_something(room: Room) -> None:
    """The only one who types is sent nothing of it, and must hear of the server in another way."""
    one, two, three = room.lines
    began = room.clock.monotonic()
    room.clock.advance(5)
    room.relay(b"of one", one)
    room.turn.flush()
    assert [line.outbox.last_sent - began for line in room.lines] == [0, 5, 5]
    two.outbox.send(b"of its own")
    room.turn.flush()
    room.clock.advance(5)
    room.relay(b"of two", two)
    room.turn.flush()
    assert [line.outbox.last_sent - began for line in room.lines] == [10, 5, 10]
    three.outbox.discard()
    assert three.outbox.last_sent - began == 10


@pytest.mark.fuzz
@pytest.mark.rule("OU38", "OU3")
async def test_everybody_gets_everything_in_its_order() -> None:
    """Sockets that fill up at random, and whatever may be sent; the oracle is a list for each peer."""
    together = 0
    for seed in range(150 * MANY):
        rng = random.Random(seed)
        room = Room(rng.randint(1, 4))
        given: dict[Line, list[bytes]] = {line: [] for line in room.lines}
        for number in range(rng.randint(1, 80)):
            frame = b"%d:" % number + b"." * rng.choice([0, 0, 100, 5000, 9000, 70_000])
            line, action = rng.choice(room.lines), rng.random()
            if action < 0.4:
                but = rng.choice([None, None, line])
                room.relay(frame, but)
                for other in room.lines:
                    given[other] += [frame] if other is not but else []
            elif action < 0.55:
                line.outbox.send(frame)
                given[line].append(frame)
            elif action < 0.85:
                room.turn.flush()
                together += len({id(other.transport.written[-1]) for other in room.lines if other.transport.written}) == 1
            elif action < 0.92:
                line.transport.reading = False
            else:
                line.transport.read_on()
            if any(other.outbox.waiting > 900_000 for other in room.lines):
                break  # what is dropped then is a matter of test_outbox_model
        for line in room.lines:
            line.transport.read_on()
        room.turn.flush()
        for line in room.lines:
            assert line.messages == given[line], f"seed {seed}"
    assert together > 100 * MANY
