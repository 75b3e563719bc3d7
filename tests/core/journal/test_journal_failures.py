"""Transactions that fail, documents that cannot be read or written, and logs that are not what they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from core.journal.journal_tools import log_of, process, saved, step, text_of
from cowrite.brokers.local import LocalHub
from cowrite.core.limits import Limits
from cowrite.core.ports import CommitDoubtful, StoreBusy, StoreUnavailable
from cowrite.crdt.errors import EngineFault
from cowrite.crdt.log_document import LogDocument
from cowrite.protocol import yjs
from cowrite.protocol.messages import Acknowledged, SyncStep1, Update
from cowrite.stores.memory import MemoryDatabase, MemoryStore
from cowrite.testing.process import Process, quiet
from cowrite.testing.yjs_client import YjsClient

GONE = StoreUnavailable("the database is away")


def failure(server: Process) -> str | None:
    """What the store said when it could not be written, while that lasts."""
    return server.journal.failure


@pytest.mark.rule("JO6")
@pytest.mark.parametrize("call", ["begin", "append", "commit"])
async def test_after_a_failed_transaction_everything_is_committed_once(call: str) -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana, ben = await server.join(user="ana"), await server.join(user="ben")
        await quiet(server)
        ana.client.text.insert(0, "one ")
        await quiet(server)
        database.fail_next(call, GONE, times=2)  # type: ignore[arg-type]
        ana.client.text.insert(4, "two ")
        await quiet(server)
        assert not saved(ana)
        assert failure(server) is not None
        ben.client.text.insert(8, "three")
        await step(server, 5)
        assert saved(ana)
        assert saved(ben)
        assert failure(server) is None
        assert [entry.author for entry in await log_of(database)] == ["ana", "ana", "ben"]
        assert await text_of(database) == "one two three"


@pytest.mark.rule("JO41")
async def test_a_store_that_is_away_for_one_document_takes_the_others() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana, ben = await server.join("bad", user="ana"), await server.join("good", user="ben")
        eve = await server.join("fine", user="eve")
        await quiet(server)
        database.fail_next("append", GONE, times=10, document_id="bad")
        ana.client.text.insert(0, "much")
        await step(server, 0.2)
        assert failure(server) is not None, "nothing tells that it is not the store"
        for _ in range(3):
            for one in (ben, eve):
                one.client.text.insert(0, "x")
            await step(server, 0.5)
            assert saved(ben)
            assert saved(eve)
            assert not saved(ana)
            assert failure(server) is None
            assert server.journal.failing_documents == {"bad": str(GONE)}
        await step(server, 40)
        assert saved(ana)
        assert not server.journal.failing_documents
        ana.client.text.insert(0, "so ")
        await step(server, 1)
        assert saved(ana)
        assert await text_of(database, "bad") == "so much"


@pytest.mark.rule("JO41")
async def test_a_document_that_the_store_was_away_for_is_tried_at_once_when_it_is_back() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana, ben = await server.join("bad", user="ana"), await server.join("good", user="ben")
        await quiet(server)
        database.fail_next("append", GONE, times=3, document_id="bad")
        for one in (ana, ben):
            one.client.text.insert(0, "x")
        while not server.journal.failing_documents:
            await step(server, 0.1)
        assert saved(ben)
        assert not saved(ana)
        database.unavailable = True
        ben.client.text.insert(0, "y")
        await step(server, 60)
        assert not saved(ben)
        database.unavailable = False
        await step(server, 4)
        assert saved(ben)
        assert saved(ana)


@pytest.mark.rule("JO41")
async def test_no_document_is_blamed_where_the_store_takes_none() -> None:
    """As on a disk that is full: transactions without anything in them are made."""
    database = MemoryDatabase()
    async with process(database) as server:
        ana, ben = await server.join("one", user="ana"), await server.join("two", user="ben")
        await quiet(server)
        database.fail_next("append", GONE, times=20)
        for one in (ana, ben):
            one.client.text.insert(0, "x")
        await step(server, 0.7)
        assert failure(server) == str(GONE)
        assert not server.journal.failing_documents
        await step(server, 15)
        assert saved(ana)
        assert saved(ben)


@pytest.mark.rule("JO7")
@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("way", ["lock", "broker"])
async def test_a_commit_in_doubt_is_found_out(applied: bool, way: str) -> None:
    database, hub = MemoryDatabase(), LocalHub()
    async with process(database, hub) as server, process(database, hub) as other:
        ana, ben = await server.join(user="ana"), await other.join(user="ben")
        await quiet(server, other)
        database.fail_next("commit", CommitDoubtful("the connection was lost"), applied=applied)
        ana.client.text.insert(0, "doubt")
        await quiet(server, other)
        assert not saved(ana)
        if way == "broker":
            await server.heads.look([server.room()])
            await quiet(server)
            assert saved(ana) == applied
        await step(server, 5)
        await other.heads.look([other.room()])
        await quiet(server, other)
        assert saved(ana)
        assert len(await log_of(database)) == 1
        assert str(ben.client.text) == "doubt"


@pytest.mark.rule("JO8")
async def test_what_the_store_refuses_is_set_aside_and_the_rest_is_kept() -> None:
    database = MemoryDatabase()
    database.refuse = lambda document_id, entry: b"poison" in entry.update
    async with process(database) as server:
        ana, ben = await server.join(user="ana"), await server.join(user="ben")
        other = await server.join("other", user="eve")
        await quiet(server)
        commit = database.hold_next("commit")
        other.client.text.insert(0, "first")
        await quiet(server)
        ana.client.text.insert(0, "before ")
        ben.client.text.insert(0, "poison ")
        ana.client.text.insert(0, "after ")
        other.client.text.insert(0, "innocent ")
        commit.release()
        await step(server, 3)
        assert [one.author for one in database.quarantined()] == ["ben"]
        assert sorted((await text_of(database)).split()) == ["after", "before"]
        assert await text_of(database, "other") == "innocent first"
        assert saved(other)
        assert other.closed is None


@pytest.mark.rule("JO9")
async def test_an_update_that_breaks_the_log_is_tried_alone_and_then_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault is put in by hand: no update that does it is known."""
    database = MemoryDatabase()
    commit = LogDocument.commit
    tried: list[int] = []

    def break_(self: LogDocument, updates: Sequence[bytes], outlines: object) -> object:
        if any(b"poison" in update for update in updates):
            tried.append(len(updates))
            self._fault = "put in by hand"
            raise EngineFault("the engine panicked")
        return commit(self, updates, outlines)  # type: ignore[arg-type]

    apply = LogDocument._apply_unheard

    def break_later(self: LogDocument, updates: Sequence[bytes]) -> None:
        if any(b"poison" in update for update in updates):
            tried.append(len(updates))
            raise RuntimeError("the engine panicked")
        apply(self, updates)

    monkeypatch.setattr(LogDocument, "commit", break_)
    monkeypatch.setattr(LogDocument, "_apply_unheard", break_later)
    async with process(database) as server:
        ana, ben = await server.join(user="ana"), await server.join(user="ben")
        await quiet(server)
        for word in ("good ", "poison ", "fine "):
            ana.client.text.insert(len(ana.client.text), word)
        await step(server, 3)
        assert tried[0] == 3
        assert tried[-1] == 1
        assert [one.author for one in database.quarantined()] == ["ana", "ana"], "the third builds on the second"
        assert ben.closed is not None
        assert ben.closed[0] == 4505
        assert await text_of(database) == "good "


