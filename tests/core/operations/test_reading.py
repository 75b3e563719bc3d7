"""What readers of operations are answered."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from core.operations.thin_client import ThinClient
from cowrite.brokers.local import LocalBroker, LocalHub
from cowrite.core.operations.reading import MAX_BYTES, MAX_OPERATIONS, DocumentReader, Operations
from cowrite.core.operations.state import State
from cowrite.core.ports import StoreUnavailable
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.roots import RootKind
from cowrite.stores.memory import MemoryDatabase, memory_storage
from cowrite.testing.model import Model
from cowrite.testing.process import Process, quiet
from cowrite.testing.records import make_entry, make_operation, write


@asynccontextmanager
async def process(database: MemoryDatabase, hub: LocalHub | None = None) -> AsyncIterator[Process]:
    async with Process(memory_storage(database), LocalBroker(hub) if hub else LocalBroker()) as server:
        yield server


def body(model: Model) -> str:
    return "".join(piece["insert"] for piece in model.state["body"]["$text"]) if model.state else ""


@pytest.mark.rule("RD1", "RD2")
async def test_replaying_what_is_read_gives_the_document() -> None:
    """From the beginning, in parts, with and without a feed that holds it."""
    database = MemoryDatabase()
    async with process(database) as server:
        ana, bot, late = await server.join(user="ana"), ThinClient("bot"), ThinClient("late")
        for word in ("one", "two", "three"):
            ana.client.text.insert(0, word)
            await quiet(server)
            await bot.read(server)
            assert body(bot.model) == str(ana.client.text)
        await late.read(server)
        assert late.model.state == bot.model.state
        assert late.head == bot.head


@pytest.mark.rule("RD2")
async def test_who_lacks_too_much_gets_the_state() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        bot, reader = ThinClient("bot"), DocumentReader(server.storage)
        for _ in range(3):
            batch = [{"type": "insert", "position": ["body", 0], "content": "x"} for _ in range(MAX_OPERATIONS // 3 + 1)]
            await bot.send(server, batch)
            await quiet(server)
            await bot.read(server)
        room = server.room()
        for cursor in (None, "nobody knows it", "no id\0"):
            found = await reader.since(room, cursor)
            assert isinstance(found, State)
            assert json.loads(found.json) == bot.model.state
            assert (found.head, found.offset) == (bot.head, room.replicas.head.offset)
        assert await reader.since(room, bot.head) == Operations([], bot.head, room.replicas.head.offset)


@pytest.mark.rule("RD2")
@pytest.mark.parametrize(("number", "size"), [(3, 700_000), (5, 1_000_000), (30, 10), (MAX_OPERATIONS + 1, 0)])
async def test_what_the_store_holds_is_read_in_portions(number: int, size: int) -> None:
    """All of it, however many portions that takes and whatever of it can be seen; or the state, when it is too much."""
    database = MemoryDatabase()
    storage = memory_storage(database)
    entries = [
        make_entry(offset, update=b"\0\0", operations=(make_operation(offset, content="x" * size),) if size else ())
        for offset in range(1, number + 1)
    ]
    await write(storage.store, "doc", *entries)
    async with process(database) as server:
        await server.join()
        found = await DocumentReader(server.storage).operations(server.room(), None)
        if number > MAX_OPERATIONS or number * size > MAX_BYTES:
            assert found is None
        else:
            assert found is not None
            assert [one.entry for one in found.entries] == entries
            assert (found.head, found.offset) == (entries[-1].operations[-1].id, number)


@pytest.mark.rule("RD2")
async def test_who_read_before_history_that_is_kept_gets_the_state() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana, bot = await server.join(user="ana"), ThinClient("bot")
        for number in range(3):
            ana.client.text.insert(0, str(number))
            await quiet(server)
        await bot.read(server)
        database.forget_history("doc", 3)
        server.room().readership.feed = None
        found = await DocumentReader(server.storage).since(server.room(), None)
        assert isinstance(found, State)
        assert found.head == bot.head


@pytest.mark.rule("RD3")
async def test_only_what_is_committed_is_read() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana, bot = await server.join(user="ana"), ThinClient("bot")
        ana.client.text.insert(0, "kept")
        await quiet(server)
        hold = database.hold_next("commit")
        ana.client.text.insert(0, "shown ")
        await quiet(server)
        reader, room = DocumentReader(server.storage), server.room()
        state = asyncio.ensure_future(reader.state(room))
        await bot.read(server)
        assert body(bot.model) == "kept"
        await asyncio.sleep(0)
        assert not state.done(), "the log runs ahead: wait for the transaction"
        database.fail_next("commit", database_error())
        hold.release()
        await quiet(server)
        found = await state
        assert json.loads(found.json)["body"]["$text"] == [{"insert": "kept"}], "made from the store"


@pytest.mark.rule("RD3")
async def test_nothing_is_older_than_the_cursor() -> None:
    """Which was had from a process that knows more."""
    database = MemoryDatabase()
    async with process(database) as one, process(database) as other:
        ana, bot = await one.join(user="ana"), ThinClient("bot")
        await other.join(user="ben")
        await bot.read(other)
        ana.client.text.insert(0, "news")
        await quiet(one)
        await bot.read(one)
        head = bot.head
        assert head is not None
        assert other.room().replicas.head.offset == 0
        await bot.read(other)
        assert (body(bot.model), bot.head) == ("news", head)


@pytest.mark.rule("RD5")
async def test_the_state_is_rendered_once() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana, reader = await server.join(user="ana"), DocumentReader(server.storage)
        ana.client.text.insert(0, "x")
        await quiet(server)
        room = server.room()
        state = await reader.state(room)
        assert await reader.state(room) is state
        ana.client.text.insert(0, "y" * 300_000)
        await quiet(server)
        large = await reader.state(room)
        assert large.offset == 2
        assert len(large.json) > 300_000
        room.replicas.abandon()
        assert (await reader.committed(room)).state == large.committed.state


@pytest.mark.rule("RD2")
async def test_a_document_that_nobody_wrote_is_empty() -> None:
    async with process(MemoryDatabase()) as server:
        await server.join()
        reader, room = DocumentReader(server.storage), server.room()
        state = await reader.state(room)
        assert (state.json, state.head, state.offset) == (b"{}", None, 0)
        room.replicas.abandon()
        assert (await reader.committed(room)).head.offset == 0


@pytest.mark.rule("RD2")
async def test_the_last_operation_is_found_however_far_back() -> None:
    """Behind it are entries in which nobody sees anything."""
    paragraph = {"$xml": "p", "attrs": {}, "children": [{"$xmltext": [{"insert": "a"}], "attrs": {}}]}
    database = MemoryDatabase()
    async with process(database) as server:
        bot, other, reader = ThinClient("bot"), ThinClient("other"), DocumentReader(server.storage)
        await bot.send(server, [{"type": "insert", "position": ["xml", 0], "content": [paragraph]}])
        await quiet(server)
        await bot.read(server)
        await other.read(server)
        await other.send(server, [{"type": "delete", "position": ["xml", 0], "length": 1, "id": "last"}])
        for _ in range(60):
            await bot.send(server, [{"type": "insert", "position": ["xml", 0, 0, 1], "content": "b"}])
            await quiet(server)
        room = server.room()
        assert room.replicas.head.offset == 62
        assert (await reader.state(room)).head == "last", "from the feed"
        room.readership.feed = room.readership.state = None
        assert (await reader.state(room)).head == "last", "from the store"
        found = await reader.since(room, "last")
        assert isinstance(found, Operations)
        assert (found.head, found.count) == ("last", 0)


def database_error() -> StoreUnavailable:
    return StoreUnavailable("gone")


@pytest.mark.rule("RD2")
async def test_a_state_is_not_older_than_asked() -> None:
    """Where this process has not seen a commit yet, the store is read."""
    database = MemoryDatabase()
    async with process(database) as one, process(database) as two:
        ana = await one.join(user="ana")
        await two.join(user="ben")
        await quiet(one, two)
        ana.client.text.insert(0, "x")
        await quiet(one)
        reader, behind, head = DocumentReader(two.storage), two.room(), one.room().replicas.head
        assert behind.replicas.head.offset == 0
        state = await reader.state(behind, at_least=head)
        assert (state.offset, state.content) == (1, {"body": {"$text": [{"insert": "x"}]}})
        assert await reader.last_operation(one.room()) == (state.head, head)


@pytest.mark.rule("RD2")
async def test_the_last_reader_of_a_quiet_document_is_answered_from_memory() -> None:
    """Who has read up to where the feed begins is looked up in the store once."""
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        ana.client.text.insert(0, "x")
        await quiet(server)
        reader, room = DocumentReader(server.storage), server.room()
        head, _ = await reader.last_operation(room)
        first = await reader.since(room, head)
        database.fail_next("locate", StoreUnavailable("a second look"))
        again = await reader.since(room, head)
        assert isinstance(first, Operations)
        assert isinstance(again, Operations)
        assert (first.count, again.count, again.head, again.offset) == (0, 0, head, 1)


@pytest.mark.rule("LM23")
async def test_a_crowd_has_a_state_written_once() -> None:
    """All who ask while it is made are given the same object; who comes behind the next edit, another one."""
    async with process(MemoryDatabase()) as server:
        ana, reader = await server.join(user="ana"), DocumentReader(server.storage)
        ana.client.text += "x" * 300_000
        await quiet(server)
        crowd = await asyncio.gather(*(reader.state(server.room()) for _ in range(20)))
        assert all(state is crowd[0] for state in crowd)
        ana.client.text += "y"
        await quiet(server)
        assert (await reader.state(server.room())).offset == crowd[0].offset + 1


@pytest.mark.rule("GU37")
async def test_a_state_of_some_size_is_made_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine may take long for few bytes."""
    threads: list[threading.Thread] = []
    from_state = LogDocument.from_state

    def noted(state: bytes, roots: Mapping[str, RootKind]) -> LogDocument:
        threads.append(threading.current_thread())
        return from_state(state, roots)

    async with process(MemoryDatabase()) as server:
        ana, reader = await server.join(user="ana"), DocumentReader(server.storage)
        ana.client.text += "x" * 9_000
        await quiet(server)
        monkeypatch.setattr(LogDocument, "from_state", noted)
        assert len((await reader.state(server.room())).json) > 9_000
        assert [thread is threading.main_thread() for thread in threads] == [False]
