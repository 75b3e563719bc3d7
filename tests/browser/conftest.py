"""Chromium, a real server, and windows of the demo page."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from browser.browser_program import find_browser
from browser.page_window import OpenWindow, PageWindow
from demo_server import DemoServer

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

expect.set_options(timeout=10_000)  # the machine may be busy with other tests


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    # For the package, not the session: Playwright's loop runs until it is stopped, and other tests need their own.
    with sync_playwright() as playwright:
        program = find_browser(Path(playwright.chromium.executable_path))
        environment: dict[str, str | float | bool] = {**os.environ, **program.environment}
        browser = playwright.chromium.launch(executable_path=program.executable, args=FLAGS, env=environment)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoServer]:
    with DemoServer(tmp_path_factory.mktemp("server")) as server:
        yield server
        server.stop()


@pytest.fixture
def server(shared_server: DemoServer) -> Iterator[DemoServer]:
    """A server that other tests use too, with other documents. It has no new errors in its log at the end."""
    before = len(shared_server.errors())
    yield shared_server
    assert shared_server.errors()[before:] == []


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[DemoServer]:
    """A server of this test alone, which may kill it and start it again."""
    with DemoServer(tmp_path) as server:
        yield server
        server.stop()
    assert server.errors() == []


@pytest.fixture
def open_window(request: pytest.FixtureRequest, browser: Browser) -> Iterator[OpenWindow]:
    """Opens windows on the test's server; at the end none of them may have had anything to complain of."""
    name = "own_server" if "own_server" in request.fixturenames else "server"
    server: DemoServer = request.getfixturevalue(name)
    windows: list[PageWindow] = []
    close: list[Callable[[], None]] = []

    def open_one(base: str | None = None, **options: Any) -> PageWindow:
        context = browser.new_context(**{"viewport": {"width": 1100, "height": 720}, **options})
        close.append(context.close)
        windows.append(PageWindow(context, base or server.url))
        return windows[-1]

    yield open_one
    for close_one in close:
        close_one()
    assert [complaint for window in windows for complaint in window.complaints] == []
