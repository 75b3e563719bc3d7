"""Stock editors in two windows each, as the pages of examples/ set them up."""

from __future__ import annotations

import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

import pytest
from playwright.sync_api import Page, expect

from browser.example_pages import served
from browser.page_window import OpenWindow, PageWindow
from demo_server import DemoServer

pytestmark = pytest.mark.browser


@dataclass(frozen=True)
class Example:
    """How a person finds what is on the page of one editor."""

    name: str
    field: str
    """What is clicked on to type."""
    caret: str | None = None
    """Another person's caret, where the editor shows it; it is no part of the text."""
    bold: str | None = None
    item: str | None = None
    """An item of a list; both where the editor has such things."""
    shown: str | None = None
    """Where the text can be read, if not in the field."""
    redo: str = "Control+y"
    """The keys for it, beside Control+Shift+Z."""

    def text(self, page: Page) -> str:
        """What can be read, without blanks: editors show them differently."""
        shown: str = page.locator(self.shown or self.field).first.evaluate(
            """(field, caret) => {
                if (field.tagName === 'TEXTAREA') return field.value
                const copy = field.cloneNode(true)
                if (caret) copy.querySelectorAll(caret).forEach((one) => one.remove())
                return copy.textContent
            }""",
            self.caret,
        )
        return "".join(shown.replace("\u2060", "").replace("\ufeff", "").replace("\u200b", "").split())


EXAMPLES = [
    Example("tiptap", ".ProseMirror", ".collaboration-carets__caret", "strong", "ul li"),
    Example("codemirror", ".cm-content", ".cm-ySelectionCaret"),
    Example("quill", ".ql-editor", ".ql-cursor", "strong", "li[data-list=bullet]", redo="Control+Shift+Z"),
    Example("lexical", "[contenteditable]", "body > div > span[style*='width: 1px']", "strong", "ul li"),
    Example("blocknote", ".ProseMirror", ".bn-collaboration-cursor__base", "strong", "[data-content-type=bulletListItem]"),
    Example("monaco", ".monaco-editor textarea", ".yRemoteSelectionHead", shown=".view-lines"),
    Example("textarea", "textarea"),
]

MIDDLE = "\U0001f30dup,Bo\U0001f389,mid\U0001f34fdle,Hello\U0001f600Ana\U0001f468\u200d\U0001f469\u200d\U0001f467!"
"""What both have after the first part."""


@pytest.fixture(scope="package")
def example_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoServer]:
    with DemoServer(tmp_path_factory.mktemp("examples")) as server:
        yield server
        server.stop()


