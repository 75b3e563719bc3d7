"""The history in the demo page: going back, seeing who changed what, versions, restoring."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Route, expect

from browser.axe import violations
from browser.history_window import SOUP, HistoryWindow, SlowLine, ask, write
from browser.page_window import OpenWindow, introduce
from browser.two_people import CARET
from demo_server import DemoServer

pytestmark = pytest.mark.browser


@pytest.mark.rule("PG30", "PG31", "PG32")
def test_going_back(open_window: OpenWindow, server: DemoServer) -> None:
    """The panel comes when it is asked for; wherever its handle is put, the document is shown as it was then."""
    write(server, "back")
    window = open_window()
    loaded: list[str] = []
    window.page.on("request", lambda request: loaded.append(request.url))
    window.open("back")
    history = HistoryWindow(window)
    expect(history.button).to_have_attribute("aria-expanded", "false")
    assert [url for url in loaded if "/panel-" in url] == []
    history.open(4)
    expect(history.button).to_have_attribute("aria-expanded", "true")
    expect(history.moment).to_be_focused()
    expect(history.who).to_have_text("Now, last by Ana Lima")
    expect(window.text("markdown")).to_be_visible()

    box = history.moment.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    window.page.mouse.move(box["x"] + box["width"] - 10, middle)
    window.page.mouse.down()
    window.page.mouse.move(box["x"] + box["width"] / 2, middle, steps=4)
    history.at(2, 4)
    history.shows("# Soup for six\n\nWe need carrots, onions")
    window.page.mouse.up()
    expect(history.who).to_have_text(re.compile(r"^Bo Ek, \d\d:\d\d:\d\d$"))
    expect(history.title).to_have_text(re.compile(r"^As it was, \d\d:\d\d:\d\d$"))
    expect(window.page.locator("#panel-markdown")).to_be_hidden()
    window.type("x")  # it is the past: nothing can be typed into it
    history.go(0)
    expect(history.title).to_have_text("The beginning: nothing is there yet")
    history.shows("")
    expect(history.groups).to_have_count(3)
    history.groups.nth(2).get_by_role("button").click()
    history.shows("# Soup for six\n\nWe need carrots")
    history.panel.get_by_role("button", name="Back to now").click()
    expect(history.past).to_be_hidden()
    assert window.read() == SOUP


@pytest.mark.rule("PG30", "PG31", "PG37")
def test_by_keyboard(open_window: OpenWindow, server: DemoServer) -> None:
    """Arrows go edit by edit, Page Up and Page Down from one person's end to the next; all the rest can be reached."""
    write(server, "keys")
    window = open_window()
    window.open("keys")
    history = HistoryWindow(window)
    press = window.page.keyboard.press
    history.button.focus()
    press("Enter")
    expect(history.moment).to_be_focused()
    history.at(4, 4)
    for key, edit in (
        ("ArrowLeft", 3),
        ("ArrowLeft", 2),
        ("PageUp", 3),
        ("Home", 0),
        ("PageUp", 1),
        ("End", 4),
        ("PageDown", 3),
    ):
        press(key)
        history.at(edit, 4)
    expect(history.moment).to_have_attribute("aria-valuetext", re.compile(r"^Bo Ek, [\d:]+, edit 3 of 4$"))
    panel = history.panel
    stops = [panel.get_by_label("As it was"), *(panel.get_by_role("button", name=name) for name in ("Back", "Restore"))]
    for stop in stops:
        press("Tab")
        expect(stop).to_be_focused()
    press("Enter")
    expect(window.page.get_by_role("dialog", name="Restore this moment?")).to_be_visible()
    press("Escape")  # of the question only
    expect(history.panel.get_by_role("button", name="Restore this moment")).to_be_focused()
    press("Escape")
    expect(history.panel).to_be_hidden()
    expect(history.button).to_be_focused()
    expect(window.text("markdown")).to_be_visible()


@pytest.mark.rule("PG33", "PG34")
def test_a_film(open_window: OpenWindow, server: DemoServer) -> None:
    """It plays when it is told to, over a slow connection too, with one request at a time, and none for what was had."""
    write(server, "film", [("Ana Lima", at, "abcdefghijklmnopqrst"[at]) for at in range(20)])
    window = open_window(reduced_motion="reduce")
    window.open("film")
    history = HistoryWindow(window)
    history.open(20)
    window.page.wait_for_timeout(300)
    history.at(20, 20)
    play, pause = (history.panel.get_by_role("button", name=name) for name in ("Play the history", "Pause"))
    with history.asked() as asked:
        play.click()
        expect(history.past).to_be_visible()
        pause.click()
        history.go(17)
        play.click()
        expect(history.past).to_be_hidden()
        history.at(20, 20)
        expect(play).to_be_visible()
        history.go(17)
        history.shows("abcdefghijklmnopq")
    assert len(asked) == len(set(asked))


