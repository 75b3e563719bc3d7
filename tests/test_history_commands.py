"""The commands that look at documents' pasts."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pycrdt import Doc, Text

from cowrite import cli
from cowrite.brokers.local import LocalBroker
from cowrite.core.clock import SystemClock
from cowrite.core.records import Cause, CauseKind
from cowrite.stores import open_store
from cowrite.testing.process import Process
from cowrite.testing.records import make_entry, make_version
from cowrite.testing.records import write as keep


async def write(path: Path, document_id: str, *keys: tuple[str, int, str]) -> None:
    """Type into a document: whose key, where, and what."""
    storage = await open_store(f"sqlite:///{path}")
    async with Process(storage, LocalBroker()) as server:
        connections = {}
        for user, index, text in keys:
            if user not in connections:
                connections[user] = await server.join(document_id, user=user)
            client = connections[user].client
            while not client.synced:
                await server.quiet()
                await asyncio.sleep(0.001)  # the database's threads need the interpreter, too
            client.text.insert(index, text)
            while not client.saved:
                await server.quiet()
                await asyncio.sleep(0.001)
    await storage.close()


@pytest.fixture(scope="session")
def two_documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database to copy: writing it takes longer than most tests."""
    path = tmp_path_factory.mktemp("commands") / "cowrite.sqlite3"

    async def write_both() -> None:
        for document_id in ("one", "two"):
            await write(path, document_id, ("ana", 0, "Hello"))
        await write(path, "two", ("bo", 5, " there"))

    asyncio.run(write_both())
    return path


@pytest.fixture
def data(tmp_path: Path, two_documents: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with two documents."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COWRITE_DATA_DIR", str(tmp_path))
    path = tmp_path / "cowrite.sqlite3"
    shutil.copy(two_documents, path)
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
        "'two' agrees: entries replayed: 2, states compared: 1",
    ]


@pytest.mark.rule("VF2")
def test_verify_says_where_it_differs(data: Path, run: Run) -> None:
    connection = sqlite3.connect(data)
    with connection:
        connection.execute(
            """update content_operations set content = '"Hullo"' where document_id = 'two' and entry_offset = 1"""
        )
    connection.close()
    code, out, err = run("verify", "two")
    assert (code, err) == (1, "")
    assert out.startswith("'two' differs at offset 1: its operation 1 is {")


@pytest.mark.rule("VF3")
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("three",), "there is no document 'three' in this database"),
        (("--data-dir", "nowhere"), "there is no database nowhere"),
        (("--database-url", "sqlite:///no/folder/x.db"), "there is no database no/folder/x.db"),
        (("--database-url", "sqlite:///:memory:"), "The database's URL names no file"),
    ],
)
def test_verify_what_is_not_there(arguments: tuple[str, ...], reason: str, data: Path, run: Run) -> None:
    code, out, err = run("verify", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"cowrite: {reason}")
    assert not (data.parent / "no").exists(), "it only reads"


@pytest.mark.rule("CL30")
def test_history_tells_who_did_how_much_and_the_versions(data: Path, run: Run) -> None:
    code, out, err = run("history", "two")
    assert (code, err) == (0, "")
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ  bo", out)
    lines = [line.split("  ", 1)[1] for line in out.splitlines()]
    assert lines == ["bo  +6 -0  (2)", "ana  +5 -0  (1)"]
    assert run("restore", "two", "--to", "1", "--by", "eve")[0] == 0
    lines = [line.split("  ", 1)[1] for line in run("history", "two")[1].splitlines()]
    assert lines[0] == "eve  +0 -6  (3)  restore, back to 1"
    assert lines[1].startswith("version of offset 2, restore, by eve: ")
    assert lines[2:] == ["bo  +6 -0  (2)", "ana  +5 -0  (1)"]
    assert run("verify", "two")[0] == 0


