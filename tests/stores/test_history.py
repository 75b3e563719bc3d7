"""The past of documents: the contract, in memory and in SQLite."""

from __future__ import annotations

import pytest

from cowrite.testing.history_contract import HistoryContract
from cowrite.testing.store_contract import StoreBackend
from stores.store_backends import MemoryBackend, SqliteBackend


class TestMemoryHistory(HistoryContract):
    @pytest.fixture
    def backend(self, memory: MemoryBackend) -> StoreBackend:
        return memory


class TestSqliteHistory(HistoryContract):
    @pytest.fixture
    def backend(self, sqlite: SqliteBackend) -> StoreBackend:
        return sqlite
