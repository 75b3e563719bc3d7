"""One Hocuspocus connection on a wire without a socket: time, a store that fails, grants that change, order within one turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from structlog.testing import capture_logs

from cowrite.brokers.local import LocalBroker
from cowrite.core.limits import Limits
from cowrite.core.ports import Access, AccessDenied, Grant
from cowrite.core.records import AccessChange
from cowrite.core.room import Room
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.hocuspocus import (
    PING,
    PONG,
    Addressed,
    Authenticate,
    Authenticated,
    Close,
    HocuspocusDialect,
    Message,
    Scope,
    Stateless,
    SyncStatus,
    TokenRequest,
    decode,
)
from cowrite.protocol.messages import AwarenessUpdate, PermissionDenied, QueryAwareness, SyncStep1, SyncStep2, Update
from cowrite.stores.memory import MemoryDatabase, memory_storage
from cowrite.testing.clock import ManualClock
from cowrite.testing.process import Process
from cowrite.testing.transport_contract.provider import NOTHING, content, update
from cowrite.testing.wire import FakeWire
from cowrite.transports.hocuspocus import HocuspocusConnection
from cowrite.transports.upgrade import Accepted, Language
from transports.process_services import services_of

CARET = AwarenessUpdate((AwarenessEntry(7, 1, '{"user":"ana"}'),))
VERSION = "4.8.0"
ASKABLE = "3.4.4"
"""No provider 3 tells this; one that did would be told of ends, and not be sent Pings."""


class Provider:
    """A connection, and what its client is sent."""

    def __init__(self, desk: Desk) -> None:
        self.wire = FakeWire()
        self.connection = HocuspocusConnection(self.wire, Accepted(None, None, None, Language.HOCUSPOCUS), desk.services)
        self.wire.drained = self.connection.drained
        self.connection.opened()
        self._read = 0

    def say(self, *messages: Message, address: str = "doc") -> None:
        for message in messages:
            self.connection.receive(HocuspocusDialect(address).encode(message))

    def heard(self, address: str = "doc") -> list[Message]:
        """What has come at this address since the last call."""
        frames, self._read = self.wire.received[self._read :], len(self.wire.received)
        messages = [decode(frame) for frame in frames]
        return [one.message for one in messages if isinstance(one, Addressed) and one.address == address]

    @property
    def code(self) -> int | None:
        return self.wire.closed[0] if self.wire.closed is not None else None


class Desk:
    """A process, and providers that connect to it. A token is a user's name; who may do what can be set."""

    def __init__(self, process: Process, database: MemoryDatabase) -> None:
        self.process = process
        self.database = database
        self.services = services_of(process, self._authorize)
        self.grants: dict[str, Grant] = {}
        self.ends: dict[str, int] = {}
        self.failure: Exception | None = None

    async def _authorize(self, token: str | None, document_id: str) -> Access:
        if self.failure is not None:
            raise self.failure
        if token == "bad":
            raise AccessDenied("no", known=False)
        name = token or "guest"
        user = name.partition(":")[0]
        return Access(user, self.grants.get(name, Grant.WRITE), expires_at=self.ends.get(name))

    @property
    def clock(self) -> ManualClock:
        assert isinstance(self.process.clock, ManualClock)
        return self.process.clock

    async def settle(self, seconds: float = 0.0) -> None:
        for _ in range(5):
            self.clock.advance(seconds / 5)
            await self.process.quiet()

    async def enter(self, *addresses: str, token: str = "ana", version: str | None = VERSION) -> Provider:
        provider = Provider(self)
        for address in addresses or ("doc",):
            provider.say(Authenticate(token, version), SyncStep1(b"\0"), address=address)
            await self.settle()
            provider.say(SyncStep2(NOTHING), address=address)
        await self.settle()
        provider.heard()
        return provider

    async def change(self, grant: Grant | None, *, user: str = "ana") -> None:
        now = self.clock.now()
        await self.process.storage.access.change(AccessChange(self.process.ids.new(), "admin", now, "doc", user, grant=grant))
        await self.services.access.catch_up()


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    database = MemoryDatabase()
    async with Process(memory_storage(database), LocalBroker()) as process:
        yield Desk(process, database)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - only the event loop has to turn
            await asyncio.sleep(0.001)


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


