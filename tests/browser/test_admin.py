"""The page for administrators, in a real browser: what it shows, what it does, and how it looks."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import expect

from browser.axe import violations
from browser.page_window import OpenWindow, PageWindow, introduce
from cowrite.testing.records import new_id
from cowrite.tokens import issue
from demo_server import DemoServer
from http_api import SECRET, token
from valkey_server import ValkeyServer

pytestmark = pytest.mark.browser

LINK = re.compile(r"its administration, for 7 days: (http://\S+/admin/)(#token=\S+)")
SESSION = ".sessions li"


@pytest.fixture
def link(server: DemoServer) -> str:
    """What the demo prints."""
    found = LINK.search(server.written)
    assert found
    return found[1] + found[2]


def administer(window: PageWindow, link: str) -> None:
    window.page.goto(link)
    expect(window.page.locator("#board")).to_be_visible()


def look_at(window: PageWindow, document: str) -> None:
    """Find a document that is open, and open its panel."""
    window.page.get_by_label("Part of a document's id").fill(document)
    window.page.locator("#documents button").filter(has_text=document).first.click()
    expect(window.page.locator("#document-title")).to_have_text(document)


@pytest.mark.rule("AD7", "AD8", "AD9", "AD11")
def test_people_are_seen_and_sent_away(open_window: OpenWindow, link: str) -> None:
    """By the link that the demo prints: who is in a document, with names that are text; each is disconnected and revoked."""
    ana, bo, admin = open_window(), open_window(), open_window()
    for window, name in ((ana, "Ana <img src=x onerror=alert(1)>"), (bo, "Bo")):
        window.open("kicked")
        introduce(window, name)
        window.link("live")
    ana.focus()
    ana.type("some words")
    ana.is_saved()
    administer(admin, link)
    assert "token" not in admin.page.url
    look_at(admin, "kicked.markdown")
    people = admin.page.locator(".persons > li")
    expect(people).to_have_count(2)
    expect(people.filter(has_text="<img src=x onerror=alert(1)>")).to_have_count(1)
    assert admin.page.locator("#board img").count() == 0
    expect(admin.page.locator("#document .story").first).to_contain_text("+10")

    # A session: over, and the page says so; a question comes before it.
    admin.page.get_by_role("button", name="Disconnect Bo, yjs").click()
    question = admin.page.get_by_role("dialog", name="Disconnect this session of Bo?")
    question.get_by_role("button", name="Cancel").click()
    expect(question).to_be_hidden()
    admin.page.get_by_role("button", name="Disconnect Bo, yjs").click()
    question.get_by_role("button", name="Disconnect").click()
    expect(admin.page.locator("#announcement")).to_have_text("A session of Bo was disconnected.")
    bo.link("refused")
    expect(people).to_have_count(1)

    # A grant: smaller, and given back; she stays, and does not write meanwhile.
    grant = admin.page.get_by_role("combobox", name="What Ana <img src=x onerror=alert(1)> may do here")
    grant.select_option("read")
    admin.page.get_by_role("dialog").get_by_role("button", name="Change").click()
    expect(people.first).to_contain_text("read since")
    expect(grant).to_have_value("read")
    grant.select_option("none")
    admin.page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    ana.link("refused")
    expect(admin.page.get_by_text("Nobody is in it now.")).to_be_visible()

    # It is over with this window's token, too.
    admin.page.reload()
    expect(admin.page.locator("#board")).to_be_visible()
    admin.page.get_by_role("button", name="Forget the token").click()
    admin.page.reload()
    expect(admin.page.get_by_label("A session token")).to_be_focused()


@pytest.mark.rule("AD10")
@pytest.mark.parametrize("width", [375, 1100])
def test_administration_looks(open_window: OpenWindow, link: str, width: int) -> None:
    """No width and no colour scheme makes it scroll sideways or hard to read (WCAG 2.2 AA by axe)."""
    admin = open_window(viewport={"width": width, "height": 860}, reduced_motion="reduce")
    admin.page.goto(link.partition("#")[0])
    expect(admin.page.get_by_label("A session token")).to_be_focused()
    assert violations(admin) == []
    admin.picture(f"admin-entry-{width}")
    name = "minutes" if width > 375 else f"minutes {'of-a-long-meeting-' * 5}"
    for person, text in (("Ana Lima", "The budget is agreed. "), ("Bo Chen", "Not by me. ")):
        window = open_window()
        window.open(name)
        introduce(window, person)
        window.focus()
        window.type(text)
        window.is_saved()
    administer(admin, link)
    look_at(admin, f"{name}.markdown")
    expect(admin.page.locator(SESSION)).to_have_count(2)
    expect(admin.page.locator("#document .story")).not_to_have_count(0)
    for scheme in ("light", "dark"):
        admin.page.emulate_media(color_scheme=scheme)
        assert admin.page.evaluate("document.documentElement.scrollWidth") == width
        assert violations(admin) == []
        admin.picture(f"admin-{scheme}-{width}")
    admin.page.get_by_role("button", name="Disconnect").first.click()
    assert violations(admin) == []
    admin.picture(f"admin-question-{width}")


@pytest.mark.rule("AD8", "AD10")
def test_administration_by_keyboard(open_window: OpenWindow, link: str) -> None:
    """The focus can be seen, and stays where it is while the lists are made anew."""
    writer, admin = open_window(), open_window()
    writer.open("keys")
    administer(admin, link)
    search = admin.page.get_by_label("Part of a document's id")
    search.fill("keys.")
    expect(admin.page.locator("#documents li")).to_have_count(2)
    search.focus()
    admin.page.keyboard.press("Tab")
    first = admin.page.locator("#documents button").first
    expect(first).to_be_focused()
    outline = "() => getComputedStyle(document.activeElement).outlineStyle"
    assert admin.page.evaluate(outline) == "solid"
    before = first.inner_text()
    writer.focus()
    writer.type("x")  # the row changes
    admin.until(lambda: admin.page.locator("#documents button").first.inner_text() != before)
    assert admin.page.evaluate("() => document.activeElement.className") == "row"
    admin.page.keyboard.press("Enter")
    expect(admin.page.locator("#document")).to_be_focused()
    search.fill("keys that nobody has")
    other = admin.page.get_by_role("button", name="open or not")
    other.click()
    expect(admin.page.locator("#document")).to_contain_text("There is no document of this id.")
    admin.until(lambda: len(admin.complaints) > 0)
    was_refused(admin, *[404] * len(admin.complaints))
    admin.page.get_by_role("button", name="Close").click()
    expect(search).to_be_focused()
    admin.complaints = [one for one in admin.complaints if "status of 404" not in one]  # it was asked for once more, perhaps


def was_refused(window: PageWindow, *statuses: int) -> None:
    """The browser has complained of answers with these statuses, as it should, and of none beside."""
    told = [re.search(r"status of (\d+)", complaint) for complaint in window.complaints]
    assert [int(one[1]) for one in told if one] == list(statuses)
    assert all(told)
    window.complaints.clear()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[DemoServer, ValkeyServer]]:
    """A server with tokens and Redis."""
    valkey = ValkeyServer(tmp_path)
    valkey.start()
    try:
        with DemoServer(tmp_path, demo=False, COWRITE_SECRET=SECRET, COWRITE_REDIS_URL=valkey.url) as server:
            yield server, valkey
    finally:
        valkey.kill()


def give_up(database: Path, document_id: str, reason: str) -> None:
    """A webhook after its two days."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            "INSERT INTO webhook_dead_letters (event_id, document_id, event_type, body, made_at, died_at, attempts, reason) "
            "VALUES (?, ?, 'document.changed', '{}', 1, 2, 11, ?)",
            (new_id(), document_id, reason),
        )


