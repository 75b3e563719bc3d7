"""What all peers of a room get with one flush."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import pytest
from pycrdt import Doc, Text

from core.delivery.broadcast_tools import Dialect, Member, broadcasting
from cowrite.core.delivery import broadcast as broadcasts
from cowrite.core.delivery.broadcast import Broadcast
from cowrite.core.delivery.multicast import Multicast
from cowrite.core.delivery.outbox import OUTBOX_LIMIT, Arrears, Outbox, Relay
from cowrite.core.delivery.peer import Peer
from cowrite.crdt.guard import inspect
from cowrite.crdt.merging import AT_ONCE, merge_updates
from cowrite.crdt.outline import Outline
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.messages import Update
from cowrite.testing.wire import FakeWire

GARBAGE = b"\x01\xff\xff\xff"
"""Bytes that the engine cannot merge; nothing of the kind passes the guard."""


class NoticedWire(FakeWire):
    """Something happens with each message."""

    def __init__(self, notice: Callable[[], object]) -> None:
        super().__init__()
        self.notice = notice

    def write(self, message: bytes) -> None:
        super().write(message)
        self.notice()


def edits(*texts: str, client: int = 1) -> list[tuple[bytes, Outline]]:
    """One update each, of one Yjs client."""
    doc: Doc[Any] = Doc(client_id=client)
    text = doc.get("body", type=Text)
    made: list[bytes] = []
    subscription = doc.observe(lambda event: made.append(event.update))
    for one in texts:
        text.insert(len(text), one)
    doc.unobserve(subscription)
    return [(update, inspect(update)) for update in made]


def read(updates: list[bytes]) -> str:
    doc: Doc[Any] = Doc()
    text = doc.get("body", type=Text)
    for update in updates:
        doc.apply_update(update)
    return str(text)


def send(broadcast: Broadcast, peers: Collection[Peer]) -> None:
    """As a flush does."""
    for peer in peers:
        broadcast.enter(peer)
    broadcast.send_updates()
    broadcast.send_awareness(peers)


def room(count: int, dialect: Dialect | None = None) -> tuple[list[Member], list[Peer]]:
    members = [Member(dialect if dialect is not None else Dialect()) for _ in range(count)]
    return members, [member.peer for member in members]


# ---- updates ----------------------------------------------------------------------------------------------------------------


@pytest.mark.rule("OU30")
def test_an_update_is_encoded_once_for_all() -> None:
    """Every peer is given the same object, whatever their number."""
    dialect = Dialect()
    members, peers = room(5, dialect)
    broadcast = broadcasting()
    ((update, outline),) = edits("hello")
    broadcast.update(update, outline, None)
    send(broadcast, peers)
    assert dialect.encoded == [Update(update)]
    frames = [member.wire.received for member in members]
    assert all(len(frame) == 1 and frame[0] is frames[0][0] for frame in frames)


@pytest.mark.rule("OU30")
def test_peers_with_equal_dialects_share_what_is_encoded() -> None:
    plain, same, other = Dialect(), Dialect(), Dialect(b"doc:")
    members = [Member(dialect) for dialect in (plain, same, other, other)]
    broadcast = broadcasting()
    ((update, outline),) = edits("hello")
    broadcast.update(update, outline, None)
    broadcast.awareness([AwarenessEntry(7, 1, "{}")])
    send(broadcast, [member.peer for member in members])
    first, second, third, fourth = (member.wire.received for member in members)
    assert len(plain.encoded) + len(same.encoded) == 2
    assert len(other.encoded) == 2
    assert all(a is b for a, b in zip(first, second, strict=True))
    assert all(a is b for a, b in zip(third, fourth, strict=True))
    assert third == [b"doc:" + frame for frame in first]


@pytest.mark.rule("OU31")
def test_what_came_between_two_flushes_is_one_frame() -> None:
    members, peers = room(2)
    broadcast = broadcasting()
    for update, outline in edits("one ", "two ", "three"):
        broadcast.update(update, outline, None)
    assert broadcast
    send(broadcast, peers)
    assert not broadcast
    for member in members:
        assert len(member.updates) == 1
        assert read(member.updates) == "one two three"
    send(broadcast, peers)
    assert len(members[0].wire.received) == 1, "nothing is sent twice"


@pytest.mark.rule("OU32")
def test_the_only_sender_does_not_get_its_own_update() -> None:
    (sender, other), peers = room(2)
    broadcast = broadcasting()
    for update, outline in edits("one ", "two"):
        broadcast.update(update, outline, sender.peer)
    send(broadcast, peers)
    assert sender.wire.received == []
    assert read(other.updates) == "one two"


@pytest.mark.rule("OU30", "OU32")
def test_for_a_dialect_that_only_the_sender_speaks_nothing_is_encoded() -> None:
    mine, theirs = Dialect(), Dialect(b"doc:")
    sender, other = Member(mine), Member(theirs)
    broadcast = broadcasting()
    broadcast.update(*edits("hello")[0], sender.peer)
    send(broadcast, [sender.peer, other.peer])
    assert sender.wire.received == []
    assert mine.encoded == []
    assert len(other.wire.received) == len(theirs.encoded) == 1


@pytest.mark.rule("OU32")
def test_a_frame_with_the_updates_of_several_goes_to_their_senders_too() -> None:
    members, peers = room(3)
    broadcast = broadcasting()
    for member, (update, outline) in zip(members, [*edits("a", client=1), *edits("b", client=2)], strict=False):
        broadcast.update(update, outline, member.peer)
    send(broadcast, peers)
    first = members[0].wire.received
    assert len(first) == 1
    assert all(member.wire.received[0] is first[0] for member in members)
    assert sorted(read(members[0].updates)) == ["a", "b"]


@pytest.mark.rule("OU32")
def test_a_peers_update_merged_with_another_process_goes_to_that_peer_too() -> None:
    (sender, other), peers = room(2)
    broadcast = broadcasting()
    (mine,), (theirs,) = edits("a", client=1), edits("b", client=2)
    broadcast.update(*mine, sender.peer)
    broadcast.update(*theirs, None)
    send(broadcast, peers)
    assert len(sender.updates) == len(other.updates) == 1


@pytest.mark.rule("OU33")
def test_peers_that_are_not_live_get_awareness_and_no_updates() -> None:
    dialect = Dialect()
    live, joining = Member(dialect), Member(dialect)
    broadcast = broadcasting()
    ((update, outline),) = edits("hello")
    broadcast.update(update, outline, None)
    broadcast.awareness([AwarenessEntry(7, 1, "{}")])
    broadcast.enter(live.peer)
    broadcast.send_updates()
    broadcast.send_awareness([live.peer, joining.peer])
    assert (len(live.updates), len(live.states)) == (1, 1)
    assert (len(joining.updates), len(joining.states)) == (0, 1)


@pytest.mark.rule("OU34")
def test_a_peer_that_cannot_take_the_frame_knows_where_it_began() -> None:
    """The clocks of all merged updates, each client's lowest."""
    (slow,), peers = room(1)
    broadcast = broadcasting()
    slow.wire.fill()
    for update, outline in [*edits("one", "two", client=1)[1:], *edits("six", "ten", client=2)]:
        broadcast.update(update, outline, None)
    send(broadcast, peers)
    slow.peer.outbox.relay(Relay(b"." * OUTBOX_LIMIT, {}, 0.0))  # and now that frame is dropped
    slow.wire.read_on()
    assert slow.arrears == [Arrears({1: 3, 2: 0}, set(), None)]


