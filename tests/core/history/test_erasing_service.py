"""Purging what was deleted long ago, and forgetting what was. The clock is turned by hand."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest

from core.history.past_tools import info_of, process, write
from core.operations.process_tools import answered, body, refused
from core.operations.thin_client import ThinClient
from cowrite.brokers.local import LocalHub
from cowrite.core.history.errors import HistoryRefused
from cowrite.core.operations.reading import DocumentReader, Operations
from cowrite.core.operations.state import State
from cowrite.core.ports import HistoryForgotten, StoreUnavailable
from cowrite.core.records import Checkpoint
from cowrite.core.rooms.deletion import Deletion
from cowrite.protocol import yjs
from cowrite.protocol.messages import SyncStep2
from cowrite.stores.memory import MemoryDatabase
from cowrite.testing.process import Process, quiet
from cowrite.testing.records import make_change

DAY = 86_400.0


def deletion(server: Process) -> Deletion:
    storage = server.storage
    made = Deletion(storage.directory, storage.erasure, server.registry, server.clock, server.ids)
    server.access.listen(made.heard)
    return made


async def later(server: Process, seconds: float) -> None:
    server.clock.advance(seconds)  # type: ignore[attr-defined] # the clock of a Process is turned by hand
    await quiet(server)


@pytest.mark.rule("ER2")
async def test_what_was_deleted_long_enough_ago_is_purged() -> None:
    """Every hour it is looked for; while the store fails it is looked for again."""
    database = MemoryDatabase()
    async with process(database, grace_days=2) as (server, past):
        await write(server, "secret")
        deleting = deletion(server)
        sweeping = asyncio.ensure_future(past.erasing.run())
        await quiet(server)
        await deleting.delete("doc", "root")
        await later(server, 1.9 * DAY)
        info = await info_of(server)
        assert (info.purged_at, info.head.offset) == (None, 1)
        database.fail_next("purgeable", StoreUnavailable("gone"))
        await later(server, 0.2 * DAY)
        assert (await info_of(server)).purged_at is None
        await later(server, 3600)
        info = await info_of(server)
        assert (info.purged_at is not None, info.head.offset, info.log_bytes) == (True, 0, 0)
        assert not await deleting.undelete("doc", "root")
        sweeping.cancel()


@pytest.mark.rule("ER2")
async def test_what_was_undeleted_meanwhile_stays() -> None:
    database = MemoryDatabase()
    async with process(database, grace_days=1) as (server, past):
        await write(server, "text")
        deleting = deletion(server)
        await deleting.delete("doc", "root")
        await later(server, 2 * DAY)
        hold = database.hold_next("purge")
        sweeping = asyncio.ensure_future(past.erasing.sweep())
        await quiet(server)
        await deleting.undelete("doc", "root")
        hold.release()
        assert await sweeping == 0
        assert (await info_of(server)).head.offset == 1


@pytest.mark.rule("ER2")
async def test_without_a_grace_nothing_is_purged_by_itself() -> None:
    async with process(MemoryDatabase(), grace_days=0) as (server, past):
        await write(server, "text")
        assert not await past.erasing.purge("doc"), "it is not deleted"
        await deletion(server).delete("doc", "root")
        sweeping = asyncio.ensure_future(past.erasing.run())
        await later(server, 2 * DAY)
        sweeping.cancel()
        assert (await info_of(server)).purged_at is None
        assert await past.erasing.purge("doc")
        assert not await past.erasing.purge("doc")


@pytest.mark.rule("HS25")
async def test_what_was_interrupted_is_finished() -> None:
    """Whatever the grace is."""
    async with process(MemoryDatabase(), grace_days=0) as (server, past):
        await write(server, "text")
        erasure = server.storage.erasure
        for name in ("doc", "other"):
            await server.storage.directory.create(name)
            await server.storage.directory.delete(name, make_change(document_id=name, created_at=1))
            assert await erasure.purge(name, deleted_before=2, at=3, scrub=False)
        assert len(await erasure.unfinished()) == 2
        assert await past.erasing.sweep() == 0
        assert list(await erasure.unfinished()) == []


@pytest.mark.rule("HS25")
async def test_files_are_scrubbed_once_for_all_that_was_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes as long for one document as for all."""
    async with process(MemoryDatabase(), grace_days=0) as (server, past):
        erasure, scrubbed = server.storage.erasure, []
        for name in ("one", "other", "third"):
            await server.storage.directory.create(name)
            await server.storage.directory.delete(name, make_change(document_id=name, created_at=1))
            assert await erasure.purge(name, deleted_before=2, at=3, scrub=False)
        finish = erasure.finish

        async def watched(document_id: str, *, scrub: bool = True) -> None:
            scrubbed.append(scrub)
            await finish(document_id, scrub=scrub)

        monkeypatch.setattr(past.erasing._erasure, "finish", watched)
        await past.erasing.sweep()
        assert scrubbed == [False, False, True]


