"""Operations of clients without a CRDT library, from the request to the log."""

from __future__ import annotations

from typing import Any

import pytest

from core.operations.process_tools import answered, body, process, refused, step
from core.operations.thin_client import ThinClient, writer_of
from cowrite.brokers.local import LocalHub
from cowrite.core.operations.submissions import SubmissionRefused
from cowrite.core.operations.writing import MAX_OPERATIONS, WriteRequest
from cowrite.core.ports import CommitDoubtful, StoreBusy, StoreUnavailable
from cowrite.stores.memory import MemoryDatabase
from cowrite.testing.process import quiet

GONE = StoreUnavailable("gone")


@pytest.mark.rule("SU1", "SU2", "BI9")
async def test_an_operation_is_answered_after_commit_and_shown_to_everybody() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana, bot = await server.join(user="ana"), ThinClient("bot")
        ana.client.text.insert(0, "hello")
        await quiet(server)
        await bot.read(server)
        hold = database.hold_next("commit")
        submission = await bot.insert(server, 5, " world", id="mine")
        await quiet(server)
        assert not submission.answer.done()
        assert str(ana.client.text) == "hello", "nobody sees it before"
        hold.release()
        (answer,) = await answered(server, submission)
        assert str(ana.client.text) == "hello world"
        assert [(one.id, one.author, one.position) for one in answer.operations] == [("mine", "bot", ("body", 5))]
        assert answer.offset == 2
        assert (await server.storage.history.locate("doc", "mine")) == 2
        assert sorted(database.clients("doc").values()) == ["ana", "bot"]


@pytest.mark.rule("SU3")
async def test_an_old_base_ends_where_a_replica_would() -> None:
    """Others wrote meanwhile, before and behind the place."""
    database = MemoryDatabase()
    async with process(database) as server:
        ana, bot = await server.join(user="ana"), ThinClient("bot")
        ana.client.text.insert(0, "one two")
        await quiet(server)
        await bot.read(server)
        ana.client.text.insert(0, "zero ")
        ana.client.text.insert(12, " three")
        await quiet(server)
        await answered(server, await bot.insert(server, 3, " and"))
        assert body(server) == "zero one and two three"


@pytest.mark.rule("SU4")
async def test_operations_of_one_session_build_on_one_another() -> None:
    """Pipelined at one base: each counts in those before it, also when they are committed one by one."""
    database = MemoryDatabase()
    async with process(database) as server:
        ana, bot = await server.join(user="ana"), ThinClient("bot")
        ana.client.text.insert(0, "-")
        await quiet(server)
        await bot.read(server)
        submissions = [await bot.insert(server, 1 + number, str(number)) for number in range(3)]
        await answered(server, *submissions)
        ana.client.text.insert(0, "<")
        await quiet(server)
        await answered(server, await bot.insert(server, 4, "3"))
        assert body(server) == "<-0123"


@pytest.mark.rule("SU4")
async def test_a_session_that_comes_to_another_process_builds_on_what_it_wrote_on_the_first() -> None:
    database, hub = MemoryDatabase(), LocalHub()
    async with process(database, hub) as one, process(database, hub) as other:
        ana, bot = await one.join(user="ana"), ThinClient("bot")
        ana.client.text.insert(0, "abc")
        await quiet(one, other)
        await bot.read(one)
        ana.client.text.clear()
        await quiet(one, other)
        first = await bot.send(one, [{"type": "delete", "position": ["body", 1], "length": 1}])
        await quiet(one, other)
        assert first.answer.result().operations == (), "others have deleted it before"
        second = await bot.insert(other, 1, "X")
        await quiet(one, other)
        assert second.answer.result().operations
        third = await bot.insert(one, 2, "Y")
        await quiet(one, other)
        assert third.answer.result().operations
        assert body(one) == body(other) == "XY"


@pytest.mark.rule("SU5")
async def test_what_is_sent_again_is_answered_and_not_applied_twice() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        bot = ThinClient("bot")
        (first,) = await answered(server, await bot.insert(server, 0, "once", id="a"))
        (again,) = await answered(server, await bot.insert(server, 0, "once", id="a"))
        assert again.operations == first.operations
        batch = [
            {"type": "insert", "position": ["body", 0], "content": "once", "id": "a"},
            {"type": "insert", "position": ["body", 4], "content": "!", "id": "b"},
        ]
        (more,) = await answered(server, await bot.send(server, batch))
        assert [one.id for one in more.operations] == ["a", "b"]
        assert body(server) == "once!"
    async with process(database) as server:
        (later,) = await answered(server, await bot.insert(server, 0, "once", id="a"))
        assert later.operations == first.operations


