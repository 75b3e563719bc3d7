"""One connection for JSON operations, on a wire that is turned by hand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from cowrite.brokers.local import LocalBroker
from cowrite.core.limits import Limits
from cowrite.core.ports import Access, Grant, StoreUnavailable
from cowrite.core.presence.present import Transport
from cowrite.core.records import AccessChange
from cowrite.core.sessions.session import Session
from cowrite.protocol.thin import HEARTBEAT_SECONDS
from cowrite.stores.memory import MemoryDatabase, memory_storage
from cowrite.testing.process import Process
from cowrite.testing.wire import FakeWire
from cowrite.transports.json_connection import JsonConnection
from cowrite.transports.json_reader import MAX_ANSWERS
from cowrite.transports.json_writer import MAX_WAITING
from cowrite.transports.link import LinkMeter
from cowrite.transports.upgrade import Accepted, Language
from transports.process_services import services_of

INSERT = {"type": "insert", "position": ["body", 0], "content": "x"}


class Wire(FakeWire):
    def __init__(self, process: Process) -> None:
        super().__init__()
        self.link = LinkMeter(process.clock)
        self.pings = 0

    def ping(self) -> None:
        self.pings += 1


class Desk:
    def __init__(self, process: Process, database: MemoryDatabase) -> None:
        self.process = process
        self.database = database
        self.services = services_of(process, self._authorize)

    async def _authorize(self, token: str | None, document_id: str) -> Access:
        return Access(token or "guest", Grant.WRITE, issued_at=self.process.clock.now())

    def connect(self) -> tuple[JsonConnection, Wire]:
        wire = Wire(self.process)
        connection = JsonConnection(wire, Accepted(None, None, None, Language.JSON), self.services)
        wire.drained = connection.drained
        connection.opened()
        return connection, wire

    async def join(self, **hello: Any) -> tuple[JsonConnection, Wire]:
        connection, wire = self.connect()
        say(connection, "hello", **({"document_id": "doc"} | hello))
        await self.settle()
        assert told(wire, "welcome")
        return connection, wire

    async def settle(self, seconds: float = 0.0) -> None:
        for _ in range(5):
            self.process.clock.advance(seconds / 5)  # type: ignore[attr-defined] # turned by hand
            await self.process.quiet()


def say(connection: JsonConnection, kind: str, **fields: Any) -> None:
    connection.receive_text(json.dumps({"type": kind, **fields}).encode())


def told(wire: Wire, kind: str) -> list[dict[str, Any]]:
    messages = [json.loads(message) for message in wire.received]
    return [message for message in messages if message["type"] == kind]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    database = MemoryDatabase()
    async with Process(memory_storage(database), LocalBroker()) as process:
        yield Desk(process, database)


@pytest.mark.rule("JS1")
async def test_who_says_nothing_is_sent_away(desk: Desk) -> None:
    connection, wire = desk.connect()
    await desk.settle(Limits().hello_seconds)
    assert wire.closed is not None
    assert wire.closed[0] == 4508
    connection.receive_text(b"{}")
    connection.lost(goodbye=False)


@pytest.mark.rule("JS1")
async def test_what_follows_the_hello_waits_for_the_document(desk: Desk) -> None:
    hold = desk.database.hold_next("load")
    connection, wire = desk.connect()
    say(connection, "hello", document_id="doc")
    say(connection, "operations", base=None, operations=[INSERT], request=1)
    await desk.settle()
    assert not wire.received
    hold.release()
    await desk.settle()
    assert [message["request"] for message in told(wire, "acknowledged")] == [1]


@pytest.mark.rule("JS1")
async def test_who_leaves_before_the_document_is_open_never_enters_it(desk: Desk) -> None:
    hold = desk.database.hold_next("load")
    connection, wire = desk.connect()
    say(connection, "hello", document_id="doc")
    await desk.settle()
    connection.lost(goodbye=True)
    hold.release()
    await desk.settle()
    assert not wire.received
    assert not desk.services.connections


@pytest.mark.rule("JS8")
async def test_a_document_that_cannot_be_read(desk: Desk) -> None:
    desk.database.fail_next("load", StoreUnavailable("away"))
    connection, wire = desk.connect()
    say(connection, "hello", document_id="doc")
    await desk.settle()
    assert wire.closed is not None
    assert wire.closed[0] == 4503
    connection, wire = await desk.join()
    desk.database.fail_next("commit", StoreUnavailable("away"))
    say(connection, "operations", base="unknown", operations=[INSERT], request=2)
    desk.database.fail_next("locate", StoreUnavailable("away"))
    await desk.settle()
    assert [(one["request"], one["code"], one["retry"]) for one in told(wire, "refused")] == [(2, "unavailable", True)]


@pytest.mark.rule("JS10", "AC3")
async def test_changes_of_the_grant_are_told(desk: Desk) -> None:
    _, wire = await desk.join()
    access = desk.process.storage.access
    now = desk.process.clock.now()
    await access.change(AccessChange(desk.process.ids.new(), "admin", now, "doc", grant=Grant.READ))
    await desk.services.access.catch_up()
    assert [message["grant"] for message in told(wire, "grant")] == ["read"]
    await access.change(AccessChange(desk.process.ids.new(), "admin", now, "doc"))
    await desk.services.access.catch_up()
    assert wire.closed is not None
    assert wire.closed[0] == 4403


@pytest.mark.rule("JS4", "PE3", "PE4")
async def test_presence_beyond_a_bound_is_refused_and_the_connection_stays(desk: Desk) -> None:
    await desk.join()
    room, ids = desk.process.room(), desk.process.ids
    crowd = [Session(ids.new(), "doc", Access(user, Grant.WRITE), 0) for user in ["ana"] * 50]
    for one in crowd:
        room.presence.connect(one, Transport.YJS, 0)
    ana, wire = await desk.join(access_token="ana")
    say(ana, "presence", cursor=1)
    for one in crowd[:2]:
        room.presence.leave(one)
    say(ana, "presence", cursor=2)
    assert [message["code"] for message in told(wire, "refused")] == ["too_many_sessions"]
    assert [one.cursor for one in room.presence.crowd if one.cursor] == [2]
    others = [Session(ids.new(), "doc", Access(f"user-{n}", Grant.WRITE), 0) for n in range(262)]
    for one in others:
        room.presence.connect(one, Transport.YJS, 0)
        room.presence.tell(one, {"data": {"x": "x" * 16_000}}, 0)
    say(ana, "presence", data={"x": "x" * 16_000})
    assert [message["code"] for message in told(wire, "refused")] == ["too_many_sessions", "presence_full"]
    assert wire.closed is None


@pytest.mark.rule("HT14")
async def test_the_welcome_has_no_epoch_before_somebody_has_written(desk: Desk) -> None:
    ana, wire = await desk.join()
    say(ana, "operations", request=1, operations=[INSERT], base=None)
    await desk.settle(1)
    _, later = await desk.join()
    (before,), (after,) = told(wire, "welcome"), told(later, "welcome")
    assert (before["epoch"], before["head"], before["offset"]) == ("", None, 0)
    assert after["epoch"] == desk.process.room().replicas.head.epoch != ""


@pytest.mark.rule("JS8", "JS10")
async def test_a_session_ends_unless_it_is_renewed(desk: Desk) -> None:
    bridge, clock = desk.services.bridge, desk.process.clock
    admissions = [await bridge.connect(name, "doc") for name in ("ana", "ben")]
    (ana, ana_wire), (ben, ben_wire) = [await desk.join(access_token=one.access_token) for one in admissions]
    hours = (admissions[0].session_ends_at - clock.now()) / 1000
    renewed = await bridge.refresh(admissions[0].access_token, "ana")
    assert renewed.session_ends_at == admissions[0].session_ends_at
    await desk.settle(60)
    renewed = await bridge.refresh(admissions[0].access_token, "ana")
    say(ana, "refresh", access_token=renewed.access_token)
    (message,) = told(ana_wire, "refreshed")
    assert message["session_expires_at"] == renewed.session_ends_at > admissions[0].session_ends_at
    say(ben, "refresh", access_token=renewed.access_token)
    say(ben, "refresh", access_token="nonsense")
    assert [message["code"] for message in told(ben_wire, "refused")] == ["forbidden", "unauthorized"], "another's, and none"
    assert ben_wire.closed is None
    say(ben, "operations", request=1, operations=[INSERT], base=None)
    await desk.settle(1)
    assert len(told(ben_wire, "acknowledged")) == 1
    cem_admission = await bridge.connect("cem", "doc")
    _, cem_wire = await desk.join(access_token=cem_admission.access_token)
    for _ in range(3):
        await desk.settle(hours / 3)
    assert cem_wire.closed is None or cem_wire.closed[0] == 4401
    await desk.settle(120)
    desk.services.access.tend(clock.now())
    assert cem_wire.closed is not None
    assert cem_wire.closed[0] == 4401
    assert ana_wire.pings > 3


@pytest.mark.rule("JS6")
async def test_heartbeats_are_not_piled_up(desk: Desk) -> None:
    _, wire = await desk.join()
    wire.fill()
    before = len(wire.received)
    await desk.settle(3 * HEARTBEAT_SECONDS)
    assert len(wire.received) == before


@pytest.mark.rule("JS5", "JS9")
async def test_who_did_not_read_gets_everything_anew(desk: Desk) -> None:
    _, slow = await desk.join(access_token="slow")
    connection, _ = await desk.join(access_token="other")
    slow.fill()
    say(connection, "operations", base=None, operations=[INSERT])
    say(connection, "presence", cursor=1)
    await desk.settle(1)
    assert not told(slow, "operations")
    slow.read_on()
    (people,) = [message for message in told(slow, "presence") if "present" in message]
    assert [one["user"]["id"] for one in people["present"]] == ["slow", "other"]
    assert [one["content"] for message in told(slow, "operations") for one in message["operations"]] == ["x"]


@pytest.mark.rule("JS9")
async def test_a_reader_that_cannot_be_caught_up_is_sent_away(desk: Desk) -> None:
    _, slow = await desk.join()
    connection, _ = await desk.join()
    slow.fill()
    say(connection, "operations", base=None, operations=[INSERT])
    await desk.settle()
    desk.process.room().readership.feed = None
    desk.process.room().feed()
    desk.database.fail_next("locate", StoreUnavailable("away"))
    desk.database.fail_next("operations", StoreUnavailable("away"))
    say(connection, "operations", base=None, operations=[INSERT])
    slow.read_on()
    await desk.settle()
    assert slow.closed is not None
    assert slow.closed[0] == 4503


@pytest.mark.rule("JS11")
async def test_what_is_said_before_the_document_is_open_waits(desk: Desk) -> None:
    """Many times what a client says in that time, and in its order; but not without an end."""
    hold = desk.database.hold_next("load")
    connection, wire = desk.connect()
    say(connection, "hello", document_id="other")
    for number in range(500):
        say(connection, "heartbeat", echo=number)
    hold.release()
    await desk.settle()
    assert [message["echo"] for message in told(wire, "heartbeat") if "echo" in message] == list(range(500))
    desk.database.hold_next("load")
    connection, wire = desk.connect()
    say(connection, "hello", document_id="another")
    for _ in range(9):
        connection.receive_text(b" " * (1 << 20))
    before = wire.closed
    for _ in range((8 << 20) // 1000):
        connection.receive_text(b" " * 1000)
    assert before is None, "large messages are counted with all that has come"
    assert wire.closed is not None
    assert wire.closed[0] == 4529


@pytest.mark.rule("JS11")
async def test_who_writes_faster_than_it_is_taken_waits(desk: Desk) -> None:
    connection, wire = await desk.join()
    for number in range(3 * MAX_WAITING):
        say(connection, "operations", base=None, operations=[INSERT], request=number)
    assert connection._lane.held
    assert not connection.settled
    for _ in range(20):
        await desk.settle(1)
    assert [message["request"] for message in told(wire, "acknowledged")] == list(range(3 * MAX_WAITING))
    assert wire.closed is None
    assert connection.settled


@pytest.mark.rule("JS11")
async def test_who_asks_and_does_not_read(desk: Desk) -> None:
    connection, wire = await desk.join()
    wire.fill()
    for _ in range(MAX_ANSWERS + 1):
        say(connection, "heartbeat")
    assert wire.closed is not None
    assert wire.closed[0] == 4529


@pytest.mark.rule("TR23")
async def test_an_error_that_nobody_foresaw_closes_that_connection(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    connection, wire = await desk.join()
    monkeypatch.setattr(desk.services.bridge, "resume", lambda token: 1 / 0)
    with capture_logs() as logs:
        say(connection, "refresh", access_token="token")
    assert wire.closed is not None
    assert wire.closed[0] == 4500
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["connection failed"]


@pytest.mark.rule("RO20")
async def test_who_sends_without_a_pause_is_served_later(desk: Desk) -> None:
    connection, _ = await desk.join()
    presence, cursors = desk.process.room().presence, []

    def tell(session: Session, told: dict[str, Any], now: int) -> None:
        cursors.append(told["cursor"])
        desk.process.clock.advance(0.015)  # type: ignore[attr-defined] # so much work

    presence.tell = tell  # type: ignore[assignment,method-assign]
    for cursor in range(100):
        say(connection, "presence", cursor=cursor)
    assert 0 < len(cursors) < 100
    await desk.settle(10)
    assert cursors == list(range(100)), "all of them, in their order"
