"""Two servers on one SQLite file, without a broker between them: what one commits the other finds."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from functools import partial
from typing import Any

import pytest

from cowrite.protocol.close_codes import CloseCode
from cowrite.testing.client import LiveClient, live_client
from cowrite.testing.model import Model
from cowrite.testing.yjs_client import YjsClient
from demo_server import DemoServer
from socket_writers import Writer, read_text, until

pytestmark = [pytest.mark.chaos, pytest.mark.rule("RE7")]

WRITERS = 6
SECONDS = 2.5


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sequence[DemoServer]]:
    """Two processes that know nothing of one another but the file."""
    folder = tmp_path_factory.mktemp("servers")
    with DemoServer(folder) as one, DemoServer(folder) as two:
        yield one, two


@pytest.fixture
def servers(both: Sequence[DemoServer]) -> Iterator[Sequence[DemoServer]]:
    """The two, which have no new errors in their logs at the end but those of an edit that could not be kept."""
    before = [len(server.errors()) for server in both]
    yield both
    new = [line for server, count in zip(both, before, strict=True) for line in server.errors()[count:]]
    assert [line for line in new if "update quarantined" not in line] == []


@pytest.fixture
def document() -> str:
    return f"shared/{uuid.uuid4()}"


@contextmanager
def database(server: DemoServer) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(server.database, isolation_level=None, timeout=5)) as connection:
        yield connection


def rows(server: DemoServer, document: str, statement: str) -> list[tuple[Any, ...]]:
    with database(server) as connection:
        return connection.execute(statement, [document]).fetchall()


def offsets(server: DemoServer, document: str) -> list[int]:
    """Of the document's entries, in the order of the table's key."""
    logs = "updates JOIN documents ON number = document_number"
    return [row[0] for row in rows(server, document, f"SELECT entry_offset FROM {logs} WHERE document_id = ? ORDER BY 1")]


def replayed(server: DemoServer, document: str) -> dict[str, Any]:
    """The document that the stored operations make, one after the other."""
    model = Model()
    columns = "operation_type, position, content, length, attributes"
    statement = f"SELECT {columns} FROM content_operations WHERE document_id = ? ORDER BY entry_offset, sequence"
    for kind, position, content, length, attributes in rows(server, document, statement):
        operation = {"type": kind, "position": json.loads(position), "length": length}
        operation |= {name: json.loads(text) for name, text in (("content", content), ("attributes", attributes)) if text}
        model.apply(operation)
    return model.state


def shows(client: LiveClient, text: str) -> bool:
    return str(client.yjs.text) == text


def ended(client: LiveClient) -> bool:
    return client.socket.ended is not None


def saved_or_ended(client: LiveClient) -> bool:
    return client.yjs.saved or ended(client)


def typed(writers: list[Writer]) -> int:
    return sum(len(writer.words) for writer in writers)


@asynccontextmanager
async def clients(document: str, *servers: DemoServer, ids: Sequence[int | None] = ()) -> AsyncIterator[Sequence[LiveClient]]:
    """One client at each of these servers."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(live_client(f"ws://127.0.0.1:{server.port}/yjs/{document}", YjsClient(own)))
            for server, own in zip(servers, ids or [None] * len(servers), strict=True)
        ]


@pytest.mark.rule("JO2", "OP1")
async def test_two_servers_on_one_file_write_one_log(servers: Sequence[DemoServer], document: str) -> None:
    """Offsets without gaps or repeats, each with its operations, which make the same document as the updates."""
    rng = random.Random(7)
    writers = [Writer(f"w{n}", document) for n in range(WRITERS)]
    typing = [asyncio.create_task(w.write(servers[n % 2].port, rng, pause=0.1)) for n, w in enumerate(writers)]
    await asyncio.sleep(SECONDS)
    for writer in writers:
        writer.typing = False
    await until(lambda: all(w.client.saved and str(w.client.text).count(";") == typed(writers) for w in writers))
    (text,) = {str(writer.client.text) for writer in writers}
    assert [await read_text(server.port, document) for server in servers] == [text, text]
    assert typed(writers) > 20
    log = offsets(servers[0], document)
    assert log == list(range(1, len(log) + 1))
    told = rows(servers[0], document, "SELECT DISTINCT entry_offset FROM content_operations WHERE document_id = ? ORDER BY 1")
    assert [offset for (offset,) in told] == log
    assert replayed(servers[0], document) == {"body": {"$text": [{"insert": text}]}}
    for task in typing:
        task.cancel()
    await asyncio.gather(*typing, return_exceptions=True)


