"""A server on a real database server: killed, started again, and looked at by the commands."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import TypeAlias

import pytest

from demo_server import DemoServer
from mariadb_server import MariadbServer
from postgres_server import PostgresServer
from socket_writers import Writer, read_text, until
from test_server_databases import KINDS, cowrite

Server: TypeAlias = PostgresServer | MariadbServer


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(f"{request.param}_server")
    return found


@pytest.mark.chaos
@pytest.mark.rule("DB1")
async def test_served_from_a_server(tmp_path: Path, server: Server) -> None:
    """Editors write, the process is killed, and what was acknowledged is there when it is started again; the commands that
    work on the past find it too, and the data folder is not made.
    """
    await server.sql("DROP DATABASE IF EXISTS served")
    await server.sql("CREATE DATABASE served")
    url = server.url("served")
    demo = DemoServer(tmp_path, COWRITE_DATABASE_URL=url)
    writer, rng = Writer("w", "doc"), random.Random(3)
    with demo:
        typing = asyncio.create_task(writer.write(demo.port, rng))
        await until(lambda: len(writer.durable) > 20)
        await asyncio.to_thread(demo.kill)
        await typing
    with demo:
        text = await read_text(demo.port, "doc")
        assert [word for word in writer.durable if word not in text] == []
        pool = (await asyncio.to_thread(demo.health))["database"]
        assert pool["size"] == 10
        assert pool["in_use"] <= 10
        await asyncio.to_thread(demo.stop)
    assert demo.errors() == []
    assert not (tmp_path / "data").exists()
    code, said, wrong = await asyncio.to_thread(cowrite, tmp_path, "restore", "doc", "--to", "0", "--database-url", url)
    assert (code, wrong) == (0, "")
    assert said.startswith("'doc' is as it was at 0")
    code, said, wrong = await asyncio.to_thread(cowrite, tmp_path, "verify", "--database-url", url)
    assert (code, wrong) == (0, "")
    assert said.startswith("'doc' agrees")
