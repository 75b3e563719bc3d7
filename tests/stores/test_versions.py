"""Versions: the contract, on all kinds of databases."""

from __future__ import annotations

import pytest

from cowrite.testing.store_contract import StoreBackend
from cowrite.testing.versions_contract import VersionsContract
from stores.store_backends import MariadbBackend, MemoryBackend, PostgresBackend, SqliteBackend


class TestMemoryVersions(VersionsContract):
    @pytest.fixture
    def backend(self, memory: MemoryBackend) -> StoreBackend:
        return memory


class TestSqliteVersions(VersionsContract):
    @pytest.fixture
    def backend(self, sqlite: SqliteBackend) -> StoreBackend:
        return sqlite


class TestPostgresVersions(VersionsContract):
    @pytest.fixture
    def backend(self, postgres: PostgresBackend) -> StoreBackend:
        return postgres


class TestMariadbVersions(VersionsContract):
    @pytest.fixture
    def backend(self, mariadb: MariadbBackend) -> StoreBackend:
        return mariadb
