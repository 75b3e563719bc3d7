"""The examples that are whole applications, as people meet them: they log in, and edit what others edit."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from browser.example_pages import build
from browser.page_window import OpenWindow, PageWindow
from example_programs import example_program, prepare_project

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
        for window in (ana, bo, rita):
            window.page.close()  # they would miss the server


def log_in(window: PageWindow, name: str) -> PageWindow:
    window.page.goto(window.base)
    window.page.get_by_label("Your name").fill(name)
    window.page.get_by_role("button").click()
    editable = "false" if name == "Rita" else "true"
    expect(window.page.locator(".ProseMirror")).to_have_attribute("contenteditable", editable)
    return window


@pytest.mark.rule("DJ4")
def test_codemirror_in_a_django_project(tmp_path: Path, open_window: OpenWindow) -> None:
    prepare_project(tmp_path)
    with example_program("django", tmp_path, build(), "project.asgi:application") as url:
        ana, bo = open_window(f"{url}/"), open_window(f"{url}/")
        for window, name in ((ana, "ana"), (bo, "bo")):
            window.page.goto(f"{url}/")
            window.page.get_by_label("Username").fill(name)
            window.page.get_by_label("Password").fill(name)
            window.page.get_by_role("button").click()
            expect(window.page.get_by_role("heading")).to_have_text("Notes")
        ana.page.get_by_label("Title").fill("Soup")
        ana.page.get_by_role("button").click()
        ana.page.locator(".cm-content").click()
        ana.type("Salt and bread")
        bo.page.goto(ana.page.url)
        expect(bo.page.locator(".cm-content")).to_contain_text("Salt and bread")
        expect(bo.page.locator(".cm-content")).to_have_attribute("contenteditable", "false")
        ana.page.goto(f"{url}/")
        expect(ana.page.get_by_role("listitem")).to_have_text("Soup Salt and bread")
        bo.page.close()  # it would miss the server
