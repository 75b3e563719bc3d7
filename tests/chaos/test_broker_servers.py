"""Two servers with one Redis and one database: edits and cursors go by Redis, and edits by the database while it is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from cowrite.testing.client import LiveClient, live_client
from demo_server import DemoServer
from timing import MS
from valkey_server import ValkeyServer

pytestmark = pytest.mark.chaos
SOON = 20_000 * MS
ROUNDS = 25
"""By the database each takes two looks at the heads, which come every 2 s while Redis works: together more than ``SOON``."""


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    server = ValkeyServer(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def servers(tmp_path: Path, valkey: ValkeyServer) -> Iterator[Sequence[DemoServer]]:
    with DemoServer(tmp_path, COWRITE_REDIS_URL=valkey.url) as one, DemoServer(tmp_path, COWRITE_REDIS_URL=valkey.url) as two:
        yield one, two
        assert [*one.errors(), *two.errors()] == []


def member(server: DemoServer):  # type: ignore[no-untyped-def]
    return live_client(f"ws://127.0.0.1:{server.port}/yjs/doc")


async def until_health(servers: Sequence[DemoServer], broker: str) -> None:
    async with asyncio.timeout(SOON):
        while {(await asyncio.to_thread(server.health))["broker"] for server in servers} != {broker}:  # noqa: ASYNC110
            await asyncio.sleep(50 * MS)
    assert (await asyncio.to_thread(servers[0].health))["status"] == broker


async def take_turns(clients: Sequence[LiveClient], rounds: int) -> None:
    """Each types when it has seen what the other has typed."""
    for number in range(2 * rounds):
        writer, reader = clients[number % 2], clients[1 - number % 2]
        length = len(str(writer.yjs.text)) + 1
        writer.yjs.text += "x"
        await reader.until(lambda reader=reader, length=length: len(str(reader.yjs.text)) == length)  # type: ignore[misc]


async def sees(reader: LiveClient, writer: LiveClient, state: str) -> None:
    def seen() -> bool:
        known = reader.yjs.states.get(writer.yjs.client_id)
        return known is not None and known.state == state

    await reader.until(seen)


@pytest.mark.rule("BR26", "BR27", "BR25", "RE8")
async def test_edits_and_cursors_cross_by_the_broker_and_edits_without_it(
    servers: Sequence[DemoServer], valkey: ValkeyServer
) -> None:
    one, two = servers
    await until_health(servers, "ok")
    async with member(one) as ana, member(two) as ben:
        async with asyncio.timeout(SOON):
            await take_turns((ana, ben), ROUNDS)
            ana.yjs.point('{"at":1}')
            await sees(ben, ana, '{"at":1}')
        await asyncio.to_thread(valkey.kill)
        await until_health(servers, "degraded")
        async with asyncio.timeout(SOON):
            ana.yjs.point('{"at":2}')
            await take_turns((ana, ben), 3)
        assert ben.yjs.states[ana.yjs.client_id].state == '{"at":1}'
        await asyncio.to_thread(valkey.start)
        await until_health(servers, "ok")
        async with asyncio.timeout(SOON):
            await sees(ben, ana, '{"at":2}')
            await take_turns((ana, ben), ROUNDS)
        await ana.until(lambda: ana.yjs.saved)
        await ben.until(lambda: ben.yjs.saved)
        assert str(ana.yjs.text) == str(ben.yjs.text) == "x" * 2 * (2 * ROUNDS + 3)
