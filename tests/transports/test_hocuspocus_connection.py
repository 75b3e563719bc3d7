"""Hocuspocus connections: statuses, tokens and grants, whatever time it takes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from cowrite.brokers.local import LocalBroker
from cowrite.core.ports import Grant
from cowrite.core.rooms.room import Room
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.hocuspocus import (
    Authenticate,
    Authenticated,
    Close,
    Scope,
    SyncStatus,
    TokenRequest,
)
from cowrite.protocol.messages import AwarenessUpdate, PermissionDenied, QueryAwareness, SyncStep1, SyncStep2
from cowrite.stores.memory import MemoryDatabase, memory_storage
from cowrite.testing.process import Process
from cowrite.testing.transport_contract.provider import NOTHING, content, update
from transports.hocuspocus_desk import ASKABLE, CARET, VERSION, Desk, Provider


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    database = MemoryDatabase()
    async with Process(memory_storage(database), LocalBroker()) as process:
        yield Desk(process, database)


# ---- synchronisation -----------------------------------------------------------------------------------------------------


@pytest.mark.rule("HP16")
async def test_a_broadcast_is_encoded_once_for_an_address(desk: Desk) -> None:
    """All that use the document's plain name get the same object, whatever socket they have; a session has its own address."""
    writer, *readers = [await desk.enter() for _ in range(4)]
    other = await desk.enter("doc\0session")
    for message, kind in ((update("hello"), b"\x00\x02"), (CARET, b"\x01")):
        writer.say(message)
        await desk.settle(1)
        frames = [one.wire.received[-1] for one in readers]
        assert frames[0].startswith(b"\x03doc" + kind)
        assert all(frame is frames[0] for frame in frames)
        assert other.wire.received[-1].startswith(b"\x0bdoc\0session" + kind)


@pytest.mark.rule("HP12")
async def test_saved_means_committed(desk: Desk) -> None:
    """While the transaction is under way there is no status; then there is one for each, before what others do next."""
    provider = await desk.enter()
    hold = desk.database.hold_next("commit")
    provider.say(update("one"), update("two"))
    await desk.settle(1)
    assert provider.heard() == []
    hold.release()
    await desk.settle(1)
    assert provider.heard() == [SyncStatus(True), SyncStatus(True)]


@pytest.mark.rule("AW12")
async def test_a_clock_that_is_used_up(desk: Desk) -> None:
    """Who came back with the same Yjs client is told the end of it, and asked: version 4 does not announce itself unasked."""
    provider = await desk.enter()
    ended = AwarenessUpdate((AwarenessEntry(7, 2, None),))
    provider.say(CARET, ended)
    await desk.settle()
    provider.heard()
    provider.say(AwarenessUpdate((AwarenessEntry(7, 2, "{}"),)))
    await desk.settle()
    assert provider.heard() == [ended, QueryAwareness()]


@pytest.mark.rule("HP14")
async def test_while_the_database_is_away(desk: Desk) -> None:
    """What is beyond the bound is refused; the client is asked for it once, and then as much is saved as it counts."""
    provider = await desk.enter()
    room = desk.process.room()
    desk.database.unavailable = True
    provider.say(update("kept"))
    accepts, room.pending.accepts = room.pending.accepts, lambda size, limits: False  # type: ignore[method-assign]
    provider.say(update("a"), update("b"))
    await desk.settle(3)
    assert provider.heard() == [], "in order: the first one is on its way"
    room.pending.accepts = accepts  # type: ignore[method-assign]
    desk.database.unavailable = False
    await desk.settle(30)
    assert [message for message in provider.heard() if not isinstance(message, AwarenessUpdate)] == [
        SyncStatus(True),
        *[SyncStatus(False)] * 2,
        SyncStep1(room_state(room)),
    ]
    provider.say(SyncStep2(content("a and b")))
    await desk.settle(1)
    assert provider.heard() == [SyncStatus(True)] * 2


def room_state(room: Room) -> bytes:
    from cowrite.crdt.state_vector import encode_state_vector

    assert room.replicas.live is not None
    return encode_state_vector(room.replicas.live.state)


@pytest.mark.rule("HP10")
async def test_a_document_that_cannot_be_opened_now(desk: Desk) -> None:
    """It is tried again, while others on the socket go on; who leaves it meanwhile does not come in."""
    provider = await desk.enter("other")
    desk.database.unavailable = True
    for address in ("doc", "left"):
        provider.say(Authenticate("ana", VERSION), SyncStep1(b"\0"), address=address)
    await desk.settle(8)
    assert provider.code is None
    provider.say(Close(), address="left")
    assert provider.heard() == []
    desk.database.unavailable = False
    await desk.settle(20)
    assert provider.heard() == [Authenticated(Scope.READ_WRITE), SyncStep1(b"\0"), SyncStep2(NOTHING)]
    assert desk.process.registry.get("left") is None or not desk.process.room("left").peers


