"""What was imported, in a stock editor."""

from __future__ import annotations

import json
import urllib.request

import pytest
from playwright.sync_api import expect

from browser.example_pages import served
from browser.page_window import OpenWindow
from demo_server import DemoServer

pytestmark = pytest.mark.browser

MARKDOWN = "# Grüße 😀\n\na **bold** שלום\n\n- one\n- two"


@pytest.mark.rule("EX3", "EX8")
def test_tiptap_shows_what_was_imported(tmp_path_factory: pytest.TempPathFactory, open_window: OpenWindow) -> None:
    """Headings, marks and lists are there, people type on, and all of it is exported."""
    folder = tmp_path_factory.mktemp("imported")
    with DemoServer(folder) as server, served(server.url, folder / "vite.log") as pages:
        address = f"{server.url}api/v2/documents/examples%2Ftiptap"
        headers = {"content-type": "text/markdown"}
        request = urllib.request.Request(f"{address}/import", MARKDOWN.encode(), headers)
        with urllib.request.urlopen(request) as answer:
            assert json.load(answer)["root"] == "default"
        window = open_window(pages)
        window.page.goto(f"{window.base}tiptap/index.html")
        page = window.page
        expect(page.locator(".ProseMirror h1")).to_have_text("Grüße 😀")
        expect(page.locator(".ProseMirror strong")).to_have_text("bold")
        expect(page.locator(".ProseMirror ul li")).to_have_count(2)
        page.locator(".ProseMirror h1").click()
        page.keyboard.press("End")
        page.keyboard.type("!")
        expect(page.locator(".ProseMirror h1")).to_contain_text("Grüße 😀!")

        def exported() -> str:
            with urllib.request.urlopen(f"{address}?format=markdown") as answer:
                return str(answer.read().decode())

        window.until(lambda: exported().startswith(MARKDOWN.replace("😀", "😀!")))
        assert server.errors() == []
