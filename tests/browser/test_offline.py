"""The client with y-indexeddb beside it: a page that goes on without a server, and over being closed."""

from __future__ import annotations

import mimetypes
import os
import subprocess
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Route, expect

from browser.page_window import OpenWindow, PageWindow
from demo_server import DemoServer
from node_program import install, node

pytestmark = pytest.mark.browser

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
STORED_UPDATES = """async () => {
    const open = indexedDB.open('offline')
    await new Promise((resolve) => open.addEventListener('success', resolve))
    const count = open.result.transaction('updates').objectStore('updates').count()
    await new Promise((resolve) => count.addEventListener('success', resolve))
    open.result.close()
    return count.result
}"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, built: a folder of files."""
    packages = install(HERE / "offline", ROOT / ".cache" / "offline")
    built = tmp_path_factory.mktemp("pages")
    vite = ROOT / "clients" / "web" / "node_modules" / "vite" / "bin" / "vite.js"
    environment = {name: value for name, value in os.environ.items() if name != "NODE_ENV"}
    environment["COWRITE_CLIENT"] = str(ROOT / "clients" / "js" / "src" / "index.ts")
    command = [node(), str(vite), "build", "--logLevel", "error", "--emptyOutDir", "--outDir", str(built)]
    subprocess.run(command, cwd=packages, env=environment, check=True)
    return built


class Tab(PageWindow):
    """A tab with the page."""

    def __init__(self, context: BrowserContext, base: str) -> None:
        super().__init__(context, base)
        self.area = self.page.get_by_label("Text")

    def come(self) -> None:
        self.page.goto(f"{self.base}offline/index.html")
        expect(self.page.locator("#status")).not_to_be_empty()
        self.area.focus()
        self.page.keyboard.press("Control+End")

    def unsaved(self) -> int:
        return int(self.page.locator("#unsaved").inner_text())

    def is_all_saved(self) -> bool:
        return self.unsaved() == 0

    def network_is_back(self) -> None:
        """As a browser says it; else it is tried again some seconds later."""
        self.page.evaluate("dispatchEvent(new Event('online'))")


def serve(context: BrowserContext, pages: Path) -> None:
    """The page's files come at the server's address, whether there is a server or not."""

    def answer(route: Route) -> None:
        path = pages / route.request.url.partition("/offline/")[2]
        route.fulfill(path=path, content_type=mimetypes.guess_type(path.name)[0])

    context.route("**/offline/**", answer)


@pytest.mark.rule("CI9")
def test_edits_outlive_a_tab_that_was_closed_offline(own_server: DemoServer, open_window: OpenWindow, pages: Path) -> None:
    """Typed without a server, closed, opened again, still without one: it is there, and sent once when the server is back."""
    contexts = [open_window().page.context for _ in range(2)]
    for context in contexts:
        serve(context, pages)
    ana, bo = (Tab(context, own_server.url) for context in contexts)
    for tab in (ana, bo):
        tab.come()
    ana.type("before 🦊 ")
    expect(bo.area).to_have_value("before 🦊 ")
    ana.until(ana.is_all_saved)

    with bo.outage():
        own_server.stop()
        with ana.outage():
            stored = ana.page.evaluate(STORED_UPDATES)
            ana.type("offline 👩🏽‍🚀 ")
            assert ana.unsaved() > 0
            bo.page.keyboard.press("Control+Home")
            bo.type("bo, ")
            ana.until(lambda: ana.page.evaluate(STORED_UPDATES) >= stored + len("offline "))
            ana.page.close()
        again = Tab(contexts[0], own_server.url)
        with again.outage():
            again.come()
            expect(again.area).to_have_value("before 🦊 offline 👩🏽‍🚀 ")
            assert again.unsaved() > 0, "nobody else has it"
            again.type("again ")
            own_server.start()
            for tab in (again, bo):
                tab.network_is_back()
            text = "bo, before 🦊 offline 👩🏽‍🚀 again "
            for tab in (again, bo):
                expect(tab.area).to_have_value(text)
                tab.until(tab.is_all_saved)
    again.page.reload()
    again.come()
    expect(again.area).to_have_value(text)
    with urllib.request.urlopen(f"{own_server.url}api/v2/documents/offline?format=text&root=text", timeout=10) as answer:
        assert answer.read().decode() == text
    assert [complaint for tab in (ana, bo, again) for complaint in tab.complaints] == []
