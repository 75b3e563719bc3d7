"""What administrators are told."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from cowrite.http.admin_models import Overview, merged
from cowrite.testing.client import live_client
from cowrite.tokens import issue
from http_api import SECRET, Api, api, bearer, problem, token

ADMIN = "/api/v2/admin"


@pytest.fixture
async def server() -> AsyncIterator[Api]:
    async with api() as started:
        yield started


async def ask(server: Api, path: str, shown: str | None = None, **query: str) -> httpx.Response:
    headers = bearer(token("root", **{"*": "admin"}) if shown is None else shown)
    return await server.client.get(f"{ADMIN}/{path}", params=query or None, headers=headers)


async def told(server: Api, path: str, **query: str) -> Any:
    answer = await ask(server, path, **query)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.rule("AD1")
async def test_who_may(server: Api) -> None:
    """Administrators of all documents; those of some, those who may less, and tokens for a single use may not."""
    member = await server.connect("d", token("root", **{"*": "admin"}))
    once = issue(SECRET, sub="root", documents={"*": "admin"}, single_use=True)
    for path in ("overview", "documents", "document?document_id=d"):
        for shown in (token("ana", d="admin"), token("ana", **{"d*": "admin"}), member.answer["access_token"], once):
            assert problem(await ask(server, path, shown)) == (403, "forbidden")
        assert problem(await ask(server, path, token("ana", **{"*": "write"}))) == (403, "grant_too_low")
    assert (await ask(server, "overview")).headers["cache-control"] == "no-store"


@pytest.mark.rule("AD2", "AD3", "AD4")
async def test_people_and_documents(server: Api) -> None:
    """Each of them is counted, and named with how they are connected, whatever their names are made of."""
    ana = await server.connect("d <b>", token("ana"))
    await ana.type("hello")
    await ana.poll()
    async with live_client(f"{server.url.replace('http', 'ws', 1)}/yjs/d%20%3Cb%3E?token={token('bo')}") as bo:
        await bo.until(lambda: str(bo.yjs.text) != "" or bool(bo.yjs.saved))
        overview = await told(server, "overview")
        assert {one["part"] for one in overview["degraded"]} <= {"loop"}  # the machine may be busy with other tests
        assert abs(overview["now"] - time.time() * 1000) < 60_000
        [worker] = overview["workers"]
        counted = {name: worker[name] for name in ("number", "answers", "sockets", "documents", "people", "restarts")}
        assert counted == {"number": 1, "answers": True, "sockets": 1, "documents": 1, "people": 2, "restarts": 0}
        assert worker["edits_per_second"] > 0
        assert worker["commit_p50_ms"] > 0
        found = await told(server, "documents", search="D <")
        [document] = found["documents"]
        assert found["more"] is False
        expected = {"document_id": "d <b>", "state": "open", "reason": None, "workers": [1], "people": 2, "offset": 1}
        assert {name: document[name] for name in expected} == expected
        assert document["sockets"] >= 1
        assert document["edits_per_minute"] >= 1
        assert document["bytes"] > 0
        assert (await told(server, "documents", search="nowhere"))["documents"] == []
        one = await told(server, "document", document_id="d <b>")
        assert one["open"] == document
        assert one["stored"]["offset"] == 1
        people = {person["user"]["name"]: [each["transport"] for each in person["sessions"]] for person in one["people"]}
        assert people == {"Ana": ["polling"], "Bo": ["yjs"]}
        assert all(person["changed"] is None for person in one["people"])


@pytest.mark.rule("AD4")
async def test_a_document_that_is_not_open(server: Api) -> None:
    """Of what is stored is told what there is; of what nobody has ever seen, that."""
    assert problem(await ask(server, "document", document_id="nothing")) == (404, "document_not_found")
    assert problem(await ask(server, "document", document_id="*")) == (422, "bad_document_id")
    assert problem(await ask(server, "document", document_id="d", other="x")) == (422, "unprocessable_entity")
    await server.backend.directory.create("empty")
    one = await told(server, "document", document_id="empty")
    assert (one["open"], one["people"], one["stored"]["offset"]) == (None, [], 0)


@pytest.mark.rule("AD4", "AD9")
async def test_what_was_changed_of_grants(server: Api) -> None:
    """Whoever was revoked, and comes again with a later token, is shown with what was changed, and by whom."""
    ana = await server.connect("d", token("ana"))
    await ana.poll()
    change = {"document_id": "d", "user_id": "ana", "grant": "read", "reason": "quarrel"}
    headers = bearer(token("root", **{"*": "admin"}))
    assert (await server.client.post("/api/v2/realtime/grants", json=change, headers=headers)).status_code == 200
    [person] = (await told(server, "document", document_id="d"))["people"]
    changed = {name: person["changed"][name] for name in ("grant", "changed_by", "reason")}
    assert changed == {"grant": "read", "changed_by": "root", "reason": "quarrel"}
    change["grant"] = "restore"
    await server.client.post("/api/v2/realtime/grants", json=change, headers=headers)
    [person] = (await told(server, "document", document_id="d"))["people"]
    assert person["changed"] is None


@pytest.mark.rule("AD3")
async def test_documents_that_are_broken(server: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that cannot be stored, and those that could not be opened, come first and say why."""
    for name in ("busy", "failing"):
        await (await server.connect(name, token("ana"))).poll()
    parts = server.runtime._parts
    assert parts is not None
    parts.journal.failing_documents["failing"] = "too large"
    monkeypatch.setattr(parts.registry._damage, "_found", {"broken": "entry 3", "busy": "entry 9"})
    found = (await told(server, "documents"))["documents"]
    assert [(one["document_id"], one["state"], one["reason"]) for one in found] == [
        ("busy", "damaged", "entry 9"),
        ("broken", "damaged", "entry 3"),
        ("failing", "failing", "too large"),
    ]
    overview = await told(server, "overview")
    assert overview["status"] == "degraded"
    assert {one["part"] for one in overview["degraded"]} - {"loop"} == {"documents", "damaged"}
    assert (await told(server, "documents", limit="2"))["more"] is True
    parts.journal.failing_documents.clear()


