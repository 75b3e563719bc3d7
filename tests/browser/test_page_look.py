"""How the page looks and is used: narrow, dark, by keyboard, by screen reader, and without asking anything of others."""

from __future__ import annotations

import re
from typing import Literal

import pytest
from playwright.sync_api import expect

from browser.axe import violations
from browser.page_window import Editor, OpenWindow, PageWindow, introduce

pytestmark = pytest.mark.browser

DESKS: dict[Literal["light", "dark"], str] = {"light": "rgb(236, 235, 230)", "dark": "rgb(18, 19, 23)"}
SENTENCES = (
    "# Notes\n\nSome **bold** words, `code` and a [link](https://example.org).\n\n> a quote\n\n" + "A long line of words. " * 12
)


def fill(window: PageWindow, name: str) -> None:
    """Something to look at in both editors."""
    window.open(name)
    window.focus()
    window.page.keyboard.insert_text(SENTENCES)
    window.is_saved()
    window.page.get_by_role("tab", name="Rich text").click()
    window.focus("rich")
    window.type("## A heading\nSome words, and `code`.\n- a list\n")
    window.page.keyboard.press("Enter")
    window.type("> a quote")
    window.is_saved()


@pytest.mark.rule("PG13")
@pytest.mark.parametrize("width", [375, 1100])
def test_looks(open_window: OpenWindow, width: int) -> None:
    """No width and no colour scheme makes the page scroll sideways or hard to read (WCAG 2.2 AA by axe)."""
    window = open_window(viewport={"width": width, "height": 720}, reduced_motion="reduce")
    fill(window, f"looks {width}")
    for scheme, desk in DESKS.items():
        window.page.emulate_media(color_scheme=scheme)
        for editor, tab in (("rich", "Rich text"), ("markdown", "Markdown")):
            window.page.get_by_role("tab", name=tab).click()
            assert window.page.evaluate("document.documentElement.scrollWidth") == width
            assert violations(window) == []
            window.picture(f"{editor}-{scheme}-{width}")
        window.page.locator("#me").click()
        if width == 375:
            assert violations(window) == []
        window.picture(f"profile-{scheme}-{width}")
        window.page.keyboard.press("Escape")
        expect(window.page.locator("html")).to_have_css("background-color", desk)


@pytest.mark.rule("PG13")
@pytest.mark.parametrize("editor", ["markdown", "rich"])
def test_a_flag_at_the_edge(open_window: OpenWindow, editor: Editor) -> None:
    """In a narrow window the name of somebody who writes at the end of a line makes nothing scroll sideways."""
    ana, bo = open_window(), open_window(viewport={"width": 375, "height": 720})
    for window in (ana, bo):
        window.open(f"edge {editor}", editor)
    introduce(ana, "Anastasia Maximiliana von Lima")
    ana.focus(editor)
    ana.type("i" * 35)
    flag = bo.page.locator(".cm-ySelectionInfo, .caret-name")
    expect(flag).to_have_text("Anastasia Maximiliana von Lima")
    scroller = bo.page.locator({"markdown": ".cm-scroller", "rich": ".page"}[editor])

    def is_beyond_the_edge() -> bool:
        box = flag.bounding_box()
        return box is not None and box["x"] + box["width"] > 375

    bo.until(is_beyond_the_edge)  # when all that was typed is there; else this shows nothing
    scroller.hover()
    bo.page.mouse.wheel(300, 0)
    bo.page.wait_for_timeout(300)
    assert scroller.evaluate("(scroller) => scroller.scrollLeft") == 0


