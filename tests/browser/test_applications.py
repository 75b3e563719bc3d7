"""The examples that are whole applications, as people meet them: they log in, and edit what others edit."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, expect

from browser.example_pages import build
from browser.page_window import OpenWindow, PageWindow
from cowrite.tokens import generate_secret
from demo_server import DemoServer
from example_hosts import PHP, flask_host, php_host
from example_programs import example_program, free_port, prepare_project

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


@pytest.mark.rule("TU4")
def test_two_hosts_beside_one_server(tmp_path: Path, browser: Browser) -> None:
    """Ana writes in Quill, in Flask's page, and Bo in CodeMirror, in that of PHP (where there is none: in Flask's, too)."""
    ports, secret, pages = (free_port(), free_port()), generate_secret(), build()
    origins = ",".join(f"http://127.0.0.1:{port}" for port in ports)
    with (
        DemoServer(tmp_path, demo=False, COWRITE_SECRET=secret, COWRITE_ALLOWED_ORIGINS=origins) as server,
        flask_host(tmp_path, pages, server.url, secret, ports[0]) as flask,
        (php_host if PHP else flask_host)(tmp_path, pages, server.url, secret, ports[1]) as php,
    ):
        windows: list[tuple[BrowserContext, Locator]] = []
        for url, name, text in ((flask, "Ana", "Salt and bread"), (php, "Bo", ", and onions")):
            context = browser.new_context()
            page = context.new_page()
            page.goto(f"{url}/")
            page.get_by_label("Your name").fill(name)
            page.get_by_role("button").click()
            editor = page.locator(".ql-editor, .cm-content")
            if windows:
                expect(editor).to_contain_text("Salt and bread")
            editor.click()
            page.keyboard.press("Control+End")
            page.keyboard.type(text)
            windows.append((context, editor))
        expect(windows[0][1]).to_contain_text("Salt and bread, and onions")
        for context, _ in windows:
            context.close()
        assert server.errors() == []
