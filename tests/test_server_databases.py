"""`cowrite` on real database servers: what it serves, and the one line when it cannot."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TypeAlias

import pytest

from cowrite.stores import StoreSetupError, open_store
from cowrite.stores.opening import migrate, open_to_fill, open_to_mend
from cowrite.stores.sqlalchemy.mysql import MySQL
from cowrite.stores.sqlalchemy.postgresql import PostgreSQL
from cowrite.stores.sqlalchemy.server_kinds import ServerKind
from demo_server import DemoServer
from mariadb_server import MariadbServer
from postgres_server import PostgresServer

Server: TypeAlias = PostgresServer | MariadbServer
KINDS = ("postgres", "mariadb")


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(f"{request.param}_server")
    return found


def cowrite(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Run the command; exit code, output and errors."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("COWRITE_")}
    command = [str(Path(sys.executable).parent / "cowrite"), *arguments]
    done = subprocess.run(command, env=own, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.rule("DB2")
def test_tables_of_an_older_version(tmp_path: Path, postgres_server: PostgresServer) -> None:
    """`cowrite migrate` makes the tables; `cowrite serve` leaves older ones alone, and says what to run."""
    for statement in ("DROP DATABASE IF EXISTS migrated", "CREATE DATABASE migrated"):
        asyncio.run(postgres_server.sql(statement))
    url = postgres_server.url("migrated")
    where = f"The database 'migrated' at 127.0.0.1:{postgres_server.port}"
    for said in ("the tables were made, version 0006", "the tables have version 0006 already; nothing was changed"):
        assert cowrite(tmp_path, "migrate", "--database-url", url) == (0, f"{where}: {said}\n", "")
    asyncio.run(postgres_server.sql("UPDATE cowrite_schema SET version_num = '0004'", "migrated"))
    code, said, wrong = cowrite(tmp_path, "serve", "--demo", "--port", "0", "--database-url", url)
    assert (code, said) == (2, "")
    assert wrong == f"cowrite: {where} has version 0004 of the tables, and 0006 is needed; run: cowrite migrate.\n"


@pytest.mark.rule("DB3")
def test_a_wrong_password(tmp_path: Path, mariadb_server: MariadbServer) -> None:
    """One line and exit code 2, from the command itself; the password is not in it."""
    url = mariadb_server.url("mysql", user="guarded:secret")
    code, said, wrong = cowrite(tmp_path, "serve", "--demo", "--port", "0", "--database-url", url)
    assert (code, said, wrong.count("\n")) == (2, "", 1)
    assert wrong.startswith("cowrite: The server does not let us use the database 'mysql' at 127.0.0.1:")
    assert "see user and password in the database's URL" in wrong
    assert "secret" not in wrong


@pytest.mark.rule("DB3")
async def test_what_is_wrong_with_the_url(server: Server) -> None:
    """A wrong password, a database that is not there, a port where nobody answers, TLS that the server has not: a line each."""
    by = "PASSWORD" if isinstance(server, PostgresServer) else "IDENTIFIED BY"
    await server.sql("DROP USER IF EXISTS guarded")
    await server.sql(f"CREATE USER guarded {by} 'hidden'")
    url = server.url()
    wrong = {
        "password": (server.url(user="guarded:secret"), "see user and password in the database's URL"),
        "database": (server.url("nowhere"), "create that database"),
        "port": (url.replace(f":{server.port}", ":1"), "Nobody answers at the database"),
        "tls": (f"{url}?sslmode=verify-full", "see sslmode in the database's URL"),
    }
    for used, says in wrong.values():
        with pytest.raises(StoreSetupError) as caught:
            await open_store(used)
        assert says in str(caught.value)
        assert "\n" not in str(caught.value)
        assert "secret" not in str(caught.value)
    await server.sql("DROP USER guarded")


@pytest.mark.rule("DB3")
@pytest.mark.parametrize(("scheme", "extra"), [("postgres", "postgres"), ("mysql", "mysql")])
async def test_a_library_below_the_drivers_that_is_missing(monkeypatch: pytest.MonkeyPatch, scheme: str, extra: str) -> None:
    """SQLAlchemy's part for asyncio needs greenlet; the line says how to install it."""
    monkeypatch.setitem(sys.modules, "cowrite.stores.server_opening", None)  # importing it raises ImportError
    url = f"{scheme}://user:secret@host/database"
    for opening in (open_store(url), open_to_mend(url), migrate(url)):
        with pytest.raises(StoreSetupError, match=rf"servers need is missing \(.*pip install 'cowrite\[{extra}\]'"):
            await opening