@pytest.fixture(scope="package")
def pages(example_server: DemoServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(example_server.url, tmp_path_factory.mktemp("vite") / "vite.log") as url:
        yield url


@pytest.mark.rule("ED1", "ED2", "ED3", "ED4")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_two_windows(example: Example, example_server: DemoServer, pages: str, open_window: OpenWindow) -> None:
    ana = opened(open_window(pages), example)
    at_the_end(ana, example)
    ana.type("Hello\U0001f600")
    ana.until(lambda: example.text(ana.page) == "Hello\U0001f600")
    bo = opened(open_window(pages), example)
    both(example, ana, bo, "Hello\U0001f600")

    at_both_ends(example, ana, bo, "Ana\U0001f468\u200d\U0001f469\u200d\U0001f467!", "Bo\U0001f389,")
    both(example, ana, bo, "Bo\U0001f389,Hello\U0001f600Ana\U0001f468\u200d\U0001f469\u200d\U0001f467!")
    in_the_middle(example, ana, bo)
    formats(example, ana, bo)
    undoes(example, ana, bo)

    before = example.text(bo.page)
    opened(ana, example)
    both(example, ana, bo, before)

    with ana.outage(), bo.outage():
        example_server.stop()
        at_both_ends(example, ana, bo, "offlineA\U0001f319", "offlineB\u2600")
        at_the_beginning(ana, example)  # where Bo has typed, and neither has seen the other's
        ana.type("there\U0001f319too,")
        example_server.start()
        both(example, ana, bo, "offlineA\U0001f319")
        both(example, ana, bo, "offlineB\u2600")
        both(example, ana, bo, "there\U0001f319too,")
    text = example.text(ana.page)
    words = [MIDDLE, "kept,", "again", "offlineA\U0001f319", "offlineB\u2600", "there\U0001f319too,"]
    assert {word: text.count(word) for word in words} == dict.fromkeys(words, 1)
    assert example.text(bo.page) == text
    for window in (ana, bo):
        shows_formats(example, window)
    # It is shown to others before it is on disk.
    ana.until(lambda: on_disk(example_server, f"examples/{example.name}") == text)
    assert example_server.errors() == []


def opened(window: PageWindow, example: Example) -> PageWindow:
    window.page.goto(f"{window.base}{example.name}/index.html")
    window.page.locator(example.field).first.wait_for(state="attached")
    return window


def at_the_end(window: PageWindow, example: Example) -> None:
    move(window, example, "Control+End")


def at_the_beginning(window: PageWindow, example: Example) -> None:
    move(window, example, "Control+Home")


def move(window: PageWindow, example: Example, key: str) -> None:
    """Move the caret, and wait until the editor knows: browsers tell of it later, and ProseMirror moves the caret back when
    somebody else's comes in between.
    """
    window.page.locator(example.field).first.focus()
    window.page.keyboard.press(key)
    window.page.evaluate("() => new Promise(told => requestAnimationFrame(() => setTimeout(told, 50)))")


def at_both_ends(example: Example, ana: PageWindow, bo: PageWindow, ending: str, beginning: str) -> None:
    at_the_end(ana, example)
    at_the_beginning(bo, example)
    in_turns(ana, ending, bo, beginning)


def in_turns(ana: PageWindow, word: str, bo: PageWindow, other_word: str) -> None:
    """Both type where their carets are, key by key, without waiting for one another."""
    for key, other in zip_longest(word, other_word, fillvalue=""):
        ana.type(key)
        bo.type(other)


def in_the_middle(example: Example, ana: PageWindow, bo: PageWindow) -> None:
    """Bo types inside of the text, while Ana moves it along: his caret stays where it was in the text, and so does hers."""
    at_the_beginning(bo, example)
    for _ in "Bo\U0001f389,":
        move(bo, example, "ArrowRight")
    at_the_beginning(ana, example)
    in_turns(ana, "\U0001f30dup,", bo, "mid\U0001f34fdle,")
    both(example, ana, bo, MIDDLE)


def both(example: Example, ana: PageWindow, bo: PageWindow, text: str) -> None:
    """Wait until both show that, and the same."""
    try:
        ana.until(lambda: text in example.text(ana.page) == example.text(bo.page), seconds=20)
    except AssertionError as error:
        complaints = ana.complaints + bo.complaints
        raise AssertionError(
            f"{error}, {complaints}: {text!r} in {example.text(ana.page)!r} and {example.text(bo.page)!r}"
        ) from None


def formats(example: Example, ana: PageWindow, bo: PageWindow) -> None:
    """Carets, bold and a list, where the editor has them."""
    at_the_end(ana, example)
    if example.caret is not None:
        expect(bo.page.locator(example.caret).first).to_be_attached()
    if example.bold is None or example.item is None:
        return
    ana.page.keyboard.press("Enter")
    ana.page.keyboard.press("Control+b")
    ana.type("bold")
    ana.page.keyboard.press("Control+b")
    ana.page.keyboard.press("Enter")
    ana.type("- item")
    for window in (ana, bo):
        shows_formats(example, window)


def shows_formats(example: Example, window: PageWindow) -> None:
    if example.bold is not None and example.item is not None:
        expect(window.page.locator(example.bold).first).to_contain_text("bold")
        expect(window.page.locator(example.item).first).to_contain_text("item")


def undoes(example: Example, ana: PageWindow, bo: PageWindow) -> None:
    """Each takes back what he typed last, and not what the other typed before or after it, and puts it there again."""
    ana.page.wait_for_timeout(1100)  # what is typed without a pause is taken back together
    at_the_end(ana, example)
    ana.type("again")
    both(example, ana, bo, "again")
    at_the_beginning(bo, example)
    bo.type("kept,")
    both(example, ana, bo, "kept,")
    text = example.text(ana.page)
    for window, word, redo in ((ana, "again", example.redo), (bo, "kept,", "Control+Shift+Z")):
        window.page.locator(example.field).first.focus()
        window.page.keyboard.press("Control+z")
        is_shown(example, ana, bo, text.replace(word, ""))
        window.page.keyboard.press(redo)
        is_shown(example, ana, bo, text)


def is_shown(example: Example, ana: PageWindow, bo: PageWindow, text: str) -> None:
    """Wait until both show that and nothing else."""
    both(example, ana, bo, text)
    assert example.text(ana.page) == text


def on_disk(server: DemoServer, name: str) -> str:
    """The text that the server has, without blanks."""
    address = f"{server.url}api/v2/documents/{urllib.parse.quote(name, safe='')}?format=text"
    with urllib.request.urlopen(address, timeout=10) as answer:
        text: str = answer.read().decode()
    return "".join(text.split())
