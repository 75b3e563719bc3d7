"""Operations that are refused: by a grant, by the store, because they are too much, or because nobody waits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from core.operations.process_tools import answered, body, process, refused, step
from core.operations.thin_client import ThinClient
from cowrite.brokers.local import LocalHub
from cowrite.core.limits import Limits
from cowrite.core.operations.submissions import SubmissionRefused
from cowrite.core.ports import Grant, StoreUnavailable
from cowrite.core.records import AccessChange
from cowrite.crdt.apply_operations import Replica
from cowrite.stores.memory import MemoryDatabase, memory_storage
from cowrite.testing.process import quiet
from cowrite.testing.records import make_session

GONE = StoreUnavailable("gone")


@pytest.mark.rule("SU12")
async def test_what_a_store_does_not_take_is_refused_alone() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana, bot, cem = await server.join(user="ana"), ThinClient("bot"), ThinClient("cem")
        database.refuse = lambda _, entry: any(operation.content == "bad" for operation in entry.operations)
        hold = database.hold_next("begin")
        good = await cem.insert(server, 0, "good")
        bad = await bot.insert(server, 0, "bad")
        ana.client.text.insert(0, "typed ")
        hold.release()
        await step(server, 2)
        assert (await refused(server, bad)).code == "not_storable"
        assert good.answer.result().operations
        assert ana.client.saved
        assert {"good", "typed"} == set(body(server).replace("typed ", "typed|").split("|")) or sorted(body(server)) == sorted(
            "typed good"
        )


@pytest.mark.rule("SU13")
async def test_nothing_of_a_session_is_committed_once_it_was_revoked() -> None:
    """Another process revokes; this one has not read it when the transaction begins."""
    database = MemoryDatabase()
    async with process(database) as server:
        ana, ben, bot = await server.join(user="ana"), await server.join(user="ben"), ThinClient("bot")
        await quiet(server)
        hold = database.hold_next("begin")
        submission = await bot.insert(server, 0, "bot")
        ana.client.text.insert(0, "typed by ana ")
        await quiet(server)
        storage = memory_storage(database)
        for user in ("bot", "ana"):
            change = AccessChange(server.ids.new(), "admin", server.clock.now(), "doc", user, grant=Grant.READ)
            await storage.access.change(change)
        hold.release()
        await step(server, 1)
        assert server.access.revision == 2
        assert submission.answer.exception() is not None
        assert not ana.client.saved
        assert body(server) == ""
        assert [one.author for one in database.quarantined()] == ["ana"]
        assert ben.closed is not None, "what was shown and is not kept sends everybody away"


@pytest.mark.rule("SB7")
async def test_what_a_session_wrote_before_it_left_is_committed() -> None:
    """A page that closes says goodbye right behind its last edit, and perhaps to another process."""
    database = MemoryDatabase()
    async with process(database) as server:
        ana, ben, bot = await server.join(user="ana"), await server.join(user="ben"), ThinClient("bot")
        server.access.follow(bot.session, lambda _: None)
        await quiet(server)
        hold = database.hold_next("begin")
        submission = await bot.insert(server, 0, "bot")
        ana.client.text.insert(0, "typed by ana ")
        await quiet(server)
        elsewhere = memory_storage(database).access
        for left in (ana.peer.session, bot.session):
            await elsewhere.begin_session(make_session(session_id=left.id, document_id="doc"))
            await elsewhere.end_session(left.id, server.clock.now())
        await server.access.look_for_ends()
        hold.release()
        await step(server, 1)
        assert bot.session.ended
        assert submission.answer.result().operations
        assert sorted(body(server)) == sorted("bottyped by ana ")
        assert ana.client.saved
        assert ben.closed is None
        assert not database.quarantined()


@pytest.mark.rule("SU7")
async def test_who_may_not_write_is_refused_at_once() -> None:
    async with process(MemoryDatabase()) as server:
        bot = ThinClient("bot")
        change = AccessChange(server.ids.new(), "admin", server.clock.now(), "doc", "bot", grant=Grant.COMMENT)
        await server.storage.access.change(change)
        await server.access.catch_up()
        with pytest.raises(SubmissionRefused) as caught:
            await bot.insert(server, 0, "x")
        assert caught.value.code == "grant_too_low"


@pytest.mark.rule("SU14")
async def test_too_much_that_waits_is_refused() -> None:
    database = MemoryDatabase()
    async with process(database, limits=Limits(pending_document_updates=2)) as server:
        bot = ThinClient("bot")
        await answered(server, await bot.insert(server, 0, "a"))
        database.unavailable = True
        for _ in range(2):
            await bot.insert(server, 0, "x")
        with pytest.raises(SubmissionRefused) as caught:
            await bot.insert(server, 0, "x")
        assert (caught.value.code, caught.value.retry) == ("overloaded", True)


@pytest.mark.rule("SU15")
async def test_too_many_nodes_are_refused() -> None:
    async with process(MemoryDatabase()) as server:
        bot = ThinClient("bot")
        many = {"type": "insert", "position": ["list", 0], "content": [{"$map": {"k": [1, 2]}}] * 1300}
        with pytest.raises(SubmissionRefused) as caught:
            await bot.send(server, [many])
        assert (caught.value.code, caught.value.field) == ("too_many_nodes", "operations")
        fine = {"type": "insert", "position": ["list", 0], "content": [{"$map": {"k": [1, 2]}}] * 10}
        await answered(server, await bot.send(server, [fine]))


@pytest.mark.rule("SU16")
async def test_a_session_that_causes_too_much_work_waits() -> None:
    async with process(MemoryDatabase()) as server:
        bot, other = ThinClient("bot"), ThinClient("other")
        server.journal.accounts.charge(bot.session.account, 1.5)
        with pytest.raises(SubmissionRefused, match="send more in 2") as caught:
            await bot.insert(server, 0, "x")
        assert (caught.value.code, caught.value.retry) == ("too_fast", True)
        await answered(server, await other.insert(server, 0, "y"))
        server.clock.advance(3)  # type: ignore[attr-defined] # turned by hand
        await answered(server, await bot.insert(server, 0, "x"))


@pytest.mark.rule("SU4", "SU5")
@pytest.mark.parametrize("refused_first", [False, True])
async def test_what_brings_nothing_does_not_hide_what_was_written_elsewhere(refused_first: bool) -> None:
    """A session writes here, there, and sends something here that is only a repetition, or is refused: then it writes here."""
    database, hub = MemoryDatabase(), LocalHub()
    async with process(database, hub) as here, process(database, hub) as there:
        bot = ThinClient("bot")
        await answered(here, await bot.insert(here, 0, "a", id="a"))
        await answered(there, await bot.insert(there, 1, "b", id="b"))
        await quiet(here, there)
        if refused_first:
            lost = [{"type": "insert", "position": ["body", 2], "content": "x"}]
            assert (await refused(here, await bot.send(here, lost, after="nobody's"))).code == "unknown_previous"
        else:
            await answered(here, await bot.insert(here, 0, "a", id="a"))
        await answered(here, await bot.insert(here, 2, "c"))
        assert body(here) == "abc"


@pytest.mark.rule("SU16")
async def test_what_was_queued_before_the_account_was_empty_waits_too() -> None:
    async with process(MemoryDatabase()) as server:
        bot = ThinClient("bot")
        submission = await bot.insert(server, 0, "x")
        server.journal.accounts.charge(bot.session.account, 1.5)
        error = await refused(server, submission)
        assert (error.code, error.retry) == ("too_fast", True)
        assert error.seconds > 0


@pytest.mark.rule("SU11")
async def test_what_nobody_waits_for_any_more_is_not_made() -> None:
    async with process(MemoryDatabase()) as server:
        bot = ThinClient("bot")
        given_up = await bot.insert(server, 0, "x")
        given_up.settle(SubmissionRefused("unavailable", "too late", retry=True))
        await answered(server, await bot.insert(server, 0, "y"))
        assert body(server) == "y"


@pytest.mark.rule("SU16")
async def test_others_get_their_turn_between_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    """A submission that takes long is not made in one turn of the loop."""
    async with process(MemoryDatabase()) as server:
        make, order = Replica.apply, list[str]()

        def slow(replica: Replica, operations: Any) -> bytes | None:
            server.clock.advance(0.03)  # type: ignore[attr-defined] # CPU time, too
            order.append("made")
            asyncio.get_running_loop().call_soon(order.append, "another's turn")
            return make(replica, operations)

        monkeypatch.setattr(Replica, "apply", slow)
        operation = {"type": "insert", "position": ["body", 0], "content": "x"}
        await answered(server, await ThinClient("bot").send(server, [operation] * 3))
        assert order == ["made", "another's turn"] * 3


@pytest.mark.rule("SU2")
async def test_one_that_cannot_be_made_is_refused_and_the_document_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async with process(MemoryDatabase()) as server:
        bot, other = ThinClient("bot"), ThinClient("other")
        make = Replica.apply

        def broken(replica: Replica, operations: Any) -> bytes | None:
            if operations[0].content == "x":
                raise RuntimeError("a defect")
            return make(replica, operations)

        monkeypatch.setattr(Replica, "apply", broken)
        bad, good = await bot.insert(server, 0, "x"), await other.insert(server, 0, "y")
        await answered(server, good)
        assert (await refused(server, bad)).code == "unsupported"
        assert body(server) == "y"


@pytest.mark.rule("SU15")
async def test_content_that_is_nested_too_deep_is_refused() -> None:
    content: Any = "x"
    for _ in range(100_000):
        content = [content]
    async with process(MemoryDatabase()) as server:
        with pytest.raises(SubmissionRefused) as caught:
            await ThinClient("bot").send(server, [{"type": "insert", "position": ["list", 0], "content": [content]}])
        assert (caught.value.code, caught.value.index, caught.value.field) == ("value", 0, "content")


@pytest.mark.rule("SU11")
async def test_an_old_base_is_read_again_when_the_store_was_away() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana, bot = await server.join(user="ana"), ThinClient("bot")
        ana.client.text.insert(0, "b")
        await quiet(server)
        await bot.read(server)
        ana.client.text.insert(0, "a")
        await quiet(server)
        database.fail_next("load_at", GONE)
        submission = await bot.insert(server, 1, "c")
        await step(server, 3.0)
        await answered(server, submission)
        assert body(server) == "abc"
