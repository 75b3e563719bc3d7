"""What the tests of presence run on."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis import Redis

from cowrite.stores import open_store
from presence.presence_backends import ClusterBackend, FailoverBackend, LocalBackend, RedisBackend, ServerBackend, SqliteBackend
from stores.store_backends import MariadbBackend, PostgresBackend
from valkey_server import ValkeyCluster, ValkeyServer


@pytest.fixture
def valkey(shared_valkey: ValkeyServer) -> ValkeyServer:
    """A server that is empty, and stays as it is."""
    with Redis.from_url(shared_valkey.url) as redis:
        redis.flushall()
    return shared_valkey


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A server to kill and to freeze."""
    server = ValkeyServer(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("presence") / "empty.db"

    async def migrate() -> None:
        await (await open_store(f"sqlite:///{path}")).close()

    asyncio.run(migrate())
    return path


@pytest.fixture
def database(tmp_path: Path, empty_database: Path) -> Path:
    path = tmp_path / "cowrite.db"
    shutil.copy(empty_database, path)
    return path


@pytest.fixture
async def local() -> AsyncIterator[LocalBackend]:
    backend = LocalBackend()
    yield backend
    await backend.close()


@pytest.fixture
async def redis(valkey: ValkeyServer) -> AsyncIterator[RedisBackend]:
    backend = RedisBackend(valkey.url)
    yield backend
    await backend.close()


@pytest.fixture
async def redis_cluster(shared_cluster: ValkeyCluster) -> AsyncIterator[ClusterBackend]:
    for server in shared_cluster.servers:
        server.call("FLUSHALL")
    backend = ClusterBackend(shared_cluster.url)
    yield backend
    await backend.close()


@pytest.fixture
async def sqlite(database: Path) -> AsyncIterator[SqliteBackend]:
    backend = SqliteBackend(database)
    yield backend
    await backend.close()


@pytest.fixture
async def failover(valkey: ValkeyServer, database: Path) -> AsyncIterator[FailoverBackend]:
    backend = FailoverBackend(valkey.url, database)
    yield backend
    await backend.close()


@pytest.fixture
async def postgres(postgres_url: str) -> AsyncIterator[ServerBackend]:
    backend = ServerBackend(PostgresBackend(postgres_url), postgres_url)
    yield backend
    await backend.close()


@pytest.fixture
async def mariadb(mariadb_url: str) -> AsyncIterator[ServerBackend]:
    backend = ServerBackend(MariadbBackend(mariadb_url), mariadb_url)
    yield backend
    await backend.close()
