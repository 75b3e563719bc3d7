"""Two people write in two windows."""

from __future__ import annotations

from functools import partial

import pytest
from playwright.sync_api import expect

from browser.page_window import Editor, OpenWindow, PageWindow
from browser.two_people import LOWER, UPPER, begin_a_paragraph, converge, letters, type_by_turns

pytestmark = pytest.mark.browser


@pytest.mark.rule("PG1", "PG3", "PG7")
@pytest.mark.parametrize("editor", ["markdown", "rich"])
def test_two_type_at_the_same_time(open_window: OpenWindow, editor: Editor) -> None:
    """What both type at once is in both windows: the same text, and everybody's letters in the order they were typed."""
    ana, bo = open_window(), open_window()
    for window in (ana, bo):
        window.open(f"both {editor}", editor)
        window.focus(editor)
    if editor == "rich":
        begin_a_paragraph(bo, ana)
    type_by_turns(ana, bo)
    text = converge(ana, bo, editor)
    assert letters(text, "[A-Z]") == UPPER.replace(" ", "")
    assert letters(text, "[a-z']") == LOWER.replace(" ", "")

    ana.page.reload()
    ana.is_saved()
    assert ana.read(editor) == text


def shows_list(window: PageWindow) -> bool:
    return window.texts(".ProseMirror ul > li") == ["first", "second"]


@pytest.mark.rule("PG3")
def test_formatting_travels(open_window: OpenWindow) -> None:
    """Bold and a list that one makes are there for the other, and after a reload."""
    ana, bo = open_window(), open_window()
    for window in (ana, bo):
        window.open("formats", "rich")
    ana.focus("rich")
    ana.type("plain ")
    bold = ana.page.get_by_role("button", name="Bold")
    bold.click()
    expect(bold).to_have_attribute("aria-pressed", "true")
    ana.type("strong")
    bold.click()
    ana.page.keyboard.press("Enter")
    ana.page.get_by_role("button", name="Bullet list").click()
    ana.type("first")
    ana.page.keyboard.press("Enter")
    ana.type("second")
    ana.is_saved()
    for window in (ana, bo):
        window.until(partial(shows_list, window))
        assert window.texts(".ProseMirror strong") == ["strong"]
    bo.page.reload()
    bo.until(partial(shows_list, bo))


@pytest.mark.rule("PG1")
def test_the_tabs_are_two_documents(open_window: OpenWindow) -> None:
    """What is typed in one tab is not in the other, and is still there when one comes back."""
    ana = open_window()
    ana.open("two")
    ana.focus()
    ana.type("# only here")
    ana.page.get_by_role("tab", name="Rich text").click()
    ana.focus("rich")
    ana.type("and only here")
    ana.is_saved()
    assert ana.read("rich") == "and only here"
    ana.page.get_by_role("tab", name="Markdown").click()
    ana.shows("# only here")
    assert ana.read() == "# only here"


@pytest.mark.rule("PG3")
@pytest.mark.parametrize("editor", ["markdown", "rich"])
def test_undo_takes_back_ones_own_edits_only(open_window: OpenWindow, editor: Editor) -> None:
    """Undo leaves alone what the other has typed meanwhile."""
    ana, bo = open_window(), open_window()
    for window in (ana, bo):
        window.open(f"undo {editor}", editor)
    ana.focus(editor)
    ana.type("mine ")
    bo.shows("mine", editor)
    bo.focus(editor)
    bo.type("theirs")
    ana.shows("theirs", editor)
    ana.page.keyboard.press("Control+z")
    expect(bo.text(editor)).not_to_contain_text("mine")
    for window in (ana, bo):
        assert window.read(editor).strip() == "theirs"