@pytest.mark.rule("CL30")
async def test_history_says_what_the_server_did_and_what_it_leaves_out(data: Path, run: Run) -> None:
    """As moments, its times mean what was made then. Of two who write at the same time each has a line."""
    storage = await open_store(f"sqlite:///{data}")
    causes = {
        3: Cause(CauseKind.RESTORE, 2, root="title"),
        4: Cause(CauseKind.UNDO, 102, after=2, author="vandal"),
    }
    authors = "ana", "bo", "root", "root", "ana", "bo", "ana"
    entries = [
        make_entry(at, author=author, created_at=at * 61_000 - 1, cause=causes.get(at), operations=())
        for at, author in enumerate(authors, 1)
    ]
    await keep(storage.store, "log", *entries)
    marks = [make_version(document_id="log", offset=offset, created_at=9_000) for offset in (2, 4, 4, 6)]
    for mark in marks:
        assert await storage.versions.add(mark)
    await storage.close()
    out = (await asyncio.to_thread(run, "history", "log"))[1].splitlines()
    told = [line for line in out if "  version '" not in line]
    assert told == [
        "1970-01-01 00:05:05-00:07:07Z  ana  +0 -0  (5-7)",
        "1970-01-01 00:06:06Z  bo  +0 -0  (6)",
        "1970-01-01 00:04:04Z  root  +0 -0  (4)  undo of vandal's changes, 3-102",
        "1970-01-01 00:03:03Z  root  +0 -0  (3)  restore of 'title', back to 2",
        "1970-01-01 00:02:02Z  bo  +0 -0  (2)",
        "1970-01-01 00:01:01Z  ana  +0 -0  (1)",
    ]
    assert len(out) == len(told) + 4
    out = (await asyncio.to_thread(run, "history", "log", "--limit", "3"))[1].splitlines()
    assert sum(" of offset 4, named" in line for line in out) == 2
    assert not any(" of offset 2, named" in line for line in out), "it is older than what is told"
    assert out[-1] == "what was before offset 4 is left out; --limit takes more lines"
    (newest, *_) = (await asyncio.to_thread(run, "history", "two"))[1].splitlines()
    assert (await asyncio.to_thread(run, "export", "two", "--at", newest[:20], "--format", "text"))[1] == "Hello there\n"


@pytest.mark.rule("CL30")
@pytest.mark.parametrize(
    ("offset", "where"), [(2, "damaged in the database behind offset 1"), (1, "damaged in the database and cannot be shown")]
)
def test_history_says_where_a_document_is_damaged(offset: int, where: str, data: Path, run: Run) -> None:
    """It tells all the same who wrote what: that is not what is damaged."""
    connection = sqlite3.connect(data)
    with connection:
        connection.execute("update updates set update_bytes = x'00' where entry_offset = ?", [offset])
    connection.close()
    code, out, err = run("history", "two")
    assert (code, len(out.splitlines()), err.count("\n")) == (1, 2, 1)
    assert err.startswith(f"cowrite: warning: the document is {where}")
    assert "`cowrite verify` says what is wrong" in err
    assert "backup" in err
    code, out, err = run("history", "two", "--json")
    damaged = json.loads(out)["damaged"]
    assert (code, err, damaged["offset"]) == (1, "", offset)
    assert f"at offset {offset} is damaged" in damaged["reason"]


@pytest.mark.rule("CL31")
def test_diff_tells_what_changed(data: Path, run: Run) -> None:
    assert run("diff", "two", "1") == (0, "root 'body':\nHello{+ there+} (bo)\n", "")
    assert run("diff", "two", "2", "1")[1] == "root 'body':\nHello[- there-] (bo)\n"
    told = json.loads(run("diff", "two", "1", "--format", "operations")[1])
    assert (told["document_id"], told["from"]["offset"], told["to"]["offset"]) == ("two", 1, 2)
    assert told["operations"][0]["content"] == " there"
    assert json.loads(run("diff", "two", "1", "--format", "json")[1])["roots"][0]["name"] == "body"
    assert "<ins" in run("diff", "two", "1", "--format", "html")[1]
    assert run("diff", "two", "1", "--root", "other")[1] == "nothing has changed\n"