@pytest.mark.rule("OU35")
@pytest.mark.parametrize("leaves", ["before", "itself", "after"])
@pytest.mark.parametrize("meanwhile", ["update", "awareness"])
def test_a_peer_that_goes_away_while_sending_disturbs_nobody(leaves: str, meanwhile: str) -> None:
    present: dict[Peer, None] = {}
    dialect = Dialect()
    members = [Member(dialect), Member(dialect, NoticedWire(lambda: present.pop(gone, None))), Member(dialect)]
    present.update((member.peer, None) for member in members)
    gone = members[["before", "itself", "after"].index(leaves)].peer
    broadcast = broadcasting()
    if meanwhile == "update":
        broadcast.update(*edits("hello")[0], None)
    else:
        broadcast.awareness([AwarenessEntry(7, 1, "{}")])
    send(broadcast, present)
    assert gone not in present
    stayed = [member for member in members if member.peer is not gone]
    assert all(len(member.wire.received) == 1 for member in stayed)


@pytest.mark.rule("OU36")
def test_updates_that_cannot_be_merged_are_sent_one_by_one() -> None:
    """Nobody would send them again, so a fault of the engine must not lose them."""
    (sender, other), peers = room(2)
    broadcast = broadcasting()
    ((update, outline),) = edits("hello")
    broadcast.update(update, outline, sender.peer)
    broadcast.update(GARBAGE, Outline((), (), (), {}), other.peer)
    send(broadcast, peers)
    assert sender.updates == [GARBAGE]
    assert other.updates == [update]


