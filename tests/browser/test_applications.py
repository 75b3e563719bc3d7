"""The examples that are whole applications, as people meet them: they log in, and edit what others edit."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from browser.example_pages import build
from browser.page_window import OpenWindow, PageWindow
from example_programs import example_program

pytestmark = pytest.mark.browser
CARET = ".collaboration-carets__caret"


@pytest.mark.rule("EM4")
def test_tiptap_in_a_fastapi_application(tmp_path: Path, open_window: OpenWindow) -> None:
    with example_program("fastapi", tmp_path, build()) as url:
        ana, bo, rita = (log_in(open_window(f"{url}/"), name) for name in ("Ana", "Bo", "Rita"))
        ana.page.locator(".ProseMirror").click()
        ana.type("Hello from Ana")
        bo.page.locator(".ProseMirror").click()
        bo.page.keyboard.press("Control+Home")
        bo.type("Bo: ")
        for window in (ana, bo, rita):
            expect(window.page.locator(".ProseMirror p")).to_contain_text("Hello from Ana")
            expect(window.page.locator(".ProseMirror p")).to_contain_text("Bo: ")
        expect(rita.page.locator(CARET)).to_have_count(2)
        expect(rita.page.locator(".ProseMirror")).to_have_attribute("contenteditable", "false")


def log_in(window: PageWindow, name: str) -> PageWindow:
    window.page.goto(window.base)
    window.page.get_by_label("Your name").fill(name)
    window.page.get_by_role("button").click()
    editable = "false" if name == "Rita" else "true"
    expect(window.page.locator(".ProseMirror")).to_have_attribute("contenteditable", editable)
    return window
