"""Names of documents, links to them, and other places than the root of a server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from browser.page_window import OpenWindow
from demo_server import DemoServer

pytestmark = pytest.mark.browser

PREFIX = b"/notes"


@pytest.fixture
def under_prefix(server: DemoServer) -> Iterator[str]:
    """The server's page behind a proxy that serves it under /notes/, and nothing else."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            try:
                client, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=forward, args=(client, server.port), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{port}{PREFIX.decode()}/"
    stop.set()
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join(5)


def forward(client: socket.socket, port: int) -> None:
    """One connection: cut the prefix off the first request, ask for no second one, and pass on what comes."""
    head = client.recv(65536)
    if not head:  # a connection that the browser opened in advance
        client.close()
        return
    method, path, rest = head.split(b" ", 2)
    if not path.startswith(PREFIX + b"/"):
        client.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        client.close()
        return
    if b"pgrade: websocket" not in rest:
        rest = rest.replace(b"Connection: keep-alive", b"Connection: close")
    # The page's origin is the proxy, so the proxy says so, as any would that sits in front of an application.
    upstream = socket.create_connection(("127.0.0.1", port))
    upstream.sendall(b" ".join((method, path.removeprefix(PREFIX), rest)))
    back = threading.Thread(target=pump, args=(upstream, client), daemon=True)
    back.start()
    pump(client, upstream)
    back.join()
    upstream.close()
    client.close()


def pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()


@pytest.mark.rule("PG15")
def test_under_a_prefix(open_window: OpenWindow, under_prefix: str) -> None:
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
