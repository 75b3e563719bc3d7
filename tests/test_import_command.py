"""``cowrite import``: files and folders into documents, and out again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from cowrite import cli

HELLO = "# Grüße 😀\n\n- [x] **done**\n\n| שלום |\n| --- |\n| 1 |"


class Run:
    """Runs ``cowrite`` in this process: its exit code, and what it wrote."""

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
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """In a folder with an empty database."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COWRITE_DATA_DIR", str(tmp_path / "data"))
    made = Run(monkeypatch, capsys)
    assert made("migrate")[0] == 0
    return made


def files(folder: Path, **contents: str | bytes) -> None:
    for name, content in contents.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.rule("EX16", "EX8", "EX9", "CL52")
def test_a_folder(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file is a document, what cannot be read is told, and again nothing is overwritten."""
    folder = tmp_path / "notes"
    files(
        folder,
        a_md=HELLO,
        sub__b_HTML="<p>b <i>c</i></p>",
        sub__c_txt="one\ntwo\n",
        bad_txt=b"a\0",
        picture_png=b"\x89PNG",
    )
    files(folder / ".git", d_md="hidden")
    code, out, err = run("import", "notes", "--by", "ana")
    assert (code, err) == (1, "")
    assert out.splitlines() == [
        "notes/a.md is in the root 'default' of 'a', from offset 1 on",
        "notes/bad.txt was not imported: it holds U+0000, in line 1; no text has one",
        "notes/sub/b.HTML is in the root 'default' of 'sub/b', from offset 1 on",
        "notes/sub/c.txt is in the root 'default' of 'sub/c', from offset 1 on",
    ]
    assert run("export", "a", "--format", "markdown")[1] == HELLO + "\n"
    assert run("export", "sub/c", "--format", "text")[1] == "one\ntwo\n"
    assert "  ana  +3 -0  (1)  import into 'default'" in run("history", "a")[1]
    assert run("verify")[0] == 0

    (folder / "bad.txt").unlink()
    code, out, _ = run("import", "notes", "--json")
    told = [json.loads(line) for line in out.splitlines()]
    assert (code, [one["imported"] for one in told]) == (1, [False] * 3)
    assert "not" not in told[0]["document_id"]
    assert "'default'" in told[0]["reason"]
    code, out, _ = run("import", "notes", "--json", "--prefix", "copy/", "--as", "quill", "--root", "r")
    told = [json.loads(line) for line in out.splitlines()]
    assert (code, [one["document_id"] for one in told]) == (0, ["copy/a", "copy/sub/b", "copy/sub/c"])
    assert told[0] == {
        "file": "notes/a.md",
        "document_id": "copy/a",
        "imported": True,
        "offset": 1,
        "root": "r",
        "left_out": ["table"],
        "version_id": None,
    }
    # The limits are those of the settings.
    monkeypatch.setenv("COWRITE_LIMIT_SOURCE_NODES", "100")
    files(tmp_path, long_txt="a\n" * 101)
    code, out, _ = run("import", "long.txt")
    assert (code, "it has more than 100 nodes" in out) == (1, True)


@pytest.mark.rule("EX16", "EX11", "EX14")
def test_one_file(run: Run, tmp_path: Path) -> None:
    files(tmp_path, a_md="~~one~~", b_md="two", c_bin="x")
    code, out, _ = run("import", "a.md", "--document", "d", "--as", "prosemirror")
    assert (code, out) == (
        0,
        "a.md is in the root 'prosemirror' of 'd', from offset 1 on; without strike, of which the text is there\n",
    )
    code, out, _ = run("import", "b.md", "--document", "d", "--root", "prosemirror", "--mode", "replace")
    assert (code, "from offset 2 on; what was before is version " in out) == (0, True)
    written = run("export", "d", "--format", "prosemirror")[1]
    assert json.loads(written)["content"][0]["type"] == "paragraph"
    (tmp_path / "d.json").write_text(written)
    assert run("import", "d.json", "--document", "json")[0] == 0
    assert run("export", "d", "--format", "yjs", "-o", "d.yjs")[0] == 0
    assert run("import", "d.yjs", "--document", "copy")[:2] == (0, "d.yjs is in 'copy', from offset 1 on\n")
    assert run("export", "copy", "--format", "text")[1] == run("export", "json", "--format", "text")[1] == "two\n"
    code, out, _ = run("import", "c.bin")
    assert (code, out.startswith("c.bin was not imported: its name ends with none of .md,")) == (1, True)
    assert run("import", "c.bin", "--format", "text")[0] == 0
    (tmp_path / "e.yjs").write_bytes(b"\1\2")
    code, out, _ = run("import", "e.yjs", "--json")
    assert (code, "the update was refused" in json.loads(out)["reason"]) == (1, True)
    (tmp_path / "f.md").symlink_to(tmp_path / "data" / "cowrite.sqlite3")
    code, out, _ = run("import", "f.md")
    assert (code, "f.md was not imported: it" in out) == (1, True)
    assert run("import", "b.md", "--document", "d" * 300)[0] == 1


@pytest.mark.rule("EX16", "CL34")
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("x.md",), "there is no file x.md"),
        (("a.md", "--as", "word"), "--as is word; it takes one of tiptap, prosemirror, text, quill"),
        (("a.md", "--mode", "all"), "--mode is all; it takes one of empty, append, replace"),
        (("a.md", "--format", "pdf"), "--format is pdf; it takes one of markdown, html, text, prosemirror, yjs"),
        (("a.md", "--by", ""), "--by"),
        (("a.md", "b.md", "--document", "d"), "--document names the document of one file"),
        ((".", "--document", "d"), "--document names the document of one file"),
        (("empty",), "there is nothing to import in empty: no file that ends in .htm, .html, "),
        (("a.md", "a.txt"), "a.md and a.txt would both become the document 'a'"),
    ],
)
def test_what_is_wrong_is_one_line(run: Run, tmp_path: Path, arguments: tuple[str, ...], reason: str) -> None:
    files(tmp_path, a_md="a", a_txt="a", b_md="b")
    (tmp_path / "empty").mkdir()
    code, out, err = run("import", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"cowrite: {reason}")