# ---- time ----------------------------------------------------------------------------------------------------------------


@pytest.mark.rule("HP24")
async def test_a_silent_provider_of_version_4(desk: Desk) -> None:
    """It is sent a Ping, and closed when it does not answer."""
    provider, dead = await desk.enter(), await desk.enter()
    await desk.settle(31)
    assert provider.wire.received.count(PING) == 1
    provider.connection.receive(PONG)
    await desk.settle(31)
    assert provider.wire.received.count(PING) == 2
    assert provider.code is None
    assert dead.code == CloseCode.CONNECTION_TIMEOUT


@pytest.mark.rule("HP24")
async def test_a_silent_provider_of_another_version(desk: Desk) -> None:
    """It may have nothing to say, and must not be asked."""
    provider = await desk.enter(version=None)
    await desk.settle(600)
    assert PING not in provider.wire.received
    assert provider.code is None


@pytest.mark.rule("HP24")
async def test_nobody_is_logged_in(desk: Desk) -> None:
    """Whether nothing came, or nothing that counts: 60 s."""
    silent, denied = Provider(desk), Provider(desk)
    denied.say(Authenticate("bad", VERSION))
    await desk.settle()
    for _ in range(5):
        await desk.settle(11)
        denied.say(CARET)
    assert (silent.code, denied.code) == (None, None)
    await desk.settle(11)
    assert (silent.code, denied.code) == (CloseCode.CONNECTION_TIMEOUT,) * 2


@pytest.mark.rule("HP24")
async def test_a_socket_that_the_transport_finds_dead(desk: Desk) -> None:
    provider = await desk.enter()
    provider.connection.close(CloseCode.IDLE, "nothing was heard")
    assert provider.code == CloseCode.CONNECTION_TIMEOUT


# ---- sockets that are slow, flooded, or gone -----------------------------------------------------------------------------


