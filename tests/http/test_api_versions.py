"""Versions: marked moments."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from cowrite.core.records import Version, VersionKind
from cowrite.testing.records import new_id
from http_api import Api, api, bearer, problem, token

PATH = "/api/v2/documents/d"
VERSIONS = f"{PATH}/versions"
WRITER = bearer(token("ana"))
READER = bearer(token("rita", d="read"))


@pytest.fixture
async def server() -> AsyncIterator[Api]:
    async with api() as started:
        ana = await started.connect("d", token("ana"))
        for word in ("one", "two", "three"):
            await ana.type(word)
        yield started


@pytest.mark.rule("HV20")
async def test_a_version_is_made_shown_changed_and_removed(server: Api) -> None:
    made = await server.client.post(VERSIONS, json={"name": "Draft", "note": "for Ben"}, headers=WRITER)
    assert made.status_code == 201
    version = made.json()
    told = {key: version[key] for key in ("offset", "kind", "name", "note", "author")}
    assert told == {"offset": 3, "kind": "named", "name": "Draft", "note": "for Ben", "author": "ana"}
    assert (await server.client.get(f"{VERSIONS}/{version['id']}", headers=READER)).json() == version
    changed = await server.client.patch(f"{VERSIONS}/{version['id']}", json={"name": "Final"}, headers=WRITER)
    assert changed.json() == version | {"name": "Final"}
    cleared = await server.client.patch(f"{VERSIONS}/{version['id']}", json={"note": None}, headers=WRITER)
    assert cleared.json() == version | {"name": "Final", "note": None}
    both = ({"name": "Both"}, {"note": "of two at once"})
    await asyncio.gather(*(server.client.patch(f"{VERSIONS}/{version['id']}", json=one, headers=WRITER) for one in both))
    found = (await server.client.get(f"{VERSIONS}/{version['id']}", headers=WRITER)).json()
    assert (found["name"], found["note"]) == ("Both", "of two at once")
    assert (await server.client.delete(f"{VERSIONS}/{version['id']}", headers=WRITER)).status_code == 204
    assert problem(await server.client.get(f"{VERSIONS}/{version['id']}", headers=READER)) == (404, "version_not_found")
    assert (await server.client.get(f"{PATH}?at=3&format=text", headers=READER)).text == "threetwoone"


@pytest.mark.rule("HV20")
async def test_versions_that_there_are_not(server: Api) -> None:
    for method in ("GET", "PATCH", "DELETE"):
        for version_id in ("none", "x" * 60, "%00"):
            body = {"json": {"name": "x"}} if method == "PATCH" else {}
            answer = await server.client.request(method, f"{VERSIONS}/{version_id}", headers=WRITER, **body)  # type: ignore[arg-type]
            assert problem(answer) == (404, "version_not_found")
    assert problem(await server.client.get(f"{VERSIONS}?before=none", headers=READER)) == (404, "version_not_found")
    assert problem(await server.client.post(VERSIONS, json={"at": "9"}, headers=WRITER)) == (404, "unknown_moment")


@pytest.mark.rule("HV20")
async def test_writers_make_versions_and_readers_look(server: Api) -> None:
    made = (await server.client.post(VERSIONS, json={}, headers=WRITER)).json()
    one = f"{VERSIONS}/{made['id']}"
    for method, path, body in (("POST", VERSIONS, {}), ("PATCH", one, {"name": "x"}), ("DELETE", one, None)):
        answer = await server.client.request(method, path, json=body, headers=READER)
        assert problem(answer) == (403, "grant_too_low")
    for bad in ({"name": ""}, {"name": "x" * 256}, {"note": "x" * 10_001}, {"name": "a\0"}, {"colour": "red"}):
        for method, path in (("POST", VERSIONS), ("PATCH", one)):
            assert problem(await server.client.request(method, path, json=bad, headers=WRITER))[0] == 422
    assert (await server.client.get(one, headers=READER)).json() == made


@pytest.mark.rule("HV21")
async def test_versions_are_listed_newest_moment_first_in_pages(server: Api) -> None:
    ids = {}
    for at in ("2", "1", "3", "0"):
        ids[at] = (await server.client.post(VERSIONS, json={"at": at, "name": f"v{at}"}, headers=WRITER)).json()["id"]
    found: list[int] = []
    before: str | None = None
    while True:
        query = {"limit": "3"} | ({"before": before} if before is not None else {})
        page = (await server.client.get(VERSIONS, params=query, headers=READER)).json()
        found += [one["offset"] for one in page["versions"]]
        before = page["next"]
        if before is None:
            break
        assert before == page["versions"][-1]["id"]
    assert found == [3, 2, 1, 0]
    automatic = (await server.client.get(f"{VERSIONS}?kind=automatic", headers=READER)).json()
    assert automatic == {"versions": [], "next": None}
    named = (await server.client.get(f"{VERSIONS}?kind=named&limit=4", headers=READER)).json()
    assert ([one["name"] for one in named["versions"]], named["next"]) == (["v3", "v2", "v1", "v0"], None)


@pytest.mark.rule("HV21")
async def test_versions_of_what_was_forgotten_go_with_it(server: Api) -> None:
    admin = bearer(token("root", **{"*": "admin"}))
    for at in ("1", "3"):
        await server.client.post(VERSIONS, json={"at": at}, headers=WRITER)
    await server.client.delete(f"{PATH}/history?before=2", headers=admin)
    listed = (await server.client.get(VERSIONS, headers=READER)).json()["versions"]
    assert [one["offset"] for one in listed] == [3]
    assert problem(await server.client.post(VERSIONS, json={"at": "1"}, headers=WRITER)) == (410, "history_forgotten")


@pytest.mark.rule("HV23")
async def test_versions_that_are_too_old_are_not_listed(server: Api) -> None:
    """Though nobody has edited since."""
    versions = server.backend.past.versions._versions
    for offset in (1, 2):
        old = Version(new_id(), "d", offset, VersionKind.AUTOMATIC, "ana", 1_500_000_000_000 + offset)
        assert await versions.add(old)
    found = (await server.client.get(VERSIONS, headers=READER)).json()["versions"]
    assert [one["offset"] for one in found] == [2]
