"""What the journal promises, on memory stores of one database: several stores are several processes."""

from __future__ import annotations

import asyncio

import pytest

from core.journal.journal_tools import log_of, process, saved, step, text_of
from cowrite.brokers.local import LocalHub
from cowrite.core.limits import Limits
from cowrite.crdt.guard import inspect
from cowrite.crdt.log_document import LogDocument
from cowrite.protocol import yjs
from cowrite.protocol.messages import Acknowledged, SyncStep2
from cowrite.stores.memory import MemoryDatabase, MemoryStore
from cowrite.testing.process import Connection, Process, quiet
from cowrite.testing.yjs_client import YjsClient


def acknowledgements(connection: Connection) -> list[Acknowledged]:
    decoded = [yjs.decode(frame) for frame in connection.incoming]
    return [message for message in decoded if isinstance(message, Acknowledged)]


@pytest.mark.rule("JO1")
async def test_nothing_is_acknowledged_before_commit() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana, ben = await server.join(user="ana"), await server.join(user="ben")
        await quiet(server)
        commit = database.hold_next("commit")
        ana.client.text.insert(0, "edit")
        await quiet(server)
        assert commit.reached.is_set()
        assert str(ben.client.text) == "edit", "the others see it at once"
        assert not saved(ana)
        commit.release()
        await quiet(server)
        assert saved(ana)


@pytest.mark.rule("JO1")
async def test_a_repeat_of_something_uncommitted_is_acknowledged_with_it() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana, ben = await server.join(user="ana"), await server.join(user="ben")
        await quiet(server)
        commit = database.hold_next("commit")
        ana.client.text.insert(0, "edit")
        await quiet(server)
        ben.send(yjs.encode(SyncStep2(ana.client.doc.get_update())))
        ben.client.sent += 1
        await quiet(server)
        assert not saved(ben)
        commit.release()
        await quiet(server)
        assert saved(ben)


@pytest.mark.rule("JO2")
async def test_two_processes_write_one_log() -> None:
    database, hub = MemoryDatabase(), LocalHub()
    async with process(database, hub) as one, process(database, hub) as two:
        people = [await one.join(user="a"), await two.join(user="b"), await one.join(user="c"), await two.join(user="d")]
        await quiet(one, two)
        for turn in range(15):
            for n, person in enumerate(people):
                person.client.text.insert((turn * 7 + n) % (len(person.client.text) + 1), f"{n}")
            await quiet(one, two)
        for server in (one, two, one):  # who was skipped because the other held the lock tries again after some milliseconds
            await step(server, 0.2)
        assert len({str(person.client.text) for person in people}) == 1
        assert all(saved(person) for person in people)
        log = await log_of(database)
        assert [entry.offset for entry in log] == list(range(1, len(log) + 1))
        assert sum(entry.ranges[0].end - entry.ranges[0].start for entry in log if entry.ranges) == 60
        assert await text_of(database) == str(people[0].client.text)


@pytest.mark.rule("JO3")
async def test_a_run_of_one_author_is_one_entry() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana, ben = await server.join(user="ana"), await server.join(user="ben")
        await quiet(server)
        for character in "abc":
            ana.client.text.insert(len(ana.client.text), character)
        ben.client.text.insert(0, "b")
        ana.client.text.insert(0, "x")
        await quiet(server)
        assert [entry.author for entry in await log_of(database)] == ["ana", "ben", "ana"]
        assert saved(ana)
        assert saved(ben)


@pytest.mark.rule("JO3")
async def test_a_repeat_makes_no_row() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        ana.client.text.insert(0, "once")
        await quiet(server)
        before = await log_of(database)
        ana.send(yjs.encode(SyncStep2(ana.client.doc.get_update())))
        ana.client.sent += 1
        await quiet(server)
        assert await log_of(database) == before
        assert saved(ana)
        assert ana.client.offset == 1


@pytest.mark.rule("JO4")
async def test_operations_are_stored_with_their_entry() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(client=YjsClient(5), user="ana")
        ana.client.text.insert(0, "hello")
        await quiet(server)
        (entry,) = await log_of(database)
        (operation,) = entry.operations
        assert (operation.type, operation.position, operation.content) == ("insert", ("body", 0), "hello")
        assert (operation.author, operation.created_at) == ("ana", entry.created_at)
        assert operation.vector_clock == {"5": 5, "offset": 1}