@pytest.mark.rule("ER4")
async def test_what_waits_of_a_purged_document_is_dropped() -> None:
    """Not put aside for people to look at, either."""
    database, hub = MemoryDatabase(), LocalHub()
    async with process(database, hub=hub) as (one, past), process(database, hub=hub) as (other, _):
        ana = await one.join(user="ana")
        ana.client.text.insert(0, "secret")
        await quiet(one, other)
        ben = await other.join(user="ben")
        await quiet(one, other)
        hold = database.hold_next("begin")
        ben.client.text.insert(0, "more ")
        await quiet(one, other)
        await deletion(one).delete("doc", "root")
        await past.erasing.purge("doc")
        hold.release()
        await quiet(one, other)
        assert ben.closed is not None
        assert ben.closed[0] == 4410
        assert not database.quarantined()
        assert other.backlog.updates == 0


@pytest.mark.rule("ER4")
async def test_a_room_that_was_open_all_the_time_takes_nothing_of_before() -> None:
    """It hears of it from the log, or of the news that the document was made again."""
    database, hub = MemoryDatabase(), LocalHub()
    async with process(database, hub=hub) as (one, past), process(database, hub=hub) as (other, _):
        ana = await one.join(user="ana")
        ana.client.text.insert(0, "secret")
        await quiet(one, other)
        ben = await other.join(user="ben")
        await quiet(one, other)
        deleting = deletion(one)
        await deleting.delete("doc", "root")
        await past.erasing.purge("doc")
        assert await deleting.recreate("doc", "root")
        assert not await deleting.recreate("doc", "root")
        ben.client.text.insert(0, "more ")
        await quiet(one, other)
        assert ben.closed is not None
        assert ben.closed[0] in {4410, 4506}
        assert body(other) == ""
        assert not database.quarantined()
        late = await other.join(client=ana.client, user="ana")
        await quiet(one, other)
        assert late.closed is not None
        assert late.closed[0] == 4410
        assert body(other) == ""


@pytest.mark.rule("ER4")
async def test_the_news_that_a_document_was_made_again_closes_old_rooms() -> None:
    database, hub = MemoryDatabase(), LocalHub()
    async with process(database, hub=hub) as (one, past), process(database, hub=hub) as (other, _):
        await write(one, "secret")
        ben = await other.join(user="ben")
        await quiet(one, other)
        deleting = deletion(one)
        deletion(other)
        await deleting.delete("doc", "root")
        await past.erasing.purge("doc")
        await deleting.recreate("doc", "root")
        await other.access.catch_up()
        await quiet(one, other)
        assert ben.closed == (4410, "the document was deleted")
        fresh = await other.join(user="eve")
        await deleting.delete("doc", "root")
        await deleting.undelete("doc", "root")
        await other.access.catch_up()
        await quiet(one, other)
        assert fresh.closed is None, "it is open since after it was made again"


@pytest.mark.rule("ER1")
async def test_forgetting() -> None:
    database = MemoryDatabase()
    async with process(database) as (server, past):
        ana, bot = await server.join(user="ana"), ThinClient("bot")
        await bot.read(server)
        for word in ("one ", "two ", "three "):
            ana.client.text.insert(0, word)
            await quiet(server)
        moment = await past.moments.at(await info_of(server), 2)
        assert await past.erasing.forget(moment) == 3
        assert await past.erasing.forget(moment) == 3, "it may be asked for again"
        base = await past.moments.state(await past.moments.at(await info_of(server), 2))
        assert base.content == {"body": {"$text": [{"insert": "two one "}]}}
        with pytest.raises(HistoryForgotten):
            await past.moments.at(await info_of(server), 1)
        ana.client.text.insert(0, "four ")
        await quiet(server)
        assert body(server) == "four three two one "
        assert ana.closed is None
        await bot.read(server)
        await answered(server, await bot.insert(server, 0, "five "))
        assert body(server) == "five four three two one "
        with pytest.raises(HistoryForgotten):
            await past.moments.resolve(await info_of(server), "1")


