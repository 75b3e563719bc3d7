"""The databases that the store tests run on."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cowrite.stores import open_store
from cowrite.stores.sqlalchemy.store import SqlStore
from stores.store_backends import MariadbBackend, MemoryBackend, PostgresBackend, SqliteBackend


@pytest.fixture
async def memory() -> AsyncIterator[MemoryBackend]:
    backend = MemoryBackend()
    yield backend
    await backend.close()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file to copy: migrating takes longer than most tests."""
    path = tmp_path_factory.mktemp("stores") / "empty.db"

    async def migrate() -> None:
        await (await open_store(f"sqlite:///{path}")).close()

    asyncio.run(migrate())
    return path


@pytest.fixture
async def sqlite(tmp_path: Path, empty_database: Path) -> AsyncIterator[SqliteBackend]:
    backend = SqliteBackend(tmp_path / "cowrite.db")
    shutil.copy(empty_database, backend.path)
    yield backend
    await backend.close()


@pytest.fixture
async def store(sqlite: SqliteBackend) -> SqlStore:
    store = await sqlite.open()
    assert isinstance(store, SqlStore)
    return store


@pytest.fixture
async def postgres(postgres_url: str) -> AsyncIterator[PostgresBackend]:
    backend = PostgresBackend(postgres_url)
    yield backend
    await backend.close()


@pytest.fixture
async def mariadb(mariadb_url: str) -> AsyncIterator[MariadbBackend]:
    backend = MariadbBackend(mariadb_url)
    yield backend
    await backend.close()
