"""Maps, arrays and trees, what changes in them, and who is there: the Python client among others."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from pycrdt import XmlElement, XmlFragment, XmlText

from between import Between
from cowrite.client import Change, Edit, Gone, Lagging, connect
from cowrite.client.changes import MOST_WAITING
from cowrite.testing.client import live_client
from demo_server import DemoServer
from python_clients import change_grant, token, until, yjs_url


@pytest.mark.rule("PY6", "PY7")
async def test_all_kinds(server: DemoServer, name: str) -> None:
    """What one writes stands there for the others, in the form that editors know."""
    async with connect(server.url, name, token=token("ana")) as ana, connect(server.url, name, token=token("bo")) as bo:
        ana.map("meta")["title"] = "Notes 😀"
        ana.array("items").append(1, {"two": 2})
        tree = ana.xml("default")
        tree.append("heading", "Title", {"level": 1})
        paragraph = tree.append("paragraph", "Hello ")
        paragraph.append("world", {"bold": {}})
        await ana.saved()
        await until(lambda: len(bo.xml("default")) == 2)
        assert bo.xml("default").to_markdown() == "# Title\n\nHello **world**"
        assert bo.xml("default").to_html() == "<h1>Title</h1><p>Hello <strong>world</strong></p>"
        assert str(bo.xml("default")) == "Title\nHello world"
        assert (dict(bo.map("meta")), list(bo.array("items"))) == ({"title": "Notes 😀"}, [1, {"two": 2}])
        async with live_client(yjs_url(server, name)) as tiptap:
            fragment = tiptap.yjs.doc.get("default", type=XmlFragment)
            assert str(fragment) == '<heading level="1">Title</heading><paragraph>Hello <bold>world</bold></paragraph>'
            fragment.children.append(XmlElement("paragraph", {}, [XmlText("from an editor")]))
            await until(lambda: str(bo.xml("default")).endswith("\nfrom an editor"))
            bo.xml("default").text(2).insert(0, "not only ")
            await tiptap.until(lambda: "not only from an editor" in str(fragment))
            del fragment.children[1]
            await until(lambda: len(tree) == 2)
        with pytest.raises(Gone):
            paragraph.append("!")
        with pytest.raises(ValueError, match="was asked for as a Tree before, and cannot be a Text"):
            ana.text("default")
        assert ana.map("meta") is ana.map("meta")


@pytest.mark.rule("PY20")
async def test_streaming_into_a_paragraph(server: DemoServer, name: str) -> None:
    """It stops when somebody deletes the paragraph."""
    async with connect(server.url, name, token=token("bot")) as bot, connect(server.url, name, token=token("bo")) as bo:
        paragraph = bot.xml("default").append("paragraph")

        async def words() -> Any:
            for number in range(10_000):
                yield f"{number} "
                await asyncio.sleep(0.002)

        streaming = asyncio.ensure_future(paragraph.stream(0, words()))
        await until(lambda: "5 " in str(bo.xml("default")))
        bo.xml("default").delete(0, 1)
        with pytest.raises(Gone):
            await streaming
        bot.text("body").append("it goes on")
        await bot.saved()
        await until(lambda: str(bo.text("body")) == "it goes on")


@pytest.mark.rule("PY21")
async def test_changes_are_told(server: DemoServer, name: str) -> None:
    """One's own and those of others, from when they were asked for until the document is left."""
    async with connect(server.url, name, token=token("ana")) as ana, connect(server.url, name, token=token("bo")) as bo:
        ana.text("body").append("😀 before")
        await ana.saved()
        await until(lambda: len(bo.text("body")))
        changes = bo.changes()
        bo.map("meta")["k"] = 1
        assert await anext(changes) == Change("meta", local=True, keys=frozenset({"k"}))
        ana.text("body").replace(0, 1, "漢字")
        assert await asyncio.wait_for(anext(changes), 10) == Change(
            "body", local=False, edits=(Edit(0, "😀", ""), Edit(0, "", "漢字"))
        )
        bo.array("items").append(1)
        bo.xml("x").append("p")
        seen = [change async for change in _until_left(bo, changes)]
        assert [(change.name, change.local) for change in seen] == [("items", True), ("x", True)]


async def _until_left(doc: Any, changes: Any) -> Any:
    leaving = asyncio.ensure_future(doc.__aexit__(None, None, None))
    async for change in changes:
        yield change
    await leaving


@pytest.mark.rule("PY21")
async def test_changes_that_nobody_reads(server: DemoServer, name: str) -> None:
    """They are not kept for ever: who reads too late is told, and goes on from there. A refusal is told, too."""
    async with connect(server.url, name, token=token("ana")) as ana:
        changes = ana.changes()
        for _ in range(MOST_WAITING + 5):
            ana.map("meta")["k"] = 1
        with pytest.raises(Lagging, match="read the document anew"):
            await anext(changes)
        ana.text("body").append("x")
        assert (await anext(changes)).name == "body"
        await ana.saved()
        waiting = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)
        await change_grant(server.url, name, "ana", None)
        with pytest.raises(Exception, match="revoked"):
            await waiting


@pytest.mark.rule("PY22")
async def test_who_is_there(server: DemoServer, name: str) -> None:
    """In the form of y-protocols: names, colours, cursors; both ways, and who goes is gone."""
    async with live_client(yjs_url(server, name)) as stock:
        stock.yjs.text += "Hello 😀"
        stock.yjs.point(json.dumps({"user": {"name": "Bo", "color": "#123456"}, "cursor": None}))
        async with connect(server.url, name, token=token("bot"), name="Bot", colour="#0b72ae") as bot:
            await until(lambda: bot.awareness.states)
            (seen,) = bot.awareness.states.items()
            assert seen == (stock.yjs.client_id, {"user": {"name": "Bo", "color": "#123456"}, "cursor": None})
            own = bot.awareness.client_id
            await stock.until(lambda: own in stock.yjs.states)
            assert json.loads(stock.yjs.states[own].state or "") == {"user": {"name": "Bot", "color": "#0b72ae"}}
            body = bot.text("body")
            bot.awareness.set(cursor=body.selection(6, len(body)), busy=True)
            await stock.until(lambda: "cursor" in (stock.yjs.states[own].state or ""))
            told = json.loads(stock.yjs.states[own].state or "")
            assert told["cursor"]["head"]["item"]["client"] == stock.yjs.client_id
            assert (told["user"]["name"], told["busy"]) == ("Bot", True)
            bot.awareness.set(busy=None)
            assert bot.awareness.own == {"user": told["user"], "cursor": told["cursor"]}
            with pytest.raises(TypeError):
                bot.awareness.set(cursor=object())
            stock.yjs.point(None)
            await until(lambda: not bot.awareness.states)
        await stock.until(lambda: stock.yjs.states[own].state is None)


@pytest.mark.rule("PY22")
async def test_who_is_there_after_a_reconnect(server: DemoServer, name: str) -> None:
    """Everybody sees everybody at once again, without waiting for the next sign of life."""
    with Between(server.port) as between:
        async with (
            connect(between.url, name, token=token("ana"), name="Ana") as ana,
            connect(server.url, name, token=token("bo"), name="Bo") as bo,
        ):
            await until(lambda: ana.awareness.states and bo.awareness.states)
            between.cut()
            await until(lambda: not ana.awareness.states)
            await until(lambda: ana.awareness.states and bo.awareness.states)
            ana.awareness.set(typing=True)
            await until(lambda: any("typing" in state for state in bo.awareness.states.values()))
            ana.awareness.clear()
            await until(lambda: not bo.awareness.states)
            assert ana.awareness.own is None