@pytest.mark.rule("ER1")
async def test_forgetting_all_but_the_present() -> None:
    """Of a document that nobody has open here, and again."""
    database = MemoryDatabase()
    async with process(database) as (server, _):
        await write(server, "one", "two")
    async with process(database) as (server, past):
        for _ in range(2):
            assert await past.erasing.forget(await past.moments.at(await info_of(server), 2)) == 3
        state = await past.moments.state(await past.moments.resolve(await info_of(server), "2"))
        assert state.content == {"body": {"$text": [{"insert": "twoone"}]}}


@pytest.mark.rule("ER1", "SU8")
async def test_operations_made_for_the_empty_document_are_refused_then() -> None:
    """What their maker has submitted since may be forgotten, and was counted in."""
    database = MemoryDatabase()
    async with process(database) as (server, past):
        await write(server, "one", "two", "six")
        await past.erasing.forget(await past.moments.at(await info_of(server), 2))
        error = await refused(server, await ThinClient("eve").insert(server, 0, "x"))
        assert error.code == "unknown_base"
        assert body(server) == "sixtwoone"


@pytest.mark.rule("ER6", "HV14")
async def test_what_was_forgotten_is_forgotten_by_all_processes() -> None:
    """Neither their readers are given it, nor do they keep what was computed of it, though nobody asks again."""
    database, hub = MemoryDatabase(), LocalHub()
    async with process(database, hub=hub) as (one, past), process(database, hub=hub) as (other, past_there):
        for server in (one, other):
            deletion(server)
            await ThinClient("reader").read(server)
        ana = await one.join(user="ana")
        bot = await other.join(user="ben")
        assert other.room().feed().head == one.room().feed().head == 0
        for word in ("secret", "more", "last"):
            ana.client.text.insert(0, word)
            await quiet(one, other)
        for there in (past, past_there):
            await there.moments.state(await there.moments.at(await info_of(one), 1))
            assert there.moments._states.bytes > 0
        await past.erasing.forget(await past.moments.at(await info_of(one), 2))
        await other.access.catch_up()
        await quiet(one, other)
        for server, there in ((one, past), (other, past_there)):
            assert server.room().feed().since(1) is None
            assert len(server.room().feed().since(2) or ()) == 1
            assert there.moments._states.bytes == 0
        assert bot.closed is None


@pytest.mark.rule("ER6")
async def test_what_was_forgotten_is_not_read_before_the_news_of_it_comes() -> None:
    """The process that forgot it has ended: nobody is told."""
    database, hub = MemoryDatabase(), LocalHub()
    async with process(database, hub=hub) as (one, past), process(database) as (other, _):
        reader = DocumentReader(other.storage)
        await ThinClient("reader").read(other)
        ana = await other.join(user="ana")
        for word in ("secret", "more", "last"):
            ana.client.text.insert(0, word)
            await quiet(other)
        found = await reader.since(other.room(), None)
        assert isinstance(found, Operations)
        second = found.entries[1].entry.operations[0].id
        info = await info_of(other)
        head = await past.moments.at(info, 2)
        state = (await past.moments.state(head)).committed
        checkpoint = Checkpoint(2, state.head.entry_id, state.state, dict(state.roots))
        assert await one.storage.erasure.forget("doc", checkpoint)
        found, *same = await asyncio.gather(*[reader.since(other.room(), None) for _ in range(3)])
        assert isinstance(found, State)
        assert all(isinstance(one, State) for one in same)
        behind = await reader.since(other.room(), second)
        assert isinstance(behind, Operations)
        assert [entry.offset for entry in behind.entries] == [3]


@pytest.mark.rule("ER2", "HV14")
async def test_what_was_computed_of_a_purged_document_goes() -> None:
    database = MemoryDatabase()
    async with process(database) as (server, past):
        await write(server, "secret")
        await deletion(server).delete("doc", "root")
        await past.moments.state(await past.moments.at(await info_of(server), 1))
        assert past.moments._states.bytes > 0
        await past.erasing.purge("doc")
        assert past.moments._states.bytes == 0


@pytest.mark.rule("ER1")
async def test_a_history_that_was_replaced_meanwhile_is_not_forgotten() -> None:
    database = MemoryDatabase()
    async with process(database) as (server, past):
        await write(server, "one", "two")
        moment = await past.moments.at(await info_of(server), 1)
        await past.moments.state(moment)
        rows = database.tables.documents["doc"].rows
        rows[0] = replace(rows[0], entry=replace(rows[0].entry, id="other"))
        with pytest.raises(HistoryRefused) as caught:
            await past.erasing.forget(moment)
        assert caught.value.code == "history_replaced"