@pytest.mark.rule("PG33")
def test_a_slow_connection(open_window: OpenWindow, server: DemoServer) -> None:
    """Of all that is passed over while one state is on its way, only the newest is asked for."""
    write(server, "slow", [("Ana Lima", at, "abcdef"[at]) for at in range(6)])
    window = open_window()
    window.open("slow")
    history = HistoryWindow(window)
    history.open(6)
    history.panel.get_by_label("Changes since").check()
    expect(history.past.locator(".legend")).to_have_text("Nothing was changed.")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    window.page.route(re.compile("/diff"), hold, times=1)
    with history.asked() as asked:
        for edit in (5, 4, 3, 2, 1):
            history.go(edit)
        window.until(lambda: len(held) == 1)
        held[0].continue_()
        expect(history.marks("insert")).to_have_text("bcdef")
    assert [re.findall("from=offset%3A(.)", url) for url in asked] == [["5"], ["1"]]


@pytest.mark.rule("PG35", "PG39")
def test_changes_have_their_authors(open_window: OpenWindow) -> None:
    """What came and what went is told apart without colours, and one can go from change to change and hear whose each is."""
    ana, bo = open_window(), open_window()
    for window in (ana, bo):
        window.open("changes", "rich")
    introduce(ana, "Ana Lima", "Colour 1")
    introduce(bo, "Bo Ek", "Colour 5")
    ana.focus("rich")
    ana.type("Carrots, onions")
    ana.is_saved()
    bo.shows("Carrots, onions", "rich")
    history = HistoryWindow(ana)
    history.button.click()
    expect(history.groups).to_have_count(1)
    ana.page.get_by_label("Name for a version").fill("First")
    ana.page.keyboard.press("Enter")
    expect(history.versions).to_have_count(1)
    bo.focus("rich")
    bo.type(" and a pot")
    bold, words = bo.page.get_by_role("button", name="Bold"), bo.text("rich").locator("p")
    words.dblclick(position={"x": 20, "y": 10})
    bold.click()
    expect(words.locator("strong")).to_have_text("Carrots")  # so the editor knows what is selected
    bo.page.keyboard.press("Backspace")
    bo.until(lambda: bo.read("rich") == ", onions and a pot")
    words.dblclick(position={"x": 30, "y": 10})
    bold.click()
    expect(words.locator("strong")).to_have_text("onions")
    bo.is_saved()
    ana.focus("rich")
    ana.type(".")
    ana.is_saved()
    expect(history.groups).to_have_count(3)

    ana.page.get_by_label("Changes before").check()
    expect(history.title).to_have_text(re.compile(r"^Changes from “First” \([\d:]+\) to now$"))
    expect(history.marks("insert")).to_have_text([" and a pot", "."])
    expect(history.marks("delete")).to_have_text("Carrots")
    expect(history.marks("format")).to_have_text("onions")
    expect(history.marks("insert").first).to_have_css("text-decoration-line", "underline")
    expect(history.marks("delete")).to_have_css("text-decoration-line", "line-through")
    expect(history.marks("insert").first).to_have_css("text-decoration-color", "rgb(11, 114, 174)")
    expect(history.marks("insert").last).to_have_css("text-decoration-color", "rgb(194, 65, 12)")
    expect(history.marks("delete")).to_have_attribute("title", re.compile(r"^Deleted by Bo Ek, \d\d:\d\d$"))
    expect(history.past.locator(".legend li")).to_have_text([re.compile(r"^Bo Ek\+10 .7"), re.compile(r"^Ana Lima\+1")])
    assert violations(ana) == []
    history.marks("delete").click()
    expect(history.past.get_by_role("status")).to_have_text(re.compile(r"^Deleted by Bo Ek, \d\d:\d\d$"))
    history.past.get_by_role("button", name="Previous change").click()
    expect(history.past.get_by_role("status")).to_have_text(re.compile(r"^4 of 4: Inserted by Ana Lima, \d\d:\d\d$"))
    expect(history.past.locator(".past-current")).to_have_text(".")


@pytest.mark.rule("PG36")
def test_versions(open_window: OpenWindow, server: DemoServer) -> None:
    """Moments can be named, found again, renamed and forgotten."""
    write(server, "versions")
    window = open_window()
    window.open("versions")
    history = HistoryWindow(window)
    history.open(4)
    for edit, name in ((4, "Now it is soup"), (1, "Beginning")):
        history.go(edit)
        window.page.get_by_label("Name for a version").fill(name)
        history.panel.get_by_role("button", name="Keep").click()
        expect(history.versions.filter(has_text=name)).to_have_count(1)
    expect(history.panel.locator(".tick.named")).to_have_count(2)
    history.versions.filter(has_text="Now it is").get_by_role("button").first.click()
    history.at(4, 4)
    history.versions.filter(has_text="Beginning").get_by_role("button").first.click()
    history.at(1, 4)
    history.shows("# Soup for six\n\nWe need carrots")
    history.panel.get_by_role("button", name="Rename “Beginning”").click()
    window.page.keyboard.press("Escape")  # the name stays, and so does the panel
    history.panel.get_by_role("button", name="Rename “Beginning”").click()
    window.page.keyboard.insert_text("The start")
    window.page.keyboard.press("Enter")
    expect(history.versions.locator(".name")).to_have_text(["Now it is soup", "The start"])
    expect(history.panel.get_by_role("button", name="Rename “The start”")).to_be_focused()
    history.panel.get_by_role("button", name="Delete “The start”").click()
    window.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(window.page.get_by_label("Name for a version")).to_be_focused()
    expect(history.versions.locator(".name")).to_have_text(["Now it is soup"])
    names = [one["name"] for one in ask(server, "documents/versions.markdown/versions")["versions"]]
    assert names == ["Now it is soup"]


