"""Sessions, used tokens and changes of access: the contract, on all kinds of databases."""

from __future__ import annotations

import asyncio

import pytest

from cowrite.testing.access_contract import AccessContract
from cowrite.testing.store_contract import StoreBackend
from stores.store_backends import MariadbBackend, MemoryBackend, PostgresBackend, SqliteBackend, program


class TestMemoryAccess(AccessContract):
    @pytest.fixture
    def backend(self, memory: MemoryBackend) -> StoreBackend:
        return memory


class TestSqliteAccess(AccessContract):
    @pytest.fixture
    def backend(self, sqlite: SqliteBackend) -> StoreBackend:
        return sqlite


class TestPostgresAccess(AccessContract):
    @pytest.fixture
    def backend(self, postgres: PostgresBackend) -> StoreBackend:
        return postgres


class TestMariadbAccess(AccessContract):
    @pytest.fixture
    def backend(self, mariadb: MariadbBackend) -> StoreBackend:
        return mariadb


@pytest.mark.rule("ST44")
async def test_several_processes(sqlite: SqliteBackend) -> None:
    """Processes that add changes to one file get consecutive revisions; who reads meanwhile never sees a gap."""
    access = (await sqlite.open_storage()).access
    processes = [await program("changes", f"sqlite:///{sqlite.path}", 25, f"process {number}") for number in range(3)]
    ends = asyncio.gather(*(process.communicate() for process in processes))
    looks = seen = 0
    while not ends.done():
        revisions = [change.revision for change in await access.changes(after=0)]
        assert revisions == list(range(1, len(revisions) + 1))
        looks, seen = looks + (len(revisions) > seen), len(revisions)
        await asyncio.sleep(0.001)
    assert looks > 3
    assert [errors for _, errors in await ends] == [b""] * 3
    own = [[int(line) for line in output.split()] for output, _ in await ends]
    assert all(revisions == sorted(revisions) for revisions in own)
    assert sorted(revision for revisions in own for revision in revisions) == list(range(1, 76))
    changes = await access.changes(after=0)
    assert [changes[revision - 1].changed_by for revision in own[1]] == ["process 1"] * 25
