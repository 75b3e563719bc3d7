"""Yjs over plain HTTP: the same messages as on a socket, in the bodies of requests."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from cowrite.core.limits import Limits
from cowrite.core.rooms.replicas import Committed
from cowrite.core.rooms.room import Room
from cowrite.crdt.document import Document
from cowrite.protocol import yjs
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.envelope import seal, unseal
from cowrite.protocol.messages import Acknowledged, AwarenessUpdate, Message, QueryAwareness, SyncStep1, SyncStep2, Update
from cowrite.stores.memory import MemoryDatabase, memory_storage
from cowrite.testing.transport_contract.server import edit, text_of
from cowrite.testing.yjs_client import YjsClient
from cowrite.transports.polling import PollingPeers
from http_api import REALTIME, Api, Member, api, bearer, insert, problem, token, two_servers
from socket_writers import until
from timing import MS

BINARY = {"content-type": "application/octet-stream", "accept": "application/octet-stream"}


@pytest.fixture
async def server() -> AsyncIterator[Api]:
    async with api() as started:
        yield started


async def send(member: Member, *messages: Message | bytes) -> httpx.Response:
    frames = (message if isinstance(message, bytes) else yjs.encode(message) for message in messages)
    return await send_raw(member, seal(frames))


async def send_raw(member: Member, body: bytes) -> httpx.Response:
    query = {"document_id": member.document_id}
    headers = member.headers | BINARY
    return await member.api.client.post(f"{REALTIME}/operations", params=query, content=body, headers=headers)


def messages_of(answer: httpx.Response) -> list[Message]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/octet-stream"
    return [yjs.decode(message) for message in unseal(answer.content)]


def only(answer: httpx.Response, kind: type[Message]) -> list[Message]:
    return [message for message in messages_of(answer) if isinstance(message, kind)]


@pytest.mark.rule("LM20")
async def test_bodies_together_have_a_limit() -> None:
    """What has come of one counts while it comes; another one of this user has to come back, somebody else's is taken."""
    async with api(limits=Limits(incoming_bytes=4 << 20)) as server:
        eve, ana = [await server.connect("d", token(user)) for user in ("eve", "ana")]
        _, sync = edit("x" * 500_000)
        port = int(server.url.rpartition(":")[2])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        headers = eve.headers | BINARY | {"host": "localhost", "content-length": "900000"}
        head = f"POST {REALTIME}/operations?document_id={eve.document_id} HTTP/1.1\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(head.encode() + b"\r\n" + bytes(800_000))
        services = server.runtime.serving()
        assert services is not None
        await until(lambda: services.incoming.bytes == 800_000)
        refused = await send(eve, sync)
        assert problem(refused) == (503, "overloaded")
        assert (refused.headers["connection"], refused.headers["retry-after"]) == ("close", "2")
        assert only(await send(ana, sync), Acknowledged)
        assert services.excess.counts["incoming_bytes"] == 1
        writer.close()
        await until(lambda: services.incoming.bytes == 0)
        assert only(await send(eve, sync), Acknowledged)


