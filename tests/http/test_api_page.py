"""docs/api.md is true: its shell session runs with the real curl, its conversation is had, and no code is missing on it.

In what the page shows, ``…`` stands for anything: within a string, as a whole value, as a key (some other key), and as key and
value (further entries). An integer of 13 digits is a time, and stands for any time.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from markdown_it import MarkdownIt
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from cowrite.http import problems
from cowrite.protocol.thin import SUBPROTOCOL
from demo_server import DemoServer
from http_api import SECRET

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"
SOURCES = Path(problems.__file__).resolve().parents[1]
BLOCKS = [(token.info, token.content) for token in MarkdownIt().parse(PAGE.read_text()) if token.type == "fence"]
ADDRESS = "127.0.0.1:8000"
SEPARATOR = "-- the next block --"
ANYTHING = "…"
_TIME = 10**12


def matches(shown: Any, real: Any) -> bool:
    """Whether this is what the page shows."""
    match shown:
        case str():
            pattern = ".*".join(map(re.escape, shown.split(ANYTHING)))
            return shown == ANYTHING or (isinstance(real, str) and re.fullmatch(pattern, real, re.DOTALL) is not None)
        case list():
            if shown == [ANYTHING]:
                return isinstance(real, list)
            return isinstance(real, list) and len(shown) == len(real) and all(map(matches, shown, real))
        case dict():
            return isinstance(real, dict) and _matches_entries(dict(shown), dict(real))
        case int() if shown >= _TIME:
            return isinstance(real, int) and real >= _TIME
        case _:
            return bool(shown == real) and type(shown) is type(real)


def _matches_entries(shown: dict[str, Any], real: dict[str, Any]) -> bool:
    rest = shown.pop(ANYTHING, None)
    if "request_id" not in shown:  # every problem has one
        real.pop("request_id", None)
    if not shown.keys() <= real.keys() or not all(matches(value, real.pop(key)) for key, value in shown.items()):
        return False
    if rest is None or rest == ANYTHING:
        return rest is not None or not real
    return len(real) == 1 and matches(rest, next(iter(real.values())))


def values(text: str) -> list[Any]:
    """The JSON values in a text, one after the other."""
    decoder, found, at = json.JSONDecoder(), [], 0
    text = text.strip()
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        found.append(value)
        at += len(text[at:]) - len(text[at:].lstrip())
    return found


def session() -> list[tuple[str, str, str]]:
    """The commands of the page, with the kind and the text of what it shows behind them; "" when it shows nothing."""
    found = []
    for (kind, text), (next_kind, shown) in zip(BLOCKS, [*BLOCKS[1:], ("", "")], strict=True):
        if kind == "sh":
            found.append((text, next_kind, shown) if next_kind in {"json", "text"} else (text, "", ""))
    return found


@pytest.mark.parametrize(
    ("shown", "real", "same"),
    [
        ("a…c", "abc", True),
        ("a…c", "ab", False),
        (1795839280000, 1895839280000, True),
        (1795839280000, 5, False),
        (5, 5, True),
        (1, True, False),
        ({"a": 1, "…": "…"}, {"a": 1, "b": 2}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"…": 12, "offset": 1}, {"77": 12, "offset": 1}, True),
        ({"…": 12, "offset": 1}, {"offset": 1}, False),
        (["…"], [1, 2], True),
        ([1], [1, 2], False),
    ],
)
def test_what_stands_for_what(shown: Any, real: Any, *, same: bool) -> None:
    """The comparison itself."""
    assert matches(shown, real) is same


@pytest.mark.rule("HT50")
@pytest.mark.skipif(shutil.which("curl") is None, reason="the page's commands need the program curl, which is not installed")
def test_the_commands_do_what_the_page_shows(tmp_path: Path) -> None:
    """One shell runs all of them from top to bottom."""
    commands = session()
    assert sum("curl" in text for text, _, _ in commands) >= 15
    assert not [text for kind, text in BLOCKS if kind not in {"sh", "json", "text", "conversation"}]
    with DemoServer(tmp_path, COWRITE_SECRET=SECRET) as server:
        address = f"127.0.0.1:{server.port}"
        script = f"\necho; echo '{SEPARATOR}'\n".join(text for text, _, _ in commands).replace(ADDRESS, address)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {"PATH": path, "COWRITE_SECRET": SECRET, "no_proxy": "*", "LC_ALL": "C.UTF-8"}
        ran = subprocess.run(
            ["sh", "-eu", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert (ran.returncode, ran.stderr, server.errors()) == (0, "", []), ran.stdout
    outputs = ran.stdout.split(f"\n{SEPARATOR}\n")
    assert len(outputs) == len(commands)
    for (text, kind, shown), output in zip(commands, outputs, strict=True):
        told = f"{text}\nthe page shows\n{shown}\nand it is\n{output}"
        if kind == "json":
            assert matches(values(shown), values(output.replace(address, ADDRESS))), told
        else:
            assert shown.split() == output.split(), told


@pytest.mark.rule("JS1", "JS3", "JS4", "JS6")
async def test_the_conversation_is_had(tmp_path: Path) -> None:
    """Each message of the client is sent, and each of the server comes, in this order."""
    (talk,) = (text for kind, text in BLOCKS if kind == "conversation")
    lines = [(part[0], json.loads(part[1:])) for part in re.split(r"\n(?=[→←])", talk)]
    server = DemoServer(tmp_path)
    await asyncio.to_thread(server.start)
    try:
        url = f"ws://127.0.0.1:{server.port}/api/v2/realtime/ws"
        async with connect(url, subprotocols=[Subprotocol(SUBPROTOCOL)]) as socket:
            for direction, message in lines:
                if direction == "→":
                    await socket.send(json.dumps(message))
                else:
                    real = json.loads(await socket.recv())
                    assert matches(message, real), f"the page shows\n{message}\nand it is\n{real}"
    finally:
        await asyncio.to_thread(server.kill)


@pytest.mark.rule("HT50")
def test_every_code_is_on_the_page(tmp_path: Path) -> None:
    """What the description names, and what refusals in the sources are called, with the status."""
    with DemoServer(tmp_path) as server:
        description = httpx.get(f"{server.url}openapi.json", trust_env=False).json()
    described = {
        (code, status)
        for path, methods in description["paths"].items()
        if path.startswith("/api/")
        for route in methods.values()
        for status, answer in route["responses"].items()
        if status >= "400"
        for code in answer["content"]["application/problem+json"]["schema"]["properties"]["code"]["enum"]
    }
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (\d{3}) \|", PAGE.read_text(), re.MULTILINE)
    listed = {(code, status) for codes, status in rows for code in re.findall(r"\w+", codes)}
    # The routing itself answers these.
    routing = {("not_found", "404"), ("method_not_allowed", "405"), ("upgrade_required", "426")}
    assert listed - routing == described
    refusals = {
        code for source in SOURCES.rglob("*.py") for code in re.findall(r'SubmissionRefused\(\s*"(\w+)"', source.read_text())
    }
    assert len(refusals) > 8
    assert refusals <= {code for code, _ in described}
