"""One connection to a server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cowrite.brokers.link import Link, LinkLost, read_url
from relay import talking


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