@pytest.mark.rule("HP10")
async def test_a_deleted_document(desk: Desk) -> None:
    """It ends for who is in it, and is denied to whoever comes."""
    provider = await desk.enter("doc", "other")
    desk.process.room().delete()
    assert provider.heard() == [Close("document_deleted")]
    provider.say(QueryAwareness())
    provider.say(Authenticate("ana", VERSION))
    await desk.settle()
    assert provider.code is None


@pytest.mark.rule("HP21")
async def test_ends_after_which_to_come_back(desk: Desk) -> None:
    """They close the socket, with the room's code, and all its documents are left."""
    provider = await desk.enter("doc", "other", "doc\0twice")
    watcher = await desk.enter("other")
    desk.process.room().close_peers(CloseCode.DOCUMENT_REBUILT, "come back")
    assert provider.wire.closed == (CloseCode.DOCUMENT_REBUILT, "come back")
    provider.connection.close(CloseCode.NORMAL, "too late")
    provider.connection.fail(RuntimeError("too late"))
    provider.connection.lost(goodbye=False)
    assert provider.code == CloseCode.DOCUMENT_REBUILT
    assert not desk.process.room().peers
    assert len(desk.process.room("other").peers) == 1
    assert watcher.code is None
    assert len(desk.services.connections) == 1


@pytest.mark.rule("HP10")
async def test_a_document_that_is_being_rebuilt(desk: Desk) -> None:
    """Who comes just then waits for it."""
    await desk.enter()
    room = desk.process.room()
    live, room.replicas.live = room.replicas.live, None
    provider = Provider(desk)
    provider.say(Authenticate("ana", VERSION), SyncStep1(b"\0"))
    await desk.settle()
    room.replicas.live = live
    await desk.settle(2)
    assert isinstance(provider.heard()[-1], SyncStep2)
    assert len(desk.services.access._followers) == 2


# ---- tokens and grants ---------------------------------------------------------------------------------------------------


@pytest.mark.rule("HP9")
async def test_a_burst_of_going_and_coming(desk: Desk) -> None:
    """As React's strict mode sends it; whoever comes last is in, whatever the server had asked those before."""
    provider = Provider(desk)
    for _ in range(3):
        provider.say(Authenticate("ana", VERSION), SyncStep1(b"\0"), CARET, Close())
    provider.say(Authenticate("ana", VERSION), SyncStep1(b"\0"))
    await desk.settle()
    assert provider.heard() == [Authenticated(Scope.READ_WRITE), SyncStep1(b"\0"), SyncStep2(NOTHING)]
    provider.say(Close(), Authenticate("ana", VERSION), SyncStep1(b"\0"))
    await desk.settle()
    # The frames for the first one reach the second, which answers both questions of the server.
    provider.say(SyncStep2(NOTHING), SyncStep2(NOTHING))
    await desk.settle()
    assert provider.heard()[-2:] == [SyncStatus(True), SyncStatus(False)]
    assert len(desk.process.room().peers) == 1


@pytest.mark.rule("HP6")
async def test_another_token_while_one_is_checked(desk: Desk) -> None:
    """If the first is no good, the second counts; if it is good, the second is a newer one."""
    provider = Provider(desk)
    provider.say(Authenticate("bad", VERSION), SyncStep1(b"\0"), Authenticate("ana", VERSION), SyncStep1(b"\0"))
    provider.say(Authenticate("ana:new", VERSION))
    await desk.settle()
    assert provider.heard() == [
        PermissionDenied("unauthorized"),
        Authenticated(Scope.READ_WRITE),
        SyncStep1(b"\0"),
        SyncStep2(NOTHING),
    ]
    (peer,) = desk.process.room().peers
    assert peer.session.author == "ana"


@pytest.mark.rule("HP7")
@pytest.mark.parametrize("early", [True, False])
async def test_a_token_that_comes_after_all(desk: Desk, early: bool) -> None:
    """Whoever began without one is somebody else then, whether that was being checked or had come in."""
    provider = Provider(desk)
    provider.say(SyncStep1(b"\0"), CARET)
    if not early:
        await desk.settle()
        (guest,) = desk.process.room().peers
        assert guest.session.author == "guest"
    provider.say(Authenticate("ana", VERSION), SyncStep1(b"\0"))
    await desk.settle()
    (peer,) = desk.process.room().peers
    assert peer.session.author == "ana"
    assert [type(message) for message in provider.heard()][-3:] == [Authenticated, SyncStep1, SyncStep2] or not early


@pytest.mark.rule("HP19")
async def test_a_newer_token(desk: Desk) -> None:
    """Its grant holds from then on; the scope is told when it is another one, and what was refused is asked for."""
    desk.grants = {"ana:reads": Grant.READ, "ana:comments": Grant.COMMENT}
    provider = await desk.enter(token="ana:reads")
    provider.say(update("no"))
    assert provider.heard() == [SyncStatus(False)]
    provider.say(Authenticate("ana:comments", VERSION))
    await desk.settle()
    assert provider.heard() == []
    provider.say(Authenticate("never", VERSION), Authenticate("ana", VERSION))
    await desk.settle()
    assert provider.heard() == [Authenticated(Scope.READ_WRITE), SyncStep1(b"\0")]
    provider.say(SyncStep2(content("yes")))
    await desk.settle(1)
    assert provider.heard() == [SyncStatus(True)]


