"""The past of documents: the contract, on all kinds of databases."""

from __future__ import annotations

import pytest

from cowrite.stores import past
from cowrite.testing.history_contract import HistoryContract
from cowrite.testing.past_contract import PastContract, timed
from cowrite.testing.records import write
from cowrite.testing.store_contract import StoreBackend
from stores.store_backends import MariadbBackend, MemoryBackend, PostgresBackend, SqliteBackend


class LongActivity:
    @pytest.mark.rule("HS6")
    async def test_long_activity(self, backend: StoreBackend, monkeypatch: pytest.MonkeyPatch) -> None:
        """A page looks at so many entries at most; a group that is cut there goes on in the next page."""
        monkeypatch.setattr(past, "ACTIVITY_ENTRIES", 4)
        storage = await backend.open_storage()
        await write(storage.store, "doc", *timed(*range(11)))
        pages, before = [], None
        while page := await storage.history.activity("doc", before=before, pause=10, limit=9):
            pages.append([(group.first_offset, group.last_offset) for group in page])
            before = page[-1].first_offset
        assert pages == [[(8, 11)], [(4, 7)], [(1, 3)]]


class TestMemoryHistory(HistoryContract, PastContract, LongActivity):
    @pytest.fixture
    def backend(self, memory: MemoryBackend) -> StoreBackend:
        return memory


class TestSqliteHistory(HistoryContract, PastContract, LongActivity):
    @pytest.fixture
    def backend(self, sqlite: SqliteBackend) -> StoreBackend:
        return sqlite


class TestPostgresHistory(HistoryContract, PastContract, LongActivity):
    @pytest.fixture
    def backend(self, postgres: PostgresBackend) -> StoreBackend:
        return postgres


class TestMariadbHistory(HistoryContract, PastContract, LongActivity):
    @pytest.fixture
    def backend(self, mariadb: MariadbBackend) -> StoreBackend:
        return mariadb