@pytest.mark.rule("JO10")
async def test_an_edit_that_could_not_be_kept_is_not_taken_from_anybody() -> None:
    """Else it would come back with everybody who was shown it, and be refused for ever."""
    database = MemoryDatabase()
    database.refuse = lambda document_id, entry: b"poison" in entry.update
    async with process(database) as server:
        ana, ben = await server.join(user="ana"), await server.join(user="ben")
        await quiet(server)
        ana.client.text.insert(0, "poison")
        await step(server, 3)
        assert ben.closed is not None
        again = await server.join(client=ben.client, user="ben")
        await quiet(server)
        assert again.closed is not None
        assert again.closed[0] == 4424
        fresh = await server.join(user="eve")
        fresh.client.text.insert(0, "fine")
        await step(server, 1)
        assert saved(fresh)
        assert len(database.quarantined()) == 1


@pytest.mark.rule("JO12")
async def test_without_a_store_editing_goes_on_within_bounds() -> None:
    database = MemoryDatabase()
    limits = Limits(pending_document_bytes=3000)
    async with process(database, limits=limits) as server:
        ana, ben = await server.join(user="ana"), await server.join(user="ben")
        await quiet(server)
        database.unavailable = True
        for n in range(10):
            ana.client.text.insert(0, f"{n}" * 500)
            await quiet(server)
        shown = str(ben.client.text)
        assert 2000 <= len(shown) <= 3000, "relayed as long as it is within the bound"
        assert not saved(ana)
        assert ana.closed is None
        assert server.room().pending.bytes <= 3000
        database.unavailable = False
        await step(server, 5)
        assert str(ben.client.text) == str(ana.client.text)
        assert saved(ana)
        assert await text_of(database) == str(ana.client.text)


@pytest.mark.rule("JO13")
async def test_entries_of_others_are_relayed_though_the_own_commit_fails() -> None:
    database = MemoryDatabase()
    async with process(database) as one, process(database) as two:
        ana, ben = await one.join(user="ana"), await two.join(user="ben")
        await quiet(one, two)
        ben.client.text.insert(0, "others")
        await quiet(two)
        database.fail_next("commit", GONE)
        ana.client.text.insert(0, "own ")
        await quiet(one)
        assert sorted(str(ana.client.text).replace("others", "others ").split()) == ["others", "own"]
        assert not saved(ana)