@pytest.mark.rule("ER4")
async def test_a_retired_client_is_told_so_by_a_room_that_was_opened_since() -> None:
    database = MemoryDatabase()
    async with process(database) as (server, past):
        ana = await server.join(user="ana")
        ana.client.text.insert(0, "secret")
        await quiet(server)
        deleting = deletion(server)
        await deleting.delete("doc", "root")
        await past.erasing.purge("doc")
        await deleting.recreate("doc", "root")
        ben = await server.join(user="ben")
        await quiet(server)
        ben.send(yjs.encode(SyncStep2(ana.client.doc.get_update(b"\0"))))
        await quiet(server)
        assert ben.closed is not None
        assert ben.closed[0] == 4410


@pytest.mark.rule("ER5")
async def test_who_has_no_base_writes_also_when_what_was_forgotten_had_no_operations() -> None:
    async with process(MemoryDatabase()) as (server, past):
        ana, bot = await server.join(user="ana"), ThinClient("bot")
        for word in ("typed and", "taken back"):
            with ana.client.doc.transaction():
                ana.client.text.insert(0, word)
                ana.client.text.clear()
            await quiet(server)
        info = await info_of(server)
        assert (info.head.offset, await server.storage.history.last_operation("doc", until=2)) == (2, None)
        assert await past.erasing.forget(await past.moments.at(info, 1)) == 2
        await bot.read(server)
        assert bot.head is None
        await answered(server, await bot.insert(server, 0, "one"))
        await bot.read(server)
        await answered(server, await bot.insert(server, 3, " two"))
        assert body(server) == str(ana.client.text) == "one two"
        # Whoever has read nothing of this is not at the beginning any more.
        assert await past.erasing.forget(await past.moments.at(await info_of(server), 3)) == 4
        late = ThinClient("late")
        assert (await refused(server, await late.insert(server, 0, "x"))).code == "unknown_base"


@pytest.mark.rule("ER5")
async def test_a_program_whose_last_words_are_forgotten_goes_on() -> None:
    """The replica that is run for it lacks what is not kept any more, and is made again from what is."""
    database = MemoryDatabase()
    async with process(database) as (server, past):
        ana, bot = await server.join(user="ana"), ThinClient("bot")
        await answered(server, await bot.insert(server, 0, "one "))
        for word in ("two ", "three "):
            ana.client.text.insert(0, word)
            await quiet(server)
        await bot.read(server)
        await past.erasing.forget(await past.moments.at(await info_of(server), 2))
        server.room().readership.feed = None
        await answered(server, await bot.insert(server, 0, "four "))
        assert body(server) == "four three two one "


@pytest.mark.rule("HV31")
async def test_what_is_forgotten_while_it_is_looked_at() -> None:
    database = MemoryDatabase()
    async with process(database) as (server, past):
        await write(server, "one", "two", "three")
        before = await info_of(server)
        await past.erasing.forget(await past.moments.at(before, 2))
        with pytest.raises(HistoryForgotten):
            await past.diffs.authors.until(before, 3, since=0)


@pytest.mark.rule("HV14", "ER1")
async def test_what_is_being_computed_while_it_is_forgotten_is_not_remembered() -> None:
    database = MemoryDatabase()
    async with process(database) as (server, past):
        await write(server, "secret ", "b", "c")
        info, go_on = await info_of(server), threading.Event()
        old, until = await past.moments.at(info, 1), await past.moments.at(info, 2)
        await past.moments.state(until)
        busy = asyncio.ensure_future(past.worker.run("another", lambda: go_on.wait(30)))
        looking, blaming = asyncio.ensure_future(past.moments.state(old)), asyncio.ensure_future(past.blames.of(old, None))
        await quiet(server)
        await past.erasing.forget(until)
        go_on.set()
        assert await busy
        assert b"secret" in (await looking).json
        assert await blaming
        with pytest.raises(HistoryForgotten):
            await past.moments.state(old)
        with pytest.raises(HistoryForgotten):
            await past.blames.of(old, None)


@pytest.mark.rule("HV14")
async def test_other_changes_of_access_forget_nothing() -> None:
    database = MemoryDatabase()
    async with process(database) as (server, past):
        await write(server, "one")
        moment = await past.moments.at(await info_of(server), 1)
        state = await past.moments.state(moment)
        past.erasing.heard(make_change())
        assert await past.moments.state(moment) is state
