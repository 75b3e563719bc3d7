"""One y-websocket connection on a wire without a socket: what depends on the order of things within one turn of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from structlog.testing import capture_logs

from cowrite.brokers.local import LocalBroker
from cowrite.core.delivery.peer import Peer
from cowrite.core.ports import Access, Authorizer, Grant
from cowrite.core.rooms.room import Room
from cowrite.crdt.state_vector import encode_state_vector
from cowrite.protocol import yjs
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.messages import AwarenessUpdate, QueryAwareness, SyncStep1, SyncStep2, Update
from cowrite.stores.memory import MemoryDatabase, memory_storage
from cowrite.testing.clock import ManualClock
from cowrite.testing.process import Process, quiet
from cowrite.testing.transport_contract.server import edit, everybody_writes
from cowrite.testing.wire import FakeWire
from cowrite.testing.yjs_writer import block, gc, write_update
from cowrite.transports.upgrade import Accepted
from cowrite.transports.yjs import YjsConnection
from transports.process_services import services_of

STEP_1 = yjs.encode(SyncStep1(b"\0"))
QUERY = yjs.encode(QueryAwareness())
CARET = yjs.encode(AwarenessUpdate((AwarenessEntry(7, 1, '{"user":"ana"}'),)))


class Desk:
    """A process, and connections to it."""

    def __init__(self, process: Process, database: MemoryDatabase) -> None:
        self.process = process
        self.database = database
        self.connections: set[object] = set()

    @property
    def clock(self) -> ManualClock:
        assert isinstance(self.process.clock, ManualClock)
        return self.process.clock

    def turn(self, *, until: Callable[[], object]) -> None:
        """Turn the clock, up to five minutes."""
        for _ in range(30_000):
            if until():
                return
            self.clock.advance(0.01)
        raise AssertionError

    def connect(self, authorize: Authorizer = everybody_writes) -> tuple[YjsConnection, FakeWire]:
        wire = FakeWire()
        services = services_of(self.process, authorize)
        connection = YjsConnection(wire, Accepted("doc", "ana", None), services)
        wire.drained = connection.drained
        connection.opened()
        assert services.connections == {connection}
        return connection, wire

    async def join(self, authorize: Authorizer = everybody_writes) -> tuple[YjsConnection, FakeWire]:
        """A connection in the room, and live."""
        connection, wire = self.connect(authorize)
        await until(lambda: wire.received)
        connection.receive(STEP_1)
        return connection, wire

    async def text(self) -> bytes:
        """What a newcomer is sent."""
        connection, wire = await self.join()
        connection.lost(goodbye=True)
        return b"".join(message.update for message in map(yjs.decode, wire.received) if isinstance(message, SyncStep2))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - only the event loop has to turn
            await asyncio.sleep(0.001)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    database = MemoryDatabase()
    async with Process(memory_storage(database), LocalBroker()) as process:
        yield Desk(process, database)


def code_of(wire: FakeWire) -> int | None:
    return wire.closed[0] if wire.closed is not None else None


def large(text: str = "x") -> tuple[bytes, bytes]:
    """An update that is inspected in a thread, and one of the same client behind it."""
    return edit(text * 300_000)[0], edit("behind")[0]


def test_one_dialect_for_all() -> None:
    """All peers share one dialect, so that a broadcast is encoded once."""
    assert yjs.YJS.encode(SyncStep1(b"\0")) == STEP_1


@pytest.mark.rule("TR26")
async def test_room_closes(desk: Desk) -> None:
    """When the room sends its peers away, the connection is over: what still arrives is dropped, and one line is logged."""
    connection, wire = await desk.join()
    with capture_logs() as logs:
        desk.process.room().close_peers(CloseCode.NEW_EPOCH, "the history was replaced")
        connection.close(CloseCode.INTERNAL_ERROR, "too late")
        connection.receive(edit("late")[0])
        connection.receive_text(b"")
        connection.drained()
        connection.lost(goodbye=False)
    assert wire.closed == (CloseCode.NEW_EPOCH, "the history was replaced")
    assert len({line.pop("connection") for line in logs} | {line.pop("session") for line in logs}) == 2
    assert logs == [
        {
            "event": "connection closed",
            "log_level": "info",
            "document": "doc",
            "user": "ana",
            "code": 4506,
            "reason": "the history was replaced",
        }
    ]
    assert b"late" not in await desk.text()


@pytest.mark.rule("TR26")
async def test_closed_while_coming_in(desk: Desk) -> None:
    """A server that shuts down sends away also who is just coming in; not even an authorizer that ignores this lets them in."""
    asked = asyncio.Event()

    async def stubborn(token: str | None, document_id: str) -> Access:
        asked.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return Access("ana", Grant.WRITE)
        raise AssertionError

    connection, wire = desk.connect(stubborn)
    await asked.wait()
    connection.drained()
    connection.close(CloseCode.SERVICE_RESTART, "the server is restarting")
    await until(lambda: desk.process.registry.get("doc") is not None)
    await asyncio.sleep(0.01)
    assert wire.received == []
    assert not desk.process.room().peers


@pytest.mark.rule("TR50")
async def test_too_much_behind_a_large_update(desk: Desk) -> None:
    """Where nothing can be left unread, at most 8 MB of small messages wait; then the client is told to slow down."""
    connection, wire = await desk.join()
    connection.receive(large()[0])
    connection.receive(bytes(9 << 20))  # it waits, too, and is counted with all that has come
    for _ in range((8 << 20) // (8 << 10) - 8):
        connection.receive(bytes((8 << 10) - 64))
    assert code_of(wire) is None
    for _ in range(9):
        connection.receive(bytes((8 << 10) - 64))
    assert code_of(wire) == CloseCode.TOO_FAST
    await asyncio.sleep(0.05)
    assert b"xxx" not in await desk.text()


@pytest.mark.rule("TR16")
async def test_order_behind_a_large_update(desk: Desk) -> None:
    """What comes behind a large update waits for it, another large one too."""
    connection, wire = await desk.join()
    for update in (*large("a"), *large("b")):
        connection.receive(update)
    connection.receive(STEP_1)
    connection.drained()
    await until(lambda: any(b"bbb" in frame for frame in wire.received))
    answer = yjs.decode(wire.received[-1])
    assert isinstance(answer, SyncStep2)
    assert all(part in answer.update for part in (b"aaa", b"bbb", b"behind"))


@pytest.mark.rule("GU37")
async def test_what_somebody_lacks_of_a_document_at_rest(desk: Desk) -> None:
    """It waits until the engine has the document again, beside the loop; who has nothing is answered at once."""
    writer, _ = await desk.join()
    writer.receive(edit("x" * 12_000)[0])
    room = desk.process.room()
    await quiet(desk.process)
    room.replicas.rest()
    assert room.replicas.live is not None
    ((client, clock),) = room.replicas.live.state.items()
    connection, wire = desk.connect()
    await until(lambda: wire.received)
    before = len(wire.received)
    for has in ({client: clock - 5}, {client: clock}):
        connection.receive(yjs.encode(SyncStep1(encode_state_vector(has))))
    assert len(wire.received) == before
    assert room.waking.needed
    assert b"x" * 12_000 in await desk.text()
    await until(lambda: len(wire.received) >= before + 2)
    assert not room.replicas.asleep
    first, second = (one for one in map(yjs.decode, wire.received) if isinstance(one, SyncStep2))
    assert b"xxxxx" in first.update
    assert len(first.update) < 100
    assert b"x" not in second.update
    connection.receive(yjs.encode(SyncStep1(encode_state_vector({client: 1}))))
    assert len(wire.received[-1]) > 11_000


@pytest.mark.rule("TR16")
async def test_lost_behind_a_large_update(desk: Desk) -> None:
    """What had arrived whole before the socket was lost is taken, and then the peer leaves, as it said goodbye or not."""
    connection, _ = await desk.join()
    _, watcher = await desk.join()
    connection.receive(CARET)
    for update in (*large("a"), *large("b")):
        connection.receive(update)
    connection.lost(goodbye=True)
    await until(lambda: len(desk.process.room().peers) == 1)
    desk.process.clock.advance(0.2)  # type: ignore[attr-defined] # a ManualClock
    gone = AwarenessUpdate((AwarenessEntry(7, 1, None),))
    assert gone in map(yjs.decode, watcher.received)
    text = await desk.text()
    assert all(part in text for part in (b"aaa", b"bbb", b"behind"))


@pytest.mark.rule("RO23")
@pytest.mark.parametrize("lost", [False, True])
async def test_many_structs_in_few_bytes(desk: Desk, lost: bool) -> None:
    """They are taken in slices, too, and what comes behind them after them, also when the socket is lost meanwhile."""
    connection, _ = await desk.join()
    connection.receive(yjs.encode(Update(write_update([block(1, 0, *[gc(1)] * 5000)]))))
    connection.receive(edit("behind")[0])
    if lost:
        connection.lost(goodbye=True)
    live = desk.process.room().replicas.live
    assert live is not None
    assert not live.state
    await until(lambda: len(live.state) == 2)
    assert live.state[1] == 5000
    await until(lambda: bool(desk.process.room().peers) is not lost)
    assert b"behind" in await desk.text()


@pytest.mark.rule("RO23")
async def test_room_closes_between_slices(desk: Desk) -> None:
    """Nothing more of it is taken then."""
    connection, wire = await desk.join()
    connection.receive(yjs.encode(Update(write_update([block(1, 0, *[gc(1)] * 50_000)]))))
    room = desk.process.room()
    await until(lambda: room.pending)
    connection.close(CloseCode.SERVICE_RESTART, "the server is restarting")
    connection.lost(goodbye=False)
    await asyncio.sleep(0.1)
    assert code_of(wire) == CloseCode.SERVICE_RESTART
    assert room.replicas.live is not None
    assert 1000 <= room.replicas.live.state[1] < 50_000


@pytest.mark.rule("TR26")
async def test_room_closes_during_inspection(desk: Desk) -> None:
    """When the room sends its peers away while an update is inspected, that update is not taken any more."""
    connection, wire = await desk.join()
    connection.receive(large()[0])
    connection.close(CloseCode.SERVICE_RESTART, "the server is restarting")
    connection.lost(goodbye=False)
    await asyncio.sleep(0.1)
    assert wire.closed is not None
    assert b"xxx" not in await desk.text()


@pytest.mark.rule("TR21")
async def test_large_hostile_update(desk: Desk) -> None:
    """A large update that is refused closes its sender; what waits behind it is dropped."""
    connection, wire = await desk.join()
    connection.receive(yjs.encode(Update(b"\1\1\1\0\x3f" + bytes(300_000))))
    connection.receive(edit("behind")[0])
    await until(lambda: wire.closed)
    assert code_of(wire) == CloseCode.HOSTILE_UPDATE
    assert sum(desk.process.excess.faults.values()) == 1
    assert b"behind" not in await desk.text()


@pytest.fixture
def queries(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> list[Peer]:
    """Who has asked for everybody's awareness; each time costs 50 ms of CPU time."""
    asked: list[Peer] = []

    def work(room: Room, peer: Peer) -> None:
        desk.clock.advance(0.05)
        asked.append(peer)

    monkeypatch.setattr(Room, "query_awareness", work)
    return asked