@pytest.mark.rule("HP25")
async def test_documents_share_an_account(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever spends it on one document is served later in the others, in its order; after 30 s the socket is closed."""
    asked = 0

    def work(room: Room, peer: object) -> None:
        nonlocal asked
        desk.clock.advance(0.05)
        asked += 1

    monkeypatch.setattr(Room, "query_awareness", work)
    eve = await desk.enter("one", "two")
    for number in range(40):
        eve.say(QueryAwareness(), address=("one", "two")[number % 2])
    eve.say(update("patient"), address="two")
    assert asked == 1
    for _ in range(2000):
        desk.clock.advance(0.01)
    assert asked == 40
    await desk.settle(1)
    assert SyncStatus(True) in eve.heard("two")
    for _ in range(500):
        eve.say(QueryAwareness(), address="one")
    for _ in range(4000):
        desk.clock.advance(0.01)
    assert eve.code == CloseCode.TOO_FAST


@pytest.mark.rule("HP18")
async def test_texts_are_not_kept_for_who_does_not_read(desk: Desk) -> None:
    one, other = await desk.enter(), await desk.enter()
    other.wire.fill()
    one.say(Stateless("a"), Stateless("b"))
    other.wire.read_on()
    one.say(Stateless("c"))
    assert other.heard() == [Stateless("c")]
    assert one.heard() == [Stateless("a"), Stateless("b"), Stateless("c")]


@pytest.mark.rule("HP5")
async def test_a_slow_reader(desk: Desk) -> None:
    """What waits for several documents of one socket comes when it reads again."""
    slow, writer = await desk.enter("one", "two"), await desk.enter("one", "two")
    slow.wire.fill()
    for address in ("one", "two"):
        writer.say(update(f"for {address}"), address=address)
    await desk.settle(1)
    slow.say(Authenticate("bad", VERSION), address="three")
    await desk.settle()
    assert slow.heard("three") == []
    for _ in range(3):
        slow.wire.fill()
        slow.wire.read()
    slow.wire.read_on()
    seen = [decode(frame) for frame in slow.wire.received]
    for address in ("one", "two"):
        assert any(isinstance(one, Addressed) and one.address == address and isinstance(one.message, Update) for one in seen)
    assert Addressed("three", PermissionDenied("unauthorized")) in seen


@pytest.mark.rule("HP5")
async def test_a_document_that_is_rebuilt_while_its_reader_is_slow(desk: Desk) -> None:
    slow = await desk.enter()
    slow.wire.fill()
    slow.say(SyncStep1(b"\0"))
    desk.process.room().replicas.live = None
    slow.wire.read()
    assert slow.code == CloseCode.DOCUMENT_REBUILT


@pytest.mark.rule("HP5")
async def test_answers_that_nobody_reads(desk: Desk) -> None:
    """They are bounded: whoever is refused again and again and does not read is closed."""
    provider = Provider(desk)
    provider.wire.fill()
    limits = Limits()
    for number in range(limits.documents_per_socket + 20_000):
        provider.say(Authenticate("bad", VERSION), address=f"doc {number}")
        if number % 50 == 0:
            await desk.settle()
        if provider.code is not None:
            break
    assert provider.code == CloseCode.TOO_FAST


@pytest.mark.rule("HP25", "HP17")
async def test_lost_sockets(desk: Desk) -> None:
    """Who was about to come in never does; what had arrived whole is taken; then all documents are left, with or without a
    goodbye.
    """
    provider, watcher = await desk.enter(), await desk.enter()
    provider.say(CARET, Update(content("x" * 300_000)), update("behind"))
    provider.say(Authenticate("ana", VERSION), SyncStep1(b"\0"), address="late")
    early = Provider(desk)
    early.say(Authenticate("ana", VERSION), SyncStep1(b"\0"), update("never"))
    early.connection.lost(goodbye=False)
    provider.connection.lost(goodbye=True)
    room = desk.process.room()
    await until(lambda: len(room.peers) == 1)
    await desk.settle(1)
    assert AwarenessUpdate((AwarenessEntry(7, 1, None),)) in watcher.heard()
    assert room.replicas.live is not None
    assert b"behind" in room.replicas.live.encode()
    assert b"never" not in room.replicas.live.encode()
    late = desk.process.registry.get("late")
    assert late is None or not late.peers
    assert len(desk.services.connections) == 1


@pytest.mark.rule("HP26")
async def test_failures_close_the_socket(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody foresaw closes the socket whose message met it, and is logged with its traceback."""

    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    provider, other = await desk.enter(), await desk.enter()
    monkeypatch.setattr(Room, "announce", fail)
    with capture_logs() as logs:
        provider.say(CARET)
    assert provider.wire.closed == (CloseCode.INTERNAL_ERROR, "the server failed; connect again")
    assert other.code is None
    (line,) = logs
    assert (line["event"], line["log_level"], str(line["exc_info"])) == ("connection failed", "error", "a bug")


@pytest.mark.rule("HP6")
async def test_a_stubborn_authorizer(desk: Desk) -> None:
    """One that does not notice that its caller has gone lets nobody in, and its late failure is nobody's."""
    asked, answer = asyncio.Event(), asyncio.Event()

    async def stubborn(token: str | None, document_id: str) -> Access:
        asked.set()
        while not answer.is_set():
            try:
                await answer.wait()
            except asyncio.CancelledError:
                continue
        if token == "fails":
            raise RuntimeError("too late")
        if token == "denies":
            raise AccessDenied("too late", known=True)
        return Access("ana", Grant.WRITE)

    desk.services = services_of(desk.process, stubborn)
    provider = Provider(desk)
    for token in ("lets in", "fails", "denies"):
        asked.clear()
        provider.say(Authenticate(token, VERSION), SyncStep1(b"\0"))
        await asked.wait()
        provider.say(Close())
    answer.set()
    await desk.settle()
    assert provider.wire.received == []
    assert provider.code is None
