"""Documents that have become as large as they may: what is refused, what is not, and how everybody comes together again."""

from __future__ import annotations

import asyncio
import random

import pytest
from structlog.testing import capture_logs

from core.operations.process_tools import answered, body, refused, step
from core.operations.thin_client import ThinClient
from cowrite.brokers.local import LocalBroker
from cowrite.core.delivery.peer import Peer
from cowrite.core.limits import Limits
from cowrite.core.operations.submissions import Prepared
from cowrite.core.operations.writing import enqueue
from cowrite.core.ports import Access, Grant
from cowrite.core.records import Cause, CauseKind
from cowrite.core.rooms import fullness
from cowrite.core.rooms.large_updates import is_large
from cowrite.core.sessions.session import Session
from cowrite.crdt.document import Document
from cowrite.crdt.guard import SYNC_LIMITS, inspect
from cowrite.protocol.messages import Message, PermissionDenied, SyncStep1
from cowrite.stores.memory import memory_storage
from cowrite.testing.clock import ManualClock
from cowrite.testing.process import Connection, Process, quiet
from cowrite.testing.records import new_id
from cowrite.testing.yjs_client import YjsClient
from cowrite.testing.yjs_writer import block, text, write_update

pytestmark = pytest.mark.rule("LM9", "LM10", "LM11", "LM12")

MOST = 4000
"""Bytes of a document here."""


def process(document_bytes: int = MOST, **limits: int) -> Process:
    return Process(memory_storage(), LocalBroker(), limits=Limits(document_bytes=document_bytes, **limits))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Message]:
    """What rooms say to single peers."""
    said: list[Message] = []
    send = Peer.send

    def keep(peer: Peer, message: Message) -> None:
        said.append(message)
        send(peer, message)

    monkeypatch.setattr(Peer, "send", keep)
    return said


def denials(told: list[Message]) -> list[str]:
    return [message.reason for message in told if isinstance(message, PermissionDenied)]


async def joined(server: Process, *users: str) -> list[Connection]:
    connections = [await server.join(user=user) for user in users]
    await quiet(server)
    return connections


async def tend(server: Process) -> None:
    """What happens every few seconds."""
    server.room().tend(server.clock.monotonic())
    await quiet(server)


@pytest.mark.rule("CL20")
async def test_what_is_too_much_is_refused_before_anybody_sees_it(told: list[Message]) -> None:
    """Its writer is told once and stays, though nothing of what it goes on to write is taken; others go on as there is room.
    The log tells once a minute.
    """
    async with process() as server:
        ana, ben = await joined(server, "ana", "ben")
        ana.client.text += "a" * 2000
        await quiet(server)
        with capture_logs() as lines:
            ana.client.text += "b" * 3000
            for _ in range(20):
                ana.client.text += "c"
            await step(server, 15)
        logged = [line for line in lines if line["event"].startswith("document full") and line["log_level"] == "warning"]
        assert [(line["document"], line["user"]) for line in logged] == [("doc", "ana")]
        assert str(ben.client.text) == body(server) == "a" * 2000
        assert (ana.closed, ana.client.saved) == (None, False)
        assert denials(told) == [server.room().fullness.reason]
        assert "4000 bytes" in denials(told)[0]
        assert server.excess.counts["document_full"] == 21
        ben.client.text.insert(0, "d" * 1000)
        await quiet(server)
        assert ben.client.saved
        assert str(ana.client.text).startswith("d" * 1000 + "a")


async def test_it_comes_when_there_is_room_for_it(told: list[Message]) -> None:
    """Deletions are taken from everybody; who has more than there was room for is asked, and everybody has the same."""
    async with process() as server:
        ana, ben = await joined(server, "ana", "ben")
        ben.client.text += "a" * 3000
        await quiet(server)
        ana.client.text.insert(0, "b" * 2000)
        await tend(server)
        del ana.client.text[2000:2500]
        await quiet(server)
        assert str(ben.client.text) == "a" * 2500, "the same client may make room"
        await tend(server)
        assert body(server) == "a" * 2500, "too little yet"
        del ben.client.text[0:1000]
        await quiet(server)
        assert str(ana.client.text) == str(ben.client.text) == body(server) == "b" * 2000 + "a" * 1500
        assert ana.client.saved
        assert len(denials(told)) == 1


