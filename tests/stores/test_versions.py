"""Versions: the contract, on all kinds of databases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from cowrite.core.records import Version, VersionKind
from cowrite.stores import past
from cowrite.stores.sqlalchemy import versions
from cowrite.testing.records import fill
from cowrite.testing.store_contract import StoreBackend
from cowrite.testing.versions_contract import NOW, VersionsContract, automatic
from stores.store_backends import MariadbBackend, MemoryBackend, PostgresBackend, SqliteBackend


class TestMemoryVersions(VersionsContract):
    @pytest.fixture
    def backend(self, memory: MemoryBackend) -> StoreBackend:
        return memory


class TestSqliteVersions(VersionsContract):
    @pytest.fixture
    def backend(self, sqlite: SqliteBackend) -> StoreBackend:
        return sqlite

    @pytest.mark.rule("HS11")
    async def test_named_while_it_is_looked_which_are_too_many(
        self, backend: StoreBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As in a database that locks rows, where others write between two statements: the name is not lost."""
        storage = await backend.open_storage()
        await fill(storage.store, "doc", number=3)
        old, named = automatic(1, 0), automatic(2, 1)
        await self.keep(storage, [old, replace(named, kind=VersionKind.NAMED, name="mine")])

        def as_read_before(found: Iterable[Version], **how: Any) -> Sequence[Version]:
            assert named.id not in {version.id for version in found}
            return past.too_many([*found, named], **how)

        monkeypatch.setattr(versions, "too_many", as_read_before)
        assert await storage.versions.thin("doc", now=NOW, keep=(), older=1) == 1
        assert [version.name for version in await self.left(storage)] == ["mine"]


class TestPostgresVersions(VersionsContract):
    @pytest.fixture
    def backend(self, postgres: PostgresBackend) -> StoreBackend:
        return postgres


class TestMariadbVersions(VersionsContract):
    @pytest.fixture
    def backend(self, mariadb: MariadbBackend) -> StoreBackend:
        return mariadb
