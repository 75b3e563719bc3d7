"""One window of the demo page, as a person sees it: what is typed, what is shown, and what the browser complained of."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import urlencode

from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page, Request, expect

Editor = Literal["markdown", "rich"]

LOST_CONNECTION = re.compile(
    r"WebSocket connection to '\S+' failed|WebSocket connection .* closed"
    r"|status of (401|502|503)"
    r"|ERR_(CONNECTION_(REFUSED|RESET|CLOSED)|CONTENT_LENGTH_MISMATCH|EMPTY_RESPONSE|INTERNET_DISCONNECTED|SOCKET_NOT_CONNECTED)"
)
SCREENSHOTS = Path(__file__).resolve().parents[2] / "test-results" / "page"


class PageWindow:
    """A window with its own storage: another person. It fails its test by what it collects in ``complaints``."""

    def __init__(self, context: BrowserContext, base: str) -> None:
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.base = base
        self._outage = False
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"page error: {error}"))
        self.page.on("request", self._request)

    def open(self, name: str, editor: Editor = "markdown", *, settled: bool = True) -> None:
        """Open a document, and wait until the editor is there and, unless told otherwise, everything is saved."""
        self.page.goto(f"{self.base}?{urlencode({'doc': name, 'editor': editor})}")
        self.text(editor).wait_for()
        if settled:
            self.is_saved()

    def text(self, editor: Editor) -> Locator:
        return self.page.locator("#panel-markdown .cm-content" if editor == "markdown" else "#panel-rich .ProseMirror")

    def read(self, editor: Editor = "markdown") -> str:
        """The text, line by line."""
        return "\n".join(
            self.texts("#panel-markdown .cm-line" if editor == "markdown" else "#panel-rich .ProseMirror :is(p, h1, h2, h3)")
        )

    def texts(self, selector: str) -> list[str]:
        """The texts of some elements of an editor, without the flags of the others' carets."""
        strip = """(all) => all.map((one) => {
            const copy = one.cloneNode(true)
            copy.querySelectorAll('.cm-ySelectionCaret, .caret').forEach((caret) => caret.remove())
            return copy.textContent.replaceAll('\\u2060', '')
        })"""
        found: list[str] = self.page.locator(selector).evaluate_all(strip)
        return found

    def focus(self, editor: Editor = "markdown") -> None:
        """Put the caret at the end of the text."""
        self.text(editor).focus()
        self.page.keyboard.press("Control+End")

    def type(self, text: str) -> None:
        self.page.keyboard.type(text)

    def shows(self, text: str, editor: Editor = "markdown") -> None:
        expect(self.text(editor)).to_contain_text(text)

    def is_saved(self) -> None:
        expect(self.page.locator("#saved")).to_have_attribute("data-state", "saved")
        expect(self.page.locator("#saved-words")).to_have_text("Saved")

    def link(self, state: str, *, seconds: float = 10) -> None:
        expect(self.page.locator("#link")).to_have_attribute("data-state", state, timeout=seconds * 1000)

    def until(self, condition: Callable[[], bool], *, seconds: float = 10) -> None:
        """Wait for what no locator can say."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"still not so after {seconds} s"
            self.page.wait_for_timeout(50)

    def picture(self, name: str) -> None:
        """A screenshot, for people to look at."""
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    @contextmanager
    def outage(self) -> Iterator[None]:
        """While the server is away, the browser's own words about it are no complaint; some come when it is back already: a
        server of the demo does not know the sessions of the one before.
        """
        self._outage = True
        yield
        if not self.page.is_closed():
            self.page.wait_for_timeout(300)
        self._outage = False

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not (self._outage and LOST_CONNECTION.search(message.text)):
            self.complaints.append(f"console {message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.base, "data:", "blob:")):
            self.complaints.append(f"request to another place: {request.url}")


class OpenWindow(Protocol):
    """Makes a window on the test's server, or at ``base``. Other keywords are those of Playwright's ``new_context``."""

    def __call__(self, base: str | None = None, **options: Any) -> PageWindow: ...


def introduce(window: PageWindow, name: str, colour: str = "Colour 1") -> None:
    """Give oneself a name and a colour, as a person would."""
    window.page.locator("#me").click()
    window.page.get_by_label("Your name").fill(name)
    window.page.get_by_label(colour, exact=True).check()
    window.page.get_by_role("button", name="Done").click()
    expect(window.page.locator("#profile")).to_be_hidden()
