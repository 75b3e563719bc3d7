"""Which documents there are: the contract, on all kinds of databases."""

from __future__ import annotations

import pytest

from cowrite.testing.directory_contract import DirectoryContract
from cowrite.testing.store_contract import StoreBackend
from stores.store_backends import MariadbBackend, MemoryBackend, PostgresBackend, SqliteBackend


class TestMemoryDirectory(DirectoryContract):
    @pytest.fixture
    def backend(self, memory: MemoryBackend) -> StoreBackend:
        return memory


class TestSqliteDirectory(DirectoryContract):
    @pytest.fixture
    def backend(self, sqlite: SqliteBackend) -> StoreBackend:
        return sqlite


class TestPostgresDirectory(DirectoryContract):
    @pytest.fixture
    def backend(self, postgres: PostgresBackend) -> StoreBackend:
        return postgres


class TestMariadbDirectory(DirectoryContract):
    @pytest.fixture
    def backend(self, mariadb: MariadbBackend) -> StoreBackend:
        return mariadb