async def test_who_deletes_what_was_refused_is_saved(told: list[Message]) -> None:
    async with process() as server:
        (ana,) = await joined(server, "ana")
        ana.client.text += "a" * 3000
        await quiet(server)
        ana.client.text += "b" * 3000
        ana.client.text += "c"
        del ana.client.text[3000:6000]
        await quiet(server)
        assert ana.client.acknowledged < ana.client.sent
        await tend(server)
        assert body(server) == "a" * 3000 + "c"
        assert ana.client.saved
        assert sum(isinstance(message, SyncStep1) for message in told) == 2


async def test_two_hundred_keystrokes_need_no_room_but_their_own(told: list[Message]) -> None:
    """Each travels in twenty bytes and more; so much room there never was. Asked once, and everybody has the same."""
    async with process() as server:
        ana, ben = await joined(server, "ana", "ben")
        ana.client.text += "a" * 3930
        await quiet(server)
        for _ in range(250):
            ana.client.text += "b"
        await quiet(server)
        assert server.excess.counts["document_full"] > 190
        asked = questions(told)
        del ana.client.text[0:300]
        ana.client.text += "c"
        await quiet(server)
        await tend(server)
        assert str(ana.client.text) == str(ben.client.text) == body(server) == "a" * 3630 + "b" * 250 + "c"
        assert ana.client.saved
        assert questions(told) == asked + 1


def questions(told: list[Message]) -> int:
    return sum(isinstance(message, SyncStep1) for message in told)


async def test_what_others_have_brought_needs_no_room() -> None:
    """Two windows of one browser share what they have without the server: what one was refused says too much then."""
    async with process() as server:
        ana, ben = await joined(server, "ana", "ana")
        ben.client.text += "a" * 3000
        await quiet(server)
        ana.lose()
        ana.client.text += "b" * 1000
        shared = ana.client.doc.get_update()
        ana.client.text += "c" * 1000
        ana = await server.join(client=ana.client, user="ana")
        await quiet(server)
        assert ana.peer.outgrown > 2000
        del ben.client.text[0:500]
        await quiet(server)
        ben.client.doc.apply_update(shared)
        del ben.client.text[0:800]
        await quiet(server)
        assert body(server) == "a" * 1700 + "b" * 1000
        await tend(server)
        assert body(server) == str(ana.client.text) == "a" * 1700 + "b" * 1000 + "c" * 1000
        assert ana.client.saved


async def test_who_is_asked_in_vain_is_asked_less_and_less_often(told: list[Message]) -> None:
    """A document that becomes a little smaller again and again may not cost a megabyte each time. No answer is not waited for
    without an end.
    """
    clock = ManualClock()
    async with Process(memory_storage(), LocalBroker(), clock=clock, limits=Limits(document_bytes=MOST)) as server:
        ana, ben = await joined(server, "ana", "ben")
        ben.client.text += "a" * 3000
        await quiet(server)
        ana.client.text += "b" * 5000
        await quiet(server)
        before = questions(told)
        for _ in range(60):
            del ben.client.text[0:35]
            await quiet(server)
            clock.advance(2)
            await tend(server)
        assert 3 <= questions(told) - before <= 8, "in two minutes"
        ana.reading = False
        ana.client.disconnect()
        del ben.client.text[0 : len(ben.client.text)]
        del ana.client.text[0:3000]
        ana.peer.outgrown = 2000
        before = questions(told)
        for _ in range(12):
            clock.advance(2)
            await tend(server)
        assert questions(told) - before == 3, "every ten seconds"


