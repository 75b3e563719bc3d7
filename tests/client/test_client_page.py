"""docs/python-client.md is true: its blocks run, one after the other, against a real server; and the example agent answers."""

from __future__ import annotations

import ast
import asyncio
import inspect
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

import cowrite.client
from cowrite.client import connect
from cowrite.client.errors import ClientError
from demo_server import DemoServer
from python_clients import SECRET, token, until

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "python-client.md").read_text()
BLOCKS = [
    "\n" * ((token.map or [0])[0] + 1) + token.content
    for token in MarkdownIt().parse(PAGE)
    if token.type == "fence" and token.info == "python"
]
"""Each at its line of the page, which an error then names."""
AGENT = ROOT / "examples" / "python" / "agent.py"


@pytest.mark.rule("PY40")
async def test_the_page_runs(server: DemoServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"URL": server.url, "TOKEN": token("ana"), "SECRET": SECRET, "asyncio": asyncio}
    assert len(BLOCKS) > 10
    for block in BLOCKS:
        code = compile(block, "docs/python-client.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        running = await asyncio.to_thread(eval, code, names)  # what has no await may block
        if inspect.isawaitable(running):
            await running


@pytest.mark.rule("PY40")
def test_every_exception_is_on_the_page() -> None:
    """Also Refused, from which some are derived."""
    errors = [
        name
        for name in cowrite.client.__all__
        if isinstance(kind := getattr(cowrite.client, name), type) and issubclass(kind, (ClientError, LookupError))
    ]
    assert len(errors) > 10
    assert [name for name in errors if f"`{name}`" not in PAGE] == []


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Where the tests run in the background of a shell, SIGINT is ignored, and children take that over."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.rule("PY40")
async def test_the_agent_answers(server: DemoServer, name: str, interruptible: None) -> None:
    """While somebody goes on typing before it; Ctrl-C ends it without a word."""
    async with connect(server.url, name, token=token("ana")) as doc:
        text = doc.text("text")
        text.append("@agent what is the time?\n\nbelow")
        await doc.saved()
        agent = await asyncio.create_subprocess_exec(
            sys.executable,
            str(AGENT),
            server.url,
            name,
            env={"COWRITE_TOKEN": token("agent"), "PYTHONPATH": str(ROOT / "src")},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert agent.stdout is not None
        assert await agent.stdout.readline() == b"ready\n"
        for number in range(20):
            text.insert(0, f"{number} ")
            await asyncio.sleep(0.01)
        text.append("\n@agent and 😀?\n")
        answers = [f"> You asked “{asked}”, and I am only an example. \n" for asked in ("what is the time?", "and 😀?")]
        await until(lambda: all(answer in str(text) for answer in answers))
        typed = "".join(f"{number} " for number in reversed(range(20)))
        assert str(text) == f"{typed}@agent what is the time?\n{answers[0]}\nbelow\n@agent and 😀?\n{answers[1]}"
        assert [state["user"]["name"] for state in doc.awareness.states.values()] == ["Agent"]
        agent.send_signal(signal.SIGINT)
        assert await agent.communicate() == (b"", b"")
        assert agent.returncode == 0
