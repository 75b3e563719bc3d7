"""What "Saved" promises: through a killed server, an outage and a refusal."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Dialog, expect

from browser.page_window import Editor, OpenWindow
from demo_server import DemoServer

pytestmark = pytest.mark.browser

UPDATE_BYTES = 1 << 20
"""The server refuses a larger edit."""


@pytest.mark.rule("PG9")
@pytest.mark.parametrize("editor", ["markdown", "rich"])
def test_what_was_shown_as_saved_survives_a_kill(own_server: DemoServer, open_window: OpenWindow, editor: Editor) -> None:
    """Whenever the page says Saved, the server may be killed: whoever comes later finds that text."""
    writer = open_window()
    writer.open("kept", editor)
    writer.focus(editor)
    for words in ("first ", "second "):
        writer.type(words)
        writer.is_saved()
        promised = writer.read(editor)
        with writer.outage():
            own_server.kill()
            writer.link("offline")
            writer.page.goto("about:blank")  # nobody is left to send it again
            own_server.start()
        writer.open("kept", editor)
        assert writer.read(editor) == promised
        writer.focus(editor)


@pytest.mark.rule("PG7", "PG8")
def test_typing_goes_on_without_a_server(own_server: DemoServer, open_window: OpenWindow) -> None:
    """Offline the page says that edits are in this window only; with the server they arrive at the others, and are saved."""
    ana, bo = open_window(), open_window()
    for window in (ana, bo):
        window.open("outage")
    ana.focus()
    ana.type("before, ")
    ana.is_saved()
    bo.shows("before, ")
    with ana.outage(), bo.outage():
        own_server.kill()
        for window in (ana, bo):
            window.link("offline")
        words = ana.page.locator("#saved-words")
        expect(words).to_have_text("No unsaved changes")
        ana.type("meanwhile A, ")
        bo.focus()
        bo.type("meanwhile B, ")
        expect(words).to_have_text("Not saved — kept in this window")
        ana.picture("offline")
        expect(ana.page.locator("#announcement")).to_have_text("Not saved — kept in this window")
        own_server.start()
        for window in (ana, bo):
            window.link("live")
    for window in (ana, bo):
        for text in ("before, ", "meanwhile A, ", "meanwhile B, "):
            window.shows(text)
        window.is_saved()
    assert ana.read() == bo.read()


@pytest.mark.rule("PG8", "PG11")
def test_unsaved_edits_hold_one_back(own_server: DemoServer, open_window: OpenWindow) -> None:
    """With unsaved edits in either document, leaving asks first; the tab that is not shown is marked. Saved, nothing asks."""
    window = open_window()
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    window.page.on("dialog", stay)
    window.open("leaving")
    window.focus()
    window.type("saved")
    window.is_saved()
    with window.outage():
        own_server.kill()
        window.link("offline")
        window.type(" and not")
        window.page.get_by_role("tab", name="Rich text").click()
        expect(window.page.get_by_role("tab", name="Markdown")).to_have_accessible_name("Markdown CodeMirror (not saved)")
        window.page.close(run_before_unload=True)
        window.until(lambda: asked == ["beforeunload"])
        own_server.start()
        window.link("live")
        expect(window.page.get_by_role("tab", name="Markdown")).to_have_accessible_name("Markdown CodeMirror")
    window.page.get_by_role("tab", name="Markdown").click()
    window.is_saved()
    window.page.close(run_before_unload=True)
    if not window.page.is_closed():
        window.page.wait_for_event("close")
    assert asked == ["beforeunload"]


@pytest.mark.rule("PG10")
def test_a_refusal_ends_it(open_window: OpenWindow) -> None:
    """Closed with a code that means "do not come back": the page says why, stops, keeps the text readable, offers to reload."""
    window = open_window()
    sockets: list[str] = []
    window.open("too large")
    window.focus()
    window.type("small, ")
    window.is_saved()
    window.page.on("websocket", lambda socket: sockets.append(socket.url))
    window.page.keyboard.insert_text("x" * (UPDATE_BYTES + 100))
    window.link("refused")
    notice = window.page.get_by_role("alert")
    expect(notice).to_contain_text("One edit, such as a paste, was too large for the server")
    expect(notice).to_contain_text("code 4413")
    expect(notice).to_contain_text("copy what you need")
    expect(window.page.locator("#saved-words")).to_have_text("Not saved — kept in this window")
    expect(window.text("markdown")).to_have_attribute("contenteditable", "false")
    window.picture("refused")
    window.page.wait_for_timeout(3000)  # the provider's longest pause between attempts is 2.5 s
    assert sockets == []
    window.page.once("dialog", lambda dialog: dialog.accept())
    notice.get_by_role("button", name="Reload").click()
    window.shows("small, ")
    window.is_saved()
    expect(window.page.get_by_role("alert")).to_be_hidden()
    assert window.read() == "small, "


@pytest.mark.rule("PG7")
def test_saved_turns_off_at_once_and_is_announced_once(open_window: OpenWindow) -> None:
    """An edit takes "Saved" away before anything is sent, and a screen reader does not hear of every pause in typing."""
    window = open_window()
    window.open("at once")
    expect(window.page.locator("#announcement")).to_have_text("Saved")
    heard = """() => { const region = document.getElementById('announcement'); window.heard = [];
        new MutationObserver(() => window.heard.push(region.textContent)).observe(region, { childList: true }) }"""
    window.page.evaluate(heard)
    window.focus()
    states = """() => { const editor = document.querySelector('.cm-content');
        document.execCommand('insertText', false, 'x');
        return new Promise((done) => requestAnimationFrame(() => done(document.getElementById('saved').dataset.state))) }"""
    assert window.page.evaluate(states) == "saving"
    window.is_saved()
    window.type("more")
    window.is_saved()
    window.page.wait_for_timeout(1700)
    assert window.page.evaluate("() => window.heard") == []


@pytest.mark.rule("PG8", "PG40", "CI45")
def test_a_damaged_document_is_mended(tmp_path: Path, open_window: OpenWindow) -> None:
    """What was typed before the page knew is kept in the window, and on the server's disk once the document is mended. Until
    then the page says what is the matter, and nothing can be written or restored.
    """
    with DemoServer(tmp_path) as server:
        window, other = open_window(server.url), open_window(server.url)
        window.open("broken")
        window.focus()
        for words in ("one, ", "two, "):
            window.type(words)
            window.is_saved()
        with window.outage(), other.outage():
            server.stop()
            window.link("offline")
            window.type("kept")
            turn_last_update(server.database, "broken.markdown")
            server.start()
            window.link("live")
            trouble = window.page.locator("#trouble")
            expect(trouble).to_contain_text("This document is damaged on the server: reading only")
            expect(window.page.locator("#saved-words")).to_have_text("Not saved — kept in this window")
            expect(window.text("markdown")).to_have_attribute("contenteditable", "false")
            window.page.locator("#history").click()
            expect(window.page.get_by_role("button", name="Back to now")).to_be_visible()
            expect(window.page.get_by_role("button", name="Restore this moment")).to_be_hidden()
            window.page.locator("#history").click()
            window.picture("damaged")
            other.open("broken", settled=False)
            other.shows("one, ")
            turn_last_update(server.database, "broken.markdown", epoch="00000000-0000-0000-0000-000000000000")
            window.is_saved()
            expect(trouble).to_be_empty()
            expect(window.text("markdown")).to_have_attribute("contenteditable", "true")
            other.shows("one, two, kept")
            other.is_saved()
        for one in (window, other):
            one.page.close()
        assert [line for line in server.errors() if "document damaged" not in line] == []


def turn_last_update(file: Path, document: str, *, epoch: str | None = None) -> None:
    """One bit of the only document's last update, or back again; under another epoch, as a backup that was restored."""
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("BEGIN IMMEDIATE")  # who has read before another wrote may not write
        (offset,) = database.execute("SELECT head_offset FROM documents WHERE document_id = ?", (document,)).fetchone()
        (update,) = database.execute("SELECT update_bytes FROM updates WHERE entry_offset = ?", (offset,)).fetchone()
        turned = bytes([*update[:-1], update[-1] ^ 1])
        database.execute("UPDATE updates SET update_bytes = ? WHERE entry_offset = ?", (turned, offset))
        if epoch is not None:
            database.execute("UPDATE documents SET epoch = ? WHERE document_id = ?", (epoch, document))
