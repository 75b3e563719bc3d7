"""Names of documents, links to them, and other places than the root of a server."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from browser.page_window import OpenWindow
from browser.proxy import Proxy
from demo_server import DemoServer

pytestmark = pytest.mark.browser


@pytest.fixture
def under_prefix(server: DemoServer) -> Iterator[str]:
    """The server's page behind a proxy that serves it under /notes/, and nothing else."""
    with Proxy(server.port, prefix="/notes") as proxy:
        yield proxy.url


@pytest.mark.rule("PG15")
def test_under_a_prefix(under_prefix: str, open_window: OpenWindow) -> None:
    """Behind a proxy under /notes/ the page loads, connects and saves: it asks for everything relative to itself."""
    behind, direct = open_window(base=under_prefix), open_window()
    for window in (behind, direct):
        window.open("prefixed")
    behind.focus()
    behind.type("from behind")
    behind.is_saved()
    direct.shows("from behind")
    assert urlsplit(behind.page.url).path == "/notes/"


@pytest.mark.rule("PG2")
def test_any_name(open_window: OpenWindow) -> None:
    """Names of any letters and signs are documents of their own, the same for all who use them."""
    ana, bo = open_window(), open_window()
    for name in ("naïve/../100% & 同期 👋🏽 a+b=c;d what?#really", "%2e%2e"):
        for window in (ana, bo):
            window.open(name)
        ana.focus()
        ana.type(f"this is {name}")
        ana.is_saved()
        bo.shows(f"this is {name}")
        assert bo.read() == f"this is {name}"
        expect(bo.page).to_have_title(f"{name} · cowrite")


@pytest.mark.rule("PG2")
def test_a_shared_link_opens_the_same(open_window: OpenWindow) -> None:
    """The Share button copies a link; whoever opens it sees the same document in the same editor."""
    ana, bo = open_window(permissions=["clipboard-read", "clipboard-write"]), open_window()
    ana.open("shared / 同期", "rich")
    ana.focus("rich")
    ana.type("for you")
    ana.is_saved()
    ana.page.get_by_role("button", name="Share").click()
    expect(ana.page.locator("#share-announcement")).to_have_text("Link copied")
    link = ana.page.evaluate("() => navigator.clipboard.readText()")
    bo.page.goto(link)
    bo.shows("for you", "rich")


@pytest.mark.rule("PG2")
def test_opening_another_document(open_window: OpenWindow) -> None:
    """The field with the name opens another document; a link may also name one behind the # sign."""
    window = open_window()
    window.open("first", "rich")
    window.page.get_by_label("Document").fill("second one")
    window.page.keyboard.press("Enter")
    expect(window.page).to_have_title("second one · cowrite")
    window.is_saved()
    expect(window.page.get_by_role("tab", name="Rich text")).to_have_attribute("aria-selected", "true")
    window.page.goto(f"{window.base}#third")
    expect(window.page).to_have_title("third · cowrite")
    window.page.goto(window.base)
    expect(window.page).to_have_title("demo · cowrite")
