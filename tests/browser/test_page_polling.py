"""The page where WebSockets do not get through, beside windows where they do."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from browser.axe import violations
from browser.page_window import Editor, OpenWindow, PageWindow, introduce
from browser.proxy import Proxy
from browser.two_people import CARET, FLAG, LOWER, UPPER, avatars, begin_a_paragraph, converge, letters, type_by_turns
from demo_server import DemoServer

pytestmark = pytest.mark.browser

FORBIDDEN = "window.WebSocket = class { constructor() { throw new DOMException('not here', 'SecurityError') } }"


@pytest.fixture
def proxy(server: DemoServer) -> Iterator[Proxy]:
    """The way to the server that lets no WebSocket through."""
    with Proxy(server.port, sockets="refuse") as between:
        yield between


def behind_a_proxy(proxy: Proxy, open_window: OpenWindow) -> PageWindow:
    return open_window(base=proxy.url)


def forbidden(proxy: Proxy, open_window: OpenWindow) -> PageWindow:
    window = open_window()
    window.page.add_init_script(FORBIDDEN)
    return window


def closed(proxy: Proxy, open_window: OpenWindow) -> PageWindow:
    window = open_window()
    window.page.route_web_socket(re.compile("/yjs/"), lambda route: route.close(code=1006))
    return window


@pytest.mark.rule("PG23", "PG24", "PG28")
@pytest.mark.parametrize(("editor", "blocked"), [("markdown", behind_a_proxy), ("rich", forbidden), ("markdown", closed)])
def test_two_type_at_the_same_time(
    proxy: Proxy, open_window: OpenWindow, editor: Editor, blocked: Callable[[Proxy, OpenWindow], PageWindow]
) -> None:
    """One by polling, one by a socket: both see all letters, each other's caret and name, "Saved", and at once who leaves."""
    ana, bo = blocked(proxy, open_window), open_window()
    with ana.outage():
        for window in (ana, bo):
            window.open(f"polling {editor} {blocked.__name__}", editor)
            window.focus(editor)
        ana.link("slow")
        bo.link("live")
        expect(ana.page.locator("#link")).to_have_text("Live, slow connection")
        if editor == "rich":
            begin_a_paragraph(bo, ana)
        type_by_turns(ana, bo)
        text = converge(ana, bo, editor)
        assert letters(text, "[A-Z]") == UPPER.replace(" ", "")
        assert letters(text, "[a-z']") == LOWER.replace(" ", "")
        introduce(ana, "Ana Lima")
        introduce(bo, "Bo")
        for window, name in ((ana, "Bo"), (bo, "Ana Lima")):
            expect(avatars(window).locator(".aside")).to_have_text([name])
        for window, other in ((ana, bo), (bo, ana)):
            other.focus(editor)
            expect(window.page.locator(CARET[editor])).to_have_count(1)
        expect(ana.page.locator(FLAG[editor])).to_have_text("Bo")
        ana.picture(f"polling-{editor}")
        ana.page.close()
    expect(avatars(bo)).to_have_count(0)  # within 10 s: the session has ended, it is not that nothing was heard for 30 s
    bo.page.reload()
    bo.is_saved()
    assert bo.read(editor) == text


@pytest.mark.rule("PG23")
def test_sockets_that_never_open(proxy: Proxy, open_window: OpenWindow) -> None:
    """A proxy that takes upgrades and never answers them delays the first edit by 2 s."""
    proxy.sockets = "swallow"
    window = open_window(base=proxy.url)
    began = time.monotonic()
    with window.outage():
        window.open("never open", settled=False)
        window.focus()
        window.type("typed at once")
        window.link("slow")
        window.is_saved()
        print(f"\nno socket opens: the first edit is saved after {time.monotonic() - began:.1f} s")
        assert time.monotonic() - began > 2, "else this shows nothing"


