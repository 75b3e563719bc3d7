"""Updates that the server itself has made for somebody, on their way into the log."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest

from core.operations.process_tools import answered, body, process, refused, step
from core.operations.thin_client import ThinClient
from cowrite.core.errors import RoomClosed
from cowrite.core.limits import Limits
from cowrite.core.operations.submissions import Prepared, SubmissionRefused, version_of
from cowrite.core.operations.writing import enqueue
from cowrite.core.ports import Access, CommitDoubtful, Grant, StoreBusy, StoreUnavailable
from cowrite.core.records import Cause, CauseKind, Entry, Head, VersionKind
from cowrite.core.sessions.session import Session
from cowrite.crdt.document import Document
from cowrite.crdt.errors import EngineFault
from cowrite.crdt.guard import inspect
from cowrite.crdt.log_document import Change, LogDocument
from cowrite.crdt.outline import Outline
from cowrite.protocol import yjs
from cowrite.protocol.messages import Update
from cowrite.stores.memory import MemoryDatabase
from cowrite.testing.process import Process, quiet
from cowrite.testing.records import new_id
from cowrite.testing.yjs_writer import block, text, write_update

CAUSE = Cause(CauseKind.RESTORE, 1, root="body", copies=((4000, 0, 2, 3000, 0),))
GONE = StoreUnavailable("gone")
CLIENT = 4000


def prepare(server: Process, *structs: bytes, **fields: object) -> Prepared:
    """An update of the Yjs client 4000, asked for by ``root``."""
    update = write_update([block(CLIENT, 0, *(structs or (text("now ", root="body"),)))])
    session = Session(new_id(), "doc", Access("root", Grant.WRITE), 0)
    given = {
        "session": session,
        "base": server.room().replicas.head,
        "cause": CAUSE,
        "id": new_id(),
        "digest": "d" * 64,
    } | fields
    return Prepared(update=update, outline=inspect(update), **given)  # type: ignore[arg-type]


def submit(server: Process, prepared: Prepared) -> Prepared:
    enqueue(server.room(), prepared, server.clock, server.limits)
    return prepared


async def entries(server: Process) -> list[Entry]:
    return list(await server.storage.store.entries("doc", start=1, limit=100))


@pytest.mark.rule("HV1")
async def test_it_is_committed_behind_what_others_wrote_and_shown_then() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        ana.client.text.insert(0, "one")
        await quiet(server)
        prepared = prepare(server)
        hold = database.hold_next("commit")
        ana.client.text.insert(3, " two")
        await quiet(server)
        submit(server, prepared)
        await quiet(server)
        assert str(ana.client.text) == "one two", "nobody sees it before"
        hold.release()
        (answer,) = await answered(server, prepared)
        assert sorted(str(ana.client.text).split()) == ["now", "one", "two"]
        assert body(server) == str(ana.client.text)
        made = (await entries(server))[-1]
        assert (made.offset, made.author, made.cause) == (3, "root", replace(CAUSE, copies=()))
        assert (await server.storage.history.authored("doc", after=2, limit=1))[0].cause == CAUSE
        assert (answer.offset, answer.operations) == (3, made.operations)
        assert await server.storage.history.locate("doc", prepared.id) == 3


@pytest.mark.rule("HV1")
async def test_what_its_maker_writes_next_does_not_count_it_in() -> None:
    """It was made for what the session has read, and that was before."""
    database = MemoryDatabase()
    async with process(database) as server:
        bot = ThinClient("bot")
        await answered(server, await bot.insert(server, 0, "ab"))
        prepared = submit(server, prepare(server, session=bot.session))
        await answered(server, prepared)
        assert body(server) in {"abnow ", "now ab"}
        await answered(server, await bot.insert(server, 2, "!"))
        assert "ab!" in body(server)


@pytest.mark.rule("HV1")
async def test_one_that_brings_nothing_makes_no_entry() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        ana.client.text.insert(0, "one")
        await quiet(server)
        nothing = write_update([])
        empty = replace(prepare(server), update=nothing, outline=inspect(nothing))
        (answer,) = await answered(server, submit(server, empty))
        assert (answer.offset, answer.operations) == (1, ())
        assert len(await entries(server)) == 1


@pytest.mark.rule("HV2")
@pytest.mark.parametrize("error", [StoreBusy("locked"), GONE])
async def test_after_a_failure_the_same_bytes_are_committed(error: Exception) -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        ana.client.text.insert(0, "one")
        await quiet(server)
        database.fail_next("commit", error)  # type: ignore[arg-type] # both are store errors
        prepared = submit(server, prepare(server))
        ana.client.text.insert(3, " two")
        await step(server, 1)
        assert prepared.answer.result().offset == 3
        assert (await entries(server))[2].update == prepared.update
        assert body(server) == str(ana.client.text)
        assert server.backlog.updates == server.backlog.bytes == 0


@pytest.mark.rule("HV2")
@pytest.mark.parametrize("applied", [False, True])
async def test_a_commit_in_doubt_is_found_out(applied: bool) -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        ana.client.text.insert(0, "one")
        await quiet(server)
        database.fail_next("commit", CommitDoubtful("connection lost"), applied=applied)
        prepared = submit(server, prepare(server))
        await step(server, 1)
        answer = prepared.answer.result()
        assert [one.offset for one in await entries(server)] == [1, 2]
        assert (answer.offset, [one.id for one in answer.operations]) == (2, [prepared.id])
        assert body(server) == str(ana.client.text)


@pytest.mark.rule("HV3")
@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"base": Head("another log", 1, "")}, "history_replaced"),
        ({"session": Session(new_id(), "doc", Access("eve", Grant.COMMENT), 0)}, "grant_too_low"),
        ({"needs": Grant.ADMIN}, "grant_too_low"),
    ],
)
async def test_what_is_refused_changes_nothing(fields: dict[str, object], code: str) -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        ana.client.text.insert(0, "one")
        await quiet(server)
        error = await refused(server, submit(server, prepare(server, **fields)))
        assert error.code == code
        assert body(server) == str(ana.client.text) == "one"
        assert len(await entries(server)) == 1


@pytest.mark.rule("HV3")
async def test_a_client_that_was_taken_meanwhile_is_not_given_other_content() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        ana.client.text.insert(0, "one")
        await quiet(server)
        prepared = prepare(server)
        eve = await server.join(user="eve")
        eve.send(yjs.encode(Update(write_update([block(CLIENT, 0, text("other", root="body"))]))))
        await quiet(server)
        before = body(server)
        error = await refused(server, submit(server, prepared))
        assert (error.code, error.retry) == ("unavailable", True)
        assert body(server) == before
        assert sorted(before) == sorted("oneother")


@pytest.mark.rule("HV6")
@pytest.mark.parametrize("together", [False, True])
async def test_one_behind_another_that_was_made_meanwhile_is_made_anew(*, together: bool) -> None:
    """Two restores at once would bring the same back twice."""
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        ana.client.text.insert(0, "one")
        await quiet(server)
        first, second = prepare(server), prepare(server)
        submit(server, first)
        if not together:
            await quiet(server)
        error = await refused(server, submit(server, second))
        assert (error.code, error.retry) == ("restored_meanwhile", True)
        assert first.answer.result().offset == 2
        assert body(server).count("now") == 1


@pytest.mark.rule("HV6")
async def test_one_behind_what_is_no_longer_kept_is_made_anew() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        ana.client.text.insert(0, "one")
        await quiet(server)
        prepared = prepare(server)
        for number in range(3):
            ana.client.text.insert(0, str(number))
            await quiet(server)
        database.forget_history("doc", 4)
        error = await refused(server, submit(server, prepared))
        assert error.code == "restored_meanwhile"


@pytest.mark.rule("HV7")
async def test_one_that_is_asked_for_again_is_answered_and_not_made_twice() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        ana.client.text.insert(0, "one")
        await quiet(server)
        prepared = prepare(server)
        (first,) = await answered(server, submit(server, prepared))
        asked = {"id": prepared.id, "session": prepared.session}
        (again,) = await answered(server, submit(server, prepare(server, **asked)))
        assert (again.offset, again.operations) == (first.offset, first.operations)
        assert body(server).count("now") == 1
        error = await refused(server, submit(server, prepare(server, **asked, digest="e" * 64)))
        assert error.code == "operation_id_taken"


@pytest.mark.rule("HV8")
async def test_what_was_there_before_is_a_version() -> None:
    """It is marked in the same transaction, at the entry before."""
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        ana.client.text.insert(0, "one")
        await quiet(server)
        prepared = prepare(server)
        database.fail_next("commit", GONE)
        submit(server, prepared)
        ana.client.text.insert(3, " two")
        await step(server, 1)
        assert prepared.answer.result().offset == 3
        (version,) = await server.storage.versions.list("doc")
        assert (version.id, version.offset, version.kind) == (version_of(prepared.id), 2, VersionKind.RESTORE)
        assert version.author == "root"


@pytest.mark.rule("HV4")
async def test_a_large_one_is_applied_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        ana.client.text.insert(0, "one")
        await quiet(server)
        threads: list[bool] = []
        commit = LogDocument.commit

        def watched(self: LogDocument, updates: Sequence[bytes], outlines: Sequence[Outline]) -> Change | None:
            threads.append(threading.current_thread() is threading.main_thread())
            return commit(self, updates, outlines)

        monkeypatch.setattr(LogDocument, "commit", watched)
        prepared = submit(server, prepare(server, text("x" * 70_000, root="body")))
        await quiet(server)
        await prepared.answer
        await quiet(server)
        assert threads == [False]
        assert body(server) == str(ana.client.text)
        assert len(body(server)) == 70_003


@pytest.mark.rule("HV3")
async def test_one_that_is_not_committed_in_time_is_withdrawn() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        database.unavailable = True
        prepared = submit(server, prepare(server))
        await step(server, 6)
        error = prepared.answer.exception()
        assert isinstance(error, SubmissionRefused)
        assert (error.code, error.retry) == ("unavailable", True)
        database.unavailable = False
        await step(server, 5)
        ana.client.text.insert(0, "one")
        await quiet(server)
        assert body(server) == "one", "what was withdrawn is not committed later"


@pytest.mark.rule("HV3")
async def test_one_that_is_given_up_in_a_transaction_that_fails_is_not_committed() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        await server.join(user="ana")
        hold = database.hold_next("begin")
        prepared = submit(server, prepare(server))
        await quiet(server)
        prepared.settle(SubmissionRefused("unavailable", "too late", retry=True))
        hold.release()
        await quiet(server)
        assert body(server) == ""


@pytest.mark.rule("HV3")
async def test_one_that_is_given_up_in_a_transaction_that_goes_on_is_not_committed() -> None:
    """Whoever asked was told that it was not done."""
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        ana.client.text.insert(0, "one")
        await quiet(server)
        hold = database.hold_next("submitted")
        prepared = submit(server, prepare(server))
        await quiet(server)
        prepared.settle(SubmissionRefused("unavailable", "too late", retry=True))
        hold.release()
        await quiet(server)
        assert body(server) == str(ana.client.text) == "one"
        assert len(await entries(server)) == 1


@pytest.mark.rule("HV1", "RO11")
async def test_nobody_sees_one_that_is_not_committed_when_the_engine_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is seen is then made anew, but not of a log that has the update already: those who come wait for the store."""
    admit = Document.admit

    def break_(self: Document, update: bytes, outline: Outline) -> bytes | None:
        if b"poison" in update:
            self._fault = "put in by hand"
            raise EngineFault("the engine panicked")
        return admit(self, update, outline)

    monkeypatch.setattr(Document, "admit", break_)
    database = MemoryDatabase()
    async with process(database) as server:
        eve = await server.join(user="eve")
        eve.client.text.insert(0, "one")
        await quiet(server)
        hold = database.hold_next("commit")
        prepared = submit(server, prepare(server))
        await quiet(server)
        eve.client.text.insert(0, "poison")
        assert eve.closed is not None
        with pytest.raises(RoomClosed, match="rebuilt"):
            await server.join(user="ana")
        hold.release()
        await quiet(server)
        assert prepared.answer.result().offset == 2
        later = await server.join(user="ana")
        await quiet(server)
        assert str(later.client.text) in {"now one", "onenow "}


