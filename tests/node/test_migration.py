"""What docs/migrating-from-….md tell is done as it stands, to documents that the other servers have kept."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import subprocess
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from scripts.terminal import Server, Terminal
from scripts.tutorial import Commands, File, matches, read

from cowrite.tokens import generate_secret
from node_program import PATH, install, node

pytestmark = pytest.mark.timeout(120)  # the first run installs the packages

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = 'CREATE TABLE IF NOT EXISTS "documents" ("name" varchar(255) NOT NULL, "data" blob NOT NULL, UNIQUE(name))'
"""The one of @hocuspocus/extension-sqlite (2.15 and 4.7), which needs a compiler for its database where there is no binary."""
TEXT = "Salt and bread 😀."
"""What is in notes/1."""


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with y-websocket's LevelDB, Hocuspocus' SQLite, and the packages of the first."""
    folder = tmp_path_factory.mktemp("old")
    packages = install(ROOT / "tests" / "node" / "migration", ROOT / ".cache" / "migration")
    command = [node(), str(packages / "fill.mjs"), str(folder / "leveldb")]
    told = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    stored = [json.loads(line) for line in told.splitlines()]
    with closing(sqlite3.connect(folder / "hocuspocus.sqlite")) as database, database:
        database.execute(SCHEMA)
        newest = {one["name"]: base64.b64decode(one["data"]) for one in stored}
        newest["../outside"] = newest["notes/1"]
        database.executemany("INSERT INTO documents VALUES (?, ?)", newest.items())
    (folder / "node_modules").symlink_to(packages / "node_modules")
    return folder


@pytest.mark.rule("EX17")
@pytest.mark.parametrize("server", ["hocuspocus", "y-websocket"])
def test_documents_are_brought_over(old: Path, server: str) -> None:
    """The page's commands, in order; then again, which changes nothing."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("COWRITE_")}
    settings = {
        "COWRITE_PORT": "0",
        "COWRITE_SECRET": generate_secret(),
        "COWRITE_DATA_DIR": server,
        "COWRITE_DRAIN_SECONDS": "0",
    }
    environment = own | {"PATH": PATH} | settings
    with ExitStack() as ends:
        terminal = Terminal(old, environment)
        ends.callback(terminal.close)
        terminal.type("rm -rf documents")
        printed = ""
        for step in read(ROOT / "docs" / f"migrating-from-{server}.md"):
            if isinstance(step, File):
                (old / step.path).write_text(step.text)
            elif isinstance(step, Commands) and step.stays:
                running = Server(step, old, environment, old / f"{server}.log")
                ends.callback(running.close)
                running.wait()
            elif isinstance(step, Commands):
                printed = "".join(map(terminal.type, step.commands))
                assert matches(step.seen, printed), printed
                assert ("not exported" in printed) == (server == "hocuspocus" and "import" in step.commands[-1])
        assert TEXT in printed
        assert "'notes/sub/2' agrees" in printed
        if server == "hocuspocus":  # a second time, of what is the same for both
            terminal.type("cowrite import documents/ --by migration")
            assert terminal.type("cowrite export notes/1 --format text").strip() == TEXT
    assert not (old.parent / "outside.yjs").exists()