@pytest.mark.rule("AD2", "AD6", "AD7", "AD8", "WH10")
def test_wrong_tokens_and_what_is_wrong(open_window: OpenWindow, guarded: tuple[DemoServer, ValkeyServer]) -> None:
    """Without the demo: what is wrong with a token is said, and so is that Redis, and then the server, has gone."""
    server, valkey = guarded
    admin = open_window(server.url)
    admin.page.goto(f"{server.url}admin")
    field, failure = admin.page.get_by_label("A session token"), admin.page.locator("#entry-failure")
    for shown, said in (("nonsense", "does not take"), (token("ana", **{"*": "write"}), "less than")):
        field.fill(shown)
        admin.page.get_by_role("button", name="Open").click()
        expect(failure).to_contain_text(said)
    admin.page.goto(f"{server.url}admin/#token={token('ana', d='admin')}")
    expect(failure).to_contain_text("a token for many uses")
    assert admin.page.evaluate("() => sessionStorage.length") == 0
    was_refused(admin, 401, 403, 403)
    admin.picture("admin-wrong-token")
    field.fill(f" {issue(SECRET, sub='root', documents={'*': 'admin'})}\n")
    admin.page.get_by_role("button", name="Open").click()
    expect(admin.page.locator("#status")).to_contain_text("version")
    expect(admin.page.get_by_text("Nobody has a document open now.")).to_be_visible()
    admin.picture("admin-empty")
    webhooks = admin.page.locator("#webhooks")
    expect(webhooks).to_be_hidden()
    give_up(server.database, "a <b>", "the answer is 500")
    expect(webhooks).to_contain_text("1 webhook was given up")
    expect(webhooks.locator("li")).to_contain_text("document.changed of a <b>")
    valkey.kill()
    expect(admin.page.locator("#degraded")).to_contain_text("Redis does not carry news")
    expect(admin.page.locator("#status")).to_contain_text("Degraded")
    assert violations(admin) == []
    admin.picture("admin-degraded")
    for deed, then in (("Send again", "to be sent again"), ("Drop", "")):
        webhooks.get_by_role("button", name=deed).click()
        admin.page.get_by_role("dialog").get_by_role("button", name=deed).click()
        expect(webhooks).to_contain_text(then)
    expect(webhooks).to_be_hidden()
    with admin.outage():
        server.stop()
        expect(admin.page.locator("#failure")).to_have_text("The server cannot be reached now.")
