"""The journal's rounds: who is next, who rests, who is tried alone, and when all is done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from cowrite.brokers.local import LocalBroker, LocalHub
from cowrite.core.limits import Limits
from cowrite.core.ports import CommitDoubtful, News, StoreBusy, StoreError, StoreUnavailable, WriteTransaction
from cowrite.stores.memory import MemoryDatabase, MemoryStore, memory_storage
from cowrite.testing.process import Process, quiet


class Listening(LocalBroker):
    """Remembers what is published."""

    def __init__(self) -> None:
        super().__init__(LocalHub())
        self.news: list[News] = []

    async def publish(self, news: News) -> None:
        self.news.append(news)


def process(database: MemoryDatabase, **options: object) -> Process:
    broker = options.pop("broker", None) or LocalBroker()
    return Process(memory_storage(database), broker, **options)  # type: ignore[arg-type]


async def step(server: Process, seconds: float) -> None:
    for _ in range(round(seconds * 10)):
        server.clock.advance(0.1)  # type: ignore[attr-defined]
        await quiet(server)


def failure(server: Process) -> str | None:
    """What the store said when it could not be written, while that lasts."""
    return server.journal.failure


class Odd(StoreError):
    """A failure that is of no kind in particular: the document rests."""


@pytest.mark.rule("JO23")
async def test_what_rests_is_tried_when_the_process_ends() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        database.fail_next("append", Odd("odd"), times=10)
        ana.client.text.insert(0, "a")
        for _ in range(400):
            await step(server, 0.1)
            if server.journal._failures[server.room()] >= 8:
                break
        assert server.journal.failing_documents == {"doc": "odd"}
        server.journal.hurry()
        draining = asyncio.ensure_future(server.journal.drained())
        await step(server, 1)
        assert draining.done()
        assert ana.client.saved
        assert not server.journal.failing_documents


@pytest.mark.rule("JO24")
async def test_it_is_not_drained_while_a_group_is_under_way() -> None:
    """A lone commit that ends meanwhile does not look at the group's rooms."""
    database = MemoryDatabase()
    async with process(database) as server:
        _, ben = await server.join("a", user="ana"), await server.join("b", user="ben")
        await quiet(server)
        other = MemoryStore(database).writing(["a"])
        await other.__aenter__()
        for _ in range(3):
            server.room("a").look_under_lock()
            await step(server, 0.1)
        server.room("a")._doubts_log = False
        assert server.room("a") in server.journal._apart
        await step(server, 0.1)
        hold = database.hold_next("commit")
        ben.client.text.insert(0, "b")
        await step(server, 0.3)
        assert hold.reached.is_set()
        await other.__aexit__(None, None, None)
        draining = asyncio.ensure_future(server.journal.drained())
        await quiet(server)
        assert not server.journal._apart, "the lone commit is done"
        assert not draining.done()
        hold.release()
        await quiet(server)
        assert draining.done()
        assert ben.client.saved


@pytest.mark.rule("JO24")
async def test_nothing_is_kept_of_rooms_that_have_nothing_left() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        room = server.room()
        async with MemoryStore(database).writing(["doc"]):
            room.look_under_lock()
            await quiet(server)
            assert room in server.journal._skips
            room._doubts_log = False  # somebody else has seen to it
            await step(server, 0.1)
        assert room not in server.journal._skips
        database.fail_next("append", Odd("odd"))
        ana.client.text.insert(0, "a")
        await quiet(server)
        assert server.journal._failures[room] == 1
        room.pending.drop(next(iter(room.pending)))
        await step(server, 1)
        assert room not in server.journal._failures
        assert not server.journal.failing_documents
        assert not server.journal._resting


@pytest.mark.rule("JO26")
async def test_large_entries_are_published_as_offset_only() -> None:
    database, broker = MemoryDatabase(), Listening()
    async with process(database, broker=broker) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        for size in (60 << 10, 68 << 10):
            ana.client.text.insert(0, "x" * size)
            await quiet(server)
        small, large = broker.news
        assert [len(entry.update) > 60 << 10 for entry in small.entries] == [True]
        assert (large.offset, large.entries) == (2, ())


