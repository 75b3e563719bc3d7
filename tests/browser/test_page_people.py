"""Carets, names, colours, and who is here."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect
from websockets.sync.client import connect

from browser.page_window import Editor, OpenWindow, introduce
from browser.two_people import CARET, FLAG, avatars
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.messages import AwarenessUpdate
from cowrite.protocol.yjs import encode
from demo_server import DemoServer

pytestmark = pytest.mark.browser

ORANGE, BLUE, GREY = "rgb(194, 65, 12)", "rgb(11, 114, 174)", "rgb(107, 114, 128)"
NONSENSE: list[object] = [
    {},
    {"user": None, "cursor": None},
    {"user": 7, "cursor": 7},
    {"user": {"name": {}, "color": []}, "cursor": {"anchor": {}, "head": {"item": {"client": "x", "clock": {}}}}},
    {"user": {"name": "x" * 5000}, "cursor": {"anchor": {"type": {"client": -1, "clock": 9e99}}, "head": {"tname": 3}}},
]


@pytest.mark.rule("PG4", "PG5", "PG6")
@pytest.mark.parametrize("editor", ["markdown", "rich"])
def test_carets_show_who_writes_where(open_window: OpenWindow, editor: Editor) -> None:
    """The other's caret stands where they write, with their name and colour; a new name and colour show at once."""
    ana, bo = open_window(), open_window()
    for window in (ana, bo):
        window.open(f"carets {editor}", editor)
    introduce(ana, "Ana Lima", "Colour 1")
    ana.focus(editor)
    ana.type("Ana was here")
    flag = bo.page.locator(FLAG[editor])
    expect(flag).to_have_text("Ana Lima")
    expect(flag).to_have_css("background-color", ORANGE)
    beam, text = bo.page.locator(CARET[editor]).bounding_box(), bo.page.get_by_text("Ana was here").bounding_box()
    assert beam is not None
    assert text is not None
    assert abs(beam["y"] + beam["height"] / 2 - (text["y"] + text["height"] / 2)) < 6
    assert beam["x"] > text["x"] + 40

    ana.page.keyboard.press("Shift+Home")
    marked = bo.page.locator(".cm-ySelection, .ProseMirror-yjs-selection, .ProseMirror [style*='background-color']").first
    expect(marked).to_contain_text("Ana was here")

    introduce(ana, "Ana L.", "Colour 5")
    ana.focus(editor)
    expect(flag).to_have_text("Ana L.")
    expect(flag).to_have_css("background-color", BLUE)
    expect(avatars(bo)).to_have_text(["ALAna L."])


@pytest.mark.rule("PG4")
@pytest.mark.parametrize("editor", ["markdown", "rich"])
def test_a_flag_comes_back_while_its_person_writes(open_window: OpenWindow, editor: Editor) -> None:
    """It furls after some seconds, so as not to hide the text; whoever writes on or moves is named again."""
    ana, bo = open_window(), open_window()
    for window in (ana, bo):
        window.open(f"flags {editor}", editor)
    introduce(ana, "Ana Lima")
    ana.focus(editor)
    ana.type("words")
    flag = bo.page.locator(FLAG[editor])
    for key in ("Space", "ArrowLeft", "x"):
        expect(flag).to_have_text("Ana Lima")
        flag.evaluate("(flag) => flag.getAnimations().forEach((animation) => animation.finish())")
        expect(flag).to_have_css("opacity", "0")
        ana.page.keyboard.press(key)
        expect(flag).to_have_css("opacity", "1")


@pytest.mark.rule("PG6")
def test_an_emptied_name(open_window: OpenWindow) -> None:
    """Nobody is nameless: while the field is empty the page says which name stays, and then it is there again."""
    ana = open_window()
    ana.open("nameless")
    introduce(ana, "Ana Lima")
    ana.page.locator("#me").click()
    name, hint = ana.page.get_by_label("Your name"), ana.page.locator("#name-hint")
    name.fill("")
    expect(hint).to_have_text("Without a name you stay “Ana Lima”.")
    ana.page.get_by_role("button", name="Done").click()
    ana.page.locator("#me").click()
    expect(name).to_have_value("Ana Lima")
    expect(hint).to_be_empty()