@pytest.mark.rule("HP19")
@pytest.mark.parametrize(("token", "told"), [("bad", "unauthorized"), ("ben", "forbidden")])
async def test_a_token_that_is_no_good_later(desk: Desk, token: str, told: str) -> None:
    """The document ends, and others on the socket do not."""
    provider = await desk.enter("doc", "other")
    provider.say(Authenticate(token, VERSION))
    await desk.settle()
    assert provider.heard() == [Close(told)]
    assert not desk.process.room().peers
    assert desk.process.room("other").peers


@pytest.mark.rule("HP19")
async def test_a_token_that_cannot_be_checked(desk: Desk) -> None:
    """The one before goes on counting; the log tells."""
    provider = await desk.enter()
    desk.failure = RuntimeError("the user database is away")
    with capture_logs() as logs:
        provider.say(Authenticate("ana", VERSION))
        await desk.settle()
    assert [line["event"] for line in logs] == ["token not checked"]
    assert provider.heard() == []
    assert desk.process.room().peers


@pytest.mark.rule("HP19")
async def test_a_guest_has_no_newer_token(desk: Desk) -> None:
    provider = await desk.enter(token="")
    provider.say(Authenticate("", VERSION))
    await desk.settle()
    assert provider.heard() == []
    assert desk.process.room().peers


@pytest.mark.rule("HP19")
async def test_a_token_is_asked_for_before_the_last_one_ends(desk: Desk) -> None:
    """A minute before, or after half its time; a session that such a token has begun goes on without."""
    desk.ends = {"ana": desk.clock.now() + 600_000, "ana:new": desk.clock.now() + 640_000}
    provider = await desk.enter(version=ASKABLE)
    await desk.settle(535)
    assert TokenRequest() not in provider.heard()
    await desk.settle(10)
    assert TokenRequest() in provider.heard()
    provider.say(Authenticate("ana:new", VERSION))
    await desk.settle()
    assert TokenRequest() not in provider.heard()
    await desk.settle(55)
    assert TokenRequest() in provider.heard()
    provider.say(Authenticate("ana:new", VERSION))
    await desk.settle()
    await desk.settle(50)
    assert TokenRequest() not in provider.heard(), "it has shown the same one again"
    assert desk.process.room().peers


@pytest.mark.rule("HT8")
async def test_a_session_that_its_user_ends(desk: Desk) -> None:
    admission = await desk.services.bridge.connect("ana", "doc")
    provider = await desk.enter(token=admission.access_token)
    await desk.services.bridge.disconnect(admission.access_token)
    assert provider.heard() == [Close("unauthorized")]
    assert desk.process.room().presence.persons == []


@pytest.mark.rule("HP19")
async def test_the_end_of_a_session(desk: Desk) -> None:
    """The session of an access token ends with it, unless it was renewed meanwhile, by whatever way."""
    bridge = desk.services.bridge
    admissions = [await bridge.connect(name, "doc") for name in ("ana", "ben")]
    ana, ben = [await desk.enter(token=admission.access_token, version=ASKABLE) for admission in admissions]
    left = (admissions[0].session_ends_at - desk.clock.now()) / 1000
    await desk.settle(left - 30)
    assert TokenRequest() in ana.heard()
    assert TokenRequest() in ben.heard()
    admissions[0].session.ends_at = admissions[0].session_ends_at + 600_000
    await desk.settle(31)
    assert Close("unauthorized") in ben.heard()
    assert [peer.session.author for peer in desk.process.room().peers] == ["ana"]
    await desk.settle(560)
    assert TokenRequest() in ana.heard()
    await desk.settle(40)
    assert Close("unauthorized") in ana.heard()
    assert not desk.process.room().peers


@pytest.mark.rule("HP20")
async def test_grants_that_change(desk: Desk) -> None:
    """A reader from now on is told so; who lost the grant is out of that document."""
    provider = await desk.enter("doc", "other")
    old = await desk.enter(version=None)
    await desk.change(Grant.READ)
    for one in (provider, old):
        assert one.heard() == [Authenticated(Scope.READ_ONLY)]
    provider.say(update("no"))
    assert provider.heard() == [SyncStatus(False)]
    await desk.change(Grant.ADMIN)
    assert [type(message) for message in provider.heard()] == [Authenticated, SyncStep1]
    old.heard()
    await desk.change(None)
    assert provider.heard() == [Close("forbidden")]
    assert old.heard() == [PermissionDenied("forbidden")]
    provider.say(Authenticate("ana", VERSION))
    await desk.settle()
    assert provider.heard() == [PermissionDenied("forbidden")]
    assert provider.code is None