@pytest.mark.rule("OU40")
def test_many_updates_are_merged_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """The flush has few to merge, of whomever they are, and sends one frame with all of them and their lowest clocks."""
    (one, two, reader), peers = room(3)
    merged, seen = list[int](), list[Relay]()

    def counted(updates: Sequence[bytes]) -> bytes:
        merged.append(len(updates))
        return merge_updates(updates)

    def watched(multicast: Multicast, relay: Relay, but: Outbox | None, then: Any = Multicast.relay) -> None:
        seen.append(relay)
        then(multicast, relay, but)

    monkeypatch.setattr(broadcasts, "merge_updates", counted)
    monkeypatch.setattr(Multicast, "relay", watched)
    broadcast = broadcasting()
    broadcast.enter(reader.peer)
    words = [f"{number} " for number in range(AT_ONCE**2 + AT_ONCE + 3)]
    for number, (update, outline) in enumerate(edits(*words)):
        broadcast.update(update, outline, (one, two)[number % 2].peer)
    assert merged == [AT_ONCE] * (AT_ONCE + 1 + 1)
    assert broadcast.send_updates() == len(words)
    assert merged[AT_ONCE + 2 :] == [1 + 1 + 3]
    assert [relay.begins for relay in seen] == [{1: 0}]
    assert len(reader.updates) == 1
    assert read(reader.updates) == "".join(words)
    send(broadcast, peers)
    assert len(reader.updates) == 1


@pytest.mark.rule("OU36", "OU40")
def test_what_cannot_be_merged_as_it_comes_waits_for_the_flush() -> None:
    """Nothing of it is lost, and afterwards others are merged again."""
    (sender, other), peers = room(2)
    broadcast = broadcasting()
    made = edits(*map(str, range(2 * AT_ONCE)))
    broadcast.update(GARBAGE, Outline((), (), (), {}), other.peer)
    for update, outline in made:
        broadcast.update(update, outline, sender.peer)
    send(broadcast, peers)
    assert other.updates == [update for update, _ in made]


@pytest.mark.rule("OU31")
def test_dropped_updates_are_not_sent() -> None:
    (member,), peers = room(1)
    broadcast = broadcasting()
    ((update, outline),) = edits("hello")
    broadcast.update(update, outline, None)
    broadcast.awareness([AwarenessEntry(7, 1, "{}")])
    broadcast.drop_updates()
    send(broadcast, peers)
    assert (len(member.updates), len(member.states)) == (0, 1)


# ---- awareness --------------------------------------------------------------------------------------------------------------


@pytest.mark.rule("OU37")
def test_awareness_goes_to_everybody_its_sender_included() -> None:
    """The echo of its own renewal tells a lone client that the server is alive."""
    dialect = Dialect()
    members, peers = room(3, dialect)
    broadcast = broadcasting()
    broadcast.awareness([AwarenessEntry(7, 1, '{"a":1}'), AwarenessEntry(8, 3, None)])
    send(broadcast, peers)
    assert all(member.states == [(AwarenessEntry(7, 1, '{"a":1}'), AwarenessEntry(8, 3, None))] for member in members)
    assert len(dialect.encoded) == 1
    assert all(member.wire.received[0] is members[0].wire.received[0] for member in members)


@pytest.mark.rule("OU37")
def test_of_a_client_only_the_newest_awareness_is_sent() -> None:
    (member,), peers = room(1)
    broadcast = broadcasting()
    for clock in range(10):
        broadcast.awareness([AwarenessEntry(7, clock, '{"a":1}'), AwarenessEntry(8, 1, "{}")])
    broadcast.awareness([AwarenessEntry(7, 9, None)])
    assert broadcast
    send(broadcast, peers)
    assert not broadcast
    assert member.states == [(AwarenessEntry(8, 1, "{}"), AwarenessEntry(7, 9, None))]


@pytest.mark.rule("OU37")
def test_a_peer_that_does_not_read_is_owed_the_clients_that_moved() -> None:
    (slow,), peers = room(1)
    slow.wire.fill()
    broadcast = broadcasting()
    broadcast.awareness([AwarenessEntry(7, 1, "{}"), AwarenessEntry(8, 1, "{}")])
    send(broadcast, peers)
    slow.wire.read_on()
    assert slow.arrears == [Arrears(None, {7, 8}, None)]


@pytest.mark.rule("AW20")
def test_many_clients_are_told_in_several_messages() -> None:
    """A client sends back in one message what it was told in one; the server would refuse a too large one."""
    (member,), peers = room(1)
    broadcast = broadcasting()
    entries = [AwarenessEntry(n, 1, '"' + "x" * 1000 + '"') for n in range(2500)]
    broadcast.awareness(entries)
    send(broadcast, peers)
    assert [entry for states in member.states for entry in states] == entries
    assert all(len(frame) < 300_000 for frame in member.wire.received)
