"""The tables on database servers: made, changed with all that they hold, by several at once, and after a cut."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, event, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from cowrite.core.ports import StoreUnavailable
from cowrite.core.records import Checkpoint
from cowrite.stores import StoreSetupError, open_store
from cowrite.stores.opening import migrate
from cowrite.stores.server_opening import _kind
from cowrite.stores.sqlalchemy.schema import NEWEST, run_migrations
from cowrite.stores.sqlalchemy.server_urls import server_place
from cowrite.stores.sqlalchemy.servers import ServerDatabase
from cowrite.stores.sqlalchemy.tables import VERSION_TABLE, metadata
from cowrite.testing.records import make_change, make_entry, make_quarantined, make_submitted, write
from mariadb_server import MariadbServer, is_mysql
from postgres_server import PostgresServer
from stores.test_store_schema import downgrade, sql

Server: TypeAlias = PostgresServer | MariadbServer
Rows: TypeAlias = Mapping[str, list[dict[str, Any]]]
KINDS = ("postgres", "mariadb")


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(f"{request.param}_server")
    return found


async def new_database(server: Server, name: str) -> str:
    await server.sql(f"DROP DATABASE IF EXISTS {name}{' WITH (FORCE)' if isinstance(server, PostgresServer) else ''}")
    await server.sql(f"CREATE DATABASE {name}")
    return server.url(name)


def opened(url: str) -> ServerDatabase:
    """Without a look at its tables."""
    parsed = make_url(url)
    scheme = "postgresql" if url.startswith("postgres") else "mysql"
    return ServerDatabase(_kind(scheme), server_place(parsed, scheme), "10.11-MariaDB", pool_size=2)


async def at_version(url: str, version: str, rows: Rows) -> None:
    """Make the tables of an older version, with rows in them."""

    def make(connection: Connection) -> None:
        run_migrations(connection, None, url, to=version)
        connection.execute(text("DELETE FROM access_head")) if "access_head" in rows else None
        for table in ("documents", *(rows.keys() - {"documents"})):
            for row in rows[table]:
                names = ", ".join(f"{connection.dialect.identifier_preparer.quote(name)}" for name in row)
                values = ", ".join(f":{name}" for name in row)
                connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)

    database = opened(url)
    await database.change_tables(make)
    await database.close()


def rows_of(path: Path) -> Rows:
    """All rows of a SQLite file, as servers take them."""
    found: dict[str, list[dict[str, Any]]] = {}
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            if table != VERSION_TABLE:
                found[table] = [dict(row) for row in connection.execute(f"SELECT * FROM {table}").fetchall()]
    for row in found["collaboration_sessions"]:
        row["last_active"] = datetime.fromisoformat(row["last_active"]).replace(tzinfo=UTC)
    for row in found.get("access_changes", ()):
        row["restores"] = bool(row["restores"])
    return found


async def fill(path: Path) -> None:
    """A SQLite file with something in every table of the first version, and in some of later ones."""
    storage = await open_store(f"sqlite:///{path}")
    for name in ("b", "a", "ü"):
        entries = [make_entry(offset, author=name, claims=(7,), update=b"\xff\0" * offset) for offset in range(1, 6)]
        async with storage.store.writing([name]) as transaction:
            await transaction.append(name, entries, [make_submitted(name, entries[0])])
            await transaction.quarantine([make_quarantined(name)])
        await storage.store.save_checkpoint(name, Checkpoint(3, entries[2].id, b"state", {}))
    await storage.access.change(make_change())
    await storage.close()
    sql(path, "INSERT INTO collaboration_sessions VALUES ('s', 'ana', 'a', '2026-01-01 00:00:00', '{}')")


@pytest.mark.rule("ST49")
@pytest.mark.parametrize(
    ("server", "version"),
    [
        ("postgres", "0001"),
        ("postgres", "0002"),
        ("postgres", "0003"),
        ("postgres", "0004"),
        ("mariadb", "0001"),
        ("mariadb", "0004"),
    ],
    indirect=["server"],
)
async def test_upgraded_with_all_that_it_holds(tmp_path: Path, server: Server, version: str) -> None:
    """A database of each older version is refused, and brought up to date by `migrate`: it then holds what SQLite's does."""
    path = tmp_path / "old.db"
    await fill(path)
    await asyncio.to_thread(downgrade, path, to=version)
    url = await new_database(server, "old")
    await at_version(url, version, rows_of(path))
    with pytest.raises(StoreSetupError, match=f"has version {version} of the tables, .* run: cowrite migrate"):
        await open_store(url)
    assert await migrate(url) == (version, NEWEST)
    assert await migrate(url) == (NEWEST, NEWEST)
    both = [await open_store(place) for place in (url, f"sqlite:///{path}")]
    for name in ("a", "b", "ü"):
        found, expected = [
            (
                await storage.store.load(name),
                await storage.store.entries(name, start=1, limit=9),
                await storage.history.authored(name, after=0, limit=9),
                await storage.directory.info(name),
            )
            for storage in both
        ]
        assert found == expected
    assert await both[0].access.changes(after=0) == await both[1].access.changes(after=0)
    await write(both[0].store, "a", make_entry(6))
    for storage in both:
        await storage.close()


