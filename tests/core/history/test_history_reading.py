"""Blame, diffs and versions, on a store in memory."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from pycrdt import Array

from core.history.past_tools import info_of, process, session, write
from cowrite.core.history import diffs
from cowrite.core.history.diffs import DiffFormat
from cowrite.core.history.entries import entries_between
from cowrite.core.history.errors import HistoryRefused
from cowrite.core.ports import HistoryForgotten
from cowrite.core.records import VersionKind
from cowrite.stores.memory import MemoryDatabase
from cowrite.testing.process import quiet


def authors(runs: bytes) -> list[tuple[int, str | None]]:
    return [(run["length"], run["author"]) for run in json.loads(runs)]


@pytest.mark.rule("HV30")
async def test_blame_is_made_once_for_each_moment_and_root() -> None:
    database = MemoryDatabase()
    async with process(database) as (server, past):
        await write(server, "one", "two")
        await write(server, "six", user="ben")
        info = await info_of(server)
        first, last = await past.moments.at(info, 1), await past.moments.at(info, 3)
        runs = await past.blames.of(last, None)
        assert authors(runs) == [(3, "ben"), (6, "bot")]
        assert await past.blames.of(last, None) is runs
        assert authors(await past.blames.of(first, None)) == [(3, "bot")]
        assert authors(await past.blames.of(last, "other")) == []
        await write(server, "ten", user="eve")
        newest = await past.moments.at(await info_of(server), 4)
        assert authors(await past.blames.of(newest, "body")) == [(3, "eve"), (3, "ben"), (6, "bot")]


@pytest.mark.rule("HV31")
async def test_a_diff_says_between_which_moments_it_is() -> None:
    async with process(MemoryDatabase()) as (server, past):
        await write(server, "one", "two")
        info = await info_of(server)
        first, last = await past.moments.at(info, 0), await past.moments.at(info, 2)
        for form, name in ((DiffFormat.JSON, "roots"), (DiffFormat.OPERATIONS, "operations")):
            changes = await past.diffs.between(first, last, form, None)
            whole = json.loads(diffs.told(first, last, form, changes))
            assert list(whole) == ["document_id", "from", "to", name]
            assert (whole["document_id"], whole["from"], whole["to"]["offset"]) == ("doc", {"offset": 0, "created_at": None}, 2)
            assert whole[name] == json.loads(changes) != []


@pytest.mark.rule("HV30")
async def test_what_was_forgotten_is_nobodys() -> None:
    """Also where it was known before, and while what is known is being read."""
    database = MemoryDatabase()
    async with process(database) as (server, past):
        await write(server, "one", "two", "six")
        info = await info_of(server)
        last = await past.moments.at(info, 3)
        assert authors(await past.blames.of(last, None)) == [(9, "bot")]
        await past.erasing.forget(await past.moments.at(info, 2))
        now = await past.moments.at(await info_of(server), 3)
        assert authors(await past.blames.of(now, None)) == [(3, "bot"), (6, None)]
        await past.erasing.forget(now)
        now = await past.moments.at(await info_of(server), 3)
        assert authors(await past.blames.of(now, None)) == [(9, None)]


@pytest.mark.rule("HV30")
async def test_what_goes_while_authors_are_read_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    database = MemoryDatabase()
    async with process(database) as (server, past):
        await write(server, "one", "two")
        last = await past.moments.at(await info_of(server), 2)
        state = past.moments.state

        async def meanwhile(moment: Any) -> Any:
            found = await state(moment)
            database.tables.documents.pop("doc", None)
            return found

        monkeypatch.setattr(past.moments, "state", meanwhile)
        assert authors(await past.blames.of(last, None)) == [(6, None)]


@pytest.mark.rule("HV14")
async def test_two_who_read_the_same_authors_at_once() -> None:
    """What both have read is taken once."""
    async with process(MemoryDatabase()) as (server, past):
        await write(server, "a", "b", "c")
        info, authors = await info_of(server), past.blames.authors
        known = await authors.until(replace(info, head=replace(info.head, offset=1)), 1)
        assert known.head == 3, "as many as there are at once"
        await write(server, "d", "e", user="ana")
        later = await info_of(server)
        both = await asyncio.gather(*(authors.until(later, 5) for _ in range(2)))
        assert [one.head for one in both] == [5, 5]
        assert both[0] is both[1] is known


@pytest.mark.rule("HV31")
async def test_a_diff_over_what_is_forgotten_meanwhile() -> None:
    database = MemoryDatabase()
    async with process(database) as (server, past):
        await write(server, "one", "two", "six")
        info = await info_of(server)
        first, last = await past.moments.at(info, 1), await past.moments.at(info, 3)
        for moment in (first, last):
            await past.moments.state(moment)
        await past.erasing.forget(await past.moments.at(info, 2))
        with pytest.raises(HistoryForgotten):
            await past.diffs.between(first, last, DiffFormat.JSON, None)
        with pytest.raises(HistoryForgotten):
            _ = [one async for one in entries_between(server.storage.history, info, 0, 3)]
        database.tables.documents.pop("doc")
        with pytest.raises(HistoryForgotten):
            _ = [one async for one in entries_between(server.storage.history, info, 2, 3)]


@pytest.mark.rule("HV31")
async def test_the_way_back_from_what_looks_the_same_is_no_operation() -> None:
    database = MemoryDatabase()
    async with process(database) as (server, past):
        await write(server, "one", "two")
        info = await info_of(server)
        first, second = await past.moments.at(info, 1), await past.moments.at(info, 2)
        back = json.loads(await past.diffs.between(second, first, DiffFormat.OPERATIONS, None))
        assert [(one["type"], one["length"]) for one in back] == [("delete", 3)]
        assert json.loads(await past.diffs.between(second, first, DiffFormat.OPERATIONS, "other")) == []
        ana = await server.join(user="ana")
        await quiet(server)
        ana.client.text.insert(0, "x")
        await quiet(server)
        del ana.client.text[0:1]
        await quiet(server)
        same = await past.moments.at(await info_of(server), 4)
        assert json.loads(await past.diffs.between(same, second, DiffFormat.OPERATIONS, None)) == []
        items = ana.client.doc.get("items", type=Array)
        items.append(1)
        await quiet(server)
        items.clear()
        await quiet(server)
        emptied = await past.moments.at(await info_of(server), 6)
        assert json.loads(await past.diffs.between(emptied, second, DiffFormat.OPERATIONS, None)) == []


@pytest.mark.rule("HV32")
async def test_activity_counts_entries() -> None:
    async with process(MemoryDatabase()) as (server, past):
        await write(server, "one", "two")
        (group,) = await past.history.activity("doc", before=None, pause=1000, limit=10)
        assert (group.author, group.entries, group.inserted) == ("bot", 2, 6)


@pytest.mark.rule("HV20", "HV21")
async def test_versions() -> None:
    database = MemoryDatabase()
    async with process(database) as (server, past):
        await write(server, "one", "two", "six")
        info = await info_of(server)
        made = [await past.versions.mark(await past.moments.at(info, offset), "ana", name=f"v{offset}") for offset in (1, 2, 3)]
        shown, following = await past.versions.list("doc", kind=None, before=None, limit=2)
        assert ([one.name for one in shown], following) == (["v3", "v2"], made[1].id)
        shown, following = await past.versions.list("doc", kind=VersionKind.NAMED, before=following, limit=2)
        assert ([one.name for one in shown], following) == (["v1"], None)
        changed = await past.versions.change(made[0], name=None, note="noted")
        assert await past.versions.get("doc", made[0].id) == changed
        await past.versions.remove("doc", made[0].id)
        for work in (
            past.versions.get("doc", made[0].id),
            past.versions.get("doc", "\0"),
            past.versions.change(made[0], name="x", note=None),
            past.versions.remove("doc", made[0].id),
            past.versions.list("doc", kind=None, before=made[0].id, limit=2),
        ):
            with pytest.raises(HistoryRefused) as caught:
                await work
            assert caught.value.code == "version_not_found"


@pytest.mark.rule("HV20")
async def test_a_version_that_goes_meanwhile_and_a_document_that_does() -> None:
    database = MemoryDatabase()
    async with process(database) as (server, past):
        await write(server, "one")
        moment = await past.moments.at(await info_of(server), 1)
        version = await past.versions.mark(moment, "ana")
        hold = database.hold_next("remove_version")
        removing = asyncio.ensure_future(past.versions.remove("doc", version.id))
        await hold.reached.wait()
        del database.tables.versions[version.id]
        hold.release()
        with pytest.raises(HistoryRefused) as caught:
            await removing
        assert caught.value.code == "version_not_found"
        database.tables.documents.pop("doc")
        with pytest.raises(HistoryRefused) as caught:
            await past.versions.mark(moment, "ana")
        assert caught.value.code == "history_replaced"


@pytest.mark.rule("HV10")
async def test_moments_with_the_word_before_them() -> None:
    database = MemoryDatabase()
    async with process(database) as (server, past):
        await write(server, "one", "two")
        info = await info_of(server)
        version = await past.versions.mark(await past.moments.at(info, 1), "ana")
        operations = await server.storage.store.entries("doc", start=1, limit=1)
        operation = operations[0].operations[0].id
        for name in (f"version:{version.id}", version.id, f"operation:{operation}", operation, "offset:1", "1"):
            assert (await past.moments.resolve(info, name)).offset == 1, name
        for name in ("offset:x", "time:x", "version:none", "operation:none", "none", "3", "\0", "operation:\0"):
            with pytest.raises(HistoryRefused, match="an offset up to 2") as caught:
                await past.moments.resolve(info, name)
            assert caught.value.code == "unknown_moment"


@pytest.mark.rule("HV42")
async def test_undo_from_a_later_moment_to_an_earlier_one_is_refused() -> None:
    database = MemoryDatabase()
    async with process(database) as (server, past):
        await write(server, "one", "two")
        info = await info_of(server)
        first, last = await past.moments.at(info, 1), await past.moments.at(info, 2)
        with pytest.raises(HistoryRefused) as caught:
            await past.restoring.undo(session(), "bot", last, first)
        assert caught.value.code == "wrong_order"
        nothing = await past.restoring.undo(session(), "nobody", first, last)
        assert (nothing.offset, nothing.version_id) == (2, None)