@pytest.mark.rule("RO20")
async def test_flood_of_dear_messages(desk: Desk, queries: list[Peer]) -> None:
    """Whoever uses up its share is served later, in its order; others are served at once."""
    eve, wire = await desk.join()
    ana, _ = await desk.join()
    ana.receive(CARET)
    for _ in range(99):
        eve.receive(QUERY)
    eve.receive(edit("patient")[0])
    assert len(queries) == 1  # in one turn of the loop
    for _ in range(100):
        desk.clock.advance(0)
    assert len(queries) <= 28
    ana.receive(QUERY)
    assert queries[-1] is not queries[0]
    before = desk.clock.monotonic()
    desk.turn(until=lambda: len(queries) == 100)
    assert 13 < desk.clock.monotonic() - before < 20
    desk.turn(until=lambda: desk.process.backlog.updates)
    assert code_of(wire) is None
    assert b"patient" in await desk.text()


@pytest.mark.rule("RO21")
async def test_flood_without_an_end(desk: Desk, queries: list[Peer]) -> None:
    """After 30 s over the budget the connection is closed."""
    eve, wire = await desk.join()
    for _ in range(500):
        eve.receive(QUERY)
    before = desk.clock.monotonic()
    desk.turn(until=lambda: wire.closed)
    assert 30 < desk.clock.monotonic() - before < 33
    assert code_of(wire) == CloseCode.TOO_FAST
    assert 150 < len(queries) < 190


