"""The backends of the contract suite, which other tests of presence use too."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from redis.asyncio import Redis, RedisCluster

from cowrite.core.ports import Presence, Storage
from cowrite.presence.failover import FailoverPresence
from cowrite.presence.local import LocalPresence, LocalPresenceHub
from cowrite.presence.redis import PROCESSES_KEY, RedisPresence
from cowrite.stores import open_store
from cowrite.stores.sqlalchemy.presence import SqlPresence
from cowrite.testing.presence_contract import PresenceBackend
from stores.store_backends import SqlBackend


class LocalBackend(PresenceBackend):
    def __init__(self) -> None:
        super().__init__()
        self.hub = LocalPresenceHub()

    async def connect(self) -> LocalPresence:
        return LocalPresence(self.clock, self.hub)

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    async def stored(self) -> int:
        return sum(map(len, self.hub.documents.values()))


class RedisBackend(PresenceBackend):
    """Looks into the server with a connection of its own. The server is empty."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.redis = Redis.from_url(url, driver_info=None, protocol=2)

    async def connect(self) -> RedisPresence:
        return RedisPresence(self.url, self.clock, patience=10)  # a busy machine is no outage

    async def pass_time(self, seconds: float) -> None:
        for process in await self.redis.zrange(PROCESSES_KEY, 0, -1):
            assert isinstance(process, bytes)
            await self.redis.zincrby(PROCESSES_KEY, -1000 * seconds, process)

    async def stored(self) -> int:
        return sum([await self.redis.hlen(key) async for key in self.redis.scan_iter("cowrite:presence:*")])

    async def close(self) -> None:
        await super().close()
        await self.redis.aclose()


class ClusterBackend(PresenceBackend):
    """The same of a cluster, with a client for clusters."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.redis = RedisCluster.from_url(url)

    async def connect(self) -> RedisPresence:
        return RedisPresence(self.url, self.clock, patience=10)

    async def pass_time(self, seconds: float) -> None:
        for process in await self.redis.zrange(PROCESSES_KEY, 0, -1):
            assert isinstance(process, bytes)
            await self.redis.zincrby(PROCESSES_KEY, -1000 * seconds, process)

    async def stored(self) -> int:
        return sum([await self.redis.hlen(key) async for key in self.redis.scan_iter("cowrite:presence:*")])

    async def close(self) -> None:
        await super().close()
        await self.redis.aclose()


class SqliteBackend(PresenceBackend):
    """Looks into the file with a connection of its own."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._storages: list[Storage] = []

    async def connect(self) -> SqlPresence:
        storage = await open_store(f"sqlite:///{self.path}", clock=self.clock)
        self._storages.append(storage)
        assert isinstance(storage.presence, SqlPresence)
        return storage.presence

    async def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        return await asyncio.to_thread(self._sql, statement, values)

    def _sql(self, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            return connection.execute(statement, values).fetchall()

    async def pass_time(self, seconds: float) -> None:
        await self.sql("UPDATE presence_processes SET seen_at = seen_at - ?", round(1000 * seconds))

    async def stored(self) -> int:
        [(count,)] = await self.sql("SELECT count(*) FROM collaboration_sessions")
        return int(count)

    async def close(self) -> None:
        await super().close()
        for storage in self._storages:
            await storage.close()


class ServerBackend(SqliteBackend):
    """A database on a server."""

    def __init__(self, store: SqlBackend, url: str) -> None:
        PresenceBackend.__init__(self)
        self._store = store
        self._url = url
        self._storages = []

    async def connect(self) -> SqlPresence:
        storage = await open_store(self._url, clock=self.clock)
        self._storages.append(storage)
        assert isinstance(storage.presence, SqlPresence)
        return storage.presence

    async def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        return await self._store.sql(statement, *values)

    async def close(self) -> None:
        await super().close()
        await self._store.close()


class FailoverBackend(PresenceBackend):
    """Redis before SQLite. Both look into one clock."""

    def __init__(self, url: str, path: Path) -> None:
        super().__init__()
        self.primary = RedisBackend(url)
        self.fallback = SqliteBackend(path)
        self.primary.clock = self.fallback.clock = self.clock

    async def connect(self) -> Presence:
        return FailoverPresence(await self.primary.connect(), await self.fallback.connect(), self.clock)

    async def pass_time(self, seconds: float) -> None:
        await self.primary.pass_time(seconds)
        await self.fallback.pass_time(seconds)

    async def stored(self) -> int:
        return await self.primary.stored() + await self.fallback.stored()

    async def close(self) -> None:
        await super().close()
        await self.primary.close()
        await self.fallback.close()
