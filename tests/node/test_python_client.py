"""The Python client beside JavaScript's: `@cowrite/client` and the stock y-websocket provider, in Node."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from cowrite.client import connect
from demo_server import DemoServer
from node_clients import Clients, client_program
from python_clients import until

pytestmark = pytest.mark.timeout(120)  # the first run installs the packages


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    with closing(Clients(client_program(), tmp_path_factory.mktemp("node") / "complaints")) as one:
        yield one


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoServer]:
    with DemoServer(tmp_path_factory.mktemp("server")) as one:
        yield one


@pytest.mark.rule("PY1", "PY10", "PY22")
@pytest.mark.parametrize("kind", ["cowrite", "stock"])
async def test_beside_javascript(demo: DemoServer, clients: Clients, kind: str) -> None:
    """Characters that JavaScript counts as two are one here; names and carets are seen on both sides."""

    async def ask(call: str, **more: Any) -> Any:
        return await asyncio.to_thread(clients, call, "ana", **more)

    with clients.lent():
        await ask("open", kind=kind, url=demo.url, room=kind)
        await ask("synced")
        await ask("insert", index=0, text="👩\u200d👧 漢字 e\u0301 end")
        async with connect(demo.url, kind, name="Bot", colour="#0b72ae") as bot:
            text = bot.text("text")
            await until(lambda: str(text) == "👩\u200d👧 漢字 e\u0301 end")
            assert (len(text), text[4:6]) == (13, "漢字")
            place = text.anchor(str(text).index("end"))
            await ask("insert", index=5, text="😀😀")  # behind the family, in UTF-16 units
            await until(lambda: len(text) == 15)
            text.insert(place, "the ")
            text.replace(0, 3, "😀")
            await bot.saved()
            written = "😀😀😀 漢字 e\u0301 the end"
            await ask("sees_text", text=written)
            assert str(text) == written
            bot.awareness.set(cursor=text.selection(4, place))
            await ask("sees_selection", **{"from": 7, "to": 17})
            await ask("sees_users", users=[{"name": "Bot", "color": "#0b72ae"}])
            await ask("present", user={"name": "Ana", "color": "#123456"})
            await until(
                lambda: [state.get("user") for state in bot.awareness.states.values()] == [{"name": "Ana", "color": "#123456"}]
            )
        await ask("sees_users", users=[])
        await ask("destroy")
        assert clients("unhandled") == []
