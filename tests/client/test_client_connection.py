"""When the Python client tries again and when it does not: its links are in the test's hands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from cowrite.client import Failed, Refused, Status
from cowrite.client import connection as connection_module
from cowrite.client.connection import Connection
from cowrite.client.errors import EditRefused, Failure, Unauthorized, broken, closed_with
from cowrite.client.ways import Link, Listener, Renewal, Ticket, User
from cowrite.crdt.errors import EngineFault
from python_clients import until

TICKET = Ticket("write", User("ana"))


class FakeWay:
    """Admits and opens as it is told, and is the link, too; and it is whom the connection tells."""

    def __init__(self) -> None:
        self.renewed: Callable[[Ticket], None] = lambda ticket: None
        self.asked: list[Renewal] = []
        self.refusals: list[Failure] = []
        """Of the next attempts to be let in."""
        self.greeting: list[bytes] = []
        """What comes before open() has returned."""
        self.listener: Listener | None = None
        self.told: list[Any] = []
        self.raises: Exception | None = None

    async def admit(self, renew: Renewal) -> Ticket:
        self.asked.append(renew)
        if self.refusals:
            raise self.refusals.pop(0)
        return TICKET

    async def open(self, listener: Listener) -> Link:
        self.listener = listener
        for frame in self.greeting:
            listener.received(frame)
        return self

    async def refresh(self) -> Ticket:
        return TICKET

    async def leave(self) -> None:
        self.told.append("left")

    def lose(self, failure: Failure) -> None:
        assert self.listener is not None
        listener, self.listener = self.listener, None
        listener.lost(failure)

    # ---- Link

    def send(self, frame: bytes) -> None:
        self.told.append(frame)

    async def close(self) -> None:
        self.told.append("closed")

    # ---- Speaker

    def admitted(self, ticket: Ticket) -> None:
        pass

    def linked(self, link: Link) -> None:
        self.told.append("linked")

    def unlinked(self) -> None:
        self.told.append("unlinked")

    def received(self, frame: bytes) -> None:
        if self.raises is not None:
            raise self.raises
        self.told.append(frame)

    def changed(self) -> None:
        pass


def started(way: FakeWay, *, jitter: float = 0.0) -> Connection:
    connection = Connection(way, way, jitter=lambda: jitter)
    connection.start()
    return connection


@pytest.mark.rule("PY12")
async def test_what_ends_it_and_what_does_not() -> None:
    """The number of the close code tells; what came early is told after the link is."""
    way = FakeWay()
    way.greeting = [b"early"]
    connection = started(way)
    await until(lambda: connection.status is Status.CONNECTED)
    assert way.told == ["linked", b"early"]
    for failure in (broken("cut"), closed_with(4503, ""), closed_with(1012, "restart"), closed_with(3000, "")):
        way.lose(failure)
        await until(lambda: connection.status is Status.DISCONNECTED or way.listener is not None)
        await until(lambda: connection.status is Status.CONNECTED)
    assert way.asked == ["nothing"] * 5
    way.lose(closed_with(4413, "too large"))
    await until(lambda: connection.status is Status.CLOSED)
    assert connection.failure is not None
    error = connection.failure.error()
    assert isinstance(error, EditRefused)
    assert (error.code, error.name, error.reason) == (4413, "message_too_large", "too large")
    await connection.end()
    await connection.end()
    assert way.told[-3:] == ["closed", "left", "left"]


@pytest.mark.rule("PY12")
async def test_a_session_that_is_not_known() -> None:
    """A new one is asked for at once, and three times in a row at most; a fresh token that is refused is the end."""
    way = FakeWay()
    connection = started(way)
    for _ in range(4):
        await until(lambda: way.listener is not None and connection.status is Status.CONNECTED)
        way.lose(closed_with(4401, "who are you?"))
    await until(lambda: connection.status is Status.CLOSED)
    assert way.asked == ["nothing", "session", "session", "session"]
    assert connection.failure is not None
    assert isinstance(connection.failure.error(), Unauthorized)
    await connection.end()
    way = FakeWay()
    way.refusals = [broken("away"), Failure(4401, "unauthorized", "no")]
    connection = started(way)
    await until(lambda: connection.status is Status.CLOSED)
    assert way.asked == ["nothing", "nothing"]
    await connection.end()


@pytest.mark.rule("PY12")
async def test_how_long_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer each time, up to 10 s; as long as the server asks; and short again after a connection that was good."""
    waits: list[float] = []
    sleep = asyncio.sleep

    async def counted(seconds: float) -> None:
        waits.append(seconds)
        await sleep(0)

    monkeypatch.setattr("asyncio.sleep", counted)
    way = FakeWay()
    way.refusals = [broken("away") for _ in range(7)] + [broken("busy", 17.0), broken("away")]
    connection = started(way, jitter=1.0)
    while connection.status is not Status.CONNECTED:
        await sleep(0)
    assert waits == [0.5, 1, 2, 4, 8, 10, 10, 17, 10]
    monkeypatch.setattr(connection_module, "SETTLED_SECONDS", -1.0)
    way.lose(broken("cut"))
    while len(waits) < 10:
        await sleep(0)
    assert waits[9] == 0.5
    await connection.end()


@pytest.mark.rule("PY5", "PY12")
async def test_what_comes_is_of_no_use() -> None:
    """What cannot be read ends the link, and it is tried again; a fault of the engine ends it all."""
    way = FakeWay()
    connection = started(way)
    await until(lambda: connection.status is Status.CONNECTED)
    way.raises = ValueError("nonsense")
    listener = way.listener
    assert listener is not None
    listener.received(b"one")
    listener.received(b"two")
    listener.lost(broken("after it"))
    way.raises = None
    await until(lambda: way.told.count("linked") == 2)
    way.raises = EngineFault("panicked")
    assert way.listener is not None
    way.listener.received(b"three")
    await until(lambda: connection.status is Status.CLOSED)
    assert connection.failure is not None
    assert isinstance(connection.failure.error(), Failed)
    await connection.end()


@pytest.mark.rule("PY12")
async def test_a_way_that_breaks(caplog: pytest.LogCaptureFixture) -> None:
    """An error that is none of the server's is told to who waits, and in the log."""

    class Broken(FakeWay):
        async def admit(self, renew: Renewal) -> Ticket:
            raise RuntimeError("a mistake in the client")

    connection = started(Broken())
    await until(lambda: connection.status is Status.CLOSED)
    assert connection.failure is not None
    error = connection.failure.error()
    assert not isinstance(error, Refused)
    assert "a mistake in the client" in str(error)
    assert "the client has failed" in caplog.text
    await connection.end()