@pytest.mark.rule("PG12")
def test_tabs_by_keyboard(open_window: OpenWindow) -> None:
    """The tabs are one stop of the Tab key; arrows, Home and End choose."""
    window = open_window()
    window.open("keyboard")
    markdown, rich = (window.page.get_by_role("tab", name=name) for name in ("Markdown", "Rich text"))
    window.page.locator("#share").focus()
    window.page.keyboard.press("Tab")
    expect(markdown).to_be_focused()
    for key, chosen, other in (
        ("ArrowRight", rich, markdown),
        ("ArrowRight", markdown, rich),
        ("ArrowLeft", rich, markdown),
        ("Home", markdown, rich),
        ("End", rich, markdown),
    ):
        window.page.keyboard.press(key)
        expect(chosen).to_be_focused()
        expect(chosen).to_have_attribute("aria-selected", "true")
        expect(other).to_have_attribute("aria-selected", "false")
    expect(window.page.get_by_role("tabpanel", name="Rich text")).to_be_visible()
    expect(window.page.get_by_role("tabpanel", name="Markdown")).to_be_hidden()
    assert "editor=rich" in window.page.url
    # Next come the tool bar, one stop as well, and the text; and the text is no trap.
    window.text("rich").wait_for()
    window.page.keyboard.press("Tab")
    expect(window.page.get_by_role("button", name="Bold")).to_be_focused()
    window.page.keyboard.press("ArrowRight")
    expect(window.page.get_by_role("button", name="Italic")).to_be_focused()
    window.page.keyboard.press("Tab")
    expect(window.text("rich")).to_be_focused()
    window.page.keyboard.press("Shift+Tab")
    expect(window.page.get_by_role("button", name="Italic")).to_be_focused()


@pytest.mark.rule("PG12")
def test_the_focus_can_be_seen(open_window: OpenWindow) -> None:
    """Every stop of the Tab key outside the text shows a ring."""
    window = open_window()
    window.open("ring")
    window.page.locator("body").press("Tab")
    for _ in range(5):
        style = "() => { const now = document.activeElement; return [now.id, getComputedStyle(now).outlineStyle] }"
        where, outline = window.page.evaluate(style)
        assert (where, outline) == (where, "solid")
        window.page.keyboard.press("Tab")


@pytest.mark.rule("PG13")
def test_nothing_jumps(open_window: OpenWindow) -> None:
    """Loading, joining, saving and others who come move nothing that is already on the screen, in a narrow window neither."""
    window, crowd = open_window(viewport={"width": 375, "height": 720}), open_window()
    observe = """window.shifts = [];
        new PerformanceObserver((list) => { for (const entry of list.getEntries()) window.shifts.push(entry.value) })
            .observe({ type: 'layout-shift', buffered: true })"""
    window.page.add_init_script(observe)
    window.open("still")
    tops = "() => ['tabs', 'saved', 'link', 'share', 'me'].map((id) => document.getElementById(id).getBoundingClientRect().top)"
    before = window.page.evaluate(tops)
    window.focus()
    window.type("some words")
    window.is_saved()
    window.page.locator("#share").click()
    for _ in range(3):
        crowd.page.context.new_page().goto(f"{crowd.base}?doc=still")
    expect(window.page.locator("#people")).to_have_text(re.compile(r"\+1$"))
    assert window.page.evaluate(tops) == before
    sides = """(parts) => parts.map((part) => document.querySelector(part).getBoundingClientRect())
        .flatMap(({ left, right }) => [left, right])"""
    row = window.page.evaluate(sides, [".mark", "#people .avatar", "#people .more", "#me", "#share"])
    assert row == sorted(row)
    assert sum(window.page.evaluate("() => window.shifts")) < 0.01
    window.picture("crowd")


@pytest.mark.rule("PG14")
def test_the_page_keeps_to_itself(open_window: OpenWindow) -> None:
    """No inline script, a policy that forbids them and other hosts, and nothing loaded from elsewhere."""
    window = open_window()
    loaded: list[str] = []
    window.page.on("request", lambda request: loaded.append(request.url))
    window.open("alone")
    window.page.get_by_role("tab", name="Rich text").click()
    window.text("rich").wait_for()
    assert window.page.locator("script:not([src]), [onclick], [onload]").count() == 0
    policy = window.page.locator("meta[http-equiv=Content-Security-Policy]").get_attribute("content")
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert len(loaded) > 4
    assert [url for url in loaded if not url.startswith(window.base)] == []