@pytest.mark.rule("PG5")
def test_who_is_here(open_window: OpenWindow) -> None:
    """Everybody who has one of the two documents in front is listed, with the place when it is the other one; leaving shows."""
    ana, bo, cem = open_window(), open_window(), open_window()
    for window, name in ((ana, "Ana"), (bo, "Bo"), (cem, "Cem")):
        window.open("people")
        introduce(window, name)
    expect(avatars(ana)).to_have_text(["BBo", "CCem"])
    cem.page.get_by_role("tab", name="Rich text").click()
    expect(avatars(ana)).to_have_text(["BBo", "CCem, in Rich text"])
    ana.page.locator("#me").click()
    panel = ana.page.get_by_role("dialog", name="You and the others here")
    expect(panel.get_by_role("listitem")).to_have_text(["BBo", "CCem, in Rich text"])
    bo.page.close()
    expect(panel.get_by_role("listitem")).to_have_text(["CCem, in Rich text"])
    cem.page.close()
    expect(panel).to_contain_text("Nobody yet.")
    expect(avatars(ana)).to_have_count(0)


@pytest.mark.rule("PG6")
def test_a_chosen_name_is_remembered(open_window: OpenWindow) -> None:
    """After a reload, and in another window of the same browser, one is who one chose to be."""
    ana = open_window()
    ana.open("remembered")
    introduce(ana, "Ana Lima", "Colour 5")
    ana.page.reload()
    expect(ana.page.locator("#me")).to_have_text("AL")
    expect(ana.page.locator("#me")).to_have_css("background-color", BLUE)

    other = ana.page.context.new_page()
    other.goto(f"{ana.base}?doc=elsewhere")
    expect(other.locator("#me")).to_have_text("AL")
    expect(other.locator("#me")).to_have_accessible_name(re.compile("Ana Lima .you."))


@pytest.mark.rule("PG6")
def test_newcomers_take_a_free_colour(open_window: OpenWindow) -> None:
    """Two windows of one browser are two people: the second one comes in another colour than the first."""
    ana = open_window()
    ana.open("colours")
    introduce(ana, "Ana")
    second = open_window()
    second.page.add_init_script("""localStorage.setItem('cowrite.identity', '{"name":"Ana","colour":"#c2410c"}')""")
    second.open("colours")
    expect(avatars(second)).to_have_count(1)
    expect(second.page.locator("#me")).not_to_have_css("background-color", ORANGE)
    expect(avatars(ana).locator(".avatar")).not_to_have_css("background-color", ORANGE)


@pytest.mark.rule("PG22")
@pytest.mark.parametrize("editor", ["markdown", "rich"])
def test_a_client_that_announces_nonsense(open_window: OpenWindow, server: DemoServer, editor: Editor) -> None:
    """Whatever another client says of itself, the page goes on, and that client is somebody without a name and a caret."""
    ana = open_window()
    ana.open(f"nonsense-{editor}", editor)
    ana.focus(editor)
    ana.type("before, ")
    ana.is_saved()
    with connect(f"{server.url.replace('http', 'ws')}yjs/nonsense-{editor}.{editor}") as stranger:
        for clock, state in enumerate(NONSENSE, start=1):
            stranger.send(encode(AwarenessUpdate((AwarenessEntry(77, clock, json.dumps(state)),))))
        last = {"user": {"name": "Stranger", "color": "red; position: fixed; inset: 0"}, "cursor": {"anchor": 1, "head": 2}}
        stranger.send(encode(AwarenessUpdate((AwarenessEntry(77, len(NONSENSE) + 1, json.dumps(last)),))))
        expect(avatars(ana)).to_have_text(["SStranger"])
        ana.type("after")
        ana.shows("before, after", editor)
        ana.is_saved()
        expect(ana.page.locator(CARET[editor])).to_have_count(0)
        root = {"tname": "codemirror" if editor == "markdown" else "default", "type": None, "item": None, "assoc": 0}
        placed = last | {"cursor": {"anchor": root, "head": root}}
        stranger.send(encode(AwarenessUpdate((AwarenessEntry(77, len(NONSENSE) + 2, json.dumps(placed)),))))
        expect(ana.page.locator(FLAG[editor])).to_have_text("Stranger")
        expect(ana.page.locator(FLAG[editor])).to_have_css("background-color", GREY)
        expect(ana.page.locator(CARET[editor])).not_to_have_css("position", "fixed")
