"""What happened to a document: diff, blame, activity, restoring and undoing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from cowrite.testing.client import live_client
from http_api import Api, Member, api, bearer, insert, problem, token, two_servers

PATH = "/api/v2/documents/d"
WRITER = bearer(token("ana"))
BEN = bearer(token("ben"))
READER = bearer(token("rita", d="read"))
ADMIN = bearer(token("root", **{"*": "admin"}))


@pytest.fixture
async def server() -> AsyncIterator[Api]:
    async with api() as started:
        yield started


async def two_authors(server: Api) -> tuple[Member, Member]:
    """ana: "Hello", ben: " world", ana takes "H" away and writes "J"."""
    ana, ben = await server.connect("d", token("ana")), await server.connect("d", token("ben"))
    await ana.type("Hello")
    ben.head = ana.head
    await ben.type(" world", 5)
    ana.head = ben.head
    await ana.write({"type": "delete", "position": ["body", 0], "length": 1}, insert("J"))
    return ana, ben


async def get(server: Api, what: str, **query: object) -> Any:
    params = {key.rstrip("_"): str(value) for key, value in query.items()}
    answer = await server.client.get(f"{PATH}/{what}", params=params, headers=READER)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def post(server: Api, what: str, headers: Mapping[str, str] = WRITER, **body: object) -> httpx.Response:
    body = {name.rstrip("_"): value for name, value in body.items()}
    return await server.client.post(f"{PATH}/{what}", json=body, headers=headers)


async def text(server: Api, at: int | None = None) -> str:
    query = {"format": "text"} | ({"at": str(at)} if at is not None else {})
    return (await server.client.get(PATH, params=query, headers=READER)).text


@pytest.mark.rule("HV30")
async def test_blame(server: Api) -> None:
    """Who wrote each character, now and at another moment, of one root or all."""
    await two_authors(server)
    found = await get(server, "blame")
    assert (found["document_id"], found["offset"]) == ("d", 4)
    assert [(run["position"], run["length"], run["author"]) for run in found["runs"]] == [
        (["body", 0], 5, "ana"),
        (["body", 5], 6, "ben"),
    ]
    assert [run["offset"] for run in found["runs"]] == [4, 2]
    assert found["runs"][0]["created_at"] >= found["runs"][1]["created_at"]
    before = await get(server, "blame", at=1)
    assert [(run["length"], run["author"], run["offset"]) for run in before["runs"]] == [(5, "ana", 1)]
    assert (await get(server, "blame", root="none"))["runs"] == []
    assert (await get(server, "blame", root="body"))["runs"] == found["runs"]
    assert await get(server, "blame") == found, "the second time it is remembered"


@pytest.mark.rule("HV30")
async def test_blame_goes_on_with_the_log(server: Api) -> None:
    ana, _ = await two_authors(server)
    await get(server, "blame")
    await ana.type("!")
    assert (await get(server, "blame"))["runs"][0]["offset"] == 5
    await server.client.delete(f"{PATH}/history?before=2", headers=ADMIN)
    authors = [run["author"] for run in (await get(server, "blame"))["runs"]]
    assert authors == ["ana", None], "who wrote what was forgotten is not known any more"


@pytest.mark.rule("HV31")
async def test_diff(server: Api) -> None:
    """As a tree, as operations and as HTML; either moment may be the later one."""
    ana, _ = await two_authors(server)
    tree = await get(server, "diff", from_=2)
    assert (tree["document_id"], tree["from"]["offset"], tree["to"]["offset"]) == ("d", 2, 4)
    (root,) = tree["roots"]
    runs = [(run["change"], run.get("text"), run.get("author")) for run in root["runs"]]
    assert sorted(runs[:2]) == [("delete", "H", "ana"), ("insert", "J", "ana")]
    assert runs[2] == ("equal", "ello world", None)
    turned = (await get(server, "diff", from_=4, to=2))["roots"][0]["runs"]
    assert sorted((run["change"], run.get("text")) for run in turned[:2]) == [("delete", "J"), ("insert", "H")]
    html = await server.client.get(f"{PATH}/diff?from=2&format=html", headers=READER)
    assert html.headers["content-type"] == "text/html; charset=utf-8"
    assert "<del" in html.text
    assert "<ins" in html.text
    await ana.write({"type": "insert", "position": ["m", "key"], "content": 1})
    both = await get(server, "diff", from_=4, format="operations")
    assert [(one["type"], one["position"]) for one in both["operations"]] == [("insert", ["m", "key"])]
    only = await get(server, "diff", from_=0, root="m", format="operations")
    assert [one["position"] for one in only["operations"]] == [["m", "key"]]
    assert (await get(server, "diff", from_=5))["roots"][0]["changed"] is False


@pytest.mark.rule("HV31")
@pytest.mark.parametrize(("first", "second"), [(1, 4), (4, 1), (0, 4), (4, 0), (3, 3)])
async def test_operations_of_a_diff_lead_from_one_moment_to_the_other(server: Api, first: int, second: int) -> None:
    ana, _ = await two_authors(server)
    await ana.write({"type": "format", "position": ["body", 0], "length": 2, "attributes": {"bold": True}})
    found = await get(server, "diff", from_=first, to=second, format="operations")
    other = await server.connect("e", token("ana"))
    state = (await server.client.get(PATH, params={"at": str(first)}, headers=READER)).json()["content"]
    start = "".join(piece["insert"] for piece in state.get("body", {}).get("$text", []))
    if start:
        await other.type(start)
    if found["operations"]:
        answer = await other.write(*found["operations"])
        assert answer.status_code == 200, answer.text
    there = (await server.client.get("/api/v2/documents/e?format=text", headers=WRITER)).text if start or second else ""
    assert there == await text(server, second)


@pytest.mark.rule("HV32")
async def test_activity(server: Api) -> None:
    """Grouped by author and pause, newest first, with counts, in pages."""
    await two_authors(server)
    found = await get(server, "activity")
    told = [(one["author"], one["first_offset"], one["last_offset"], one["entries"]) for one in found["activity"]]
    assert told == [("ana", 3, 4, 2), ("ben", 2, 2, 1), ("ana", 1, 1, 1)]
    assert [(one["inserted"], one["deleted"]) for one in found["activity"]] == [(1, 1), (6, 0), (5, 0)]
    assert found["next"] is None
    assert all(one["began_at"] <= one["ended_at"] and one["cause"] is None for one in found["activity"])
    page = await get(server, "activity", limit=2)
    assert (len(page["activity"]), page["next"]) == (2, 2)
    assert (await get(server, "activity", limit=2, before=2))["activity"] == found["activity"][2:]
    await post(server, "restore", to="1")
    assert (await get(server, "activity", limit=1))["activity"][0]["cause"] == {
        "kind": "restore",
        "until": 1,
        "after": None,
        "root": None,
        "author": None,
    }


@pytest.mark.rule("HV40")
async def test_restore(server: Api) -> None:
    """A new entry of who restores; everybody who is there sees it arrive, and what was there before is a version."""
    await two_authors(server)
    socket = f"{server.url.replace('http:', 'ws:')}/yjs/d?token={token('eve')}"
    async with live_client(socket) as eve:
        assert str(eve.yjs.text) == "Jello world"
        done = await post(server, "restore", BEN, to="2")
        await eve.until(lambda: str(eve.yjs.text) == "Hello world")
    assert done.status_code == 200, done.text
    made = done.json()
    assert made["offset"] == 5
    assert {one["author"] for one in made["operations"]} == {"ben"}
    logged = (await get(server, "operations"))["operations"]
    assert made["operations"] == logged[-len(made["operations"]) :], "told as everywhere, without fields that are not there"
    assert await text(server) == "Hello world"
    assert await text(server, 4) == "Jello world"
    version = await get(server, f"versions/{made['version']}")
    assert (version["offset"], version["kind"], version["author"]) == (4, "restore", "ben")
    runs = [(run["length"], run["author"], run.get("restored")) for run in (await get(server, "blame"))["runs"]]
    assert runs[0][:2] == (1, "ana")
    assert runs[0][2]["author"] == "ben", "ana wrote it, ben brought it back"
    nothing = (await post(server, "restore", to="2")).json()
    assert nothing == {"offset": 5, "operations": [], "version": None, "left": []}


@pytest.mark.rule("HV40")
async def test_restore_of_one_root(server: Api) -> None:
    ana, _ = await two_authors(server)
    await ana.write({"type": "insert", "position": ["m", "key"], "content": 1})
    await ana.write({"type": "insert", "position": ["m", "key"], "content": 2})
    assert (await post(server, "restore", to="4", root="body")).json()["operations"] == []
    assert problem(await post(server, "restore", to="4", root="bdoy")) == (422, "root")
    await post(server, "restore", to="5", root="m")
    state = (await server.client.get(PATH, headers=READER)).json()["content"]
    assert state == {"body": {"$text": [{"insert": "Jello world"}]}, "m": {"$map": {"key": 1}}}


@pytest.mark.rule("HV40")
async def test_very_many_operations_are_not_told(server: Api) -> None:
    ana = await server.connect("d", token("ana"))
    for at in range(3):
        operations = [{"type": "insert", "position": ["m", f"{at} {key}"], "content": 1} for key in range(334)]
        await ana.write(*operations)
    assert len((await post(server, "restore", to="2")).json()["operations"]) == 1000
    await post(server, "restore", to="1002")
    many = (await post(server, "restore", to="1")).json()
    assert (many["operations"], many["offset"]) == (None, 1005)


@pytest.mark.rule("HV40")
async def test_what_others_write_meanwhile_stays(tmp_path: Path) -> None:
    """On another process, too, which has not told of it yet."""
    async with two_servers(tmp_path) as (one, other):
        ana, ben = await one.connect("d", token("ana")), await other.connect("d", token("ben"))
        await ana.type("one two")
        await ana.write({"type": "delete", "position": ["body", 0], "length": 4})
        ben.head = ana.head
        answers = await asyncio.gather(post(one, "restore", to="1"), ben.type(" three", 3))
        assert answers[0].status_code == 200
        assert await text(one) == await text(other) == "one two three"


@pytest.mark.rule("HV6", "HV41")
async def test_restores_at_once_bring_everything_back_once(server: Api) -> None:
    ana = await server.connect("d", token("ana"))
    await ana.type("the text")
    await ana.write({"type": "delete", "position": ["body", 0], "length": 8})
    answers = await asyncio.gather(*(post(server, "restore", to="1") for _ in range(4)))
    assert {answer.status_code for answer in answers} == {200}
    assert sum(bool(answer.json()["operations"]) for answer in answers) == 1
    assert await text(server) == "the text"


@pytest.mark.rule("HV7")
async def test_what_is_asked_for_again_after_its_moment_has_gone(server: Api) -> None:
    """The answer to the first time was lost: it is the same."""
    await two_authors(server)
    version = (await post(server, "versions", name="kept", at="2")).json()["id"]
    asked: dict[str, dict[str, Any]] = {
        "restore": {"to": f"version:{version}", "id": "restored"},
        "undo": {"author": "ana", "from_": f"version:{version}", "id": "undone"},
    }
    first = {what: await post(server, what, **body) for what, body in asked.items()}
    assert {what: answer.status_code for what, answer in first.items()} == {"restore": 200, "undo": 200}
    gone = await server.client.delete(f"{PATH}/versions/{version}", headers=WRITER)
    assert gone.status_code == 204, gone.text
    for what, body in asked.items():
        assert (await post(server, what, **body)).json() == first[what].json()
        assert problem(await post(server, what, **body | {"id": "another"})) == (404, "unknown_moment")
    assert problem(await post(server, "undo", **asked["undo"] | {"id": "restored"})) == (409, "operation_id_taken")


@pytest.mark.rule("HV7", "HV41")
async def test_a_restore_that_is_asked_for_again_is_done_once(server: Api) -> None:
    await two_authors(server)
    first = (await post(server, "restore", to="2", id="mine")).json()
    again = (await post(server, "restore", to="2", id="mine")).json()
    assert again == first
    assert (await get(server, f"versions/{first['version']}"))["offset"] == first["offset"] - 1
    assert problem(await post(server, "restore", to="1", id="mine")) == (409, "operation_id_taken")
    assert problem(await post(server, "restore", BEN, to="2", id="mine")) == (409, "operation_id_taken")


@pytest.mark.rule("HV7", "HV41")
async def test_an_undo_up_to_now_that_is_asked_for_again_is_done_once(server: Api) -> None:
    """Now is another moment then."""
    await two_authors(server)
    first = await post(server, "undo", author="ana", from_="2", id="mine")
    again = await post(server, "undo", author="ana", from_="2", id="mine")
    assert (again.status_code, again.json()) == (200, first.json())


@pytest.mark.rule("HV7")
async def test_restores_at_once_under_one_id_name_one_version(server: Api) -> None:
    await two_authors(server)
    answers = await asyncio.gather(*(post(server, "restore", to="2", id="mine") for _ in range(4)))
    (version,) = {answer.json()["version"] for answer in answers}
    assert (await get(server, f"versions/{version}"))["kind"] == "restore"


@pytest.mark.rule("HV41", "HV42", "RS12")
async def test_what_is_back_already_does_not_come_back_again(server: Api) -> None:
    """By a restore, by an undo, and by several at once; without what was deleted of it since."""
    ana, ben = await server.connect("d", token("ana")), await server.connect("d", token("ben"))
    await ana.type("Hello")
    ben.head = ana.head
    await ben.write({"type": "delete", "position": ["body", 0], "length": 5})
    undo = {"author": "ben", "from_": "1", "to": "2"}
    await asyncio.gather(*(post(server, "undo", ADMIN, **undo) for _ in range(3)))
    assert await text(server) == "Hello"
    assert (await post(server, "undo", ADMIN, **undo)).json()["operations"] == []
    ana.head = (await get(server, "operations"))["operations"][-1]["id"]
    await ana.write({"type": "delete", "position": ["body", 1], "length": 3})
    assert (await post(server, "undo", ADMIN, **undo)).status_code == 200
    assert sorted(await text(server)) == sorted("Hello")
    assert (await post(server, "restore", to="1")).status_code == 200
    await post(server, "undo", ADMIN, **undo)
    assert await text(server) == "Hello"


@pytest.mark.rule("HV42")
async def test_undo(server: Api) -> None:
    """What a person inserted goes, what they deleted comes back, what others did stays."""
    await two_authors(server)
    mine = await post(server, "undo", author="ana", from_="2")
    assert mine.status_code == 200, mine.text
    assert await text(server) == "Hello world"
    assert problem(await post(server, "undo", author="ben", from_="0")) == (403, "grant_too_low")
    done = (await post(server, "undo", ADMIN, author="ben", from_="0")).json()
    assert await text(server) == "Hello"
    assert (await get(server, f"versions/{done['version']}"))["offset"] == 5
    nothing = (await post(server, "undo", ADMIN, author="nobody", from_="0")).json()
    assert nothing == {"offset": 6, "operations": [], "version": None, "left": []}
    assert problem(await post(server, "undo", author="ana", from_="3", to="1")) == (422, "wrong_order")
    cause = (await get(server, "activity", limit=1))["activity"][0]["cause"]
    assert cause == {"kind": "undo", "until": 5, "after": 0, "root": None, "author": "ben"}


@pytest.mark.rule("HT12", "HT23")
async def test_what_cannot_be_meant_is_refused(server: Api) -> None:
    """Parameters that there are not, and bodies that are no JSON. What is JSON is read, whatever its type says."""
    await two_authors(server)
    for what in ("activity?after=5", "versions?foo=1", "blame?att=1", "operations?before=3", "?At=1", "/versions/x?at=1"):
        answer = await server.client.get(f"{PATH}{'' if what[0] in '/?' else '/'}{what}", headers=READER)
        assert problem(answer) == (422, "unprocessable_entity"), what
        assert "this address has no such parameter; it has " in answer.json()["detail"]
    assert (await server.client.get(f"{PATH}/blame?at=1&access_token={token('ana')}")).status_code == 200
    for body in (b"{to:1}", b'{"to": NaN}', b"\xff"):
        assert problem(await server.client.post(f"{PATH}/restore", content=body, headers=WRITER)) == (400, "malformed_json")
    assert problem(await server.client.post(f"{PATH}/restore", headers=WRITER)) == (422, "unprocessable_entity")
    as_curl = WRITER | {"content-type": "application/x-www-form-urlencoded"}
    assert (await server.client.post(f"{PATH}/restore", content=b'{"to": "1"}', headers=as_curl)).status_code == 200
    assert await text(server) == "Hello"


@pytest.mark.rule("HV32")
async def test_activity_by_author(server: Api) -> None:
    """Of two who write at the same time, each has one group."""
    ana, ben = await server.connect("d", token("ana")), await server.connect("d", token("ben"))
    for _ in range(3):
        for one, other in ((ana, ben), (ben, ana)):
            await one.type("x")
            other.head = one.head
    assert [one["entries"] for one in (await get(server, "activity"))["activity"]] == [1] * 6
    page = await get(server, "activity", by_author=True)
    told = [(one["author"], one["first_offset"], one["last_offset"], one["entries"]) for one in page["activity"]]
    assert (told, page["next"]) == ([("ben", 2, 6, 3), ("ana", 1, 5, 3)], None)
    page = await get(server, "activity", by_author=True, limit=1)
    assert (len(page["activity"]), page["next"]) == (1, 6)


@pytest.mark.rule("HV42")
async def test_an_undo_that_was_done_does_nothing_again(server: Api) -> None:
    """Though it takes back the first one, too: it would write again what stands there."""
    await two_authors(server)
    await post(server, "restore", ADMIN, to="1")
    undo = {"author": "root", "from_": "4"}
    assert (await post(server, "undo", ADMIN, **undo)).json()["offset"] == 6
    assert await text(server) == "Jello world"
    assert (await post(server, "undo", ADMIN, **undo)).json() == {"offset": 6, "operations": [], "version": None, "left": []}


@pytest.mark.rule("HV43")
async def test_who_may_do_what(server: Api) -> None:
    await two_authors(server)
    asked: dict[str, dict[str, Any]] = {"restore": {"to": "1"}, "undo": {"author": "rita", "from": "0"}}
    for what, body in asked.items():
        assert problem(await post(server, what, READER, **body)) == (403, "grant_too_low")
        assert problem(await post(server, what, {}, **body)) == (401, "unauthorized")
        assert problem(await post(server, what, WRITER, **(body | {"extra": 1})))[0] == 422
    assert problem(await post(server, "restore", to="9")) == (404, "unknown_moment")
    for what in ("diff?from=0", "blame", "activity", "versions"):
        assert problem(await server.client.get(f"{PATH}/{what}")) == (401, "unauthorized")
    assert problem(await server.client.get(f"{PATH}/diff", headers=READER)) == (422, "unprocessable_entity")
    assert problem(await server.client.get("/api/v2/documents/e/blame", headers=WRITER)) == (404, "document_not_found")
