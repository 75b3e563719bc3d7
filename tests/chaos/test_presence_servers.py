"""Two servers with one Redis and one database: who is in a document, while Redis and one of the servers are killed."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import httpx
import pytest

from cowrite.testing.client import live_client
from demo_server import DemoServer
from timing import MS
from valkey_server import ValkeyServer

pytestmark = pytest.mark.chaos
SOON = 10_000 * MS
"""Seconds for what takes two on an idle machine."""
LATER = 30.0
"""How long those of a process that was killed may still be shown."""


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


class Watch:
    """Asks both servers again and again who is in the document, and never misses anybody who must be there."""

    def __init__(self, servers: Sequence[DemoServer]) -> None:
        self.servers = list(servers)
        self.least = 0
        """So many must be shown, by every server."""
        self.missed: list[tuple[int, int]] = []

    async def run(self) -> None:
        async with httpx.AsyncClient() as client:
            while True:
                for server in list(self.servers):
                    seen = await self._people(client, server)
                    if seen < self.least:
                        self.missed.append((seen, self.least))
                await asyncio.sleep(50 * MS)

    async def until(self, people: int, within: float) -> None:
        """Both show so many."""
        async with httpx.AsyncClient() as client:
            try:
                async with asyncio.timeout(within):
                    while {await self._people(client, server) for server in self.servers} != {people}:  # noqa: ASYNC110
                        await asyncio.sleep(50 * MS)
            except TimeoutError:
                shown = [await self._people(client, server) for server in self.servers]
                raise AssertionError(f"{shown} are shown after {within} s, and not {people}") from None
        self.least = people

    async def _people(self, client: httpx.AsyncClient, server: DemoServer) -> int:
        answer = await client.get(f"{server.url}api/v2/documents/doc/presence")
        return len(answer.json()["presence"]) if answer.status_code == 200 else -1


@asynccontextmanager
async def watching(servers: Sequence[DemoServer]) -> AsyncIterator[Watch]:
    watch = Watch(servers)
    task = asyncio.create_task(watch.run())
    yield watch
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def member(server: DemoServer):  # type: ignore[no-untyped-def]
    return live_client(f"ws://127.0.0.1:{server.port}/yjs/doc")


async def until_health(server: DemoServer, presence: str) -> None:
    async with asyncio.timeout(SOON):
        while (await asyncio.to_thread(server.health))["presence"] != presence:  # noqa: ASYNC110
            await asyncio.sleep(50 * MS)


def in_the_database(server: DemoServer) -> int:
    with closing(sqlite3.connect(server.database, timeout=5)) as connection:
        return int(connection.execute("SELECT count(*) FROM collaboration_sessions").fetchone()[0])


@pytest.mark.rule("PE10", "PE11", "PE14", "PE17")
async def test_people_on_two_servers_while_redis_and_a_server_are_killed(
    servers: Sequence[DemoServer], valkey: ValkeyServer
) -> None:
    """Nobody is missed or shown twice while the database takes over and gives back."""
    one, two = servers
    async with member(one) as ana, member(two), watching(servers) as watch:
        ana.yjs.text += "x"
        await ana.until(lambda: ana.yjs.saved)
        await watch.until(2, SOON)
        assert in_the_database(one) == 0
        valkey.kill()
        for server in servers:
            await until_health(server, "degraded")
        async with member(one):
            await watch.until(3, SOON)
            assert in_the_database(one) == 3
            valkey.start()
            for server in servers:
                await until_health(server, "ok")
            async with member(two):
                await watch.until(4, SOON)
                async with asyncio.timeout(SOON):
                    while in_the_database(one):  # noqa: ASYNC110
                        await asyncio.sleep(50 * MS)
                assert watch.missed == []
                watch.least, watch.servers = 0, [one]
                began = time.monotonic()
                two.kill()
                await watch.until(2, LATER)
                assert time.monotonic() - began > 1
            watch.least = 0
            await watch.until(2, SOON)