@pytest.mark.rule("JO15")
async def test_a_log_that_went_back_begins_a_new_epoch() -> None:
    """As after a fail-over to an older replica."""
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        ana.client.text.insert(0, "one ")
        await quiet(server)
        ana.client.text.insert(4, "two ")
        await quiet(server)
        document = database.tables.documents["doc"]
        epoch = document.head.epoch
        document.rows.pop()
        document.head = replace(document.head, offset=1, entry_id=document.rows[0].entry.id)
        ana.client.text.insert(8, "three")
        await step(server, 2)
        assert ana.closed is not None
        assert ana.closed[0] == 4506
        assert document.head.epoch != epoch
        back = await server.join(client=ana.client, user="ana")
        await step(server, 2)
        assert saved(back)
        assert await text_of(database) == "one two three"


@pytest.mark.rule("JO15")
async def test_another_epoch_sends_everybody_away() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        ana.client.text.insert(0, "one ")
        await quiet(server)
        async with MemoryStore(database).writing(["doc"]) as transaction:
            await transaction.renew_epoch("doc", "another")
        await server.heads.look([server.room()])
        await step(server, 1)
        assert ana.closed is not None
        assert ana.closed[0] == 4506
        back = await server.join(client=ana.client, user="ana")
        back.client.text.insert(0, "zero ")
        await step(server, 1)
        assert saved(back)
        assert server.room().replicas.head.epoch == "another"


@pytest.mark.rule("JO16")
async def test_of_two_contents_for_one_clock_the_first_committed_stays() -> None:
    database = MemoryDatabase()
    async with process(database) as one, process(database) as two:
        ana, ben = await one.join(client=YjsClient(7), user="ana"), await two.join(client=YjsClient(7), user="ben")
        witness = await two.join(user="witness")
        await quiet(one, two)
        commit = database.hold_next("begin")
        ben.client.text.insert(0, "b")
        await quiet(two)
        assert str(witness.client.text) == "b"
        ana.client.text.insert(0, "aaa")
        await quiet(one)
        assert saved(ana)
        commit.release()
        for _ in range(5):
            await step(two, 0.5)
        assert not saved(ben)
        assert ben.closed is not None
        assert [one_.author for one_ in database.quarantined()] == ["ben"]
        newcomer = await two.join(user="eve")
        await quiet(two)
        assert str(newcomer.client.text) == "aaa" == await text_of(database)


@pytest.mark.rule("JO18")
async def test_nothing_is_written_to_a_document_that_cannot_be_read() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        ana.client.text.insert(0, "one ")
        await quiet(server)
        ana.client.text.insert(4, "two ")
        await quiet(server)
        before = list(database.tables.documents["doc"].rows)
        database.fail_next("commit", GONE)
        database.damage_update("doc", 1)
        damaged = list(database.tables.documents["doc"].rows)
        ana.client.text.insert(8, "three")
        await step(server, 3)
        assert database.tables.documents["doc"].rows == damaged != before
        assert ana.closed is not None
        assert ana.closed[0] == 4503
        assert [one.author for one in database.quarantined()] == ["ana"]


@pytest.mark.rule("JO19")
async def test_news_inside_the_own_transaction_waits_for_its_end() -> None:
    database, hub = MemoryDatabase(), LocalHub()
    async with process(database, hub) as one, process(database, hub) as two:
        ana, ben = await one.join(user="ana"), await two.join(user="ben")
        await quiet(one, two)
        begin = database.hold_next("begin")
        ana.client.text.insert(0, "a")
        await quiet(one)
        ben.client.text.insert(0, "b")
        await quiet(two)
        assert one.room().replicas.head.offset == 0
        begin.release()
        await quiet(one, two)
        assert one.room().replicas.head.offset == 2
        assert str(ana.client.text) == str(ben.client.text)
        assert saved(ana)
        assert saved(ben)


@pytest.mark.rule("JO6")
async def test_a_busy_store_is_tried_again_at_once() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        database.fail_next("begin", StoreBusy("locked"), times=3)
        ana.client.text.insert(0, "x")
        await step(server, 0.5)
        assert saved(ana)
        assert failure(server) is None


@pytest.mark.rule("JO1")
async def test_a_sync_step_2_makes_up_for_what_was_refused() -> None:
    """After capacity is back: the peer is asked, answers with everything, and is acknowledged in full."""
    database = MemoryDatabase()
    async with process(database, limits=Limits(pending_document_bytes=100)) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        database.unavailable = True
        for n in range(5):
            ana.client.text.insert(0, f"{n}" * 60)
        await quiet(server)
        assert ana.peer.starved
        database.unavailable = False
        ana.reading = False
        await step(server, 5)
        assert [
            type(yjs.decode(frame)) for frame in ana.incoming if not isinstance(yjs.decode(frame), (Acknowledged, Update))
        ] == [SyncStep1]
        assert not saved(ana)
        ana.reading = True
        await step(server, 1)
        assert saved(ana)
