"""The store in a SQLite file: the contract, and what belongs to SQLite alone."""

from __future__ import annotations

import pytest

from cowrite.testing.store_contract import StoreBackend, StoreContract


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def backend(self, sqlite: StoreBackend) -> StoreBackend:
        return sqlite
