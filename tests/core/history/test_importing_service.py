"""Importing into a document that people are in."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pycrdt import Map

from core.history.past_tools import info_of, process, session, write
from core.history.test_erasing_service import deletion
from core.operations.process_tools import body
from cowrite.core.history.importing import Brought, Imported, Mode
from cowrite.core.history.past import Past
from cowrite.core.operations.submissions import SubmissionRefused
from cowrite.core.ports import DocumentDeleted, Grant
from cowrite.core.records import Cause, CauseKind, VersionKind
from cowrite.formats import to_markdown
from cowrite.formats.shapes import Shape, Source
from cowrite.stores.memory import MemoryDatabase
from cowrite.testing.process import Process, quiet
from cowrite.testing.records import new_id


async def done(server: Process, work: Any) -> Imported:
    """Let it happen."""
    task = asyncio.ensure_future(work)
    while not task.done():
        await quiet(server)
        await asyncio.sleep(0.001)
    await quiet(server)
    made: Imported = await task
    return made


async def bring(server: Process, past: Past, content: str, form: Source = Source.MARKDOWN, **more: Any) -> Imported:
    who = more.pop("who", None) or session()
    return await done(server, past.importing.bring(who, Brought(content.encode(), form, **more)))


async def refused(server: Process, past: Past, content: str, form: Source = Source.MARKDOWN, **more: Any) -> SubmissionRefused:
    with pytest.raises(SubmissionRefused) as caught:
        await bring(server, past, content, form, **more)
    return caught.value


async def shown(past: Past, server: Process, root: str = "default") -> str:
    info = await info_of(server)
    return to_markdown((await past.moments.state(await past.moments.at(info, info.head.offset))).content, root)


@pytest.mark.rule("EX10", "EX11", "EX13")
async def test_an_import_is_an_edit() -> None:
    """Into a document that there is not, behind what is there, and in its place; told, kept and undone."""
    async with process(MemoryDatabase()) as (server, past):
        made = await bring(server, past, "# a 😀\n\n- **b**")
        assert made == Imported(1, "default", [], None)
        (entry,) = await server.storage.store.entries("doc", start=1, limit=1)
        assert (entry.author, entry.cause) == ("root", Cause(CauseKind.IMPORT, 0, root="default"))
        assert [operation.type for operation in entry.operations] == ["insert"]
        assert await past.history.activity("doc", before=None, pause=0, limit=9, by_author=True)

        problem = await refused(server, past, "c")
        assert (problem.code, "'default'" in problem.reason) == ("not_empty", True)
        appended = await bring(server, past, "c", mode=Mode.APPEND)
        assert (appended.offset, await shown(past, server)) == (2, "# a 😀\n\n- **b**\n\nc")
        replaced = await bring(server, past, "d", mode=Mode.REPLACE, shape=Shape.PROSEMIRROR, root="default")
        assert (replaced.offset, await shown(past, server)) == (3, "d")
        version = await past.versions.get("doc", replaced.version_id or "")
        assert (version.offset, version.kind) == (2, VersionKind.RESTORE)

        emptied = await bring(server, past, "", mode=Mode.REPLACE)
        assert (emptied.offset, await shown(past, server)) == (4, "")
        nothing = await bring(server, past, "")
        assert nothing == Imported(4, "default", [], None)
        info = await info_of(server)
        moments = [await past.moments.at(info, offset) for offset in (2, 4)]
        task = asyncio.ensure_future(past.restoring.undo(session(), "root", *moments))
        while not task.done():
            await quiet(server)
            await asyncio.sleep(0.001)
        await task
        assert await shown(past, server) == "# a 😀\n\n- **b**\n\nc"


@pytest.mark.rule("EX10", "EX11")
async def test_people_who_are_in_the_document() -> None:
    """They see it arrive, and what they write meanwhile stays."""
    async with process(MemoryDatabase()) as (server, past):
        ana = await server.join(user="ana")
        ana.client.text.insert(0, "one 😀")
        await quiet(server)
        await bring(server, past, " two", Source.TEXT, shape=Shape.TEXT, root="body", mode=Mode.APPEND)
        assert str(ana.client.text) == body(server) == "one 😀 two"
        work = asyncio.ensure_future(
            past.importing.bring(session(), Brought(b"three", Source.TEXT, Shape.TEXT, "body", Mode.REPLACE))
        )
        await asyncio.sleep(0)
        ana.client.text.insert(3, "!")
        made = await done(server, work)
        assert body(server) in {"!three", "three!", "three"}
        assert str(ana.client.text) == body(server)
        assert made.version_id is not None
        rich = await bring(server, past, "**x** ![](/y)", shape=Shape.QUILL, root="rich")
        assert rich.offset == (await info_of(server)).head.offset
        again = await bring(server, past, "z", Source.TEXT, shape=Shape.QUILL, root="rich", mode=Mode.REPLACE)
        assert (again.version_id is not None, await shown(past, server, "rich")) == (True, "z")


@pytest.mark.rule("EX12")
async def test_asked_for_again() -> None:
    async with process(MemoryDatabase()) as (server, past):
        await write(server, "one")
        id_ = new_id()
        first = await bring(server, past, "a", mode=Mode.APPEND, id=id_)
        await write(server, "two")
        assert await bring(server, past, "a", mode=Mode.APPEND, id=id_) == first
        assert await shown(past, server) == "a"
        assert (await refused(server, past, "b", mode=Mode.APPEND, id=id_)).code == "operation_id_taken"


@pytest.mark.rule("EX6")
async def test_a_large_import_is_looked_at_beside_the_loop() -> None:
    async with process(MemoryDatabase()) as (server, past):
        await bring(server, past, "a" * 100_000, Source.TEXT, shape=Shape.TEXT, root="body")
        assert body(server) == "a" * 100_000


@pytest.mark.rule("EX11", "EX10")
async def test_two_at_once() -> None:
    """Of two that want the root empty one is refused, because the other came first."""
    async with process(MemoryDatabase()) as (server, past):
        both = [past.importing.bring(session(), Brought(word, Source.MARKDOWN)) for word in (b"a", b"b")]
        task = asyncio.gather(*both, return_exceptions=True)
        while not task.done():
            await quiet(server)
            await asyncio.sleep(0.001)
        made = await task
        codes = [one.code for one in made if isinstance(one, SubmissionRefused)]
        assert (codes, await shown(past, server) in {"a", "b"}) == (["not_empty"], True)


@pytest.mark.rule("EX6", "EX13")
async def test_what_is_refused() -> None:
    async with process(MemoryDatabase()) as (server, past):
        assert (await refused(server, past, "a\0")).code == "null_character"
        await write(server, "one")
        ana = await server.join(user="ana")
        ana.client.doc.get("map", type=Map)["k"] = 1
        await quiet(server)
        for root, shape in (("body", Shape.TIPTAP), ("map", Shape.QUILL)):
            for mode in (Mode.APPEND, Mode.REPLACE):
                kind = await refused(server, past, "a", shape=shape, root=root, mode=mode)
                assert (kind.code, f"{root!r}" in kind.reason) == ("kind", True)
        reader = session("rita", Grant.READ)
        assert (await refused(server, past, "a", who=reader)).code == "grant_too_low"
        long = await refused(server, past, "a", root="x" * 2000)
        assert (long.code, (await info_of(server)).head.offset) == ("value", 2)


@pytest.mark.rule("EX13")
async def test_a_document_that_is_deleted() -> None:
    async with process(MemoryDatabase()) as (server, past):
        await write(server, "one")
        await deletion(server).delete("doc", "root")
        with pytest.raises(DocumentDeleted):
            await bring(server, past, "a")
