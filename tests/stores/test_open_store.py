"""From a URL to a store, or to one clear line."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cowrite.stores import StoreSetupError, open_store
from cowrite.stores.memory import MemoryStore
from cowrite.testing.clock import ManualClock
from cowrite.testing.records import fill


async def refused(url: str) -> str:
    with pytest.raises(StoreSetupError) as caught:
        await open_store(url)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.rule("ST32")
@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "is not a URL"),
        ("data/cowrite.db", "is not a URL"),
        ("postgresql://u:secret@h:port/db", "is not a URL"),
        ("oracle://u:secret@h/db", "'oracle' are not supported"),
        ("postgresql://u:secret@h", "names no database"),
        ("postgres://u:secret@/db", "names no host"),
        ("postgresql://u:not@secret@127.0.0.1:1/db", "percent-encode the user and the password"),
        ("mariadb://u:not@secret@127.0.0.1:1/db", "percent-encode the user and the password"),
        ("postgresql://u:secret@h/db?sslmode=allow", "'allow'; it takes one of disable, prefer, require, verify-ca"),
        ("mysql://u:secret@h/db?sslmode=prefer", "'prefer'; it takes one of disable, require, verify-ca"),
        ("postgresql://u:secret@h/db?sslrootcert=/no/file", "sslrootcert of the database's URL cannot be used: No such"),
        ("postgresql://u:secret@h/db?sslmode=disable&sslcert=/x", "has sslcert without TLS"),
        ("postgresql://u:secret@h/db?sslmode=require&sslmode=disable", "says sslmode twice"),
        ("postgresql://u:secret@h/db?pool_size=9", "has 'pool_size' behind the ?"),
        ("mariadb://u:secret@h/db?host=/run/socket", "and then no other host"),
        ("mysql+asyncmy://u:secret@/db?host=socket", "and then no other host"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite://host/file", "more than a file's path"),
        ("sqlite:///file?mode=ro", "more than a file's path"),
    ],
)
async def test_urls(url: str, says: str) -> None:
    """A URL that cannot be used is told in one line, without the password that may be in it."""
    message = await refused(url)
    assert says in message
    assert "secret" not in message


@pytest.mark.rule("ST32")
async def test_a_folder(tmp_path: Path) -> None:
    """A folder is not a database."""
    assert f"names the folder {tmp_path}" in await refused(f"sqlite:///{tmp_path}")


@pytest.mark.rule("ST32")
async def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """Where no folder can be made, the message names it and the reason."""
    (tmp_path / "file").touch()
    message = await refused(f"sqlite:///{tmp_path}/file/below/cowrite.db")
    assert f"The folder {tmp_path}/file/below" in message
    assert "Not a directory" in message


@pytest.mark.rule("ST32")
async def test_not_a_database(tmp_path: Path) -> None:
    """A file that is something else is named, and left as it is."""
    path = tmp_path / "letter.txt"
    path.write_text("Dear database, " * 500)
    message = await refused(f"sqlite:///{path}")
    assert str(path) in message
    assert "not a database" in message
    assert path.read_text() == "Dear database, " * 500


@pytest.mark.rule("ST32")
async def test_locked_database(tmp_path: Path) -> None:
    """A database that another program keeps locked is told as such, after the patience that was given."""
    path = tmp_path / "cowrite.db"
    await (await open_store(f"sqlite:///{path}")).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreSetupError, match="database is locked"):
            await open_store(f"sqlite:///{path}", patience=0.1)


@pytest.mark.rule("ST30")
async def test_database_that_is_just_being_made(tmp_path: Path) -> None:
    """A file that another process is preparing (it is not in write-ahead mode yet, and locked) is opened when that is done."""
    path = tmp_path / "cowrite.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE invoices (id INTEGER)")
        connection.execute("BEGIN IMMEDIATE")
        opening = asyncio.create_task(open_store(f"sqlite:///{path}"))
        await asyncio.sleep(0.2)
        assert not opening.done()
        connection.execute("COMMIT")
        await (await opening).close()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter; pytest's own are root's alone."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


async def make(path: Path) -> None:
    await (await open_store(f"sqlite:///{path}")).close()


UNPRIVILEGED = """
import asyncio, os, sys
from cowrite.stores import StoreSetupError, open_store
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    asyncio.run(open_store(sys.argv[1]))
except StoreSetupError as error:
    print(error)
"""


@pytest.mark.rule("ST32")
@pytest.mark.parametrize(("made_before", "folder_mode"), [(False, 0o555), (True, 0o555), (True, 0o777)])
def test_no_permission(open_folder: Path, made_before: bool, folder_mode: int) -> None:
    """A folder or file that may not be written is told with its path, by a process that is not root."""
    path = open_folder / "cowrite.db"
    if made_before:
        asyncio.run(make(path))
        path.chmod(0o444)
    open_folder.chmod(folder_mode)
    answer = subprocess.run(
        [sys.executable, "-c", UNPRIVILEGED, f"sqlite:///{path}"], capture_output=True, text=True, timeout=30, check=False
    )
    open_folder.chmod(0o755)
    assert answer.stderr == ""
    assert str(path) in answer.stdout
    assert answer.stdout.count("\n") == 1
    assert "writable" in answer.stdout


@pytest.mark.rule("ST33")
@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+aiosqlite", "sqlite+pysqlite"])
async def test_sqlite(tmp_path: Path, scheme: str) -> None:
    """A SQLite file and its folder are made; whatever driver the URL names, it is the same file. Odd paths are paths."""
    path = tmp_path / "new folder" / "100% #ü.db"
    storage = await open_store(f"{scheme}:///{path}", clock=ManualClock())
    await fill(storage.store, "doc", number=1)
    await storage.close()
    assert path.is_file()
    assert sorted(found.name for found in path.parent.iterdir()) == [path.name]


@pytest.mark.rule("ST33")
async def test_what_is_made_is_its_owners_alone(tmp_path: Path) -> None:
    """The file, what SQLite puts beside it, and the folder; what was there before keeps its permissions."""
    path = tmp_path / "new" / "cowrite.db"
    storage = await open_store(f"sqlite:///{path}")
    await fill(storage.store, "doc", number=1)
    modes = {found.name: found.stat().st_mode & 0o777 for found in (path.parent, *path.parent.iterdir())}
    assert modes == {"new": 0o700, "cowrite.db": 0o600, "cowrite.db-wal": 0o600, "cowrite.db-shm": 0o600}
    await storage.close()
    path.chmod(0o640)
    path.parent.chmod(0o750)
    await (await open_store(f"sqlite:///{path}")).close()
    assert [found.stat().st_mode & 0o777 for found in (path.parent, path)] == [0o750, 0o640]


@pytest.mark.rule("ST33")
async def test_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three slashes name a path from the working directory."""
    monkeypatch.chdir(tmp_path)
    await (await open_store("sqlite:///data/cowrite.db")).close()
    assert (tmp_path / "data" / "cowrite.db").is_file()


@pytest.mark.rule("ST33")
async def test_memory() -> None:
    """``memory://`` is storage that is forgotten at the end; two of them have nothing in common."""
    one, two = await open_store("memory://"), await open_store("memory://")
    assert isinstance(one.store, MemoryStore)
    await fill(one.store, "doc", number=1)
    assert await two.store.load("doc") is None