@pytest.mark.rule("SU5")
async def test_an_operation_that_became_nothing_is_answered_again_and_is_a_base() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana, bot = await server.join(user="ana"), ThinClient("bot")
        ana.client.text.insert(0, "abc")
        await quiet(server)
        await bot.read(server)
        ana.client.text.clear()
        await quiet(server)
        delete = {"type": "delete", "position": ["body", 0], "length": 3, "id": "gone"}
        for _ in range(2):
            (answer,) = await answered(server, await bot.send(server, [delete]))
            assert answer.operations == ()
        bot.head = "gone"
        await answered(server, await bot.insert(server, 0, "new"))
        assert body(server) == "new"


@pytest.mark.rule("SU6")
async def test_an_id_of_another_operation_is_refused() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        bot, eve = ThinClient("bot"), ThinClient("eve")
        await answered(server, await bot.insert(server, 0, "a", id="x"))
        for client, more in ((bot, {"content": "b"}), (eve, {"content": "a"})):
            error = await refused(server, await client.insert(server, 0, "", id="x", **more))
            assert (error.code, error.index, error.field) == ("operation_id_taken", 0, "id")
        other = ThinClient("bot", document_id="other")
        error = await refused(server, await other.insert(server, 0, "a", id="x"))
        assert error.code == "operation_id_taken"
        fresh = {"type": "insert", "position": ["body", 0], "content": "n", "id": "n"}
        known = {"type": "insert", "position": ["body", 0], "content": "a", "id": "x"}
        error = await refused(server, await bot.send(server, [fresh, known]))
        assert (error.code, error.index) == ("out_of_order", 1)
        assert body(server) == "a"


@pytest.mark.rule("SU6")
async def test_one_id_in_two_documents_at_once_is_one_of_them_s() -> None:
    """Both are in one group commit, so that neither is in the store when the other is looked at."""
    database = MemoryDatabase()
    async with process(database) as server:
        one, other = ThinClient("ana", document_id="one"), ThinClient("ben", document_id="other")
        hold = database.hold_next("begin")
        waiting = [await client.insert(server, 0, "a", id="same") for client in (one, other)]
        hold.release()
        await quiet(server)
        outcomes = [waiter.answer.exception() for waiter in waiting]
        assert sorted(str(type(outcome).__name__) for outcome in outcomes) == ["NoneType", "SubmissionRefused"]


@pytest.mark.rule("SU7")
@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ({"type": "insert", "position": ["body", 9], "content": "x"}, "range"),
        ({"type": "insert", "position": ["body", 2], "content": "x"}, "surrogate"),
        ({"type": "delete", "position": ["body", 0], "length": 9}, "range"),
        ({"type": "insert", "position": ["nowhere", 0, 0], "content": "x"}, "root"),
        ({"type": "insert", "position": ["body", "key"], "content": "x"}, "kind"),
        ({"type": "insert", "position": ["body", 0], "content": {"embed": {"$no": 1}}}, "value"),
        ({"type": "insert", "position": ["body", 0]}, "field"),
    ],
)
async def test_a_batch_that_does_not_fit_is_refused_whole(operation: dict[str, Any], code: str) -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana, bot = await server.join(user="ana"), ThinClient("bot")
        ana.client.text.insert(0, "a😀")
        await quiet(server)
        await bot.read(server)
        fine = {"type": "format", "position": ["body", 0], "length": 1, "attributes": {"bold": True}}
        if code == "field":
            with pytest.raises(SubmissionRefused) as caught:
                await bot.send(server, [fine, operation])
            error = caught.value
        else:
            error = await refused(server, await bot.send(server, [fine, operation]))
        assert (error.code, error.index) == (code, 1)
        assert server.room().replicas.head.offset == 1
        await answered(server, await bot.insert(server, 3, "!"))
        assert body(server) == "a😀!"


@pytest.mark.rule("SU7")
@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (WriteRequest({}, None), "operations"),
        (WriteRequest([], None), "operations"),
        (WriteRequest([{}] * (MAX_OPERATIONS + 1), None), "operations"),
        (WriteRequest([{"type": "insert", "position": ["t", 0], "content": "x", "id": "i"}] * 2, None), "id"),
        (WriteRequest([{"type": "insert", "position": ["t", 0], "content": "x", "id": 7}], None), "id"),
        (WriteRequest([{"type": "insert", "position": ["t", 0], "content": "x"}], 7), "base"),
        (WriteRequest([{"type": "insert", "position": ["t", 0], "content": "x"}], None, ""), "after"),
        (WriteRequest(["x"], None), None),
    ],
)
async def test_requests_that_cannot_be_read(request_: WriteRequest, field: str | None) -> None:
    async with process(MemoryDatabase()) as server:
        with pytest.raises(SubmissionRefused) as caught:
            await writer_of(server).queue(ThinClient("bot").session, request_)
        assert (caught.value.code, caught.value.field) == ("field", field)


@pytest.mark.rule("SU8")
async def test_a_base_that_nobody_knows_is_refused() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        bot = ThinClient("bot", head="nothing")
        with pytest.raises(SubmissionRefused, match="no operation") as caught:
            await bot.insert(server, 0, "x")
        assert caught.value.code == "unknown_base"


