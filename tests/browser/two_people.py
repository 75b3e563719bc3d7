"""Two people who write in one document, each in a window of their own, and how they see one another."""

from __future__ import annotations

import re
from itertools import zip_longest

from playwright.sync_api import Locator

from browser.page_window import Editor, PageWindow

CARET = {"markdown": ".cm-ySelectionCaret", "rich": ".caret"}
FLAG = {"markdown": ".cm-ySelectionInfo", "rich": ".caret-name"}
UPPER = "THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG"
LOWER = "a wizard's job is to vex chumps quickly in fog"


def begin_a_paragraph(one: PageWindow, other: PageWindow) -> None:
    """The first letter of rich text comes in a paragraph of its own: two who begin at once may get one each."""
    one.type("-")
    other.shows("-", "rich")
    one.page.keyboard.press("Backspace")
    other.until(lambda: not other.read("rich"))


def type_by_turns(one: PageWindow, other: PageWindow) -> None:
    """Key by key in both windows, without waiting for what the other typed: their edits cross on the way."""
    for upper, lower in zip_longest(UPPER, LOWER, fillvalue=""):
        one.type(upper)
        other.type(lower)


def letters(text: str, pattern: str) -> str:
    return "".join(re.findall(pattern, text))


def converge(one: PageWindow, other: PageWindow, editor: Editor) -> str:
    """Wait until both show the same and all is saved; give the text, in which each may have begun a paragraph of their own."""
    length = len(UPPER) + len(LOWER)

    def have_all() -> bool:
        return all(len(window.read(editor).replace("\n", "")) == length for window in (one, other))

    try:
        one.until(have_all)
    except AssertionError as error:
        raise AssertionError(f"{error}: {one.read(editor)!r} and {other.read(editor)!r} should have {length}") from None
    for window in (one, other):
        window.is_saved()
    assert one.read(editor) == other.read(editor)
    return one.read(editor)


def avatars(window: PageWindow) -> Locator:
    """The others, as the header shows them."""
    return window.page.get_by_role("list", name="Who is here").get_by_role("listitem")
