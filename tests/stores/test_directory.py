"""Which documents there are: the contract, in memory and in SQLite."""

from __future__ import annotations

import pytest

from cowrite.testing.directory_contract import DirectoryContract
from cowrite.testing.store_contract import StoreBackend
from stores.store_backends import MemoryBackend, SqliteBackend


class TestMemoryDirectory(DirectoryContract):
    @pytest.fixture
    def backend(self, memory: MemoryBackend) -> StoreBackend:
        return memory


class TestSqliteDirectory(DirectoryContract):
    @pytest.fixture
    def backend(self, sqlite: SqliteBackend) -> StoreBackend:
        return sqlite
