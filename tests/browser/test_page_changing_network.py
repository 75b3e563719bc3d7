"""The page on a way to the server that becomes another one again and again, beside a window on a good one."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from between import Between
from browser.page_window import OpenWindow, PageWindow
from browser.two_people import avatars
from demo_server import DemoServer

pytestmark = pytest.mark.browser

OUTAGE_SECONDS = 10
LATENCY_SECONDS = 2.0


@pytest.fixture
def between(server: DemoServer) -> Iterator[Between]:
    """The way to the server that lets no WebSocket through at first."""
    with Between(server.port, sockets="refuse") as one:
        yield one


class Writer:
    """Somebody who writes one word after the other at the end of a line of their own."""

    def __init__(self, window: PageWindow, sign: str) -> None:
        self.window = window
        self.line = ""
        self._sign = sign
        self._words = 0

    def write(self) -> None:
        self._words += 1
        word = f"{self._sign}{self._words}{self._sign} "
        self.window.type(word)
        self.line += word


def write_until(writers: list[Writer], condition: Callable[[], bool], *, seconds: float) -> None:
    """Everybody writes, a word each by turns, until something is so; three words each at least."""
    deadline, rounds = time.monotonic() + seconds, 0
    while not (condition() and rounds >= 3):
        assert time.monotonic() < deadline, f"still not so after {seconds} s"
        for writer in writers:
            writer.write()
        rounds += 1
        writers[0].window.page.wait_for_timeout(100)


def says(window: PageWindow, *, link: str, saved: str | None = None) -> bool:
    page = window.page
    return page.locator("#link").inner_text() == link and saved in {None, page.locator("#saved-words").inner_text()}


@pytest.mark.rule("PG7", "PG8", "PG23", "PG24", "PG25", "PG27")
def test_typing_through_four_networks(server: DemoServer, between: Between, open_window: OpenWindow) -> None:
    """No WebSockets, then some, 10 s of no network, then 2 s of latency: typing goes on, nothing is lost, the page says so."""
    ana, bo = open_window(base=between.url), open_window()
    ana.page.clock.install()
    document = "four networks"
    with ana.outage():
        bo.open(document)
        bo.focus()
        bo.type("\n")
        ana.open(document)
        ana.text("markdown").focus()
        ana.page.keyboard.press("Control+Home")
        writers = [Writer(ana, "🦊"), Writer(bo, "👩🏽‍🚀")]

        write_until(writers, lambda: says(ana, link="Live, slow connection"), seconds=10)
        ana.is_saved()
        ana.picture("network-1-no-sockets")

        between.sockets = "pass"
        ana.page.clock.fast_forward(5000)  # to the time at which a WebSocket is tried
        write_until(writers, lambda: says(ana, link="Live"), seconds=10)
        ana.is_saved()
        ana.picture("network-2-sockets")

        between.network = False
        between.cut()
        began = time.monotonic()
        kept = "Not saved — kept in this window"
        write_until(writers, lambda: says(ana, link="Offline, reconnecting…", saved=kept), seconds=10)
        ana.picture("network-3-none")
        write_until(writers, lambda: time.monotonic() > began + OUTAGE_SECONDS, seconds=2 * OUTAGE_SECONDS)
        assert says(ana, link="Offline, reconnecting…", saved=kept)
        bo.is_saved()

        between.delay = LATENCY_SECONDS / 2
        between.network = True
        ana.page.clock.fast_forward(10_000)  # to the next attempt
        # By polling when the clock has passed over the attempt with a WebSocket, else by that: both are far away.
        ways = "Live, slow connection", "Live"
        write_until(writers, lambda: any(says(ana, link=way, saved="Saving…") for way in ways), seconds=20)
        ana.picture("network-4-far-away")

        text = "\n".join(writer.line for writer in writers)
        for window in (ana, bo):
            window.until(lambda: ana.read() == bo.read() == text, seconds=20)
            expect(window.page.locator("#saved-words")).to_have_text("Saved", timeout=20_000)
            expect(avatars(window)).to_have_count(1)
        assert server_has(server, f"{document}.markdown") == text


def server_has(server: DemoServer, document: str) -> str:
    url = f"{server.url}api/v2/documents/{quote(document)}?format=text&root=codemirror"
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
        return text
