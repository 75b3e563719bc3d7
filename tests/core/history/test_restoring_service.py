"""Restoring and undoing, with what may go wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from core.history.past_tools import info_of, process, session, write
from core.operations.process_tools import answered, body
from core.operations.thin_client import ThinClient
from cowrite.core.history import blames, diffs
from cowrite.core.history.diffs import DiffFormat
from cowrite.core.history.errors import HistoryRefused
from cowrite.core.history.past import Past
from cowrite.core.history.server_edits import Made
from cowrite.core.operations.submissions import SubmissionRefused
from cowrite.core.ports import Grant, HistoryForgotten, StoreCorrupt
from cowrite.core.records import Authored, CauseKind
from cowrite.crdt.errors import EngineFault, HostileUpdate
from cowrite.crdt.history.scratch import RestoreFailed
from cowrite.protocol import yjs
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.messages import AwarenessUpdate, SyncStep2, Update
from cowrite.stores.memory import MemoryDatabase
from cowrite.testing.process import Process, quiet
from cowrite.testing.records import new_id
from cowrite.testing.yjs_writer import block, shared_type, text, values, write_update


async def done(server: Process, work: Any) -> Made:
    """Let it happen."""
    task = asyncio.ensure_future(work)
    while not task.done():
        await quiet(server)
        await asyncio.sleep(0.001)
    await quiet(server)  # it may have ended while that slept: what it brought is still on its way to the clients
    made: Made = await task
    return made


async def restored(server: Process, past: Past, to: int, **more: Any) -> Made:
    moment = await past.moments.at(await info_of(server), to)
    return await done(server, past.restoring.restore(session(), moment, **more))


@pytest.mark.rule("HV40")
async def test_a_root_that_there_never_was_is_refused() -> None:
    """One that came later can be emptied."""
    async with process(MemoryDatabase()) as (server, past):
        await write(server, "one")
        with pytest.raises(HistoryRefused) as caught:
            await restored(server, past, 0, root="bdoy")
        assert caught.value.code == "root"
        assert (await restored(server, past, 0, root="body")).version_id is not None


@pytest.mark.rule("HV42")
async def test_an_undo_of_a_restore_is_done_once() -> None:
    async with process(MemoryDatabase()) as (server, past):
        await write(server, "one")
        await write(server, "two", user="ben")
        ana = await server.join(user="ana")
        await quiet(server)
        del ana.client.text[0:3]
        await quiet(server)
        await restored(server, past, 2)
        assert body(server) == "twoone"
        for version in (True, False):
            info = await info_of(server)
            moments = [await past.moments.at(info, offset) for offset in (3, info.head.offset)]
            made = await done(server, past.restoring.undo(session(), "root", *moments))
            assert (body(server), made.version_id is not None, made.offset) == ("one", version, 5)


@pytest.mark.rule("HV42")
async def test_an_undo_gives_text_back_though_others_have_brought_back_what_it_takes() -> None:
    """It looks the same after it, and is whose it was: only who takes back restores and undos writes nothing then."""
    async with process(MemoryDatabase()) as (server, past):
        await write(server, "one", user="ben")
        eve, ana = await server.join(user="eve"), await server.join(user="ana")
        await quiet(server)
        eve.client.text += "one"
        await quiet(server)
        del eve.client.text[0:3]
        await quiet(server)
        written = (await info_of(server)).head.offset
        del ana.client.text[0:3]
        await quiet(server)
        await restored(server, past, written)
        info = await info_of(server)
        moments = [await past.moments.at(info, offset) for offset in (1, info.head.offset)]
        made = await done(server, past.restoring.undo(session(), "eve", *moments))
        assert (body(server), made.version_id is None) == ("one", False)
        newest = await past.moments.at(await info_of(server), made.offset)
        assert [run["author"] for run in json.loads(await past.blames.of(newest, None))] == ["ben"]


@pytest.mark.rule("HV40")
async def test_a_document_is_brought_back_and_goes_on() -> None:
    database = MemoryDatabase()
    async with process(database) as (server, past):
        ana = await server.join(user="ana")
        ana.client.text.insert(0, "one")
        await quiet(server)
        ana.client.text.clear()
        await quiet(server)
        made = await restored(server, past, 1)
        assert str(ana.client.text) == body(server) == "one"
        ana.client.text.insert(3, " two")
        await quiet(server)
        assert body(server) == "one two"
        entry = (await server.storage.store.entries("doc", start=made.offset, limit=1))[0]
        assert (entry.author, entry.operations) == ("root", tuple(made.operations))
        again = await restored(server, past, made.offset + 1)
        assert again == Made(made.offset + 1, (), None)


@pytest.mark.rule("RS13", "HI15")
async def test_what_is_there_as_a_copy_is_not_written_again() -> None:
    async with process(MemoryDatabase()) as (server, past):
        ana = await server.join(user="ana")
        ana.client.text.insert(0, "Hello brave world")
        await quiet(server)
        del ana.client.text[6:12]
        await quiet(server)
        await restored(server, past, 1)
        ana.client.text.insert(17, "!")
        await quiet(server)
        made = await restored(server, past, 1)
        (operation,) = made.operations
        assert (operation.type, operation.position, operation.length) == ("delete", ("body", 17), 1)
        info = await info_of(server)
        first, typed, last = [await past.moments.at(info, offset) for offset in (1, 4, 5)]
        assert json.loads(await past.diffs.between(first, last, DiffFormat.OPERATIONS, None)) == []
        (drafts, back) = [
            json.loads(await past.diffs.between(*pair, DiffFormat.OPERATIONS, None))
            for pair in ((first, typed), (typed, first))
        ]
        assert drafts == [{"type": "insert", "position": ["body", 17], "content": "!", "attributes": {}}]
        assert back == [{"type": "delete", "position": ["body", 17], "length": 1}]
        (root,) = json.loads(await past.diffs.between(first, last, DiffFormat.JSON, None))
        assert root["runs"] == [{"change": "equal", "text": "Hello brave world"}]
        assert b"<ins" not in (html := await past.diffs.between(first, last, DiffFormat.HTML, None))
        assert b"<del" not in html


@pytest.mark.rule("HV41")
async def test_what_is_asked_for_again_is_answered_as_the_first_time() -> None:
    """Though something was written since, and it would be another edit now."""
    database = MemoryDatabase()
    async with process(database) as (server, past):
        await write(server, "a", "b")
        moment, asks = await past.moments.at(await info_of(server), 1), session()
        first = await done(server, past.restoring.restore(asks, moment, id="mine"))
        await write(server, "c")
        later = await past.moments.at(await info_of(server), 1)
        again = await done(server, past.restoring.restore(asks, later, id="mine"))
        assert (again.offset, again.operations, again.version_id) == (first.offset, first.operations, first.version_id)
        assert body(server) == "ca"
        with pytest.raises(SubmissionRefused) as caught:
            await done(server, past.restoring.undo(asks, "bot", moment, later, id="mine"))
        assert caught.value.code == "operation_id_taken"


@pytest.mark.rule("HV7")
async def test_what_was_done_before_is_found_without_its_moments() -> None:
    async with process(MemoryDatabase()) as (server, past):
        await write(server, "a", "b")
        info, asks, restoring = await info_of(server), session(), past.restoring
        moments = [await past.moments.at(info, offset) for offset in (1, 2)]
        for kind, id_ in ((CauseKind.RESTORE, None), (CauseKind.UNDO, new_id())):
            assert await restoring.done_before(asks, info, kind, id=id_, words="w") is None
        await done(server, restoring.restore(asks, moments[0]))
        ids = new_id(), new_id()
        first = await done(server, restoring.restore(asks, moments[1], id=ids[0], words="w"))
        other = await done(server, restoring.undo(asks, "bot", *moments, id=ids[1], words="w"))
        now = await info_of(server)
        assert await done(server, restoring.done_before(asks, now, CauseKind.RESTORE, id=ids[0], words="w")) == first
        assert await done(server, restoring.done_before(asks, now, CauseKind.UNDO, id=ids[1], words="w")) == other
        assert (await info_of(server)).head == now.head


@pytest.mark.rule("HV7", "HV41")
async def test_what_was_nothing_the_first_time_is_nothing_when_it_is_asked_for_again() -> None:
    """It would take away what others have written since."""
    async with process(MemoryDatabase()) as (server, past):
        await write(server, "a")
        first = await restored(server, past, 1, id="mine")
        assert first == Made(1, (), None)
        await write(server, "bo's work ")
        assert await restored(server, past, 1, id="mine") == first
        assert body(server) == "bo's work a"


@pytest.mark.rule("HV40", "HV6")
async def test_what_others_restore_meanwhile_is_seen() -> None:
    """It is computed anew, three times at most."""
    database = MemoryDatabase()
    async with process(database) as (server, past):
        await write(server, "a", "b", "c")
        moment = await past.moments.at(await info_of(server), 1)
        await restored(server, past, 2)
        made = await done(server, past.restoring.restore(session(), moment))
        assert made.offset == 5
        assert body(server) == "a"


@pytest.mark.rule("HV41")
async def test_when_others_never_stop_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    database = MemoryDatabase()
    async with process(database) as (server, past):
        await write(server, "a", "b")
        tries: list[int] = []

        async def always(*_: Any) -> Made:
            tries.append(1)
            raise SubmissionRefused("restored_meanwhile", "again", retry=True)

        monkeypatch.setattr(past.restoring._edits, "_submit", always)
        with pytest.raises(SubmissionRefused, match="again"):
            await restored(server, past, 1)
        assert len(tries) == 3


@pytest.mark.rule("HV41")
async def test_other_refusals_are_told_at_once() -> None:
    database = MemoryDatabase()
    async with process(database) as (server, past):
        await write(server, "a", "b")
        moment = await past.moments.at(await info_of(server), 1)
        with pytest.raises(SubmissionRefused) as caught:
            await done(server, past.restoring.restore(session("eve", Grant.READ), moment))
        assert caught.value.code == "grant_too_low"


@pytest.mark.rule("HV41")
@pytest.mark.parametrize("gone", [True, False])
async def test_a_document_that_is_replaced_meanwhile(monkeypatch: pytest.MonkeyPatch, *, gone: bool) -> None:
    """It is not there any more, or has another log: what was in the old one is not put there."""
    database = MemoryDatabase()
    async with process(database) as (server, past):
        await write(server, "a", "b")
        tries: list[int] = []

        async def meanwhile(*_: Any) -> Made:
            tries.append(1)
            was = database.tables.documents.pop("doc")
            if not gone:
                database.tables.documents["doc"] = replace(was, head=replace(was.head, epoch="another"))
            raise SubmissionRefused("restored_meanwhile", "again", retry=True)

        monkeypatch.setattr(past.restoring._edits, "_submit", meanwhile)
        with pytest.raises(HistoryRefused) as caught:
            await restored(server, past, 1)
        assert (caught.value.code, len(tries)) == ("history_replaced", 1)


@pytest.mark.rule("HV44", "HV42", "RS8")
async def test_a_mixed_root_is_refused_by_name() -> None:
    """Also when the whole document is asked for; the others can be restored by name."""
    database = MemoryDatabase()
    async with process(database) as (server, past):
        ana, bot = await server.join(user="ana"), ThinClient("bot")
        ana.client.text.insert(0, "one")
        ana.send(yjs.encode(Update(write_update([block(70, 0, shared_type("xmlelement", "p", root="odd"))]))))
        await quiet(server)
        ana.send(yjs.encode(Update(write_update([block(71, 0, values(1, root="odd"))]))))
        await quiet(server)
        await bot.read(server)
        await answered(server, await bot.insert(server, 3, " two"))
        head = (await info_of(server)).head.offset
        for root in (None, "odd"):
            with pytest.raises(HistoryRefused) as caught:
                await restored(server, past, head - 1, root=root)
            assert caught.value.code == "root_unreadable"
        await restored(server, past, head - 1, root="body")
        assert body(server) == "one"
        # An undo leaves it, and says so, also where there is nothing else.
        made = await undone(server, past, "ana", 0)
        assert (body(server), made.left, made.version_id is not None) == ("", ["odd"], True)
        made = await undone(server, past, "ana", 0)
        assert (made.left, made.version_id) == (["odd"], None)


@pytest.mark.rule("HV44")
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (RestoreFailed("no"), "restore_failed"),
        (HostileUpdate("steps", "no"), "history_too_costly"),
        (EngineFault("no"), None),
    ],
)
async def test_what_cannot_be_brought_back_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, fault: Exception, code: str | None
) -> None:
    database = MemoryDatabase()
    async with process(database) as (server, past):
        await write(server, "a", "b")

        def fails(*_: Any, **__: Any) -> None:
            raise fault

        monkeypatch.setattr("cowrite.crdt.history.restoring.restore", fails)
        monkeypatch.setattr("cowrite.crdt.history.restoring.undo_of", fails)
        monkeypatch.setattr(diffs, "restore", fails)
        monkeypatch.setattr(diffs, "diff", fails)
        monkeypatch.setattr(blames, "read_items", fails)
        info = await info_of(server)
        first, last = await past.moments.at(info, 1), await past.moments.at(info, 2)
        expected = HistoryRefused if code else StoreCorrupt
        for work in (
            past.restoring.restore(session(), first),
            past.restoring.undo(session(), "bot", first, last),
            past.diffs.between(last, first, DiffFormat.OPERATIONS, None),
        ):
            with pytest.raises(expected) as caught:
                await work
            assert getattr(caught.value, "code", None) == code
        with pytest.raises(expected):
            await past.diffs.between(first, last, DiffFormat.JSON, None)
        with pytest.raises(expected):
            await past.blames.of(last, None)
        assert body(server) == "ba"
        assert (await info_of(server)).head.offset == 2


@pytest.mark.rule("HV42")
async def test_undo_of_what_is_no_longer_to_be_seen_makes_no_entry() -> None:
    database = MemoryDatabase()
    async with process(database) as (server, past):
        await write(server, "a")
        await write(server, "b", user="ben")
        info = await info_of(server)
        first, last = await past.moments.at(info, 0), await past.moments.at(info, 2)
        made = await done(server, past.restoring.undo(session(), "ben", first, last))
        assert body(server) == "a"
        info = await info_of(server)
        again = await done(server, past.restoring.undo(session(), "ben", first, last))
        assert again.offset == made.offset
        assert (await info_of(server)).head == info.head


async def undone(server: Process, past: Past, author: str, after: int, until: int | None = None) -> Made:
    info = await info_of(server)
    moments = [await past.moments.at(info, info.head.offset if at is None else at) for at in (after, until)]
    return await done(server, past.restoring.undo(session(), author, *moments))


HELLO_TWICE_DELETED = {
    "both from the beginning": ("ben", 1, 1),
    "the second from the first": ("ben", 3, 1),
    "the first copy is from before": ("cy", 1, 3),
    "deleted once more": ("ben", 1, 1),
}


@pytest.mark.rule("HV41", "RS12")
@pytest.mark.parametrize("case", HELLO_TWICE_DELETED)
async def test_of_two_copies_of_the_same_one_comes_back(case: str) -> None:
    """Also where the undo does not reach back to when the first one was made."""
    who, second, after = HELLO_TWICE_DELETED[case]
    async with process(MemoryDatabase()) as (server, past):
        ana = await server.join(user="ana")
        deleting = {name: await server.join(user=name) for name in ("ben", "cy")}
        ana.client.text.insert(0, "Hello")
        await quiet(server)
        for name, to in (("ben", 1), (who, second)):
            deleting[name].client.text.clear()
            await quiet(server)
            await restored(server, past, to)
            await quiet(server)
        if case == "deleted once more":
            deleting["ben"].client.text.clear()
            await quiet(server)
        await undone(server, past, who, after)
        assert body(server) == "Hello"
        entries = (await info_of(server)).head.offset
        await undone(server, past, who, after)
        assert ((await info_of(server)).head.offset, body(server)) == (entries, "Hello")


@pytest.mark.rule("HV41", "HV42", "RS12")
async def test_what_has_come_back_already_comes_back_once() -> None:
    """Whether it was restored or undone, also as a copy of a copy that the same person deleted again."""
    async with process(MemoryDatabase()) as (server, past):
        ana, ben = await server.join(user="ana"), await server.join(user="ben")
        ana.client.text.insert(0, "Hello")
        await quiet(server)
        del ben.client.text[1:5]
        await quiet(server)
        for until in (2, 2, None, None):
            await undone(server, past, "ben", 1, until)
            assert body(server) == "Hello"
        del ben.client.text[0:3]
        await quiet(server)
        for _ in range(2):
            await undone(server, past, "ben", 1)
            assert body(server) == "Hello"
        # A copy that goes again does not count: what it stood for comes back.
        await undone(server, past, "root", 2)
        assert body(server) == ""
        await undone(server, past, "ben", 1, 2)
        assert body(server) == "ello"


@pytest.mark.rule("HV41", "RS12")
async def test_undo_of_what_was_restored_meanwhile() -> None:
    async with process(MemoryDatabase()) as (server, past):
        ana, ben = await server.join(user="ana"), await server.join(user="ben")
        ana.client.text.insert(0, "Hello")
        await quiet(server)
        ben.client.text.clear()
        await quiet(server)
        await restored(server, past, 1)
        head = (await info_of(server)).head
        await undone(server, past, "ben", 1)
        assert body(server) == "Hello"
        assert (await info_of(server)).head == head


@pytest.mark.rule("HV42", "RS12")
async def test_what_somebody_wrote_goes_also_where_others_brought_it_back() -> None:
    async with process(MemoryDatabase()) as (server, past):
        ana, ben = await server.join(user="ana"), await server.join(user="ben")
        ana.client.text.insert(0, "Hello")
        await quiet(server)
        ben.client.text.insert(5, " all")
        await quiet(server)
        ben.client.text.clear()
        await quiet(server)
        await restored(server, past, 2)
        assert body(server) == "Hello all"
        await undone(server, past, "ana", 0)
        assert body(server) == " all"
        head = (await info_of(server)).head
        await undone(server, past, "ana", 0)
        assert (await info_of(server)).head == head, "there is nothing left to take back"


@pytest.mark.rule("HV42", "RS12")
async def test_a_copy_of_what_somebody_wrote_that_they_deleted_stays_deleted() -> None:
    async with process(MemoryDatabase()) as (server, past):
        ana, ben = await server.join(user="ana"), await server.join(user="ben")
        ana.client.text.insert(0, "Hello")
        await quiet(server)
        ben.client.text.clear()
        await quiet(server)
        await restored(server, past, 1)
        del ana.client.text[0:2]
        await quiet(server)
        assert body(server) == "llo"
        await undone(server, past, "ana", 0)
        assert body(server) == ""


async def send_together(server: Process) -> None:
    """Bo sends what Ana, who is gone, has typed offline beside his own, as a client does that comes back."""
    ana, bo = await server.join(user="ana"), await server.join(user="bo")
    bo.send(yjs.encode(AwarenessUpdate((AwarenessEntry(71, 1, "{}"),))))
    ana.send(yjs.encode(Update(write_update([block(70, 0, text("a", root="body"))]))))
    await quiet(server)
    ana.lose(clean=True)
    structs = block(70, 1, text("b", origin=(70, 0))), block(71, 0, text("c", origin=(70, 1)))
    bo.send(yjs.encode(Update(write_update(list(structs)))))
    await quiet(server)
    assert body(server) == "abc"


@pytest.mark.rule("HV42", "RS6")
@pytest.mark.parametrize(("author", "left"), [("bo", "ab"), ("ana", "c")])
async def test_what_was_sent_together_is_taken_back_from_whoever_wrote_it(author: str, left: str) -> None:
    async with process(MemoryDatabase()) as (server, past):
        await send_together(server)
        info = await info_of(server)
        first, last = await past.moments.at(info, 0), await past.moments.at(info, 2)
        await done(server, past.restoring.undo(session(), author, first, last))
        assert body(server) == left


@pytest.mark.rule("HV42", "RS6", "HI13")
@pytest.mark.parametrize(("author", "left"), [("bo", "xab"), ("ana", "x")])
async def test_what_somebody_else_brought_is_taken_back_from_whoever_wrote_it(author: str, left: str) -> None:
    """Bo's first message after a while offline holds only what he has of Ana."""
    async with process(MemoryDatabase()) as (server, past):
        ana, bo = await server.join(user="ana"), await server.join(user="bo")
        ana.send(yjs.encode(Update(write_update([block(70, 0, text("a", root="body"))]))))
        await quiet(server)
        ana.lose(clean=True)
        bo.send(yjs.encode(SyncStep2(write_update([block(70, 1, text("b", origin=(70, 0)))]))))
        await quiet(server)
        await write(server, "x", user="eve")
        assert body(server) == "xab"
        await undone(server, past, author, 0)
        assert body(server) == left


