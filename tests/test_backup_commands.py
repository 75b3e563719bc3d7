"""`cowrite backup`, `cowrite restore --from` and `cowrite verify --backup`."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from cowrite.stores.backups import UNFINISHED
from test_history_commands import Run, data, run, run_apart, two_documents

__all__ = ["data", "run", "two_documents"]


@pytest.mark.rule("BK1", "BK4", "BK5")
def test_a_backup_and_what_it_brings_back(data: Path, run: Run, tmp_path: Path) -> None:
    code, out, err = run("backup", "one.backup")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"one\.backup: documents: 2, entries: 3, \d+ bytes; read again, and whole\n", out)
    assert run("verify", "--backup", "one.backup")[1].splitlines() == [
        "'one' agrees: entries replayed: 1, states compared: 1",
        "'two' agrees: entries replayed: 2, states compared: 1",
    ]
    assert run("verify", "two", "--backup", "one.backup")[1].startswith("'two' agrees")
    assert run("restore", "two", "--to", "1")[0] == 0
    code, out, err = run("restore", "--from", "one.backup")
    assert (code, out) == (2, "")
    assert err.startswith("cowrite: the database is not empty: it has documents (2). Restore into another one, or, with")
    code, out, err = run("restore", "--from", "one.backup", "--replace")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"The database /.*/cowrite\.sqlite3 is as it was at 20\S+ \S+Z: documents: 2, entries: 3\n", out)
    assert run("export", "two", "--format", "text")[1] == "Hello there\n"
    assert run("restore", "--from", "one.backup", "--data-dir", "elsewhere/new")[0] == 0
    assert run("verify", "--data-dir", str(tmp_path / "elsewhere" / "new"))[0] == 0
    (tmp_path / "folder").mkdir()
    assert run("backup", "folder")[0] == 0
    (made,) = (tmp_path / "folder").iterdir()
    assert re.fullmatch(r"cowrite-\d{8}T\d{6}Z\.backup", made.name)
    assert run("backup", "new/folder/")[0] == 0
    (made,) = (tmp_path / "new" / "folder").iterdir()
    assert re.fullmatch(r"cowrite-\d{8}T\d{6}Z\.backup", made.name)
    code, out, err = run("backup", "one.backup/")
    assert (code, out) == (2, "")
    assert err == "cowrite: the folder one.backup cannot be made: File exists\n"


@pytest.mark.rule("BK5")
def test_damage_is_told(data: Path, run: Run) -> None:
    with closing(sqlite3.connect(data)) as connection, connection:
        connection.execute("UPDATE updates SET update_bytes = zeroblob(9) WHERE entry_offset = 2")
    code, out, err = run("backup", "one.backup")
    assert (code, out.count("\n")) == (1, 1)
    assert err == "cowrite: warning: the update of document 'two' at offset 2 is damaged; it is in the backup as it is\n"
    code, out, err = run("verify", "--backup", "one.backup")
    assert code == 1
    assert out.splitlines()[1].startswith("'two' differs at offset 2: it cannot be read")


@pytest.mark.rule("BK7")
def test_a_document_is_mended_from_a_backup(data: Path, run: Run) -> None:
    """Lines and exit codes; what is there is what was there."""
    assert run("backup", "one.backup")[0] == 0
    code, said, _ = run("repair", "two", "--from", "one.backup")
    assert code == 0
    assert said == (
        "'two': no entry is damaged, and none lacks operations "
        "(whether they are what its update makes is found by `cowrite verify`); nothing was changed\n"
    )
    damage = "UPDATE updates SET update_bytes = zeroblob(9) WHERE entry_offset = ?"
    with closing(sqlite3.connect(data)) as connection, connection:
        connection.execute(damage, [2])
    assert run("backup", "damaged.backup")[0] == 1
    code, out, err = run("repair", "two", "--from", "damaged.backup")
    assert (code, out) == (1, "'two': nothing could be put back; nothing was changed\n")
    assert err == "cowrite: warning: offset 2 of 'two' is damaged still: it is damaged in the backup, too\n"
    code, out, err = run("repair", "two", "--from", "one.backup")
    assert (code, err) == (0, "")
    assert out == "'two': put back from one.backup: offset 2; `cowrite verify` replays what is there now\n"
    assert run("verify", "two")[0] == 0
    with closing(sqlite3.connect(data)) as connection, connection:
        connection.execute("DELETE FROM updates WHERE entry_offset = 2")
        connection.execute(damage, [1])  # of both documents
    code, out, err = run("repair", "two", "--from", "one.backup", "--json")
    assert (code, out, err) == (0, '{"document_id": "two", "put_back": [1, 2], "damaged": []}\n', "")
    assert run("export", "two", "--format", "text")[1] == "Hello there\n"
    assert run("verify", "one")[0] == 1


@pytest.mark.rule("BK3", "BK2", "BK7")
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("restore", "--from", "no.backup"), "no.backup cannot be read: No such file or directory"),
        (("restore", "--from", "cowrite.sqlite3"), "cowrite.sqlite3 is no backup of cowrite's; nothing was changed"),
        (("restore", "two", "--from", "x"), "--from restores all that is in the backup; leave DOCUMENT, --to and --root out"),
        (("restore", "two"), "name a document and a moment (DOCUMENT --to MOMENT), or a backup (--from FILE)"),
        (("restore", "two", "--to", "1", "--replace"), "name a document and a moment"),
        (("repair", "two", "--from", "cowrite.sqlite3"), "cowrite.sqlite3 is no backup of cowrite's; nothing was changed"),
        (("repair", "two", "--from", "x", "--data-dir", "nowhere"), "there is no database /"),
        (("backup", "cowrite.sqlite3"), "cowrite.sqlite3 is there already; name another file, or let --force replace it"),
        (("backup", "x", "--data-dir", "nowhere"), "there is no database /"),
        (("backup", "x", "--database-url", "sqlite:///:memory:"), "The database's URL names no file"),
    ],
)
def test_what_is_wrong_is_one_line(arguments: tuple[str, ...], reason: str, data: Path, run: Run) -> None:
    before = data.read_bytes()
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"cowrite: {reason}")
    assert data.read_bytes() == before


@pytest.mark.rule("BK2", "BK3")
def test_a_backup_that_is_killed_leaves_none(data: Path, tmp_path: Path) -> None:
    """What is left beside is refused. (It stops where its file is full: the kernel then sends SIGXFSZ, which ends it.)"""
    program = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_DFL); from cowrite.stores import backups;"
        "from cowrite.stores.backup_file import BackupWriter; BackupWriter.end = lambda self: (self.file.flush(),"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200)), self.file.write(bytes(500)), self.file.flush());"
        "from cowrite.cli import main; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, "backup", "one.backup", "--database-url", f"sqlite:///{data}"],
        cwd=tmp_path,
        check=False,
    )
    assert ended.returncode < 0
    assert not (tmp_path / "one.backup").exists()
    (left,) = tmp_path.glob(f"one.backup.*{UNFINISHED}")
    code, _, err = run_apart(data, "restore", "--from", str(left), "--data-dir", str(tmp_path / "new"))
    assert (code, "is not a whole backup" in err) == (2, True), err
    assert not (tmp_path / "new" / "cowrite.sqlite3").exists()
    shutil.rmtree(tmp_path / "new", ignore_errors=True)
