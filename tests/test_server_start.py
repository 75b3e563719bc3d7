"""`cowrite` started on database servers that are away, are something else, or may only be read."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cowrite.stores import StoreSetupError, open_store
from cowrite.stores.errors import StoreAway
from cowrite.stores.sqlalchemy.mysql import MySQL
from cowrite.stores.sqlalchemy.postgresql import PostgreSQL
from cowrite.stores.sqlalchemy.server_kinds import Deadlines, ServerKind
from postgres_server import PostgresServer
from test_server_databases import Server, cowrite, server
from timing import MS

__all__ = ["server"]


@pytest.mark.rule("DB12")
@pytest.mark.parametrize("options", [[], ["--workers", "2"]], ids=["alone", "workers"])
async def test_a_server_that_is_away_at_the_start(tmp_path: Path, postgres_server: PostgresServer, options: list[str]) -> None:
    """One line, and exit code 1: a service manager may try it again."""
    url = postgres_server.url().replace(f":{postgres_server.port}", ":1")
    command = ("serve", "--demo", "--port", "0", *options, "--database-url", url)
    code, said, wrong = await asyncio.to_thread(cowrite, tmp_path, *command)
    assert (code, said) == (1, "")
    (line,) = [line for line in wrong.splitlines() if line.startswith("cowrite: ")]
    assert line.startswith("cowrite: Nobody answers at the database 'postgres' at 127.0.0.1:1 ")
    assert "Traceback" not in wrong


@pytest.mark.rule("DB12")
@pytest.mark.parametrize("says", [b"", b"SSH-2.0-OpenSSH_9.2\r\n"], ids=["nothing", "another protocol"])
@pytest.mark.parametrize("kind", [PostgreSQL, MySQL])
async def test_a_port_of_something_else(monkeypatch: pytest.MonkeyPatch, kind: type[ServerKind], says: bytes) -> None:
    """It takes the connection and does not answer as the database would: that is told by the deadline for connecting."""
    monkeypatch.setattr(kind, "deadlines", Deadlines(connect=0.5))
    writers = []

    async def take(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(says)

    other = await asyncio.start_server(take, "127.0.0.1", 0)
    port = other.sockets[0].getsockname()[1]
    scheme = "postgresql" if kind is PostgreSQL else "mariadb"
    async with asyncio.timeout(20_000 * MS):
        with pytest.raises(StoreSetupError, match=f"'database' at 127.0.0.1:{port}") as caught:
            await open_store(f"{scheme}://user:secret@127.0.0.1:{port}/database")
    assert isinstance(caught.value, StoreAway) or says
    assert "secret" not in str(caught.value)
    for writer in writers:
        writer.close()
    other.close()
    await other.wait_closed()


@pytest.mark.rule("DB13")
async def test_a_user_who_may_only_read(server: Server) -> None:
    """It is told at the start, and not when the first edit cannot be stored; who only reads is let in."""
    for statement in ("DROP DATABASE IF EXISTS readable", "CREATE DATABASE readable"):
        await server.sql(statement)
    await (await open_store(server.url("readable"))).close()
    if isinstance(server, PostgresServer):
        await server.sql("DROP USER IF EXISTS reader")
        await server.sql("CREATE USER reader")
        await server.sql("GRANT pg_read_all_data TO reader")
    else:
        await server.sql("CREATE OR REPLACE USER reader")
        await server.sql("GRANT SELECT ON readable.* TO reader")
    url = server.url("readable", user="reader")
    with pytest.raises(StoreSetupError, match="give the user the permissions that docs/databases") as caught:
        await open_store(url)
    assert not isinstance(caught.value, StoreAway)
    await (await open_store(url, upgrade=False)).close()
    await server.sql("DROP USER reader")


@pytest.mark.rule("DB2")
async def test_an_empty_database_that_is_only_read(server: Server) -> None:
    """The line says what makes the tables there."""
    for statement in ("DROP DATABASE IF EXISTS empty", "CREATE DATABASE empty"):
        await server.sql(statement)
    with pytest.raises(StoreSetupError, match=r"has no tables yet, .*; `cowrite migrate` makes them, as `cowrite serve` does"):
        await open_store(server.url("empty"), upgrade=False)


@pytest.mark.rule("DB12")
async def test_lost_while_it_starts(tmp_path: Path, postgres_server: PostgresServer) -> None:
    """The database was opened, and what is read next fails: exit code 1, and not the 0 of a server that was told to stop."""
    for statement in (
        "DROP DATABASE IF EXISTS partly",
        "CREATE DATABASE partly",
        "DROP USER IF EXISTS partly",
        "CREATE USER partly",
    ):
        await postgres_server.sql(statement)
    await (await open_store(postgres_server.url("partly"))).close()
    await postgres_server.sql("GRANT SELECT, UPDATE ON cowrite_schema TO partly", "partly")
    command = ("serve", "--demo", "--port", "0", "--database-url", postgres_server.url("partly", user="partly"))
    code, said, wrong = await asyncio.to_thread(cowrite, tmp_path, *command)
    assert (code, said) == (1, "")
    assert "permission denied for table access_changes" in wrong
    assert wrong.splitlines()[-1].startswith("cowrite: the server has not started, and the log says why")
    await postgres_server.sql("DROP DATABASE partly")
    await postgres_server.sql("DROP USER partly")
