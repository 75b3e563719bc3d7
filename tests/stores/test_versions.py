"""Versions: the contract, in memory and in SQLite."""

from __future__ import annotations

import pytest

from cowrite.testing.store_contract import StoreBackend
from cowrite.testing.versions_contract import VersionsContract
from stores.store_backends import MemoryBackend, SqliteBackend


class TestMemoryVersions(VersionsContract):
    @pytest.fixture
    def backend(self, memory: MemoryBackend) -> StoreBackend:
        return memory


class TestSqliteVersions(VersionsContract):
    @pytest.fixture
    def backend(self, sqlite: SqliteBackend) -> StoreBackend:
        return sqlite