@pytest.mark.rule("HV4")
async def test_it_counts_for_what_may_wait() -> None:
    database = MemoryDatabase()
    limits = Limits(pending_process_updates=1)
    async with process(database, limits=limits) as server:
        await server.join(user="ana")
        database.unavailable = True
        prepared = submit(server, prepare(server))
        assert (server.backlog.updates, server.backlog.bytes > len(prepared.update)) == (1, True)
        with pytest.raises(SubmissionRefused) as caught:
            submit(server, prepare(server))
        assert (caught.value.code, caught.value.retry) == ("overloaded", True)


@pytest.mark.rule("HV4")
async def test_one_on_which_the_engine_breaks_is_refused_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        ana.client.text.insert(0, "one")
        await quiet(server)
        commit = LogDocument.commit

        def breaks(self: LogDocument, updates: list[bytes], outlines: list[Outline]) -> Change | None:
            if updates == [broken.update]:
                raise EngineFault("it broke")
            return commit(self, updates, outlines)

        broken = prepare(server)
        monkeypatch.setattr(LogDocument, "commit", breaks)
        submit(server, broken)
        ana.client.text.insert(3, " two")
        error = await refused(server, broken)
        assert error.code == "unsupported"
        assert body(server) == str(ana.client.text) == "one two"


@pytest.mark.rule("HV4")
async def test_one_that_builds_on_what_is_not_there_is_refused() -> None:
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        ana.client.text.insert(0, "one")
        await quiet(server)
        missing = prepare(server, text("x", origin=(77, 3)))
        error = await refused(server, submit(server, missing))
        assert error.code == "unsupported"
        ana.client.text.insert(3, " two")
        await quiet(server)
        assert body(server) == str(ana.client.text) == "one two"