@pytest.mark.rule("AD2")
def test_every_part_that_can_be_degraded() -> None:
    """Each is told by its name and in words; nothing is where all is well. A worker that says nothing is degraded, too."""
    well = {"cowrite_start_time_seconds": 1.0, "cowrite_broker_connected": 1.0, "cowrite_loop_lag_seconds": 0.01}
    bad = {
        "database": {"cowrite_database_failing": 1.0},
        "documents": {"cowrite_journal_failing_documents": 2.0},
        "damaged": {"cowrite_damaged_documents": 1.0},
        "broker": {"cowrite_broker_connected": 0.0},
        "presence": {"cowrite_presence_degraded": 1.0},
        "loop": {"cowrite_loop_lag_seconds": 0.2},
    }
    assert Overview.of("1", 0, {1: well}).degraded == []
    for part, figures in bad.items():
        overview = Overview.of("1", 0, {1: well, 2: well | figures})
        assert overview.status == "degraded"
        [one] = overview.degraded
        assert (one.worker, one.part) == (2, part)
    [one] = Overview.of("1", 0, {1: well, 2: {"cowrite_worker_restarts_total": 3.0}}).degraded
    assert (one.worker, one.part) == (2, "worker")
    overview = Overview.of("1", 0, {1: well | {"cowrite_draining": 1.0}})
    assert (overview.status, overview.workers[0].memory_bytes, overview.workers[0].commit_p50_ms) == ("draining", None, None)


@pytest.mark.rule("AD3")
def test_a_document_that_two_workers_have_open() -> None:
    """It is listed once: connections and edits add up, people are those whom both know, and what is wrong with it is told."""
    row = {"document_id": "d", "state": "open", "reason": None, "people": 2, "sockets": 1, "edits_per_minute": 3}
    row |= {"bytes": None, "offset": 7, "pending_updates": 0}
    other = row | {"state": "failing", "reason": "no", "people": 1, "sockets": 4, "bytes": 9, "offset": 6, "pending_updates": 2}
    [one] = merged({2: [other], 1: [row], 3: []})
    assert one.model_dump() == row | {
        "state": "failing",
        "reason": "no",
        "workers": [1, 2],
        "sockets": 5,
        "edits_per_minute": 6,
        "bytes": 9,
        "pending_updates": 2,
    }


@pytest.mark.rule("AD6")
async def test_the_page(server: Api) -> None:
    """It is there without a token and without the demo; what it loads it asks for below itself, and nothing else is there."""
    answer = await server.client.get("/admin")
    assert (answer.status_code, answer.headers["location"]) == (308, "admin/")
    answer = await server.client.get("/admin/")
    assert answer.status_code == 200
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-cache"
    for part in answer.text.split('"./')[1:]:
        loaded = await server.client.get(f"/admin/{part.partition(chr(34))[0]}")
        assert loaded.status_code == 200
    assert (await server.client.get("/admin/nothing")).status_code == 404
    assert (await server.client.get("/")).status_code == 404