@pytest.mark.rule("HV42")
@pytest.mark.parametrize("everything", [True, False])
async def test_who_wrote_it_was_forgotten_meanwhile(monkeypatch: pytest.MonkeyPatch, *, everything: bool) -> None:
    async with process(MemoryDatabase()) as (server, past):
        await send_together(server)
        info = await info_of(server)
        first, last = await past.moments.at(info, 0), await past.moments.at(info, 2)

        known = await past.history.authored("doc", after=0, limit=9)

        async def forgotten(*_: Any, **__: Any) -> Sequence[Authored]:
            return known[len(known) if everything else 1 :]

        monkeypatch.setattr(past.restoring._history, "authored", forgotten)
        with pytest.raises(HistoryForgotten):
            await past.restoring.undo(session(), "ana", first, last)


@pytest.mark.rule("HV31")
async def test_a_diff_is_made_once() -> None:
    database = MemoryDatabase()
    async with process(database) as (server, past):
        await write(server, "a", "b")
        info = await info_of(server)
        first, last = await past.moments.at(info, 1), await past.moments.at(info, 2)
        for form in DiffFormat:
            made = await past.diffs.between(first, last, form, None)
            assert await past.diffs.between(first, last, form, None) is made
            assert made != await past.diffs.between(last, first, form, None)
        assert await past.diffs.between(first, first, DiffFormat.OPERATIONS, None) == b"[]"


