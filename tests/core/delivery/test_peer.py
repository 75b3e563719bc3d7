"""One attached connection, as its room sees it."""

from __future__ import annotations

import pytest

from cowrite.core.delivery.acknowledgements import Acknowledgements
from cowrite.core.delivery.outbox import OUTBOX_LIMIT, Arrears, Relay
from cowrite.core.delivery.peer import Peer, PeerPorts
from cowrite.core.limits import Limits
from cowrite.core.ports import Access, Grant
from cowrite.core.rooms.received import Received
from cowrite.core.sessions.session import Session
from cowrite.crdt.outline import Outline
from cowrite.protocol import yjs
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.messages import Acknowledged, AwarenessUpdate, Message, SyncStep1
from cowrite.testing.clock import ManualClock
from cowrite.testing.wire import FakeWire


class Member:
    """A peer on a fake wire, and what it asked of its room."""

    def __init__(self, *, acknowledges: bool = True) -> None:
        self.wire = FakeWire()
        self.clock = ManualClock()
        self.settled: list[tuple[Peer, Arrears]] = []
        self.asked: list[Peer] = []
        self.gave_up: list[Peer] = []
        self.peer = Peer(
            Session("0192", "doc", Access("ana", Grant.WRITE), 0),
            self.wire,
            yjs.YJS,
            PeerPorts(
                self.clock,
                Limits(),
                settle=lambda peer, arrears: self.settled.append((peer, arrears)),
                ask=self.asked.append,
                give_up=self.gave_up.append,
            ),
            acknowledgements=Acknowledgements() if acknowledges else None,
        )
        self.wire.drained = self.peer.outbox.drained

    def read(self) -> list[Message]:
        return [yjs.decode(frame) for frame in self.wire.received]


@pytest.fixture
def member() -> Member:
    return Member()


def test_messages_are_sent_in_the_peers_dialect(member: Member) -> None:
    member.peer.send(SyncStep1(b"\0"))
    assert member.read() == [SyncStep1(b"\0")]


def test_what_concerns_a_peer_names_it(member: Member) -> None:
    received = Received(b".", Outline((), (), (), {}), member.peer, 0, False)
    assert received.author == member.peer.owner.user_id == "ana"
    assert member.peer.owner.peer is member.peer
    member.peer.held.hold(received)
    member.clock.advance(10)
    member.wire.fill()
    member.peer.outbox.owe({1: 0})
    member.wire.read_on()
    assert set(member.asked) == {member.peer}
    assert member.gave_up == [member.peer]
    assert member.settled == [(member.peer, Arrears({1: 0}, set(), None))]


@pytest.mark.rule("AK7")
def test_a_client_that_understands_acknowledgements_is_told() -> None:
    member = Member()
    number = member.peer.acknowledgements.receive()
    member.peer.acknowledge()
    assert member.read() == []
    member.peer.acknowledgements.commit(number, 17)
    member.peer.acknowledge()
    member.peer.acknowledge()
    assert member.read() == [Acknowledged(1, 17)]


@pytest.mark.rule("AK7")
def test_other_clients_are_not_told() -> None:
    """Stock clients print an error for a message that they do not know."""
    member = Member(acknowledges=False)
    member.peer.acknowledgements.commit(member.peer.acknowledgements.receive(), 17)
    member.peer.acknowledge()
    assert member.read() == []


@pytest.mark.rule("OU8")
def test_a_slow_peer_is_owed_the_newest_acknowledgement(member: Member) -> None:
    member.wire.fill()
    for offset in range(3):
        member.peer.acknowledgements.commit(member.peer.acknowledgements.receive(), offset)
        member.peer.acknowledge()
    member.wire.read_on()
    assert member.settled == [(member.peer, Arrears(None, set(), yjs.encode(Acknowledged(3, 2))))]


@pytest.mark.rule("AW20")
def test_awareness_for_one_peer_goes_in_messages_of_bounded_size(member: Member) -> None:
    entries = [AwarenessEntry(n, 1, "{}") for n in range(2500)]
    member.peer.announce(entries)
    messages = member.read()
    assert [len(message.entries) for message in messages if isinstance(message, AwarenessUpdate)] == [1000, 1000, 500]
    assert [entry for message in messages if isinstance(message, AwarenessUpdate) for entry in message.entries] == entries


@pytest.mark.rule("OU9")
def test_a_slow_peer_that_asks_for_awareness_costs_nothing(member: Member) -> None:
    member.wire.fill()
    for _ in range(1000):
        member.peer.announce([AwarenessEntry(n, 1, '"' + "x" * 1000 + '"') for n in range(10)])
    assert member.peer.outbox.waiting == 0
    member.wire.read_on()
    assert member.settled == [(member.peer, Arrears(None, set(range(10)), None))]


@pytest.mark.rule("OU14")
def test_a_closed_peer_costs_nothing(member: Member) -> None:
    member.wire.fill()
    member.peer.send(SyncStep1(b"\0"))
    member.peer.close(CloseCode.GOING_AWAY, "ä" * 100)
    member.peer.outbox.relay(Relay(b"." * OUTBOX_LIMIT, {1: 0}, 0.0))
    assert member.wire.closed is not None
    assert member.wire.closed[0] == 1001
    assert len(member.wire.closed[1].encode()) <= 123
    assert member.peer.outbox.waiting == 0
    member.wire.read_on()
    assert member.read() == []
    assert member.settled == []


@pytest.mark.rule("OU13")
def test_a_peer_that_asks_and_does_not_read_is_closed(member: Member) -> None:
    member.wire.fill()
    for _ in range(OUTBOX_LIMIT // 64):
        member.peer.send(SyncStep1(b"\0"))
    assert member.wire.closed == (4529, "too many answers wait to be read; read them, or ask less")
    assert member.peer.outbox.waiting == 0