@pytest.mark.rule("DB3")
@pytest.mark.parametrize(("package", "scheme", "extra"), [("asyncpg", "postgres", "postgres"), ("asyncmy", "mariadb", "mysql")])
async def test_a_driver_that_is_missing(monkeypatch: pytest.MonkeyPatch, package: str, scheme: str, extra: str) -> None:
    """The line says how to install it."""
    monkeypatch.setitem(sys.modules, package, None)  # importing it raises ImportError
    with pytest.raises(StoreSetupError, match=rf"the driver {package} is missing \(.*pip install 'cowrite\[{extra}\]'"):
        await open_store(f"{scheme}://user:secret@host/database")


@pytest.mark.rule("DB3")
@pytest.mark.parametrize(
    ("kind", "version", "needed"),
    [
        (PostgreSQL(), "12.22 (Debian 12.22-1)", "13"),
        (PostgreSQL(), "13.0", None),
        (PostgreSQL(), "19beta1", None),
        (MySQL(), "5.7.44-log", "MySQL 8.0.1"),
        (MySQL(), "8.0.36", None),
        (MySQL(), "10.5.28-MariaDB-log", "MariaDB 10.6"),
        (MySQL(), "10.6.2-MariaDB", None),
        (MySQL(), "12.0.2-MariaDB-ubu2404", None),
    ],
)
def test_old_servers(kind: ServerKind, version: str, needed: str | None) -> None:
    """Which versions are too old."""
    assert kind.too_old(version) == needed


@pytest.mark.rule("BK6")
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_restore_beside_a_server(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """It is refused as soon as the server is there, says who that is, and works when it is gone."""
    settings = {} if kind == "sqlite" else {"COWRITE_DATABASE_URL": request.getfixturevalue("postgres_url")}
    with DemoServer(tmp_path, **settings) as server:
        url = settings.get("COWRITE_DATABASE_URL", f"sqlite:///{server.database}")
        assert cowrite(tmp_path, "backup", "one", "--database-url", url)[0] == 0
        who = rf"open in process {server.pid}" if kind == "sqlite" else r"connections: \d+ from 127\.0\.0\.1"
        for more in ((), ("--replace",)):
            code, said, wrong = cowrite(tmp_path, "restore", "--from", "one", "--database-url", url, *more)
            assert (code, said, wrong.count("\n")) == (2, "", 1)
            assert re.search(
                rf"a server works on the database .*\({who}\); stop it, and try again\. Nothing was changed", wrong
            )
        assert server.health()["status"] == "ok"
        server.stop()
    code, said, wrong = cowrite(tmp_path, "restore", "--from", "one", "--replace", "--database-url", url)
    assert (code, wrong) == (0, "")


@pytest.mark.rule("BK6", "DB12")
async def test_a_server_that_starts_during_a_restore(tmp_path: Path, postgres_url: str) -> None:
    """One line, and the exit code that says to try again."""
    filling = await open_to_fill(postgres_url)
    started = await asyncio.to_thread(cowrite, tmp_path, "serve", "--demo", "--port", "0", "--database-url", postgres_url)
    await filling.close()
    code, said, wrong = started
    assert (code, said, wrong.count("\n")) == (1, "", 1)
    assert "is being filled from a backup; try again when that has ended" in wrong