@pytest.mark.rule("ST28")
async def test_migrations_make_the_tables(server: Server) -> None:
    """Alembic finds no difference between what the migrations have made and ``tables.py``."""
    url = await new_database(server, "made")
    assert await migrate(url) == (None, NEWEST)

    def compare(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "version_table": VERSION_TABLE})
        return list(compare_metadata(context, metadata))

    kind = "mysql" if is_mysql() else "mariadb"
    # An engine of its own: ours gives JSON as text, and SQLAlchemy asks PostgreSQL for JSON here.
    engine = create_async_engine(url.replace("postgresql", "postgresql+asyncpg").replace("mariadb:", f"{kind}+asyncmy:"))
    async with engine.connect() as connection:
        differences = await connection.run_sync(compare)
    await engine.dispose()
    # Defaults of MariaDB are compared as text, and it makes an index for each foreign key that has none.
    assert [one for one in differences if one[0] != "remove_index"] == []


@pytest.mark.rule("ST30")
async def test_opened_by_several_at_once(server: Server) -> None:
    """One makes the tables, the others wait and find them."""
    url = await new_database(server, "several")
    storages = await asyncio.gather(*(open_store(url) for _ in range(3)))
    for offset, storage in enumerate(storages, 1):
        await write(storage.store, "doc", make_entry(offset))
    for storage in storages:
        await storage.close()


@pytest.mark.rule("DB4")
@pytest.mark.parametrize("to", [NEWEST, "0004"])
async def test_cut_anywhere(tmp_path: Path, mariadb_server: MariadbServer, monkeypatch: pytest.MonkeyPatch, to: str) -> None:
    """On MariaDB each statement is for good. Wherever making or changing the tables was cut, it goes on when it is tried again,
    with everything that was there.
    """
    path = tmp_path / "old.db"
    await fill(path)
    await asyncio.to_thread(downgrade, path, to="0004")
    rows = rows_of(path)
    url = await new_database(mariadb_server, "cut")
    if to == "0004":
        await at_version(url, "0004", rows)
    said, cut = ["cut here"], 2
    while said[-1] == "cut here":
        cut_after(monkeypatch, cut)
        try:
            await migrate(url)
            said.append("done")
        except StoreSetupError as error:
            said.append(str(error))
        monkeypatch.undo()
        cut += 3
    assert said[-1] == "done"
    assert len(said) > 6
    storage = await open_store(url)
    if to == "0004":
        assert len(await storage.store.entries("ü", start=1, limit=9)) == 5
    await write(storage.store, "new", make_entry(1))
    await storage.close()


def cut_after(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """After so many statements that change something, the connection is lost."""
    make_engine = ServerDatabase._make_engine
    left = number

    def make(self: ServerDatabase, *arguments: Any) -> Any:
        engine = make_engine(self, *arguments)

        @event.listens_for(engine.sync_engine, "before_cursor_execute")
        def look(_connection: Any, _cursor: Any, statement: str, *_others: Any) -> None:
            nonlocal left
            left -= statement.lstrip().startswith(("CREATE", "ALTER", "DROP", "INSERT", "UPDATE", "DELETE"))
            if left < 0:
                raise StoreUnavailable("cut here")

        return engine

    monkeypatch.setattr(ServerDatabase, "_make_engine", make)
