"""Redis that is killed, frozen or not there, and the database in its place: with a real server, and two processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from cowrite.core.clock import SystemClock
from cowrite.core.ports import Storage
from cowrite.presence.failover import FailoverPresence
from cowrite.presence.local import LocalPresence
from cowrite.presence.opening import open_presence
from cowrite.settings import Settings
from cowrite.stores import open_store
from presence.presence_processes import Process
from timing import MS
from valkey_server import ValkeyServer

SOON = 2_000 * MS
"""Seconds in which everybody has come to where presence is kept now."""
ENOUGH = 10_000 * MS


class Party:
    """Processes that live on one Valkey and one database."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.processes: list[Process] = []
        self._storages: list[Storage] = []

    async def process(self, name: str, valkey: ValkeyServer) -> Process:
        storage = await open_store(f"sqlite:///{self._path}")
        self._storages.append(storage)
        settings = Settings(redis_url=valkey.url)
        process = Process(name, open_presence(settings.redis_url, storage.presence, SystemClock()))
        self.processes.append(process)
        process.live()
        return process

    async def all_see(self, *, seconds: float) -> None:
        """For so long, every read of every process shows each person once, and nobody else."""
        expected = sorted(session for process in self.processes for session in process.people)
        until = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < until:
            for process in self.processes:
                assert await process.sees() == expected
            await asyncio.sleep(10 * MS)

    def degraded(self) -> bool:
        return all(process.presence.degraded for process in self.processes)

    def healthy(self) -> bool:
        return not any(process.presence.degraded for process in self.processes)

    async def close(self) -> None:
        for process in self.processes:
            await process.die()
        for storage in self._storages:
            await storage.close()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(ENOUGH):
        while not true():  # noqa: ASYNC110  (nobody tells)
            await asyncio.sleep(10 * MS)


@pytest.fixture
async def party(database: Path) -> AsyncIterator[Party]:
    party = Party(database)
    yield party
    await party.close()


@pytest.mark.rule("PS20", "PS22")
async def test_killed_and_started_again(party: Party, own_valkey: ValkeyServer) -> None:
    """Two seconds after each, and from then on, nobody is lost or doubled in any read. People come and go meanwhile."""
    one, two = [await party.process(name, own_valkey) for name in ("one", "two")]
    await one.come(*(f"a{number}" for number in range(20)))
    await two.come(*(f"b{number}" for number in range(20)))
    await party.all_see(seconds=100 * MS)
    own_valkey.kill()
    await asyncio.sleep(SOON)
    assert party.degraded()
    await party.all_see(seconds=300 * MS)
    await one.go("a0", "a1")
    await two.come("late")
    await party.all_see(seconds=100 * MS)
    own_valkey.start()
    await until(party.healthy)
    await party.all_see(seconds=300 * MS)
    await two.go("b0", "late")
    await party.all_see(seconds=300 * MS)


@pytest.mark.rule("PS20", "PS22")
async def test_frozen_and_thawed(party: Party, own_valkey: ValkeyServer) -> None:
    """It takes connections and says nothing; and when it goes on it has all that it had, also who has gone since."""
    one, two = [await party.process(name, own_valkey) for name in ("one", "two")]
    await one.come("a", "b")
    await two.come("c")
    own_valkey.freeze()
    try:
        await until(party.degraded)
        await asyncio.sleep(300 * MS)
        await one.go("b")
        await two.come("d")
        await party.all_see(seconds=300 * MS)
    finally:
        own_valkey.thaw()
    await until(party.healthy)
    await party.all_see(seconds=300 * MS)
    await one.go("a")
    await party.all_see(seconds=300 * MS)


@pytest.mark.rule("PS21")
async def test_calls_while_it_hangs(own_valkey: ValkeyServer, party: Party) -> None:
    """All are answered, after one change."""
    process = await party.process("one", own_valkey)
    await process.come("a")
    before = process.presence.generation
    own_valkey.freeze()
    try:
        async with asyncio.timeout(ENOUGH):
            await asyncio.gather(*(process.sees() for _ in range(100)))
        assert process.presence.generation == before + 1
        await asyncio.sleep(100 * MS)
        assert await process.sees() == ["a"]
    finally:
        own_valkey.thaw()


@pytest.mark.rule("PS29")
async def test_not_there_at_the_start(party: Party, own_valkey: ValkeyServer) -> None:
    """The database keeps presence, which is said once with the reason; when Redis comes, it is used."""
    own_valkey.kill()
    with capture_logs() as lines:
        process = await party.process("one", own_valkey)
        await process.come("a")
        await until(party.degraded)
        assert await process.sees() == ["a"]
        own_valkey.start()
        await until(party.healthy)
        await party.all_see(seconds=200 * MS)
    [warning] = [line for line in lines if line["log_level"] == "warning"]
    assert f"127.0.0.1:{own_valkey.port}" in warning["reason"]
    assert "COWRITE_REDIS_URL" in warning["reason"]
    assert [line["event"] for line in lines if line["log_level"] == "info"] == ["presence is kept in Redis again"]


@pytest.mark.rule("PS30")
async def test_where_presence_is_kept(database: Path) -> None:
    """As the settings and the storage say."""
    clock = SystemClock()
    storage = await open_store(f"sqlite:///{database}")
    assert open_presence(None, storage.presence, clock) is storage.presence
    assert isinstance(open_presence("redis://127.0.0.1", storage.presence, clock), FailoverPresence)
    assert isinstance(open_presence(None, (await open_store("memory://")).presence, clock), LocalPresence)
    await storage.close()