@pytest.mark.rule("JO27")
async def test_a_lone_commit_waits_for_its_lock_and_then_lets_others_try() -> None:
    waits: list[float | None] = []

    class Waiting(MemoryStore):
        def writing(self, document_ids, *, wait=None):  # type: ignore[no-untyped-def]
            waits.append(wait)
            return super().writing(document_ids, wait=wait)

    database = MemoryDatabase()
    async with Process(replace(memory_storage(database), store=Waiting(database)), LocalBroker()) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        async with MemoryStore(database).writing(["doc"]):
            ana.client.text.insert(0, "late")
            await step(server, 0.5)
            assert waits == [None, None, None, 2.0]
        await step(server, 1)
        assert ana.client.saved


@pytest.mark.rule("JO27")
async def test_few_are_committed_alone_at_a_time() -> None:
    """However many documents are held elsewhere: each lone commit takes a connection for two seconds."""
    alone = most = 0

    class Counting(MemoryStore):
        @asynccontextmanager
        async def writing(self, ids: Collection[str], *, wait: float | None = None) -> AsyncIterator[WriteTransaction]:
            nonlocal alone, most
            alone += wait is not None
            most = max(most, alone)
            try:
                async with super().writing(ids, wait=wait) as transaction:
                    yield transaction
            finally:
                alone -= wait is not None

    database = MemoryDatabase()
    names = [f"held {number}" for number in range(6)]
    async with Process(replace(memory_storage(database), store=Counting(database)), LocalBroker()) as server:
        writers = [await server.join(name, user="ana") for name in (*names, "free")]
        await quiet(server)
        async with MemoryStore(database).writing(names):
            for writer in writers:
                writer.client.text.insert(0, "a")
            await step(server, 1)
            assert [writer.client.saved for writer in writers] == [False] * 6 + [True]
        await step(server, 3)
        assert all(writer.client.saved for writer in writers)
        assert most == 2


@pytest.mark.rule("JO28")
async def test_whoever_found_no_room_in_a_transaction_is_first_in_the_next() -> None:
    database = MemoryDatabase()
    async with process(database, limits=Limits(group_updates=5)) as server:
        ana, ben = await server.join("a", user="ana"), await server.join("b", user="ben")
        await quiet(server)
        hold = database.hold_next("commit")
        ana.client.text.insert(0, "first")
        await quiet(server)
        for _ in range(20):
            ana.client.text.insert(0, "a")
        ben.client.text.insert(0, "b")
        await quiet(server)
        hold.release()
        while not ben.client.saved:
            await asyncio.sleep(0)
            ben.read()
        ana.read()
        assert not ana.client.saved, "who fills a transaction does not fill the next one, too"
        await quiet(server)
        assert ana.client.saved


@pytest.mark.rule("JO7")
async def test_a_doubt_is_over_once_the_lock_was_had() -> None:
    """A group that did not show up under the lock was not committed, whatever shows up later under its name."""
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        database.fail_next("commit", CommitDoubtful("the connection was lost"))
        ana.client.text.insert(0, "x")
        await quiet(server)
        assert server.room().pending._doubtful
        await step(server, 2)
        assert ana.client.saved
        assert not server.room().pending._doubtful


@pytest.mark.rule("JO6")
@pytest.mark.parametrize("error", [StoreBusy("locked"), StoreUnavailable("away")])
async def test_hurrying_changes_nothing_for_a_store_that_cannot_be_written(error: StoreError) -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        server.journal.hurry()
        database.fail_next("begin", error, times=3)
        ana.client.text.insert(0, "x")
        await step(server, 10)
        assert ana.client.saved