class PollingClient:
    """A real Yjs document that is kept in step by requests alone."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.yjs = YjsClient()
        self._waiting: list[bytes] = []
        self._cursor: str | None = None
        self.yjs.connect(self._waiting.append)

    async def push(self) -> None:
        """Send what waits, and take the answer."""
        waiting = list(self._waiting)
        answer = await send(self.member, *waiting)
        if answer.status_code == 503:
            return
        del self._waiting[: len(waiting)]
        updates = [one for one in map(yjs.decode, waiting) if isinstance(one, Update | SyncStep2)]
        acknowledged = [one.count for one in only(answer, Acknowledged) if isinstance(one, Acknowledged)]
        assert acknowledged == ([len(updates)] if updates else [])
        self._take(answer)

    async def pull(self, *, wait: float = 0) -> None:
        """Ask for what is new."""
        query = {"document_id": self.member.document_id, "wait": str(wait)}
        if self._cursor is not None:
            query["cursor"] = self._cursor
        headers = self.member.headers | BINARY
        answer = await self.member.api.client.get(f"{REALTIME}/poll", params=query, headers=headers)
        self._cursor = answer.headers["cowrite-cursor"]
        self._take(answer)

    def _take(self, answer: httpx.Response) -> None:
        for message in unseal(answer.content):
            self.yjs.receive(message)


@pytest.mark.rule("PO21")
async def test_handshake_and_edit(server: Api) -> None:
    """SyncStep1 is answered with SyncStep2 and the server's own SyncStep1; an update is acknowledged when it is durable."""
    ana = await server.connect("d", token("ana"))
    update, _ = edit("hello")
    answer = await send(ana, update)
    (acknowledged,) = only(answer, Acknowledged)
    assert acknowledged == Acknowledged(1, 1)
    assert [one["content"] for one in (await ana.poll()).json()["operations"]] == ["hello"]
    (state,) = only(await send(ana, SyncStep1(b"\0")), SyncStep2)
    client = YjsClient()
    client.receive(yjs.encode(state))
    assert str(client.text) == "hello"
    (nothing,) = only(await send(ana, SyncStep1(client.doc.get_state())), SyncStep2)
    assert nothing == SyncStep2(b"\0\0")
    bob = await server.connect("d", token("bob"))
    first = await send(bob, SyncStep1(b"\0"))
    assert len(only(first, SyncStep1)) == 1
    assert only(await send(bob), SyncStep1) == []


@pytest.mark.rule("PO21")
async def test_many_questions_in_one_request_have_one_answer(server: Api) -> None:
    """A question takes three bytes, its answer all of the document: the last one counts, whoever's awareness is told once."""
    ana, eve = await server.connect("d", token("ana")), await server.connect("d", token("eve", d="read"))
    client = YjsClient()
    client.receive(edit("x" * 100_000)[1])
    await send(ana, Update(client.doc.get_update()), AwarenessUpdate((AwarenessEntry(7, 1, '{"name":"ana"}'),)))
    state_vector = client.doc.get_state()
    answer = await send(eve, *[SyncStep1(b"\0")] * 4_000, *[QueryAwareness()] * 4_000, SyncStep1(state_vector))
    assert only(answer, SyncStep2) == [SyncStep2(b"\0\0")]
    assert len(only(answer, AwarenessUpdate)) == 1
    assert len(answer.content) < 1000


@pytest.mark.rule("RO20", "PO21")
async def test_what_answers_cost_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for what is expensive to answer has to wait with the next request, or is refused."""
    answer = PollingPeers._behind

    async def expensive(self: PollingPeers, room: Room, committed: Committed, state_vector: bytes) -> tuple[bytes, float]:
        until = time.thread_time() + 0.06
        while time.thread_time() < until:
            pass
        return await answer(self, room, committed, state_vector)

    async with api(limits=Limits(cpu_share=0.01, cpu_burst_seconds=0.05, late_seconds=1.0)) as server:
        ana, eve = await server.connect("d", token("ana")), await server.connect("d", token("eve", d="read"))
        assert only(await send(ana, edit("x")[0]), Acknowledged)
        monkeypatch.setattr(PollingPeers, "_behind", expensive)
        assert only(await send(eve, SyncStep1(b"\0")), SyncStep2)
        assert problem(await send(eve, SyncStep1(b"\0"))) == (429, "too_fast")
        assert only(await send(ana, SyncStep1(b"\0")), SyncStep2)


@pytest.mark.rule("GU37")
async def test_a_diff_of_a_document_at_rest_is_made_beside_the_loop(server: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays at rest, and its answer has what the client lacks; who has nothing is given what it rests on."""
    made: list[threading.Thread] = []
    from_state = Document.from_state

    def noted(state: bytes) -> Document:
        made.append(threading.current_thread())
        return from_state(state)

    ana, client = await server.connect("d", token("ana")), YjsClient()
    client.text += "x" * 20_000
    half = client.doc.get_state()
    client.text += "y" * 20_000
    await send(ana, Update(client.doc.get_update()))
    services = server.runtime.serving()
    assert services is not None
    async with services.registry.open("d") as room:
        await until(lambda: not room.needs_commit)
        room.replicas.rest()
        monkeypatch.setattr(Document, "from_state", noted)
        (lacking,) = only(await send(ana, SyncStep1(half)), SyncStep2)
        assert isinstance(lacking, SyncStep2)
        assert b"y" * 20_000 in lacking.update
        assert b"x" * 100 not in lacking.update
        assert [thread is threading.main_thread() for thread in made] == [False]
        committed = room.replicas.committed()
        assert committed is not None
        assert only(await send(ana, SyncStep1(b"\0")), SyncStep2) == [SyncStep2(committed.state)]
        assert len(made) == 1