def at_a_cost(server: Process, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Whoever measures CPU time from here on has used so much each time."""
    monkeypatch.setattr(server.clock, "cpu", count(step=seconds).__next__)


@pytest.mark.rule("HV45")
async def test_who_causes_too_much_work_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    async with process(MemoryDatabase()) as (server, past):
        ana = await server.join(user="ana")
        ana.client.text.insert(0, "x")
        await quiet(server)
        ana.client.text.clear()
        await quiet(server)
        at_a_cost(server, monkeypatch, 0.8)
        made = await restored(server, past, 1, id="first")
        at_a_cost(server, monkeypatch, 0.0)
        with pytest.raises(SubmissionRefused, match="ask again in 2") as caught:
            await restored(server, past, 2)
        assert (caught.value.code, caught.value.retry, caught.value.seconds > 1) == ("too_fast", True, True)
        assert (await restored(server, past, 1, id="first")).version_id == made.version_id
        moment = await past.moments.at(await info_of(server), 2)
        await done(server, past.restoring.restore(session("ben"), moment))
        server.clock.advance(3)  # type: ignore[attr-defined] # turned by hand
        await restored(server, past, 1)
        assert body(server) == "x"


@pytest.mark.rule("HV45")
async def test_work_that_comes_to_nothing_is_work(monkeypatch: pytest.MonkeyPatch) -> None:
    async with process(MemoryDatabase()) as (server, past):
        await write(server, "one", "two")

        def failing(*_: Any, **__: Any) -> None:
            raise RestoreFailed("it cannot be")

        monkeypatch.setattr("cowrite.crdt.history.restoring.restore", failing)
        at_a_cost(server, monkeypatch, 1.5)
        with pytest.raises(HistoryRefused):
            await restored(server, past, 1)
        with pytest.raises(SubmissionRefused) as caught:
            await restored(server, past, 1)
        assert caught.value.code == "too_fast"


@pytest.mark.rule("BI9")
async def test_the_yjs_client_of_a_restore_is_of_whoever_asked() -> None:
    database = MemoryDatabase()
    async with process(database) as (server, past):
        ana = await server.join(user="ana")
        ana.client.text.insert(0, "a")
        await quiet(server)
        ana.client.text.clear()
        await quiet(server)
        before = database.clients("doc")
        await restored(server, past, 1)
        made = database.clients("doc").items() - before.items()
        assert [user for _, user in made] == [session().author]
