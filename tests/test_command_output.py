"""What commands write for programs, on terminals, and to a shell that completes."""

from __future__ import annotations

import json
import os
import pty
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from test_history_commands import Run, data, run, two_documents

__all__ = ["data", "run", "two_documents"]

COWRITE = Path(sys.executable).parent / "cowrite"


@pytest.mark.rule("CL60")
def test_json_of_each_command(data: Path, run: Run) -> None:
    place = f"the database {data}"
    code, out, err = run("migrate", "--json")
    assert (code, err, json.loads(out)) == (0, "", {"database": place, "before": "0006", "after": "0006"})
    code, out, _ = run("history", "two", "--json")
    told = json.loads(out)
    assert (code, told["document_id"], told["first_offset"], told["complete"]) == (0, "two", 1, True)
    assert [(group["first_offset"], group["last_offset"]) for group in told["activity"]] == [(2, 2), (1, 1)]
    assert told["versions"] == []
    code, out, _ = run("restore", "two", "--to", "1", "--json")
    restored = json.loads(out)
    assert (code, restored["restored"], restored["offset"]) == (0, 1, 3)
    assert json.loads(run("history", "two", "--json")[1])["versions"][0]["id"] == restored["version_before"]
    code, out, _ = run("backup", "one.backup", "--json")
    backup = json.loads(out)
    size = Path("one.backup").stat().st_size
    assert backup == {"file": "one.backup", "documents": 2, "entries": 4, "bytes": size, "damaged": []}
    code, out, _ = run("restore", "--from", "one.backup", "--data-dir", "other", "--json")
    assert (code, json.loads(out)["documents"], json.loads(out)["entries"]) == (0, 2, 4)


@pytest.mark.rule("CL60")
def test_verify_tells_each_document_in_a_line(data: Path, run: Run) -> None:
    code, out, _ = run("verify", "--json")
    agrees = {"agrees": True, "states": 1, "first_offset": 1, "difference": None}
    assert code == 0
    assert [json.loads(line) for line in out.splitlines()] == [
        {"document_id": "one", "entries": 1, **agrees},
        {"document_id": "two", "entries": 2, **agrees},
    ]
    with closing(sqlite3.connect(data)) as connection, connection:
        connection.execute("UPDATE updates SET update_bytes = zeroblob(9) WHERE entry_offset = 2")
    code, out, _ = run("verify", "two", "--json")
    told = json.loads(out)
    assert (code, told["agrees"], told["difference"]["offset"]) == (1, False, 2)


@pytest.mark.rule("CL61")
def test_a_bar_on_a_terminal(data: Path) -> None:
    """On stderr, and gone at the end; elsewhere there is none (the other tests see stderr empty)."""
    leader, follower = pty.openpty()
    done = subprocess.run([COWRITE, "verify"], stdout=subprocess.PIPE, stderr=follower, text=True, check=True, timeout=60)
    os.close(follower)
    shown = os.read(leader, 65536).decode()
    os.close(leader)
    assert "verifying" in shown
    assert done.stdout.splitlines() == [
        "'one' agrees: entries replayed: 1, states compared: 1",
        "'two' agrees: entries replayed: 2, states compared: 1",
    ]


@pytest.mark.rule("CL62")
def test_a_shell_is_told_commands_and_options() -> None:
    def completed(line: str) -> list[str]:
        words = {"_COWRITE_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
        answer = subprocess.run([COWRITE], env=os.environ | words, capture_output=True, text=True, check=True, timeout=60)
        return answer.stdout.split()

    assert completed("cowrite ver") == ["verify"]
    assert "--database-url" in completed("cowrite serve --dat")