@pytest.mark.rule("LM7")
async def test_polls_are_charged_to_the_user_whatever_the_session() -> None:
    """What it asks for again and again, without a cursor and with a session of its own each time; nobody else waits."""
    limits = Limits(burst_bytes=1 << 16, rate_bytes=1 << 10, late_seconds=1.0)
    async with api(limits=limits) as server:
        assert (await (await server.connect("d", token("ana"))).write(insert("x" * 60_000))).status_code == 200

        async def ask(user: str, cursor: str | None = None) -> httpx.Response:
            member = await server.connect("d", token(user, d="read"))
            query = {"document_id": "d"} | ({"cursor": cursor} if cursor is not None else {})
            return await server.client.get(f"{REALTIME}/poll", params=query, headers=member.headers | BINARY)

        first = await ask("eve")
        assert [first.status_code, (await ask("eve")).status_code] == [200, 200]
        assert problem(await ask("eve")) == (429, "too_fast")
        assert (await ask("bob")).status_code == 200
        for _ in range(5):  # what is new is little
            assert (await ask("bob", first.headers["cowrite-cursor"])).status_code == 200


@pytest.mark.rule("LM7")
async def test_requests_without_a_session_share_an_account() -> None:
    """With a session token each request is a session of its own: what they send counts for their user in this document."""
    limits = Limits(burst_messages=1000, rate_messages=100, late_seconds=1.0)
    async with api(limits=limits) as server:
        assert only(await send(await server.connect("d", token("ana")), edit("x")[0]), Acknowledged)

        async def ask(user: str, count: int) -> httpx.Response:
            return await send(Member(server, "d", {"access_token": token(user, d="read")}), *[QueryAwareness()] * count)

        assert [(await ask("eve", count)).status_code for count in (500, 500)] == [200, 200]
        waiting = asyncio.create_task(ask("eve", 500))
        await asyncio.sleep(50 * MS)
        assert (await ask("bob", 500)).status_code == 200
        assert problem(await ask("eve", 1)) == (429, "too_fast")
        assert not waiting.done()
        waiting.cancel()


@pytest.mark.rule("PO21")
async def test_a_client_that_begins_anew_is_asked_again(server: Api) -> None:
    """A client that lost its connection goes on with its session: its SyncStep1 is answered with the server's own each time."""
    ana = await server.connect("d", token("ana"))
    for _ in range(3):
        assert len(only(await send(ana, SyncStep1(b"\0")), SyncStep1)) == 1
        assert only(await send(ana, edit("x")[0]), SyncStep1) == []


