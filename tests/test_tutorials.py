"""What tutorials tell their readers to do: it can be read, and all of it exists. tests/browser follows one to its end."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shlex
import shutil
import subprocess
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from scripts.terminal import Failed, Server, Terminal
from scripts.tutorial import Commands, File, Shown, UnreadableTutorial, Window, at_other_ports, matches, ports, read
from typer.main import get_command

from cowrite.cli import app
from node_program import node

ROOT = Path(__file__).resolve().parent.parent
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
OF_THE_SHELL = {"echo", "export", ".", "python3"}
"""What every reader's terminal has."""
OF_A_PACKAGE = {"cowrite": "cowrite", "django": "django-admin", "flask": "flask", "uvicorn": "uvicorn"}
"""The program that a package brings into `.venv/bin`; `python` and `pip` are there."""
OF_TUTORIALS = {"esbuild@0.28.2", "quill-cursors@4.3.0"}
"""Of npm, beside what the examples have: they take Vite, and their npm passes over what y-quill asks of quill-cursors."""


@pytest.fixture(params=TUTORIALS, ids=lambda path: path.stem)
def tutorial(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def typed(tutorial: Path) -> list[list[str]]:
    """All its commands, as words."""
    steps = [step for step in read(tutorial) if isinstance(step, Commands)]
    return [shlex.split(command.replace("\\\n", " ")) for step in steps for command in step.commands]


@pytest.mark.rule("TU2")
def test_its_files_compile(tutorial: Path, tmp_path: Path) -> None:
    for file in (step for step in read(tutorial) if isinstance(step, File)):
        path = tmp_path / Path(file.path).name
        path.write_text(file.text)
        match file.language:
            case "python":
                compile(file.text, file.path, "exec")
            case "js":
                path = path.rename(path.with_suffix(".mjs"))
                subprocess.run([node(), "--check", str(path)], check=True)
            case "php" if shutil.which("php"):
                subprocess.run(["php", "-l", str(path)], check=True, capture_output=True)
            case "php":
                assert file.text.startswith("<?php\n")
            case "html":
                HTMLParser().feed(file.text)
                assert re.search(r"^\{?.*<!doctype html>", file.text)
            case other:
                raise AssertionError(f"{file.path} is of no known language: {other}")


@pytest.mark.rule("TU2")
def test_its_commands_exist(tutorial: Path) -> None:
    """A program is one of the shell, one that was installed before, or one that the page asks its reader to have."""
    there = set(OF_THE_SHELL)
    for words in typed(tutorial):
        program, *rest = words
        assert program in there | {"npm", "php"}, words
        if words[:4] == ["python3", "-m", "venv", ".venv"]:
            there |= {"python", "pip"}
        if program == "pip":
            assert rest[0] == "install"
            names = [name for word in rest[1:] for name in word.strip("]").split("[")]  # cowrite[django] brings Django
            assert [importlib.metadata.version(name) for name in names]
            there |= {OF_A_PACKAGE[name] for name in names if name in OF_A_PACKAGE}
        if program == "npm":
            there.add("npx")
            of_examples = json.loads((ROOT / "examples" / "package.json").read_text())["dependencies"]
            known = {f"{name}@{version}" for name, version in of_examples.items()} | OF_TUTORIALS
            assert (rest[0], set(rest[1:]) - known) == ("install", set())
        if program == "npx":
            assert rest[0] == "esbuild"
        if program == "cowrite":
            _has_options(rest)
        if program == "python" and rest[0] not in {"manage.py"}:
            assert rest[0] in {step.path for step in read(tutorial) if isinstance(step, File)}
    for word in ("npm", "php"):
        wanted = {"npm": "Node 20", "php": "PHP 8"}[word]
        assert (wanted in tutorial.read_text()) == any(words[0] == word for words in typed(tutorial))


def _has_options(arguments: list[str]) -> None:
    """These are arguments of cowrite's command line; what is wrong with them is raised."""
    group: Any = get_command(app)
    group.commands[arguments[0]].make_context(arguments[0], arguments[1:])


@pytest.mark.rule("TU1")
def test_it_ends_in_a_shared_edit(tutorial: Path) -> None:
    steps = read(tutorial)
    typing = [step for step in steps if isinstance(step, Window) and step.text]
    assert len(typing) >= 2
    shown = [step.text for step in steps if isinstance(step, Shown)]
    assert all(step.text is not None and step.text in shown[0] for step in typing)
    assert [step for step in steps if isinstance(step, Commands) and step.stays]


PAGE = """# A page

```python title="a.py"
print(1)
```

```console
$ mkdir one && \\
    cd one
$ X=2
```

1. Open <http://127.0.0.1:8000/> in a window as `Ana`, and
   type `Hello`.
2. Open <http://127.0.0.1:8000/> and type ` you`
3. Open <http://127.0.0.1:8001/> as `Rita`, who may look.

```console title="another terminal"
$ serve
ready at http://127.0.0.1:8002/
```

```text title="all windows show"
Hello you
```
"""


@pytest.mark.rule("TU1")
def test_what_is_read(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    steps = read(page)
    assert steps == [
        File("a.py", "python", "print(1)\n"),
        Commands(("mkdir one && \\\n    cd one", "X=2"), ""),
        Window("http://127.0.0.1:8000/", "Ana", "Hello"),
        Window("http://127.0.0.1:8000/", None, " you"),
        Window("http://127.0.0.1:8001/", "Rita", None),
        Commands(("serve",), "ready at http://127.0.0.1:8002/", stays=True),
        Shown("Hello you"),
    ]
    assert ports(steps) == {8000, 8001, 8002}
    assert at_other_ports("127.0.0.1:8000 and 8000", {8000: 9}) == "127.0.0.1:9 and 8000"


@pytest.mark.rule("TU3")
@pytest.mark.parametrize(
    ("block", "told"),
    [
        ("```python\nprint()\n```", "a block of python without a title"),
        ("```\nprint()\n```", "a block of no language without a title"),
        ("    indented", "an indented block"),
        ("```console\n```", "without a command"),
        ("```console\n$ a\nseen\n$ b\n```", "something is typed after what is seen"),
        ('```console title="elsewhere"\n$ a\n```', "is called 'elsewhere'"),
    ],
)
def test_what_cannot_be_followed(tmp_path: Path, block: str, told: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# A page\n\n{block}\n")
    with pytest.raises(UnreadableTutorial, match=re.escape(told)):
        read(page)


@pytest.mark.rule("TU3")
def test_a_terminal(tmp_path: Path) -> None:
    """It keeps its folder and its variables from one command to the next, and tells what went wrong."""
    environment = {"PATH": os.environ["PATH"]}
    with closing(Terminal(tmp_path, environment)) as terminal:
        terminal.type("mkdir one && cd one\nX=2")
        assert terminal.type('basename "$PWD"; echo "$X"; cat').split() == ["one", "2"]
        with pytest.raises(Failed, match=r"ended with 3:\nwhy\n"):
            terminal.type("(echo why >&2; exit 3)")
        with pytest.raises(Failed, match="the shell ended"):
            terminal.type("exit 1")
    server = Server(Commands(("echo up", "false"), "never", stays=True), tmp_path, environment, tmp_path / "log")
    with closing(server), pytest.raises(Failed, match="ended; it should show\nnever\nand did show\nup"):
        server.wait()


@pytest.mark.rule("TU3")
@pytest.mark.parametrize(
    ("seen", "real", "same"),
    [("", "anything", True), ("a…c", "x\na\nb\nc\n", True), ("a…c", "ca", False), ("a.c", "abc", False), ("…", "", True)],
)
def test_what_is_shown(seen: str, real: str, *, same: bool) -> None:
    assert matches(seen, real) is same