async def test_no_edit_has_a_large_document_encoded(told: list[Message], monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody would notice. The sum counts until somebody looks between edits, which is seldom."""
    monkeypatch.setattr(fullness, "_LARGE_BYTES", 3000)
    encoded: list[Document] = []
    encode = Document.encode
    clock = ManualClock()

    def timed(document: Document) -> bytes:
        if document._encoded is None and document is server.room().replicas.live:
            encoded.append(document)
            clock.advance(0.01)
        return encode(document)

    async with Process(memory_storage(), LocalBroker(), clock=clock, limits=Limits(document_bytes=MOST)) as server:
        (ana,) = await joined(server, "ana")
        ana.client.text += "a" * 3850
        await quiet(server)
        monkeypatch.setattr(Document, "encode", timed)
        for _ in range(50):
            ana.client.text += "b"
        await quiet(server)
        assert not encoded
        assert server.excess.counts["document_full"] > 40
        await tend(server)
        assert len(encoded) == 1
        assert body(server) == "a" * 3850 + "b" * 50
        for _ in range(20):
            ana.client.text += "c"
        await tend(server)
        assert len(encoded) == 1, "not again for two hundred times as long as that took"
        clock.advance(10)
        await tend(server)
        assert len(encoded) == 2
        assert ana.client.saved
        assert body(server) == "a" * 3850 + "b" * 50 + "c" * 20


async def test_what_was_deleted_long_ago_needs_no_room() -> None:
    """Whoever comes back tells all that was ever deleted."""
    async with process() as server:
        ana, ben = await joined(server, "ana", "ben")
        ana.client.text += "ab" * 200
        await quiet(server)
        for at in range(100):
            del ana.client.text[at]
        await quiet(server)
        live = server.room().replicas.live
        assert live is not None
        room = MOST - len(live.encode())
        ana.lose()
        ana.client.text += "c" * (room - 100)
        ana = await server.join(client=ana.client, user="ana")
        await quiet(server)
        assert ana.client.saved
        assert server.excess.counts["document_full"] == 0
        assert str(ben.client.text) == body(server)


async def test_something_shorter_may_take_the_place_of_what_is_there() -> None:
    """Also in a document that is full to the last byte: what deletes as much as it brings is taken, a sixteenth beyond."""
    async with process() as server:
        (ana,) = await joined(server, "ana")
        ana.client.text += "a" * 3950
        await quiet(server)
        for _ in range(3):
            with ana.client.doc.transaction():
                del ana.client.text[0:200]
                ana.client.text.insert(0, "b" * 100)
            await quiet(server)
        assert body(server) == "b" * 100 + "a" * (3950 - 200 - 100 - 100)
        assert ana.client.saved


async def test_of_what_was_done_while_away_deletions_are_taken(told: list[Message]) -> None:
    """What it brings is refused whole, and taken when there is room."""
    async with process() as server:
        ana, ben = await joined(server, "ana", "ben")
        ben.client.text += "a" * 3000
        await quiet(server)
        ana.lose()
        del ana.client.text[0:500]
        ana.client.text += "b" * 2000
        ana = await server.join(client=ana.client, user="ana")
        await quiet(server)
        assert body(server) == str(ben.client.text) == "a" * 2500
        assert ana.client.acknowledged < ana.client.sent
        del ben.client.text[0:1500]
        await tend(server)
        assert body(server) == str(ana.client.text) == "a" * 1000 + "b" * 2000
        assert ana.client.saved
        eve = await server.join(client=YjsClient(), user="eve")
        eve.lose()
        eve.client.text += "c" * 5000
        eve = await server.join(client=eve.client, user="eve")
        await quiet(server)
        assert server.excess.counts["document_full"] == 2
        assert eve.closed is None


async def test_what_was_held_may_find_no_room(told: list[Message]) -> None:
    """What it waited for comes when others have filled the document: that fits, and it does not."""
    async with process() as server:
        ana, ben = await joined(server, "ana", "ben")
        sent: list[bytes] = []
        other = YjsClient()
        other.connect(sent.append)
        other.text += "first"
        other.text += "b" * 1000
        ana.send(sent[-1])
        ben.client.text += "a" * 3500
        await quiet(server)
        assert ana.peer.held
        ana.send(sent[-2])
        await quiet(server)
        assert sorted(body(server)) == sorted("first" + "a" * 3500)
        assert not ana.peer.held
        assert len(denials(told)) == 1


async def test_what_waited_for_something_else_is_looked_at_again(told: list[Message]) -> None:
    """When it came there would have been room for it."""
    async with process() as server:
        ana, ben = await joined(server, "ana", "ben")
        sent: list[bytes] = []
        other = YjsClient()
        other.connect(sent.append)
        other.text += "first"
        other.text += "b" * 1000
        ana.send(sent[-1])
        await quiet(server)
        assert ana.peer.held
        ben.client.text += "a" * 3500
        ben.send(sent[-2])
        await quiet(server)
        assert sorted(body(server)) == sorted("first" + "a" * 3500)
        assert not ana.peer.held
        assert len(denials(told)) == 1


async def test_the_sum_of_keystrokes_is_not_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each travels in some twenty bytes, and is one in the end. The document is encoded to know that, and that not often."""
    encoded = 0
    encode = Document.encode
    clock = ManualClock()

    def timed(document: Document) -> bytes:
        nonlocal encoded
        if document._encoded is None:
            encoded += 1
            clock.advance(0.001)
        return encode(document)

    async with Process(memory_storage(), LocalBroker(), clock=clock, limits=Limits(document_bytes=MOST)) as server:
        (ana,) = await joined(server, "ana")
        monkeypatch.setattr(Document, "encode", timed)
        for _ in range(1000):
            ana.client.text += "x"
            clock.advance(0.001)
        await quiet(server)
        assert ana.client.saved
        assert encoded < 10
        ana.client.text += "y" * 2900
        await quiet(server)
        clock.advance(1)
        encoded = 0
        for _ in range(200):
            ana.client.text += "z" * 30
            del ana.client.text[0:1]
        assert encoded == 1, "between two looks the sum counts"


async def test_as_large_as_it_becomes() -> None:
    async with process(0) as server:
        (ana,) = await joined(server, "ana")
        ana.client.text += "a" * 100_000
        await quiet(server)
        assert ana.client.saved
        assert server.room().fullness.has_room(1 << 40)


async def test_operations_that_add_to_it_are_refused() -> None:
    """Those that delete are not, and what was committed before is answered as it was."""
    async with process() as server:
        bot, name = ThinClient("bot"), new_id()
        first = await bot.insert(server, 0, "a" * 3000, id=name)
        await answered(server, first)
        await bot.read(server)
        error = await refused(server, await bot.insert(server, 0, "b" * 2000))
        assert (error.code, error.retry, error.reason) == ("document_full", False, server.room().fullness.reason)
        bot.head = None
        await answered(server, await bot.insert(server, 0, "a" * 3000, id=name))
        await bot.read(server)
        await answered(server, await bot.send(server, [{"type": "delete", "position": ["body", 0], "length": 1500}]))
        assert body(server) == "a" * 1500
        await bot.read(server)
        await answered(server, await bot.insert(server, 0, "b" * 2000))
        assert body(server) == "b" * 2000 + "a" * 1500


async def test_what_the_server_makes_for_somebody() -> None:
    """A restore that would be too much is refused, too."""
    async with process() as server:
        (ana,) = await joined(server, "ana")
        ana.client.text += "a" * 3000
        await quiet(server)
        update = write_update([block(4000, 0, text("b" * 2000, root="body"))])
        prepared = Prepared(
            session=Session(new_id(), "doc", Access("root", Grant.WRITE), 0),
            id=new_id(),
            digest="d" * 64,
            update=update,
            outline=inspect(update),
            cause=Cause(CauseKind.RESTORE, 1, root="body"),
            base=server.room().replicas.head,
        )
        enqueue(server.room(), prepared, server.clock, server.limits)
        assert (await refused(server, prepared)).code == "document_full"


async def test_very_large_ones_go_by_their_size(told: list[Message]) -> None:
    """Nothing is known of them but that, before they are looked at."""
    async with process(import_bytes=1000) as server:
        (ana,) = await joined(server, "ana")
        large = YjsClient()
        large.text += "b" * 5000
        await asyncio.wait_for(server.room().large.bring(ana.peer, large.doc.get_update(b"\0")), 30)
        live = server.room().replicas.live
        assert live is not None
        assert live.encoded_size < 100
        assert len(denials(told)) == 1


async def test_while_it_is_made_anew_nothing_is_too_much() -> None:
    async with process() as server:
        await joined(server, "ana")
        fullness = server.room().fullness
        server.room().replicas.live = None
        assert fullness.has_room(5000)
        assert fullness.admits(inspect(write_update([block(1, 0, text("b" * 5000, root="body"))])))
        assert fullness.admits_all([])


async def test_who_has_gone_is_not_asked(told: list[Message]) -> None:
    """Nor is who has told meanwhile what it has."""
    async with process() as server:
        ana, ben, cem = await joined(server, "ana", "ben", "cem")
        for one in (ana, ben):
            one.client.text += "b" * 5000
        await quiet(server)
        ana.lose()
        del ben.client.text[0:5000]
        server.room().ask(ben.peer)
        await quiet(server)
        assert ben.client.saved
        asked = sum(isinstance(message, SyncStep1) for message in told)
        cem.client.text += "c"
        await quiet(server)
        await tend(server)
        assert sum(isinstance(message, SyncStep1) for message in told) == asked
        assert server.room().peers == {ben.peer, cem.peer}


async def test_of_one_in_slices_deletions_are_taken_too() -> None:
    """Who was away for long has a thousand of them, and more."""
    async with process(80_000) as server:
        ana, ben = await joined(server, "ana", "ben")
        ben.client.text += "ab" * 15_000
        await quiet(server)
        ana.lose()
        for at in range(1500):
            del ana.client.text[at]
        ana.client.text += "c" * 90_000
        here = await server.join(client=YjsClient(), user="ana")
        await quiet(server)
        update = ana.client.doc.get_update(here.client.doc.get_state())
        outline = inspect(update, SYNC_LIMITS)
        assert is_large(outline)
        await asyncio.wait_for(server.room().large.receive(here.peer, update, outline, everything=True), 30)
        await quiet(server)
        assert body(server) == str(ben.client.text) == "b" * 1500 + "ab" * 13_500
        assert here.peer.outgrown > 90_000


@pytest.mark.parametrize("seed", range(3))
async def test_everybody_comes_together_again(seed: int) -> None:
    """Whatever three people do, who come and go, in a document that is full most of the time: it stays as small as it may be,
    and once they have deleted enough all have the same, and all of it is stored.
    """
    rng = random.Random(seed)
    async with process() as server:
        people = await joined(server, "ana", "ben", "cem")
        for _ in range(100):
            number = rng.randrange(3)
            client = people[number].client
            match rng.choice(("insert", "insert", "delete", "replace", "away", "tend")):
                case "insert":
                    client.text.insert(rng.randint(0, len(client.text)), rng.choice("abc") * rng.randint(1, 600))
                case "delete":
                    _delete(client, rng)
                case "replace":
                    with client.doc.transaction():
                        _delete(client, rng)
                        client.text += "r" * rng.randint(1, 100)
                case "away":
                    people[number].lose()
                    client.text += "x" * rng.randint(1, 300)
                    people[number] = await server.join(client=client, user=people[number].peer.session.author)
                case _:
                    await tend(server)
            if rng.random() < 0.7:
                await quiet(server)
            live = server.room().replicas.live
            assert live is not None
            assert len(live.encode()) <= MOST + MOST // 16
        assert [one.closed for one in people] == [None] * 3
        assert server.excess.counts["document_full"]
        for one in people:
            length = len(one.client.text)
            del one.client.text[100:length]
            await quiet(server)
        for _ in range(3):
            await tend(server)
        assert {str(one.client.text) for one in people} == {body(server)}
        assert all(one.client.saved for one in people)


def _delete(client: YjsClient, rng: random.Random) -> None:
    length = len(client.text)
    start = rng.randint(0, length)
    del client.text[start : rng.randint(start, length)]


async def test_deleting_makes_a_document_no_larger_without_an_end(told: list[Message]) -> None:
    """A character that goes from the middle leaves two pieces. Large deletions are taken; who has nothing new is not told."""
    async with process() as server:
        ana, ben = await joined(server, "ana", "ben")
        ana.client.text += "ab" * 1900
        await quiet(server)
        for at in range(150):
            del ana.client.text[at]
            await quiet(server)
        live = server.room().replicas.live
        assert live is not None
        assert len(live.encode()) <= MOST + MOST // 16
        assert len(denials(told)) == 1
        assert len(str(ben.client.text)) > 3650
        ben.lose()
        again = await server.join(client=ben.client, user="ben")
        await quiet(server)
        assert again.client.saved
        assert len(denials(told)) == 1
        for _ in range(10):
            del again.client.text[0:100]
        await quiet(server)
        await tend(server)
        assert str(ana.client.text) == str(again.client.text) == body(server)
        assert ana.client.saved