@pytest.mark.rule("PO22")
async def test_polls_from_a_cursor(server: Api) -> None:
    """Without a cursor the state comes, with one what was committed since; a cursor of another log gets the state."""
    ana, bob = await server.connect("d", token("ana")), await server.connect("d", token("bob"))

    async def poll(cursor: str | None, **query: str) -> httpx.Response:
        parameters = {"document_id": "d"} | query | ({"cursor": cursor} if cursor is not None else {})
        return await server.client.get(f"{REALTIME}/poll", params=parameters, headers=bob.headers | BINARY)

    await send(ana, edit("a")[0])
    first = await poll(None)
    assert len(only(first, SyncStep2)) == 1
    cursor = first.headers["cowrite-cursor"]
    assert messages_of(await poll(cursor)) == []
    await send(ana, edit("b")[0])
    await ana.type("c")
    second = await poll(cursor)
    assert len(only(second, Update)) == 2
    assert only(second, SyncStep2) == []
    assert messages_of(await poll(second.headers["cowrite-cursor"])) == []
    process, epoch, offset, awareness = cursor.split(":")
    for other in (
        "x",
        f"{process}:{epoch}:x:{awareness}",
        f"{process}:other:{offset}:{awareness}",
        f"{process}:{epoch}:{'9' * 20}:0",
    ):
        assert len(only(await poll(other), SyncStep2)) == 1
    assert len(only(await poll(f"elsewhere:{epoch}:{offset}:{awareness}"), Update)) == 2


@pytest.mark.rule("PO23")
async def test_ends_equal_to_a_socket(server: Api) -> None:
    """Clients that poll, one at each of two servers' worth of tabs, and a client on a socket end with the same document."""
    polling = [PollingClient(await server.connect("d", token(name))) for name in ("ana", "bob")]
    chance = random.Random(3)
    for turn in range(30):
        client = chance.choice(polling)
        client.yjs.text.insert(chance.randrange(len(str(client.yjs.text)) + 1), str(turn % 10))
        if chance.random() < 0.5:
            await client.push()
        if chance.random() < 0.5:
            await client.pull()
    for _ in range(2):
        for client in polling:
            await client.push()
            await client.pull()
    socket = await text_of(f"{server.url.replace('http', 'ws', 1)}/yjs/d?token={token('eve')}")
    assert len(socket) == 30
    assert {str(client.yjs.text) for client in polling} == {socket}


@pytest.mark.rule("PO24")
async def test_any_server(tmp_path: Path) -> None:
    """A session may send to one server and poll at another."""
    async with two_servers(tmp_path) as (one, other):
        ana = await one.connect("d", token("ana"))
        client = PollingClient(ana)
        for turn in range(8):
            client.member = ana.on((one, other)[turn % 2])
            client.yjs.text += str(turn)
            await client.push()
            client.member = ana.on((other, one)[turn % 2])
            await client.pull()
        reader = PollingClient(await other.connect("d", token("bob")))
        await reader.pull()
        assert str(reader.yjs.text) == str(client.yjs.text) == "01234567"


@pytest.mark.rule("PO25")
async def test_awareness(server: Api) -> None:
    """Awareness lives between requests, is told once, wakes a long poll, and ends with the session."""
    ana, bob = [PollingClient(await server.connect("d", token(name))) for name in ("ana", "bob")]
    await bob.pull()
    await bob.pull()
    ana.yjs.point('{"at":1}')
    pulling = asyncio.ensure_future(bob.pull(wait=20))
    await asyncio.sleep(100 * MS)
    await ana.push()
    async with asyncio.timeout(10):
        while not bob.yjs.states:
            await pulling
            pulling = asyncio.ensure_future(bob.pull(wait=20))
    pulling.cancel()
    assert bob.yjs.states[ana.yjs.client_id].state == '{"at":1}'
    bob.yjs.states.clear()
    await bob.pull()
    assert bob.yjs.states == {}
    eve = await server.connect("d", token("eve"))
    (asked,) = only(await send(eve, QueryAwareness()), AwarenessUpdate)
    assert asked == AwarenessUpdate((AwarenessEntry(ana.yjs.client_id, 1, '{"at":1}'),))
    await server.client.post(f"{REALTIME}/disconnect", headers=ana.member.headers)
    async with asyncio.timeout(10):
        while not bob.yjs.states:
            await bob.pull(wait=1)
    assert bob.yjs.states[ana.yjs.client_id].state is None


