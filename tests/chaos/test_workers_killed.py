"""Several workers behind one port: what one of them knows the others know, and one may be killed or replaced under load."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any, cast

import httpx
import psutil
import pytest

from cowrite.protocol import yjs
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.envelope import seal, unseal
from cowrite.protocol.messages import SyncStep2, Update
from cowrite.stores.sqlalchemy.tables import VERSION_TABLE
from cowrite.testing.client import LiveClient, live_client
from cowrite.testing.yjs_client import YjsClient
from http_api import REALTIME, SECRET, Api, Member, bearer, token
from node_clients import Clients, client_program
from socket_writers import Writer, read_text, until
from timing import MS
from workers_server import WorkersServer

pytestmark = pytest.mark.chaos
ADMIN = bearer(token("root", **{"*": "admin"}))
BINARY = {"content-type": "application/octet-stream", "accept": "application/octet-stream"}
PATIENT = 60_000 * MS


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkersServer]:
    folder = tmp_path_factory.mktemp("workers")
    with WorkersServer(folder, COWRITE_SECRET=SECRET, COWRITE_DRAIN_SECONDS="1") as one:
        yield one
        os.kill(one.pid, signal.SIGTERM)
        assert one.code() == 0


@pytest.fixture
def document() -> str:
    return f"shared-{uuid.uuid4()}"


@pytest.fixture
async def api(server: WorkersServer) -> AsyncIterator[Api]:
    """Every request on a connection of its own, so that any worker gets it."""
    fresh = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=server.url, limits=fresh, timeout=PATIENT, trust_env=False) as client:
        yield Api(client, cast("Any", None), server.url)


@asynccontextmanager
async def one_at_each(server: WorkersServer, document: str, query: str = "") -> AsyncIterator[list[LiveClient]]:
    """A client at each worker."""
    async with AsyncExitStack() as stack:
        clients = []
        for pid in server.workers():
            with server.taking(pid):
                url = f"ws://127.0.0.1:{server.port}/yjs/{document}{query}"
                clients.append(await stack.enter_async_context(live_client(url)))
        yield clients


def shows(client: LiveClient, text: str) -> bool:
    return str(client.yjs.text) == text


def closed_with(client: LiveClient, code: CloseCode) -> bool:
    return client.socket.ended is not None and client.socket.ended.code == code


@pytest.mark.rule("WK4")
async def test_requests_of_one_session_go_to_any_worker(server: WorkersServer, api: Api, document: str) -> None:
    """Each worker in turn takes an operation, a binary update and the polls of sessions that another one opened."""
    first, *_ = workers = server.workers()
    with server.taking(first):
        ana = await api.connect(document, token("ana"))
        bo = await api.connect(document, token("bo"))
        eve = await api.connect(document, token("eve"))
    text, seen, cursor = "", YjsClient(), ""
    writer, outgoing = YjsClient(), list[bytes]()
    writer.connect(outgoing.append)
    outgoing.clear()
    for number in range(2 * len(workers)):
        with server.taking(workers[number % len(workers)]):
            await ana.type(f"{number}")
            writer.text.insert(0, "x")
            answer = await post(eve, outgoing)
            assert answer.status_code == 200, answer.text
            polled = await bo.poll(last_operation=bo.head)
            assert polled.status_code == 200, polled.text
            bo.head = polled.json()["head"]
            text = replay(text, polled.json()["operations"])
            cursor = await pull(eve, seen, cursor)
    assert sorted(text) == sorted("".join(map(str, range(2 * len(workers)))) + "x" * 2 * len(workers))
    assert str(seen.text) == text


async def post(member: Member, frames: list[bytes]) -> httpx.Response:
    updates = [frame for frame in frames if isinstance(yjs.decode(frame), Update)]
    frames.clear()
    query = {"document_id": member.document_id}
    headers = member.headers | BINARY
    return await member.api.client.post(f"{REALTIME}/operations", params=query, content=seal(updates), headers=headers)


async def pull(member: Member, client: YjsClient, cursor: str) -> str:
    query = {"document_id": member.document_id, "cursor": cursor}
    answer = await member.api.client.get(f"{REALTIME}/poll", params=query, headers=member.headers | BINARY)
    assert answer.status_code == 200, answer.text
    for message in unseal(answer.content):
        if isinstance(yjs.decode(message), Update | SyncStep2):
            client.receive(message)
    return answer.headers["cowrite-cursor"]


def replay(text: str, operations: list[dict[str, Any]]) -> str:
    for operation in operations:
        at = operation["position"][1]
        text = text[:at] + operation["content"] + text[at:]
    return text


@pytest.mark.rule("WK5")
async def test_what_one_worker_is_told_all_do(server: WorkersServer, api: Api, document: str) -> None:
    """Edits, presence, a restore, a smaller grant, its end, and a deletion: told to one worker, all of them act on it."""
    told_to = server.workers()[-1]
    access = f"?token={token('ana')}"
    async with one_at_each(server, document, access) as clients:
        clients[0].yjs.text += "before"
        for client in clients:
            await client.until(partial(shows, client, "before"))
        await clients[0].until(lambda: clients[0].yjs.saved)
        for pid in server.workers():
            with server.taking(pid):
                await until_present(api, document, 1)
        clients[-1].yjs.text += " after"
        for client in clients:
            await client.until(partial(shows, client, "before after"))
        await clients[-1].until(lambda: clients[-1].yjs.saved)
        with server.taking(told_to):
            restored = await api.client.post(f"/api/v2/documents/{document}/restore", json={"to": "offset:1"}, headers=ADMIN)
        assert restored.status_code == 200, restored.text
        for client in clients:
            await client.until(partial(shows, client, "before"))
        with server.taking(told_to):
            change = {"document_id": document, "user_id": "ana", "grant": None}
            assert (await api.client.post(f"{REALTIME}/grants", json=change, headers=ADMIN)).status_code == 200
        for client in clients:
            await client.until(partial(closed_with, client, CloseCode.FORBIDDEN))
    async with one_at_each(server, document, f"?token={token('bo')}") as clients:
        with server.taking(told_to):
            deleted = await api.client.delete(f"/api/v2/documents/{document}?purge=true", headers=ADMIN)
        assert deleted.status_code == 204, deleted.text
        for client in clients:
            await client.until(partial(closed_with, client, CloseCode.DOCUMENT_DELETED))
    for pid in server.workers():
        with server.taking(pid):
            assert (await api.client.get(f"/api/v2/documents/{document}", headers=ADMIN)).status_code == 410


async def until_present(api: Api, document: str, people: int) -> None:
    async with asyncio.timeout(PATIENT):
        while True:
            answer = await api.client.get(f"/api/v2/documents/{document}/presence", headers=ADMIN)
            if len(answer.json().get("presence", ())) == people:
                return
            await asyncio.sleep(0.05)


def sockets_of(pid: int) -> int:
    return sum(one.status == psutil.CONN_ESTABLISHED for one in psutil.Process(pid).net_connections())


class Load:
    """Writers that come back each time they are cut off; and what they were promised is never missing."""

    def __init__(self, port: int, document: str, count: int) -> None:
        self._port = port
        self.document = document
        self.writers = [Writer(f"w{number}", document) for number in range(count)]
        self.meetings = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.create_task(self._keep_on(writer)) for writer in self.writers]
        await self.more()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep_on(self, writer: Writer) -> None:
        rng = random.Random(writer.name)
        while True:
            self.meetings += 1
            await writer.write(self._port, rng, pause=0.2)
            await asyncio.sleep(0.05)

    async def more(self) -> None:
        """Wait until each has been promised something that is new."""
        before = [len(writer.durable) for writer in self.writers]
        await until(lambda: all(len(one.durable) > count for one, count in zip(self.writers, before, strict=True)))

    async def check(self, port: int) -> None:
        """Let all come to an end, and look: everything is there, once."""
        for writer in self.writers:
            writer.typing = False
        await until(lambda: all(writer.client.saved for writer in self.writers))
        words = [word for writer in self.writers for word in writer.words]
        await until(lambda: all(str(one.client.text).count(";") == len(words) for one in self.writers))
        (text,) = {str(writer.client.text) for writer in self.writers}
        assert sorted(text.split(";")[:-1]) == sorted(word.rstrip(";") for word in words)
        assert await read_text(port, self.document) == text


@pytest.mark.rule("WK3", "WK9")
async def test_a_worker_is_killed_under_load(server: WorkersServer, document: str) -> None:
    """Its clients come back, elsewhere or to its successor; nothing that was acknowledged is missing, and nothing is twice."""
    async with Load(server.port, document, 6) as load:
        before = server.workers()
        os.kill(max(before, key=sockets_of), signal.SIGKILL)
        await load.more()
        await asyncio.to_thread(server.wait, lambda: len(set(server.workers()) - set(before)) == 1)
        await load.more()
        assert load.meetings > len(load.writers)
        await load.check(server.port)
    (line,) = server.log("worker ended; it is started again")
    assert "SIGKILL" in line


@pytest.mark.rule("WK8", "WK9")
async def test_workers_are_replaced_under_load(server: WorkersServer, document: str, tmp_path: Path) -> None:
    """All processes are new afterwards. Nobody has lost a word: writers on sockets, @cowrite/client, and operations."""
    program = await asyncio.to_thread(client_program)
    node = Clients(program, tmp_path / "complaints")

    async def call(name: str, client: str = "", **options: Any) -> Any:
        return await asyncio.to_thread(partial(node, name, client, **options))

    try:
        await call("open", "ana", kind="cowrite", url=server.url, room=document)
        await call("open", "eve", kind="stock", url=server.url, room=document)
        await call("open", "bo", kind="operations", url=server.url, room=document)
        for name in ("ana", "eve"):
            await call("synced", name)
        async with Load(server.port, f"{document}/2", 3) as load:
            before = server.workers()
            os.kill(server.pid, signal.SIGHUP)
            typed = 0
            while not server.log("workers were replaced"):
                await call("insert", "ana", index=0, text="a")
                await call("insert", "eve", index=0, text="e")
                await call("submit_later", "bo", index=0, text="b")
                typed += 3
                await asyncio.sleep(0.2)
            assert not set(before) & set(server.workers())
            await load.more()
            await load.check(server.port)
        await call("saved", "ana")
        await call("agree", names=["ana", "eve", "bo"], length=typed)
        text = await call("text", "ana")
        assert {letter: text.count(letter) for letter in "aeb"} == dict.fromkeys("aeb", typed // 3)
        assert await call("unhandled") == []
    finally:
        await asyncio.to_thread(node.close)


@pytest.mark.rule("WK8")
async def test_a_successor_that_does_not_start(server: WorkersServer) -> None:
    """The database has tables of a newer release by now: the log says so, and those that are there stay."""
    await asyncio.to_thread(server.settle)  # one that the test before has killed may still be starting
    before = server.workers()
    with closing(sqlite3.connect(server.database, isolation_level=None, timeout=5)) as database:
        ((version,),) = database.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchall()
        database.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
        os.kill(server.pid, signal.SIGHUP)
        await asyncio.to_thread(server.wait, lambda: server.log("worker not replaced"))
        database.execute(f"UPDATE {VERSION_TABLE} SET version_num = ?", [version])
    (line,) = server.log("worker not replaced")
    assert "newer" in line
    assert server.workers() == before
    assert len(server.log("workers are replaced")) > len(server.log("workers were replaced"))
    assert await read_text(server.port, "untouched") == ""
