"""Hocuspocus connections whose sockets are silent, slow, flooded, or gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from cowrite.brokers.local import LocalBroker, LocalHub
from cowrite.core.limits import Limits
from cowrite.core.ports import Access, AccessDenied, Grant
from cowrite.core.rooms.room import Room
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.hocuspocus import (
    PING,
    PONG,
    Addressed,
    Authenticate,
    Close,
    Stateless,
    SyncStatus,
    decode,
)
from cowrite.protocol.messages import AwarenessUpdate, PermissionDenied, QueryAwareness, SyncStep1, Update
from cowrite.stores.memory import MemoryDatabase, memory_storage
from cowrite.testing.process import Process
from cowrite.testing.transport_contract.provider import content, update
from transports.hocuspocus_desk import CARET, VERSION, Desk, Provider, until
from transports.process_services import services_of


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    database = MemoryDatabase()
    async with Process(memory_storage(database), LocalBroker()) as process:
        yield Desk(process, database)


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


@pytest.mark.rule("HP18")
async def test_a_text_between_applications_reaches_other_processes() -> None:
    """Once each, the sender included."""
    database, hub = MemoryDatabase(), LocalHub()
    one, two = (Process(memory_storage(database), LocalBroker(hub)) for _ in range(2))
    async with one, two:
        here, there = Desk(one, database), Desk(two, database)
        ana, ben = await here.enter(), await there.enter(token="ben")
        ana.say(Stateless("ping! 👋"))
        await one.quiet()
        for provider in (ana, ben):
            assert [message for message in provider.heard() if isinstance(message, Stateless)] == [Stateless("ping! 👋")]
