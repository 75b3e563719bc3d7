"""Two applications on one database, real sockets: whoever forges another's Yjs client id robs nobody of their words."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from cowrite.brokers.local import LocalBroker, LocalHub
from cowrite.protocol import yjs
from cowrite.protocol.hocuspocus import SyncStatus
from cowrite.protocol.messages import PermissionDenied, Update
from cowrite.stores import open_store
from cowrite.testing.client import live_client
from cowrite.testing.transport_contract import ServerOptions
from cowrite.testing.transport_contract.provider import Provider
from cowrite.testing.transport_contract.server import expect, join, text_of
from cowrite.testing.yjs_client import YjsClient
from cowrite.testing.yjs_writer import block, text, write_update
from live_server import LiveServer, live_server
from timing import MS

VICTIM = 7


@asynccontextmanager
async def two_servers(folder: Path) -> AsyncIterator[tuple[LiveServer, LiveServer]]:
    hub, url = LocalHub(), f"sqlite:///{folder / 'documents.db'}"
    first, second = [ServerOptions(storage=await open_store(url)) for _ in range(2)]
    async with (
        live_server(first, picows=True, broker=LocalBroker(hub)) as one,
        live_server(second, picows=True, broker=LocalBroker(hub)) as two,
    ):
        yield one, two


async def figure(server: LiveServer) -> int:
    async with httpx.AsyncClient() as client:
        metrics = (await client.get(f"{server.url.replace('ws', 'http', 1)}/metrics")).text
    (found,) = re.findall(r'^cowrite_refused_total\{limit="foreign_client",worker="1"\} (\d+)', metrics, re.MULTILINE)
    return int(found)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(20 * MS)


async def is_present(server: LiveServer, user: str) -> bool:
    assert server.runtime._parts is not None
    room = server.runtime._parts.registry.get("doc")
    return room is not None and room.presence.crowd.has_user(user)


async def shows(server: LiveServer, words: str) -> bool:
    return await text_of(f"{server.url}/yjs/doc?token=bo") == words


def forged(word: str, clock: int) -> bytes:
    return write_update([block(VICTIM, clock, text(word, origin=(VICTIM, clock - 1)))])


@pytest.mark.rule("BI4", "BI5", "BI6", "BI8")
async def test_a_forged_client_id_robs_nobody(tmp_path: Path) -> None:
    async with two_servers(tmp_path) as (one, two):
        ana = YjsClient(VICTIM)
        async with live_client(f"{one.url}/yjs/doc?token=ana", ana) as running:
            ana.text.insert(0, "hi")
            await running.until(lambda: str(ana.text) == "hi")
            stock, provider = await join(f"{two.url}/yjs/doc?token=eve"), await Provider.enter(two.url, token="mallory")
            await until(partial(is_present, two, "ana"))
            await until(partial(shows, two, "hi"))
            stock.send(yjs.encode(Update(forged("EVIL", 2))))
            await expect(stock, PermissionDenied)
            provider.say(Update(forged("EVIL", 2)))
            assert await provider.hear(SyncStatus) == SyncStatus(stored=False)
            assert await figure(two) == 2
            ana.text.insert(2, " there")
            for server in (one, two):
                await until(partial(shows, server, "hi there"))
            for socket in (stock, provider.socket):
                await socket.close()