@pytest.mark.rule("CL32")
def test_restore_says_what_became_of_it(data: Path, run: Run) -> None:
    code, out, err = run("restore", "two", "--to", "offset:1")
    assert (code, err) == (0, "")
    found = re.fullmatch(r"'two' is as it was at 1, from offset 3 on; what was before is version ([0-9a-f-]{36})\n", out)
    assert found is not None
    assert run("export", "two", "--format", "text")[1] == "Hello\n"
    assert run("export", "two", "--format", "text", "--at", f"version:{found[1]}")[1] == "Hello there\n"
    assert run("restore", "two", "--to", "1")[1] == "'two' is as it was at 1 already; nothing was changed\n"


@pytest.mark.rule("CL33")
def test_export_writes_a_moment(data: Path, run: Run, tmp_path: Path) -> None:
    assert json.loads(run("export", "two")[1])["content"]["body"] == {"$text": [{"insert": "Hello there"}]}
    assert run("export", "two", "--at", "1", "--format", "html", "--root", "body")[1].count("Hello") == 1
    assert run("export", "two", "--format", "yjs", "-o", str(tmp_path / "two.yjs")) == (0, "", "")
    document: Doc[Any] = Doc()
    document.apply_update((tmp_path / "two.yjs").read_bytes())
    assert str(document.get("body", type=Text)) == "Hello there"


@pytest.mark.rule("CL34")
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("history", "three"), "there is no document 'three' in this database"),
        (("diff", "two", "7"), "this document has no moment '7'"),
        (("diff", "two", "1", "--format", "pdf"), "--format is pdf; it takes one of text, json, operations, html"),
        (("export", "two", "--format", "pdf"), "--format is pdf; it takes one of json, text, html, markdown, prosemirror, yjs"),
        (("export", "two", "-o", "no/such/folder/x"), "no/such/folder/x cannot be written: No such file or directory"),
        (("restore", "two", "--to", "1", "--by", ""), "--by is empty; give it 1 to 255 characters"),
        (("restore", "two", "--to", "1", "--by", "x" * 256), "--by has 256 characters"),
        (("restore", "two", "--to", "1", "--root", "bdoy"), "the document has no root 'bdoy'"),
        (("restore", "two", "--to", "2026-11-28"), "'2026-11-28' is no time that can be looked for"),
        (("restore", "two", "--to", "yesterday"), "this document has no moment 'yesterday'"),
    ],
)
def test_what_is_wrong_is_one_line(arguments: tuple[str, ...], reason: str, data: Path, run: Run) -> None:
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"cowrite: {reason}")


@pytest.mark.rule("CL32")
async def test_a_server_that_runs_meanwhile_sees_a_restore_arrive(data: Path, run: Run) -> None:
    """And whoever is in the document goes on typing."""
    storage = await open_store(f"sqlite:///{data}")
    async with Process(storage, LocalBroker(), clock=SystemClock()) as server:
        ana = await server.join("two", user="ana")
        while not ana.client.synced:
            await server.quiet()
        code, out, err = await asyncio.to_thread(run_apart, data, "restore", "two", "--to", "1")
        assert (code, err) == (0, ""), out
        while str(ana.client.text) != "Hello":
            await server.quiet()
            await asyncio.sleep(0.01)
        ana.client.text.insert(5, "!")
        while not ana.client.saved:
            await server.quiet()
            await asyncio.sleep(0.01)
    await storage.close()


def run_apart(data: Path, *arguments: str) -> tuple[int, str, str]:
    """As a process of its own."""
    environment = os.environ | {"COWRITE_DATA_DIR": str(data.parent)}
    program = [sys.executable, "-c", "from cowrite.cli import main; main()", *arguments]
    answer = subprocess.run(program, capture_output=True, text=True, check=False, env=environment)
    return answer.returncode, answer.stdout, answer.stderr