@pytest.mark.rule("SU8")
@pytest.mark.parametrize("found", [True, False])
async def test_a_base_before_history_that_is_kept_is_refused(found: bool) -> None:
    """Also when it is forgotten after the base was found."""
    database = MemoryDatabase()
    async with process(database) as server:
        ana, bot = await server.join(user="ana"), ThinClient("bot")
        for number in range(3):
            ana.client.text.insert(0, str(number))
            await quiet(server)
            if number == 0:
                await bot.read(server)
        hold = database.hold_next("begin")
        if found:
            submission = await bot.insert(server, 0, "x")
            database.forget_history("doc", 3)
            hold.release()
            error = await refused(server, submission)
        else:
            server.room().readership.feed = None
            database.forget_history("doc", 3)
            with pytest.raises(SubmissionRefused) as caught:
                await bot.insert(server, 0, "x")
            error = caught.value
        assert error.code == "unknown_base"


@pytest.mark.rule("SU9")
async def test_an_operation_names_the_one_on_which_it_builds() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        bot = ThinClient("bot")
        lost = {"type": "insert", "position": ["body", 0], "content": "ab", "id": "first"}
        second = {"type": "insert", "position": ["body", 2], "content": "c", "id": "second"}
        error = await refused(server, await bot.send(server, [second], after="first"))
        assert (error.code, error.retry) == ("unknown_previous", True)
        await answered(server, await bot.send(server, [lost]), await bot.send(server, [second], after="first"))
        assert body(server) == "abc"


@pytest.mark.rule("SU9")
async def test_anothers_operation_is_none_to_build_on() -> None:
    """It is refused though it is committed: only what the session itself has sent before can be on its way."""
    database = MemoryDatabase()
    async with process(database) as server:
        ann, bot = ThinClient("ann"), ThinClient("bot")
        theirs = {"type": "insert", "position": ["body", 0], "content": "ab", "id": "theirs"}
        await answered(server, await ann.send(server, [theirs]))
        operation = {"type": "insert", "position": ["body", 0], "content": "c"}
        error = await refused(server, await bot.send(server, [operation], after="theirs"))
        assert (error.code, error.field, error.retry) == ("unknown_previous", "after", True)
        again = ThinClient("ann")
        error = await refused(server, await again.send(server, [operation], after="theirs"))
        assert error.code == "unknown_previous", "another session of the same user"
        assert body(server) == "ab"


@pytest.mark.rule("SU10")
@pytest.mark.parametrize("error", [StoreBusy("locked"), GONE])
async def test_a_transaction_that_failed_is_tried_again(error: Exception) -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        bot = ThinClient("bot")
        await answered(server, await bot.insert(server, 0, "a"))
        database.fail_next("commit", error)  # type: ignore[arg-type] # both are store errors
        submission = await bot.insert(server, 1, "b")
        await step(server, 1)
        assert submission.answer.result().offset == 2
        assert body(server) == "ab"
        await answered(server, await bot.insert(server, 2, "c"))
        assert body(server) == "abc"


@pytest.mark.rule("SU10")
@pytest.mark.parametrize("applied", [False, True])
async def test_a_commit_in_doubt_is_found_out(applied: bool) -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana, bot = await server.join(user="ana"), ThinClient("bot")
        database.fail_next("commit", CommitDoubtful("connection lost"), applied=applied)
        submission = await bot.insert(server, 0, "once", id="x")
        await step(server, 1)
        assert [one.id for one in submission.answer.result().operations] == ["x"]
        await step(server, 1)
        assert body(server) == str(ana.client.text) == "once"


@pytest.mark.rule("SU11")
async def test_after_five_seconds_the_client_is_told_to_send_it_again() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        bot = ThinClient("bot")
        await answered(server, await bot.insert(server, 0, "a"))
        database.unavailable = True
        with pytest.raises(StoreUnavailable):
            await ThinClient("bot", head="unknown").insert(server, 0, "x")
        bot.head = None
        submission = await bot.insert(server, 0, "b", id="late")
        await step(server, 6)
        error = submission.answer.exception()
        assert isinstance(error, SubmissionRefused)
        assert (error.code, error.retry) == ("unavailable", True)
        database.unavailable = False
        await step(server, 5)
        assert body(server) == "a", "what was withdrawn is not committed later"
        await answered(server, await bot.insert(server, 0, "b", id="late"))
        assert len(body(server)) == 2


@pytest.mark.rule("SU11")
async def test_one_that_is_in_a_transaction_may_be_committed_and_is_answered_then() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        bot = ThinClient("bot")
        hold = database.hold_next("commit")
        submission = await bot.insert(server, 0, "a", id="x")
        await step(server, 6)
        assert isinstance(submission.answer.exception(), SubmissionRefused)
        hold.release()
        await step(server, 1)
        (answer,) = await answered(server, await bot.insert(server, 0, "a", id="x"))
        assert [one.id for one in answer.operations] == ["x"]
        assert body(server) == "a"