@pytest.mark.rule("PG23", "PG8", "PG9")
def test_offline_while_polling(proxy: Proxy, open_window: OpenWindow) -> None:
    """Some seconds without a network: what is typed meanwhile is kept, said to be so, and with the others afterwards."""
    ana, bo = open_window(base=proxy.url), open_window()
    with ana.outage():
        for window in (ana, bo):
            window.open("tunnel")
            window.focus()
        ana.link("slow")
        ana.type("before, ")
        ana.is_saved()
        bo.shows("before, ")
        ana.page.context.set_offline(True)
        ana.type("meanwhile A, ")
        ana.link("offline")
        expect(ana.page.locator("#saved-words")).to_have_text("Not saved — kept in this window")
        bo.type("meanwhile B, ")
        bo.is_saved()
        ana.page.wait_for_timeout(2000)
        ana.type("and more, ")
        ana.page.context.set_offline(False)
        ana.link("slow")
        for window in (ana, bo):
            for text in ("before, ", "meanwhile A, ", "meanwhile B, ", "and more, "):
                window.shows(text)
            window.is_saved()
        assert ana.read() == bo.read()
        expect(avatars(bo)).to_have_count(1)


@pytest.mark.rule("PG27", "PG7")
def test_a_network_that_breaks_all_the_time(proxy: Proxy, open_window: OpenWindow) -> None:
    """A third of all requests break, with or without having gone through: nothing is lost, nothing doubled, all is saved."""
    ana, bo = open_window(base=proxy.url), open_window()
    with ana.outage():
        for window in (ana, bo):
            window.open("broken")
            window.focus()
        proxy.breaks = random.Random(3)
        for _ in range(2):
            type_by_turns(ana, bo)
            ana.page.wait_for_timeout(500)
        proxy.breaks = None
        ana.until(lambda: len(ana.read()) == len(bo.read()) == 2 * (len(UPPER) + len(LOWER)))
        for window in (ana, bo):
            window.is_saved()
        assert ana.read() == bo.read()
        assert letters(ana.read(), "[A-Z]") == 2 * UPPER.replace(" ", "")
        assert letters(ana.read(), "[a-z']") == 2 * LOWER.replace(" ", "")
        expect(avatars(bo)).to_have_count(1)


@pytest.mark.rule("PG25")
def test_climbing_back(proxy: Proxy, open_window: OpenWindow) -> None:
    """Once sockets get through, the page changes over while somebody writes, and every letter is there, once."""
    ana, bo = open_window(base=proxy.url), open_window()
    sockets: list[str] = []
    ana.page.on("websocket", lambda socket: sockets.append(socket.url))
    ana.page.clock.install()
    with ana.outage():
        for window in (ana, bo):
            window.open("climbing")
            window.focus()
        ana.link("slow")
        before = len(sockets)
        proxy.sockets = "pass"
        ana.page.clock.fast_forward(4000)
        type_by_turns(ana, bo)
        ana.link("live")
        assert len(sockets) > before
        ana.type("!")
        bo.type("?")
        ana.until(lambda: len(ana.read()) == len(bo.read()) == len(UPPER) + len(LOWER) + 2)
        for window in (ana, bo):
            window.is_saved()
    assert ana.read() == bo.read()
    assert letters(ana.read(), "[A-Z]") == UPPER.replace(" ", "")
    assert letters(bo.read(), "[a-z']") == LOWER.replace(" ", "")
    expect(avatars(bo)).to_have_count(1)


@pytest.mark.rule("PG13", "PG24")
@pytest.mark.parametrize("width", [375, 1100])
def test_looks(proxy: Proxy, open_window: OpenWindow, width: int) -> None:
    """The slow connection is told without anything that scrolls sideways or is hard to read."""
    window = open_window(base=proxy.url, viewport={"width": width, "height": 720}, reduced_motion="reduce")
    with window.outage():
        window.open(f"slow {width}")
        window.focus()
        window.page.keyboard.insert_text("# Notes\n\nSome **bold** words on a slow connection.")
        window.is_saved()
        expect(window.page.locator("#link")).to_contain_text("Live, slow")
        for scheme in ("light", "dark"):
            window.page.emulate_media(color_scheme=scheme)
            assert window.page.evaluate("document.documentElement.scrollWidth") == width
            assert violations(window) == []
            window.picture(f"polling-{scheme}-{width}")