@pytest.mark.rule("JO20")
async def test_bringing_back_what_others_wrote_claims_nothing() -> None:
    """As when their process died before it was committed, and a peer who had seen it comes to another process first."""
    database = MemoryDatabase()
    async with process(database) as server:
        lost = YjsClient(7)
        lost.text.insert(0, "unsaved")
        ben = await server.join(client=YjsClient(8), user="ben")
        await quiet(server)
        ben.send(yjs.encode(SyncStep2(lost.doc.get_update())))
        ben.client.text.insert(0, "own")
        await quiet(server)
        assert database.clients("doc") == {8: "ben"}
        ana = await server.join(client=lost, user="ana")
        await quiet(server)
        ana.client.text.insert(0, "more")
        await quiet(server)
        assert database.clients("doc") == {8: "ben", 7: "ana"}


@pytest.mark.rule("JO5")
async def test_rooms_that_wait_share_a_transaction() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        people = [await server.join(f"doc{n}", user="ana") for n in range(10)]
        await quiet(server)
        before = database.commits
        commit = database.hold_next("commit")
        people[0].client.text.insert(0, "first")
        await quiet(server)
        for person in people[1:]:
            person.client.text.insert(0, "x")
        await quiet(server)
        commit.release()
        await quiet(server)
        assert all(saved(person) for person in people)
        assert database.commits == before + 2
        groups = {(await log_of(database, f"doc{n}"))[0].group for n in range(1, 10)}
        assert len(groups) == 1


@pytest.mark.rule("JO5")
@pytest.mark.parametrize(("limits", "transactions"), [(Limits(group_updates=5), 4), (Limits(group_bytes=130), 10)])
async def test_a_transaction_is_bounded(limits: Limits, transactions: int) -> None:
    database = MemoryDatabase()
    async with process(database, limits=limits) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        before = database.commits
        for _ in range(20):
            ana.client.text.insert(0, "x" * 35)
        await quiet(server)
        assert saved(ana)
        assert database.commits - before == transactions
        assert await text_of(database) == str(ana.client.text)


@pytest.mark.rule("JO11")
async def test_a_locked_document_delays_only_itself() -> None:
    database = MemoryDatabase()
    frozen = MemoryStore(database)
    async with process(database) as server:
        ana, ben = await server.join("locked", user="ana"), await server.join("free", user="ben")
        await quiet(server)
        async with frozen.writing(["locked"]):
            for _ in range(5):
                ana.client.text.insert(0, "a")
                ben.client.text.insert(0, "b")
                await step(server, 0.2)
                assert saved(ben)
                assert not saved(ana)
        await asyncio.sleep(0.1)
        await step(server, 3)
        assert saved(ana)
        assert await text_of(database, "locked") == "aaaaa"


@pytest.mark.rule("JO14")
async def test_two_processes_that_begin_one_document_share_its_log() -> None:
    database = MemoryDatabase()
    async with process(database) as one, process(database) as two:
        ana, ben = await one.join(user="ana"), await two.join(user="ben")
        await quiet(one, two)
        ana.client.text.insert(0, "a")
        await quiet(one)
        ben.client.text.insert(0, "b")
        await quiet(two)
        await one.heads.look([one.room()])
        await quiet(one, two)
        assert (ana.closed, ben.closed) == (None, None)
        assert str(ana.client.text) == str(ben.client.text) == await text_of(database)
        assert len(str(ana.client.text)) == 2


@pytest.mark.rule("JO17")
@pytest.mark.large
async def test_a_checkpoint_is_the_log_at_its_offset() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        for n in range(600):
            ana.client.text.insert(n // 2, chr(97 + n % 26))
            await quiet_fast(server)
        await asyncio.sleep(0.2)
        await quiet(server)
        assert database.checkpoints("doc")
        stored = await MemoryStore(database).load("doc")
        assert stored is not None
        assert stored.checkpoint is not None
        replay = LogDocument.empty()
        for entry in (await log_of(database))[: stored.checkpoint.offset]:
            replay.commit([entry.update], [inspect(entry.update)])
        assert replay.state == LogDocument.from_state(stored.checkpoint.state, stored.checkpoint.roots).state
        assert len(stored.entries) < 600
        assert await text_of(database) == str(ana.client.text)


async def quiet_fast(server: Process) -> None:
    for _ in range(15):
        server.clock.advance(0)  # type: ignore[attr-defined]
        await asyncio.sleep(0)