@pytest.mark.rule("PG37")
def test_restoring_while_somebody_writes(open_window: OpenWindow, server: DemoServer) -> None:
    """Everybody sees the moment come back; what they type meanwhile survives, and their caret stays where it was."""
    write(server, "restore")
    ana, bo = open_window(), open_window()
    line = SlowLine(bo)
    for window in (ana, bo):
        window.open("restore")
    introduce(bo, "Bo Ek")
    bo.focus()
    bo.page.keyboard.press("Control+Home")
    for _ in range(len("# Warm Soup")):
        bo.page.keyboard.press("ArrowRight")
    history = HistoryWindow(ana)
    history.open(4)
    history.go(1)
    history.panel.get_by_role("button", name="Restore this moment").click()
    question = ana.page.get_by_role("dialog", name="Restore this moment?")
    expect(question).to_contain_text(re.compile(r"“Ana Lima, [\d:]+”. Everybody who is here sees it change"))
    with line.held():
        bo.type(" today")
        question.get_by_role("button", name="Restore").click()
        expect(history.message).to_contain_text("Restored.")
    for window in (ana, bo):
        window.until(lambda window=window: window.read() == "# Soup today for six\n\nWe need carrots")  # type: ignore[misc]
    bo.type("!")
    ana.until(lambda: "Soup today! for six" in ana.read())
    expect(ana.page.locator(CARET["markdown"])).to_be_visible()

    take_back = history.panel.get_by_role("button", name="Take it back")
    expect(take_back).to_be_focused()
    expect(history.versions.locator(".name")).to_have_text("Before restoring")
    take_back.click()
    bo.shows("carrots, onions and a pot.")
    expect(history.message).to_have_text("Taken back.")
    expect(history.moment).to_be_focused()
    bo.is_saved()
    assert "Warm Soup" in bo.read()


@pytest.mark.rule("PG38")
def test_what_happens_meanwhile(open_window: OpenWindow, server: DemoServer) -> None:
    """What others do arrives while one looks; what cannot be had is said in words, and can be tried again."""
    head = write(server, "live")
    window = open_window()
    window.open("live")
    history = HistoryWindow(window)
    history.open(4)
    history.go(1)
    history.shows("# Soup for six\n\nWe need carrots")
    head = write(server, "live", [("Cy", 0, "Note: ")], head)
    history.at(1, 5)
    expect(history.groups.first).to_contain_text("Cy")
    history.panel.get_by_role("button", name="Back to now").click()
    write(server, "live", [("Cy", 6, "new. ")], head)
    history.at(6, 6)
    window.shows("Note: new. ")

    def fail(route: Route) -> None:
        route.abort("connectionrefused")

    with window.outage():
        window.page.route(re.compile("/diff"), fail)
        history.go(3)
        failure = history.panel.get_by_role("alert")
        expect(failure).to_contain_text("The server cannot be reached now.")
        window.page.unroute(re.compile("/diff"), fail)
        failure.get_by_role("button", name="Try again").click()
        history.shows("# Soup for six\n\nWe need carrots, onions and a pot.\n")
    expect(failure).to_be_empty()


@pytest.mark.rule("PG13", "PG30", "PG38")
def test_the_history_looks(open_window: OpenWindow, server: DemoServer) -> None:
    """Narrow and wide, light and dark, nothing scrolls sideways and axe finds nothing; an empty document has one, too."""
    write(server, "history looks")
    window = open_window(viewport={"width": 360, "height": 720}, reduced_motion="reduce")
    window.open("history looks")
    history = HistoryWindow(window)
    history.open(4)
    window.page.get_by_label("Name for a version").fill("A name")
    window.page.keyboard.press("Enter")
    expect(history.versions).to_have_count(1)
    history.go(1)
    history.panel.get_by_label("Changes since").check()
    expect(history.marks("insert")).to_have_count(2)
    for width, scheme in ((360, "light"), (1100, "dark")):
        window.page.set_viewport_size({"width": width, "height": 720})
        window.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        assert window.page.evaluate("document.documentElement.scrollWidth") == width
        assert violations(window) == []
        window.picture(f"history-{scheme}-{width}")
    window.page.get_by_role("tab", name="Rich text").click()
    expect(history.panel).to_contain_text("None yet.")
    expect(history.who).to_have_text("Nothing is written yet")
    expect(history.panel.get_by_role("button", name="Play the history")).to_be_disabled()
    assert violations(window) == []
