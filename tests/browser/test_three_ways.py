"""A Yjs editor in a browser, a client of the JSON socket, and one that has nothing but curl, in one document."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import subprocess
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import pytest

from browser.page_window import OpenWindow
from cowrite.testing.model import Model
from cowrite.testing.transport_contract.operations import JsonClient
from demo_server import DemoServer
from timing import MS

pytestmark = pytest.mark.browser

DOCUMENT = "three ways.markdown"
ROOT = "codemirror"
TYPED, SPOKEN, CURLED = "a yjs editor types this without waiting", "0123456789" * 3, "CURL AND NOTHING ELSE"
LENGTH = len(TYPED) + len(SPOKEN) + len(CURLED)
SECONDS = 20_000 * MS
JSON = {"content-type": "application/json"}


def text_of(model: Model) -> str:
    delta: list[dict[str, str]] = model.state.get(ROOT, {}).get("$text", [])
    return "".join(piece["insert"] for piece in delta)


def insertion(letter: str, into: str, chance: random.Random) -> dict[str, Any]:
    return {"type": "insert", "position": [ROOT, chance.randint(0, len(into))], "content": letter}


async def speak(url: str) -> str:
    """Write by the JSON socket, letter by letter at any place, until all three have finished; give the text."""
    client = await JsonClient.connect(url.rstrip("/").replace("http", "ws"), DOCUMENT, access_token=None)
    chance = random.Random(1)
    for letter in SPOKEN:
        client.write(insertion(letter, text_of(client.model), chance))
        await client.expect("acknowledged")
    while len(text_of(client.model)) < LENGTH:
        await client.expect("operations")
    await client.socket.close()
    return text_of(client.model)


class Curl:
    """A client that keeps the text by replaying what polls tell, and sends JSON."""

    def __init__(self, url: str) -> None:
        self.model = Model()
        self._url = f"{url}api/v2/realtime/"
        self._head: str | None = None

    def write(self, operation: dict[str, Any]) -> None:
        answer = self._ask("operations", {"document_id": DOCUMENT, "base": self._head, "operations": [operation]})
        self._take(answer["since_base"], answer["head"])

    def poll(self, wait: float) -> None:
        query = {"document_id": DOCUMENT, "wait": wait} | ({"last_operation": self._head} if self._head else {})
        answer = self._ask(f"poll?{urlencode(query)}")
        self._take(answer["operations"], answer["head"])

    def _take(self, operations: list[dict[str, Any]], head: str | None) -> None:
        for operation in operations:
            self.model.apply(operation)
        self._head = head

    def _ask(self, path: str, value: object = None) -> Any:
        """By the program curl where there is one."""
        url, body = self._url + path, None if value is None else json.dumps(value)
        if (program := shutil.which("curl")) is None:
            request = urllib.request.Request(url, None if body is None else body.encode(), JSON)
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return json.load(answer)
        command = [program, "--silent", "--show-error", "--fail-with-body", "--noproxy", "*", url]
        if body is not None:
            command += ["--header", "content-type: application/json", "--data-binary", body]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)


def curl(url: str) -> str:
    """Write and poll by turns, until all three have finished; give the text."""
    client, chance = Curl(url), random.Random(2)
    for letter in CURLED:
        client.poll(0)
        client.write(insertion(letter, text_of(client.model), chance))
    while len(text_of(client.model)) < LENGTH:
        client.poll(1)
    return text_of(client.model)


@pytest.mark.rule("PG29")
def test_three_ways_into_one_document(server: DemoServer, open_window: OpenWindow) -> None:
    """All write at the same time, at places that move under them; at the end all have the same, and every letter once."""
    window = open_window()
    window.open("three ways")
    window.focus()
    with ThreadPoolExecutor(2) as others:
        speaking = others.submit(lambda: asyncio.run(asyncio.wait_for(speak(server.url), SECONDS)))
        curling = others.submit(curl, server.url)
        window.page.keyboard.type(TYPED, delay=20)
        window.until(lambda: len(window.read()) == LENGTH, seconds=SECONDS)
        window.is_saved()
        text = window.read()
        assert [speaking.result(SECONDS), curling.result(SECONDS)] == [text, text]
    assert sorted(text) == sorted(TYPED + SPOKEN + CURLED)
    window.page.reload()
    window.is_saved()
    assert window.read() == text