@pytest.mark.rule("JO6")
async def test_what_a_round_has_left_is_not_lost_with_it() -> None:
    """The application starts a journal again whose round has failed for a reason that nobody thought of."""

    class Broken(LocalBroker):
        async def publish(self, news: News) -> None:
            raise RuntimeError("the broker is not what it was")

    database = MemoryDatabase()
    async with process(database, broker=Broken()) as server:
        ana, ben = await server.join("a", user="ana"), await server.join("b", user="ben")
        await quiet(server)
        async with MemoryStore(database).writing(["a"]):
            ben.client.text.insert(0, "b")
            ana.client.text.insert(0, "a")
            await quiet(server)
        (failed, *_) = server._tasks
        with pytest.raises(RuntimeError):
            await failed
        server._tasks[0] = asyncio.ensure_future(server.journal.run())
        await step(server, 0.5)
        with pytest.raises(RuntimeError):
            await server._tasks[0]
        assert (ana.client.saved, ben.client.saved) == (True, True)
        server._tasks[0] = asyncio.ensure_future(server.journal.run())


@pytest.mark.rule("JO6")
async def test_a_store_that_is_busy_for_long_counts_as_failing() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        database.fail_next("begin", StoreBusy("locked"), times=1000)
        ana.client.text.insert(0, "x")
        await step(server, 4)
        assert failure(server) is None
        await step(server, 2)
        assert failure(server) == "locked"
        database._failures.clear()
        await step(server, 1)
        assert failure(server) is None
        assert ana.client.saved


@pytest.mark.rule("JO24")
async def test_a_journal_without_work_closes_at_once() -> None:
    async with process(MemoryDatabase()) as server:
        await server.journal.drained()
        await server.journal.close()
        await server._tasks[0]


@pytest.mark.rule("JO33")
async def test_a_store_that_comes_back_is_noticed_although_nothing_waits() -> None:
    """What waited was withdrawn meanwhile."""
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        database.unavailable = True
        ana.client.text.insert(0, "x")
        await step(server, 1)
        assert failure(server) is not None
        server.room().pending.drop(next(iter(server.room().pending)))
        await step(server, 1)
        assert failure(server) is not None
        database.unavailable = False
        await step(server, 4)
        assert failure(server) is None
        assert database.commits == 1


@pytest.mark.rule("JO34")
@pytest.mark.parametrize(("worked", "pause"), [(0.004, 0.008), (1, 0.02)])
async def test_the_next_group_waits_for_more_when_the_loop_has_much_to_do(worked: float, pause: float) -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        await quiet(server)

        def type_on(news: News) -> None:
            """While the group is under way, which takes the loop so long."""
            if server.journal.groups == 1:
                ana.client.text.insert(1, "b")
                server.room().flush()
                server.clock.advance(worked)  # type: ignore[attr-defined]

        server.journal.listen(type_on)
        ana.client.text.insert(0, "a")
        await quiet(server)
        server.clock.advance(pause - 0.001)  # type: ignore[attr-defined]
        ana.client.text.insert(2, "c")
        server.room().flush()
        await quiet(server)
        assert server.journal.groups == 1
        server.clock.advance(0.001)  # type: ignore[attr-defined]
        await quiet(server)
        assert ana.client.saved
        assert (server.journal.groups, server.journal.entries) == (2, 2), "what came meanwhile is one entry"
        ana.client.text.insert(3, "d")
        await quiet(server)
        assert ana.client.saved, "nothing waited: at once"


@pytest.mark.rule("JO34")
async def test_it_does_not_wait_for_more_when_the_process_ends() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        await quiet(server)

        def type_on(news: News) -> None:
            if server.journal.groups == 1:
                ana.client.text.insert(1, "b")
                server.room().flush()
                server.clock.advance(0.01)  # type: ignore[attr-defined]
                server.journal.hurry()

        server.journal.listen(type_on)
        ana.client.text.insert(0, "a")
        await quiet(server)
        assert ana.client.saved
        assert server.journal.groups == 2


@pytest.mark.rule("JO34")
async def test_a_full_group_is_followed_at_once() -> None:
    database = MemoryDatabase()
    async with process(database, limits=Limits(group_updates=5)) as server:
        ana, ben = await server.join("a", user="ana"), await server.join("b", user="ben")
        await quiet(server)
        server.journal.listen(lambda news: server.clock.advance(0.01))  # type: ignore[attr-defined]
        for _ in range(5):
            ana.client.text.insert(0, "a")
        ben.client.text.insert(0, "b")
        await quiet(server)
        assert server.journal.groups == 2
        assert ana.client.saved
        assert ben.client.saved
