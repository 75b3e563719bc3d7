"""One connection to a server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cowrite.brokers.link import Link, LinkLost, read_url
from relay import relay, talking
from timing import MS
from valkey_server import ValkeyServer


@asynccontextmanager
async def linked(url: str) -> AsyncIterator[Link]:
    """To a server that pushes nothing."""

    def told(link: Link, push: list[Any]) -> None:
        raise AssertionError

    link = Link(await asyncio.to_thread(read_url, url), told, lambda link, reason: None)
    await link.open()
    yield link
    link.close("the test is over")


@pytest.fixture
def quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cowrite.brokers.link._BEAT_SECONDS", 10 * MS)
    monkeypatch.setattr("cowrite.brokers.link._LAST_CHANCE", 10.0)


@pytest.mark.rule("BR22")
@pytest.mark.usefixtures("quick_beats")
async def test_an_event_loop_that_is_held_up_is_no_server_that_is_gone(shared_valkey: ValkeyServer) -> None:
    """Each of its turns takes longer than a beat, and an answer comes by way of several."""
    async with relay(shared_valkey.port) as between, linked(between.url) as link:
        for _ in range(20):
            time.sleep(25 * MS)  # noqa: ASYNC251
            await asyncio.sleep(0)
        assert link.lost is None


@pytest.mark.rule("BR22", "BR28")
@pytest.mark.usefixtures("quick_beats")
async def test_a_link_that_is_not_read_is_not_given_up(shared_valkey: ValkeyServer) -> None:
    async with linked(shared_valkey.url) as link:
        link.pause()
        await asyncio.sleep(300 * MS)
        assert link.lost is None
        link.resume()
        assert await link.call("ECHO", "here") == b"here"


@pytest.mark.rule("BR22")
async def test_a_connection_that_is_given_up_while_it_is_made_is_closed() -> None:
    """As when another server of its cluster is lost in the same moment."""
    ended: list[str] = []
    talked = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the other end has gone
        talked.set()

    def told(link: Link, push: list[Any]) -> None:
        raise AssertionError

    async with talking(listen) as url:
        link = Link(await asyncio.to_thread(read_url, url), told, lambda link, reason: ended.append(reason))
        opening = asyncio.ensure_future(link.open())
        await asyncio.sleep(0)
        link.close("the other one was lost")
        with pytest.raises(LinkLost, match="the other one was lost"):
            await opening
        async with asyncio.timeout(10):
            await talked.wait()
    assert ended == ["the other one was lost"]
