"""Backends of the contract suite, which other tests of stores use too."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import text

from cowrite.core.ports import Storage
from cowrite.core.records import Quarantined
from cowrite.stores import open_store
from cowrite.stores.memory import MemoryDatabase, memory_storage
from cowrite.stores.sqlalchemy.sqlite import SqliteDatabase
from cowrite.stores.sqlalchemy.store import SqlStore
from cowrite.testing.store_contract import StoreBackend
from mariadb_server import run_sql

OF_DOCUMENT = "document_number = (SELECT number FROM documents WHERE document_id = ?)"
PROGRAM = str(Path(__file__).with_name("store_program.py"))


class MemoryBackend(StoreBackend):
    def __init__(self) -> None:
        super().__init__()
        self.database = MemoryDatabase()

    async def connect(self, *, patient: bool) -> Storage:
        return memory_storage(self.database)

    async def clients(self, document_id: str) -> Mapping[int, str]:
        return self.database.clients(document_id)

    async def quarantined(self) -> Sequence[Quarantined]:
        return self.database.quarantined()

    async def checkpoints(self, document_id: str) -> Mapping[int, int]:
        return self.database.checkpoints(document_id)

    async def forget_history(self, document_id: str, first_offset: int) -> None:
        self.database.forget_history(document_id, first_offset)

    async def kept_updates(self) -> Mapping[str, bytes | None]:
        return {id_: row.record.update for id_, row in self.database.tables.submitted.items()}

    async def lose_entry(self, document_id: str, offset: int) -> None:
        self.database.lose_entry(document_id, offset)

    async def damage_update(self, document_id: str, offset: int) -> None:
        self.database.damage_update(document_id, offset)

    async def damage_checkpoint(self, document_id: str, offset: int) -> None:
        self.database.damage_checkpoint(document_id, offset)


class SqlBackend(StoreBackend):
    """Looks into the database with a connection of its own, as a person with the database's own program would."""

    async def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement with ``?`` where values stand."""
        raise NotImplementedError

    async def clients(self, document_id: str) -> Mapping[int, str]:
        return dict(await self.sql("SELECT client_id, author_id FROM clients WHERE document_id = ?", document_id))

    async def quarantined(self) -> Sequence[Quarantined]:
        columns = "id, document_id, author_id, created_at, reason, update_bytes"
        rows = await self.sql(f"SELECT {columns} FROM quarantined_updates ORDER BY id")
        return tuple(Quarantined(*row) for row in rows)

    async def checkpoints(self, document_id: str) -> Mapping[int, int]:
        statement = "SELECT entry_offset, length(state) FROM checkpoints WHERE document_id = ? ORDER BY 1"
        return dict(await self.sql(statement, document_id))

    async def forget_history(self, document_id: str, first_offset: int) -> None:
        await self.sql(f"DELETE FROM updates WHERE {OF_DOCUMENT} AND entry_offset < ?", document_id, first_offset)
        for table in ("content_operations", "submitted"):
            await self.sql(f"DELETE FROM {table} WHERE document_id = ? AND entry_offset < ?", document_id, first_offset)
        await self.sql("UPDATE documents SET first_offset = ? WHERE document_id = ?", first_offset, document_id)

    async def kept_updates(self) -> Mapping[str, bytes | None]:
        return dict(await self.sql("SELECT id, update_bytes FROM submitted"))

    async def lose_entry(self, document_id: str, offset: int) -> None:
        await self.sql(f"DELETE FROM updates WHERE {OF_DOCUMENT} AND entry_offset = ?", document_id, offset)

    async def damage_update(self, document_id: str, offset: int) -> None:
        await self._damage("updates", "update_bytes", OF_DOCUMENT, document_id, offset)

    async def damage_checkpoint(self, document_id: str, offset: int) -> None:
        await self._damage("checkpoints", "state", "document_id = ?", document_id, offset)

    async def _damage(self, table: str, column: str, of_document: str, document_id: str, offset: int) -> None:
        place = f"WHERE {of_document} AND entry_offset = ?"
        ((found,),) = await self.sql(f"SELECT {column} FROM {table} {place}", document_id, offset)
        damaged = found[:-1] + bytes([found[-1] ^ 1])
        await self.sql(f"UPDATE {table} SET {column} = ? {place}", damaged, document_id, offset)


class SqliteBackend(SqlBackend):
    locks_documents = False

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    async def connect(self, *, patient: bool) -> Storage:
        return await open_store(f"sqlite:///{self.path}", patience=30 if patient else 0.3)

    async def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        return await asyncio.to_thread(self._sql, statement, values)

    def _sql(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            return connection.execute(statement, values).fetchall()


class PostgresBackend(SqlBackend):
    """A database that is there already, and empty."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self._connection: asyncpg.Connection | None = None

    async def connect(self, *, patient: bool) -> Storage:
        return await open_store(self.url)

    async def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        if self._connection is None:
            self._connection = await asyncpg.connect(self.url)
        numbers = count(1)
        statement = re.sub(r"\?", lambda _: f"${next(numbers)}", statement)
        return [tuple(row) for row in await self._connection.fetch(statement, *values)]

    async def close(self) -> None:
        await super().close()
        if self._connection is not None:
            await self._connection.close()


class MariadbBackend(SqlBackend):
    """A database that is there already, and empty."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    async def connect(self, *, patient: bool) -> Storage:
        return await open_store(self.url)

    async def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        return await run_sql(self.url, statement.replace("?", "%s"), *values)


def database(store: SqlStore) -> SqliteDatabase:
    """The database under it."""
    assert isinstance(store._database, SqliteDatabase)
    return store._database


async def pragma(store: SqlStore, statement: str) -> Any:
    """Run it on the writing connection."""
    transaction, found = await database(store).begin(
        lambda connection: connection.execute(text(f"PRAGMA {statement}")).scalar()
    )
    await transaction.rollback()
    return found


async def program(*arguments: object) -> asyncio.subprocess.Process:
    """Start ``store_program.py``."""
    return await asyncio.create_subprocess_exec(
        sys.executable, PROGRAM, *map(str, arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