@pytest.mark.rule("RE6", "JO14")
async def test_what_no_broker_carries_is_found(servers: Sequence[DemoServer], document: str) -> None:
    """A client that only looks, at a server that had the document open while it was empty, sees what the other commits."""
    async with clients(document, *servers) as (ana, bo):
        ana.yjs.text += "hello"
        await bo.until(partial(shows, bo, "hello"))
        bo.yjs.text += " world"
        await bo.until(lambda: bo.yjs.saved)
        await ana.until(partial(shows, ana, "hello world"))
    assert offsets(servers[0], document) == [1, 2]


@pytest.mark.rule("RE5")
async def test_who_opens_while_the_other_commits_misses_nothing(servers: Sequence[DemoServer], document: str) -> None:
    """Clients that come one after the other, to a server that opens the document anew, while the other one writes."""
    here, there = servers
    writer = Writer("ana", document)
    typing = asyncio.create_task(writer.write(here.port, random.Random(3), pause=0.02))
    await until(lambda: bool(writer.durable))
    async with clients(document, *([there] * 10)) as comers:
        writer.typing = False
        await until(lambda: writer.client.saved)
        for comer in comers:
            await comer.until(partial(shows, comer, str(writer.client.text)))
    typing.cancel()
    await asyncio.gather(typing, return_exceptions=True)


@pytest.mark.rule("JO16", "JO10")
async def test_of_two_contents_for_one_clock_the_first_committed_stays(servers: Sequence[DemoServer], document: str) -> None:
    """Both servers show what they took. The one that comes second is never acknowledged, and both end with the first."""
    async with clients(document, *servers, *servers, ids=(7, 7, None, None)) as (ana, bo, *watching):
        with database(servers[0]) as lock:
            lock.execute("BEGIN IMMEDIATE")  # nobody commits before both have shown theirs
            ana.yjs.text += "ana"
            bo.yjs.text += "bobo"
            for witness, word in zip(watching, ("ana", "bobo"), strict=True):
                await witness.until(partial(shows, witness, word))
            lock.execute("ROLLBACK")
        for client in (ana, bo):
            await client.until(partial(saved_or_ended, client))
        (kept,) = [client for client in (ana, bo) if client.socket.ended is None]
        (other,) = [client for client in (ana, bo) if client is not kept]
        assert not other.yjs.saved
        assert other.socket.ended is not None
        assert other.socket.ended.code in {CloseCode.CONTRADICTING_CONTENT, CloseCode.EDIT_NOT_KEPT, CloseCode.DOCUMENT_REBUILT}
        text = str(kept.yjs.text)
    assert [await read_text(server.port, document) for server in servers] == [text, text]
    assert replayed(servers[0], document) == {"body": {"$text": [{"insert": text}]}}
    assert offsets(servers[0], document) == [1]


@pytest.mark.rule("JO15")
async def test_another_epoch_sends_everybody_away(servers: Sequence[DemoServer], document: str) -> None:
    """Both servers notice that the log is another one; who comes back goes on."""
    async with clients(document, *servers) as (ana, bo):
        ana.yjs.text += "before"
        await bo.until(partial(shows, bo, "before"))
        await ana.until(lambda: ana.yjs.saved)
        with database(servers[0]) as connection:
            connection.execute("UPDATE documents SET epoch = 'another' WHERE document_id = ?", [document])
        for client in (ana, bo):
            await client.until(partial(ended, client))
            assert client.socket.ended is not None
            assert client.socket.ended.code == CloseCode.NEW_EPOCH
    ana_new, bo_new = YjsClient(), YjsClient()
    await comes_back(servers[0], document, ana_new, lambda: str(ana_new.text) == "before")
    ana_new.text += " after"
    await asyncio.gather(
        comes_back(servers[0], document, ana_new, lambda: ana_new.saved),
        comes_back(servers[1], document, bo_new, lambda: str(bo_new.text) == "before after"),
    )


async def comes_back(server: DemoServer, document: str, yjs: YjsClient, holds: Callable[[], bool]) -> None:
    """As a provider does: who is sent away with a code that says so comes back, until this holds."""
    codes: list[int] = []
    while len(codes) < 10:
        async with live_client(f"ws://127.0.0.1:{server.port}/yjs/{document}", yjs) as client:
            await client.until(lambda: holds() or client.socket.ended is not None)
            if holds():
                return
            assert client.socket.ended is not None
            codes.append(client.socket.ended.code or 0)
        assert not 4400 <= codes[-1] <= 4499, codes
        await asyncio.sleep(0.1)
    raise AssertionError(f"sent away again and again: {codes}; it has {yjs.text}")