@pytest.mark.rule("PO25")
async def test_awareness_that_is_stale(server: Api) -> None:
    """A client that announces itself with a clock that is used up is told so."""
    ana = await server.connect("d", token("ana"))
    await send(ana, AwarenessUpdate((AwarenessEntry(7, 5, "{}"),)))
    await send(ana, AwarenessUpdate((AwarenessEntry(7, 6, None),)))
    (told,) = only(await send(ana, AwarenessUpdate((AwarenessEntry(7, 6, "{}"),))), AwarenessUpdate)
    assert told == AwarenessUpdate((AwarenessEntry(7, 6, None),))


@pytest.mark.rule("AW22", "PO26")
@pytest.mark.parametrize(
    "entries",
    [
        [AwarenessEntry(7, 1, "{"), AwarenessEntry(8, 1, "{}")],
        [AwarenessEntry(7, 1, '{"x":"%s"}' % ("x" * 20_000))],
        [AwarenessEntry(client, 1, "{}") for client in range(5000)],
    ],
    ids=["no JSON", "too large", "too many"],
)
async def test_awareness_that_is_refused(server: Api, entries: list[AwarenessEntry]) -> None:
    """With one line in the log; nobody else notices, and the session may come again."""
    ana, bob = [await server.connect("d", token(name)) for name in ("ana", "bob")]
    await send(bob, AwarenessUpdate((AwarenessEntry(1, 1, "{}"),)))
    with capture_logs() as lines:
        status, _ = problem(await send_raw(ana, seal([yjs.encode(AwarenessUpdate(tuple(entries)))])))
    assert status in (400, 413)
    assert [line["event"] for line in lines if line["log_level"] != "debug"] == ["messages of a poll refused"]
    (asked,) = only(await send(bob, QueryAwareness()), AwarenessUpdate)
    assert asked == AwarenessUpdate((AwarenessEntry(1, 1, "{}"),))
    await send(ana, AwarenessUpdate((AwarenessEntry(7, 2, "{}"),)))
    (asked,) = only(await send(bob, QueryAwareness()), AwarenessUpdate)
    assert isinstance(asked, AwarenessUpdate)
    assert {entry.client_id for entry in asked.entries} == {1, 7}


@pytest.mark.rule("PO26")
async def test_refusals(server: Api) -> None:
    """What a socket would be closed for is refused with the status of its kind."""
    ana = await server.connect("d", token("ana"))
    assert problem(await send_raw(ana, b"\x05\x00")) == (400, "malformed_frame")
    assert problem(await send(ana, b"\x63")) == (400, "malformed_frame")
    assert problem(await send(ana, SyncStep1(b"\xff"))) == (400, "malformed_frame")
    assert problem(await send(ana, Update(b"\xff\xff\xff"))) == (422, "hostile_update")
    assert 'cowrite_hostile_updates_total{reason="truncated",worker="1"} 1.0' in (await server.client.get("/metrics")).text
    assert problem(await send(ana, Update(b"\0" * ((1 << 20) + 1)))) == (413, "message_too_large")
    reader = await server.connect("d", token("bob", d="read"))
    update, everything = edit("x")
    assert problem(await send(reader, update)) == (403, "grant_too_low")
    assert problem(await send(reader, everything)) == (403, "grant_too_low")
    assert [type(one) for one in messages_of(await send(reader, SyncStep1(b"\0"), SyncStep2(b"\0\0")))] == [SyncStep2]
    missing = await server.client.post(f"{REALTIME}/operations", content=b"", headers=ana.headers | BINARY)
    assert problem(missing) == (422, "unprocessable_entity")
    none = await server.client.post(f"{REALTIME}/operations?document_id=d", content=b"", headers=BINARY)
    assert problem(none) == (401, "unauthorized")
    # Nobody was let down by it: the session goes on.
    assert only(await send(ana, update), Acknowledged) == [Acknowledged(1, 1)]