@pytest.mark.rule("HV5")
async def test_an_entry_that_is_far_in_the_future_is_not_followed() -> None:
    """A process whose clock was wrong does not date everything for years."""
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        server.clock.step_wall(61_000)  # type: ignore[attr-defined] # the clock of a Process is turned by hand
        ana.client.text.insert(0, "a")
        await quiet(server)
        server.clock.step_wall(-61_000)  # type: ignore[attr-defined]
        ana.client.text.insert(0, "b")
        await quiet(server)
        first, second = await entries(server)
        assert first.created_at - second.created_at == 61_000


@pytest.mark.rule("HV5")
async def test_entries_are_in_the_order_of_time_though_the_clock_goes_back() -> None:
    """Of Yjs peers, of operations and of prepared updates, after a restart and when others wrote the one before."""
    database = MemoryDatabase()
    async with process(database) as server:
        ana = await server.join(user="ana")
        ana.client.text.insert(0, "a")
        await quiet(server)
        first = (await entries(server))[0].created_at
        server.clock.step_wall(-5000)  # type: ignore[attr-defined] # the clock of a Process is turned by hand
        ana.client.text.insert(0, "b")
        await quiet(server)
        await answered(server, await ThinClient("bot").insert(server, 0, "c"))
        await answered(server, submit(server, prepare(server)))
        async with process(database) as other:
            other.clock.step_wall(-5000)  # type: ignore[attr-defined]
            ben = await other.join(user="ben")
            ben.client.text.insert(0, "d")
            await quiet(other)
        ana.client.text.insert(0, "e")
        await quiet(server)
        await step(server, 1)
        times = [one.created_at for one in await entries(server)]
        assert len(times) == 6
        assert times == [first] * 6
        server.clock.advance(10)  # type: ignore[attr-defined]
        ana.client.text.insert(0, "f")
        await quiet(server)
        assert (await entries(server))[-1].created_at > first
