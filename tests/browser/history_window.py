"""A window in which the history is open; and documents that have one."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from playwright.sync_api import Locator, Request, expect

from browser.page_window import Editor, PageWindow
from demo_server import DemoServer

STORY = (
    ("Ana Lima", 0, "# Soup for six\n\nWe need carrots"),
    ("Bo Ek", 31, ", onions"),
    ("Bo Ek", 39, " and a pot.\n"),
    ("Ana Lima", 2, "Warm "),
)
"""Who inserts what where."""
SOUP = "# Warm Soup for six\n\nWe need carrots, onions and a pot.\n"


def ask(server: DemoServer, path: str, body: Any = None, *, author: str = "Ana Lima") -> Any:
    """Ask the API in a guest's name."""
    request = urllib.request.Request(f"{server.url}api/v2/{path}", headers={"Authorization": f"Bearer guest-{quote(author)}"})
    if body is not None:
        request.add_header("Content-Type", "application/json")
        request.data = json.dumps(body).encode()
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def write(server: DemoServer, name: str, story: Iterable[tuple[str, int, str]] = STORY, base: str | None = None) -> str:
    """Insert into the Markdown of a document, one entry each; give the id of the last one."""
    for author, position, content in story:
        operation = {"type": "insert", "position": ["codemirror", position], "content": content}
        body = {"document_id": f"{name}.markdown", "base": base, "operations": [operation]}
        base = ask(server, "realtime/operations", body, author=author)["head"]
    assert base is not None
    return base


class HistoryWindow:
    """The history in a window of the page."""

    def __init__(self, window: PageWindow) -> None:
        page = window.page
        self.window = window
        self.button = page.get_by_role("button", name="History", exact=True)
        self.panel = page.get_by_role("complementary", name="History")
        self.moment = page.get_by_role("slider", name="Moment")
        self.past = page.get_by_role("region", name="The document at another moment")
        self.title = self.past.locator(".title")
        self.who = self.panel.locator(".who")
        self.message = self.panel.get_by_role("status")
        self.versions = self.panel.locator(".versions li")
        self.groups = self.panel.locator(".activity li")

    def open(self, edits: int) -> None:
        """Open it, and wait until it tells of so many edits."""
        self.button.click()
        self.at(edits, edits)

    def at(self, edit: int, edits: int) -> None:
        """The handle is there."""
        expect(self.panel.locator(".place")).to_have_text(f"edit {edit} of {edits}")

    def go(self, edit: int) -> None:
        """Put the handle there, as when it is dragged."""
        self.moment.fill(str(edit))

    def shows(self, text: str, editor: Editor = "markdown") -> None:
        """This is the text in the editor's place."""
        selector = ".past .cm-line" if editor == "markdown" else ".past .ProseMirror > *"
        self.window.until(lambda: "\n".join(self.window.page.locator(selector).all_text_contents()) == text)

    def marks(self, kind: str) -> Locator:
        """What is marked in the text: ``insert``, ``delete`` or ``format``."""
        return self.past.locator(f".past-{kind}")

    @contextmanager
    def asked(self) -> Iterator[list[str]]:
        """What is asked for of the document's states, in order; fails when two are under way at once."""
        page, asked, under_way = self.window.page, list[str](), set[Request]()
        too_many: list[str] = []

        def begin(request: Request) -> None:
            if "/diff?" in request.url:
                asked.append(request.url)
                under_way.add(request)
                too_many.extend(request.url for _ in range(len(under_way) - 1))

        def end(request: Request) -> None:
            under_way.discard(request)

        page.on("request", begin)
        page.on("requestfinished", end)
        yield asked
        page.remove_listener("request", begin)
        page.remove_listener("requestfinished", end)
        assert too_many == []
