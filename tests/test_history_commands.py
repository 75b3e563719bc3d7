"""The commands that look at documents' pasts."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import pytest

from cowrite import cli
from cowrite.brokers.local import LocalBroker
from cowrite.stores import open_store
from cowrite.testing.process import Process


@pytest.fixture
async def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with two documents."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COWRITE_DATA_DIR", str(tmp_path))
    path = tmp_path / "cowrite.sqlite3"
    storage = await open_store(f"sqlite:///{path}")
    async with Process(storage, LocalBroker()) as server:
        for document_id in ("one", "two"):
            ana = await server.join(document_id)
            ana.client.text.insert(0, "Hello")
            while not ana.client.saved:
                await server.quiet()
    await storage.close()
    return path


class Run:
    """Runs the command line in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch = monkeypatch
        self.capsys = capsys

    def __call__(self, *arguments: str) -> tuple[object, str, str]:
        self.monkeypatch.setattr(sys, "argv", ["cowrite", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        written = self.capsys.readouterr()
        return caught.value.code, written.out, written.err


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(monkeypatch, capsys)


@pytest.mark.rule("VF1", "VF3")
def test_verify_all_documents(data: Path, run: Run) -> None:
    code, out, err = run("verify")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "'one' agrees: entries replayed: 1, states compared: 1",
        "'two' agrees: entries replayed: 1, states compared: 1",
    ]


@pytest.mark.rule("VF2")
def test_verify_says_where_it_differs(data: Path, run: Run) -> None:
    connection = sqlite3.connect(data)
    with connection:
        connection.execute("""update content_operations set content = '"Hullo"' where document_id = 'two'""")
    connection.close()
    code, out, err = run("verify", "two")
    assert (code, err) == (1, "")
    assert out.startswith("'two' differs at offset 1: its operations are")


@pytest.mark.rule("VF3")
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("three",), "there is no document 'three' in this database"),
        (("--data-dir", "nowhere"), "there is no database nowhere"),
    ],
)
def test_verify_what_is_not_there(arguments: tuple[str, ...], reason: str, data: Path, run: Run) -> None:
    code, out, err = run("verify", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"cowrite: {reason}")