@pytest.mark.rule("PO27")
async def test_missing_dependencies(server: Api) -> None:
    """An update that builds on another one is held, and the client asked; both are acknowledged once both are durable."""
    ana = await server.connect("d", token("ana"))
    client = YjsClient()
    sent: list[bytes] = []
    client.connect(sent.append)
    client.text += "a"
    client.text += "b"
    await send(ana, SyncStep1(b"\0"))
    first, second = sent[-2:]
    held = await send(ana, second)
    assert [type(one) for one in messages_of(held)] == [SyncStep1]
    after = await send(ana, first)
    assert only(after, Acknowledged) == [Acknowledged(1, 1)]
    assert "".join(one["content"] for one in (await ana.poll()).json()["operations"]) == "ab"


@pytest.mark.rule("PO28")
async def test_not_durable_in_time() -> None:
    """Without a store nothing is acknowledged: 503, and what is sent again is harmless."""
    database = MemoryDatabase()
    limits = Limits(submission_seconds=200 * MS)
    async with api(storage=memory_storage(database), limits=limits) as server:
        ana = await server.connect("d", token("ana"))
        await send(ana, edit("a")[0])
        database.unavailable = True
        update, _ = edit("b")
        refused = await send(ana, update)
        assert problem(refused) == (503, "unavailable")
        assert int(refused.headers["retry-after"]) > 0
        database.unavailable = False
        async with asyncio.timeout(10):
            while (again := await send(ana, update)).status_code == 503:  # noqa: ASYNC110
                await asyncio.sleep(50 * MS)
        assert len(only(again, Acknowledged)) == 1
        assert len((await ana.poll()).json()["operations"]) == 2


@pytest.mark.rule("PO29")
async def test_large_update(server: Api) -> None:
    """A large update is taken, and comes back compressed."""
    ana = await server.connect("d", token("ana"))
    _, everything = edit("x" * (1 << 20))
    assert only(await send(ana, everything), Acknowledged) == [Acknowledged(1, 1)]
    headers = ana.headers | BINARY
    answer = await server.client.get(f"{REALTIME}/poll?document_id=d", headers=headers)
    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.content) > 1 << 20


@pytest.mark.rule("PO30")
async def test_sent_away_while_it_waits(server: Api) -> None:
    """A binary long poll is refused when the access is revoked, and told to come again when the server stops."""
    ana, bob = [await server.connect("d", token(name)) for name in ("ana", "bob")]

    async def waiting(member: Member) -> asyncio.Future[httpx.Response]:
        query = {"document_id": "d"}
        headers = member.headers | BINARY
        first = await server.client.get(f"{REALTIME}/poll", params=query, headers=headers)
        more = query | {"cursor": first.headers["cowrite-cursor"], "wait": "20"}
        polling = asyncio.ensure_future(server.client.get(f"{REALTIME}/poll", params=more, headers=headers))
        await asyncio.sleep(100 * MS)
        assert not polling.done()
        return polling

    polling = await waiting(ana)
    change = {"document_id": "d", "user_id": "ana", "grant": None}
    await server.client.post(f"{REALTIME}/grants", json=change, headers=bearer(token("r", d="admin")))
    assert problem(await polling) == (403, "forbidden")
    polling = await waiting(bob)
    server.runtime.refuse_connections()
    assert problem(await polling) == (503, "unavailable")


@pytest.mark.rule("PO31")
async def test_without_a_session(server: Api) -> None:
    """A session token is good for single requests: nothing of them stays in the room."""
    update, _ = edit("x")
    headers = bearer(token("ana")) | BINARY
    url = f"{REALTIME}/operations?document_id=d"
    answer = await server.client.post(url, content=seal([update]), headers=headers)
    assert only(answer, Acknowledged) == [Acknowledged(1, 1)]
    room = server.backend.registry.get("d")
    assert room is not None
    assert not room.occupied
    assert room.presence.persons == []