@pytest.mark.rule("RO21", "TR50")
async def test_flood_beyond_the_queue(desk: Desk, queries: list[Peer]) -> None:
    """Where nothing can be left unread, at most 8 MB wait, each message counted with 64 bytes on top."""
    eve, wire = await desk.join()
    eve.receive(QUERY)
    for _ in range((8 << 20) // 65):
        eve.receive(QUERY)
    assert code_of(wire) is None
    eve.receive(QUERY)
    assert code_of(wire) == CloseCode.TOO_FAST
    assert len(queries) == 1
    desk.clock.advance(60)
    assert len(queries) == 1


@pytest.mark.rule("RO20")
async def test_lost_while_it_waits(desk: Desk, queries: list[Peer]) -> None:
    """What had arrived before the socket was lost is taken, and then the peer leaves."""
    eve, _ = await desk.join()
    for _ in range(40):
        eve.receive(QUERY)
    eve.receive(edit("farewell")[0])
    eve.lost(goodbye=True)
    assert desk.process.room().peers
    desk.turn(until=lambda: not desk.process.room().peers)
    assert len(queries) == 40
    assert b"farewell" in await desk.text()


@pytest.mark.rule("TR23")
async def test_failures_close_one_connection(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody foresaw closes the connection whose message met it, and is logged with its traceback."""

    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    connection, wire = await desk.join()
    _, other = await desk.join()
    monkeypatch.setattr(desk.process.room(), "announce", fail)
    with capture_logs() as logs:
        connection.receive(CARET)
    assert wire.closed == (CloseCode.INTERNAL_ERROR, "the server failed; connect again")
    assert other.closed is None
    (line,) = logs
    assert (line["event"], line["log_level"], str(line["exc_info"])) == ("connection failed", "error", "a bug")
    connection.lost(goodbye=False)


@pytest.mark.rule("TR25")
async def test_drained(desk: Desk) -> None:
    """A peer that reads again gets what waited for it; if the document is just being rebuilt it is told to come back."""
    connection, wire = await desk.join()
    wire.fill()
    connection.receive(STEP_1)
    wire.read()
    assert isinstance(yjs.decode(wire.received[-1]), SyncStep2)
    wire.fill()
    connection.receive(STEP_1)
    desk.process.room().replicas.live = None
    wire.read()
    assert code_of(wire) == CloseCode.DOCUMENT_REBUILT


@pytest.mark.rule("TR6")
async def test_store_that_fails(desk: Desk) -> None:
    """While the document cannot be loaded its clients are told to come back later."""
    desk.database.unavailable = True
    _, wire = desk.connect()
    await until(lambda: wire.closed)
    assert code_of(wire) == CloseCode.STORE_UNAVAILABLE


@pytest.mark.rule("HT8")
async def test_a_session_that_its_user_ends(desk: Desk) -> None:
    services = services_of(desk.process, everybody_writes)
    admission = await services.bridge.connect("ana", "doc")
    wire = FakeWire()
    connection = YjsConnection(wire, Accepted("doc", admission.access_token, None), services)
    connection.opened()
    await until(lambda: wire.received)
    connection.receive(STEP_1)
    await services.bridge.disconnect(admission.access_token)
    assert wire.closed == (4401, "the session has ended")
