"""How far webhooks have told: the contract, on all kinds of databases that keep it."""

from __future__ import annotations

import pytest

from cowrite.testing.store_contract import StoreBackend
from cowrite.testing.webhooks_contract import WebhooksContract
from stores.store_backends import MariadbBackend, MemoryBackend, PostgresBackend, SqliteBackend


class TestMemoryWebhooks(WebhooksContract):
    @pytest.fixture
    def backend(self, memory: MemoryBackend) -> StoreBackend:
        return memory


class TestSqliteWebhooks(WebhooksContract):
    @pytest.fixture
    def backend(self, sqlite: SqliteBackend) -> StoreBackend:
        return sqlite


class TestPostgresWebhooks(WebhooksContract):
    @pytest.fixture
    def backend(self, postgres: PostgresBackend) -> StoreBackend:
        return postgres


class TestMariadbWebhooks(WebhooksContract):
    @pytest.fixture
    def backend(self, mariadb: MariadbBackend) -> StoreBackend:
        return mariadb
