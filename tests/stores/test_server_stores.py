"""PostgreSQL and MariaDB: the contract of the store."""

from __future__ import annotations

import pytest

from cowrite.testing.store_contract import StoreBackend, StoreContract
from stores.store_backends import MariadbBackend, PostgresBackend


class TestPostgresStore(StoreContract):
    @pytest.fixture
    def backend(self, postgres: PostgresBackend) -> StoreBackend:
        return postgres


class TestMariadbStore(StoreContract):
    @pytest.fixture
    def backend(self, mariadb: MariadbBackend) -> StoreBackend:
        return mariadb
