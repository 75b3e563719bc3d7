"""A real MariaDB, or MySQL, for the tests: started, killed, frozen and thawed."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import asyncmy
import pytest

from cowrite.stores import open_store
from cowrite.stores.sqlalchemy.tables import metadata
from freezing import freeze
from timing import MS

PATIENCE: Final = 30_000 * MS
REQUIRED: Final = "COWRITE_TEST_MARIADB"
"""With ``required`` tests fail where there is no ``mariadbd``; else they are skipped."""
INSTEAD: Final = "COWRITE_TEST_MYSQLD"
"""A path of MySQL's ``mysqld``: what is tested with MariaDB is tested with that."""
_SMALL: Final = ("--loose-innodb-log-file-size=16M", "--loose-innodb-redo-log-capacity=16M")
_OF_MYSQL: Final = ("--secure-file-priv=NULL",)
_SETTINGS: Final = (
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--max-allowed-packet=64M",
    *_SMALL,
    "--innodb-buffer-pool-size=32M",
    # What a test kills is the server, not the machine: what was written is in the system's memory.
    "--innodb-flush-log-at-trx-commit=2",
    "--innodb-doublewrite=0",
    "--skip-log-bin",
    "--performance-schema=OFF",
    "--innodb-fast-shutdown=2",
    "--loose-aria-pagecache-buffer-size=8M",
    "--key-buffer-size=8M",
    "--loose-innodb-use-native-aio=0",
    "--loose-mysqlx=OFF",
)


class MariadbServer:
    """Keeps its data and its port when it is started again."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        # Not in pytest's folders: those are root's alone.
        self._folder = Path(tempfile.mkdtemp(prefix="cowrite-mariadb-"))
        self._data = self._folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        account = pwd.getpwuid(65534 if os.getuid() == 0 else os.getuid())
        os.chown(self._folder, account.pw_uid, account.pw_gid)
        self._as: dict[str, Any] = {}
        if os.getuid() == 0:
            self._as = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        self._data.mkdir()
        os.chown(self._data, account.pw_uid, account.pw_gid)
        (self._folder / "users.sql").write_text(
            "CREATE USER IF NOT EXISTS cowrite@'127.0.0.1';\nGRANT ALL ON *.* TO cowrite@'127.0.0.1' WITH GRANT OPTION;\n"
        )
        place = (f"--datadir={self._data}", f"--tmpdir={self._folder}")  # tables for a moment have the same names in every run
        made = subprocess.run([*_installer(account.pw_name), *place, *_SMALL], capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stdout[-2000:] + made.stderr[-2000:]

    def _command(self) -> list[str]:
        program = binary()
        assert program is not None
        place = (f"--datadir={self._data}", f"--socket={self._folder}/socket", f"--pid-file={self._folder}/pid")
        return [
            program,
            "--no-defaults",
            *place,
            f"--port={self.port}",
            f"--init-file={self._folder}/users.sql",
            *(_OF_MYSQL if is_mysql() else ()),
            f"--tmpdir={self._folder}",
            *_SETTINGS,
        ]

    def url(self, database: str = "mysql", *, user: str = "cowrite", scheme: str = "mariadb") -> str:
        return f"{scheme}://{user}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command(), stdout=log, stderr=log, start_new_session=True, **self._as)
        until = time.monotonic() + PATIENCE
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "log").read_text()[-2000:]
            assert time.monotonic() < until, "MariaDB does not start"
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as connection:
                return bool(connection.recv(100))
        except OSError:
            return False

    async def sql(self, statement: str, database: str = "mysql") -> list[tuple[Any, ...]]:
        """Run a statement as an administrator."""
        return await run_sql(self.url(database), statement)

    def stop(self) -> None:
        """At once, as in a crash: connections are cut, and it recovers when it is started again."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None

    def freeze(self) -> None:
        """It takes connections (the system does), and answers nothing."""
        assert self._process is not None
        freeze(self._process.pid)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def remove(self) -> None:
        """Stop it and delete its data."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


def binary() -> str | None:
    """The program, which the machine has or has not."""
    return os.environ.get(INSTEAD) or shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def is_mysql() -> bool:
    """Whether it is MySQL instead."""
    return INSTEAD in os.environ


def _installer(user: str) -> list[str]:
    if is_mysql():
        return [os.environ[INSTEAD], "--no-defaults", *_OF_MYSQL, "--initialize-insecure", f"--user={user}"]
    options = ("--skip-test-db", "--skip-name-resolve", "--auth-root-authentication-method=normal")
    return ["mariadb-install-db", "--no-defaults", f"--user={user}", *options]


def started() -> MariadbServer:
    """A server; the test is skipped where the machine has none."""
    if binary() is None:
        assert os.environ.get(REQUIRED) != "required", "there is no mariadbd on this machine"
        pytest.skip("there is no mariadbd on this machine")
    server = MariadbServer()
    server.start()
    return server


def arguments(url: str) -> dict[str, Any]:
    """For asyncmy."""
    from sqlalchemy import make_url

    parsed = make_url(url)
    return {"host": parsed.host, "port": parsed.port, "user": parsed.username, "database": parsed.database}


async def run_sql(url: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Run statements on a connection of its own."""
    connection = await asyncmy.connect(**arguments(url), autocommit=True, charset="utf8mb4", binary_prefix=True)
    try:
        async with connection.cursor() as cursor:
            for one in statement.split(";"):
                await cursor.execute(one, values or None)
            return list(await cursor.fetchall())
    finally:
        connection.close()


def emptied(server: MariadbServer) -> str:
    """The URL of a database with cowrite's tables, which are empty. Making them takes longer than most tests."""
    url = server.url("contracts")
    asyncio.run(_empty(server, url))
    return url


async def _empty(server: MariadbServer, url: str) -> None:
    found = await server.sql("SHOW DATABASES LIKE 'contracts'")
    if found:
        await run_sql(url, EMPTYING)
    else:
        await server.sql("CREATE DATABASE contracts")
        await (await open_store(url)).close()


EMPTYING: Final = ";".join(
    [
        *(f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables) if table.name != "access_head"),
        "UPDATE access_head SET revision = 0",
    ]
)
