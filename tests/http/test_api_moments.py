"""Documents as they were: which moment is meant, and its state in every form."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from cowrite.core.history import moments
from cowrite.core.history.moments import Moment
from cowrite.core.operations.state import State
from cowrite.core.records import StoredDocument
from cowrite.protocol import yjs
from cowrite.protocol.messages import SyncStep2
from cowrite.testing.yjs_client import YjsClient
from http_api import Api, Member, api, bearer, problem, token
from timing import MS

PATH = "/api/v2/documents/d"
WRITER = bearer(token("ana"))
ADMIN = bearer(token("root", **{"*": "admin"}))


@pytest.fixture
async def server() -> AsyncIterator[Api]:
    async with api() as started:
        yield started


async def written(server: Api) -> Member:
    """Five entries: one, two, three, four, five."""
    ana = await server.connect("d", token("ana"))
    for number, word in enumerate(("one", "two", "three", "four", "five")):
        await ana.write({"type": "insert", "position": ["body", 0], "content": word, "id": f"op {number + 1}"})
    return ana


async def read(server: Api, at: object, **query: str) -> httpx.Response:
    return await server.client.get(PATH, params={"at": str(at), "format": "text"} | query, headers=WRITER)


@pytest.mark.rule("HV10")
async def test_a_moment_is_named_in_many_ways(server: Api) -> None:
    """By offset, operation, version and time, with and without the word that says which."""
    await written(server)
    operations = (await server.client.get(f"{PATH}/operations", headers=WRITER)).json()["operations"]
    for name in ("3", "offset:3", "op 3", "operation:op 3"):
        assert (await read(server, name)).text == "threetwoone", name
    assert (await read(server, "0")).text == ""
    assert (await read(server, "5")).text == "fivefourthreetwoone"
    made = (await server.client.post(f"{PATH}/versions", json={"at": "3"}, headers=WRITER)).json()
    for name in (made["id"], f"version:{made['id']}"):
        assert (await read(server, name)).text == "threetwoone"
    last = operations[-1]["created_at"]
    assert (await read(server, f"time:{operations[0]['created_at'] - 1}")).text == ""
    assert (await read(server, f"time:{last}")).text == "fivefourthreetwoone"
    assert (await read(server, f"time:{last + 10**9}")).text == "fivefourthreetwoone"
    at = datetime.fromtimestamp((last + 1000) / 1000, UTC)
    assert (await read(server, f"time:{at.isoformat()}")).text == "fivefourthreetwoone"
    for text in (at.isoformat(), at.isoformat().replace("+00:00", "Z"), at.isoformat().replace("+", " ")):
        assert (await read(server, text)).text == "fivefourthreetwoone", text


@pytest.mark.rule("HV10")
async def test_moments_that_are_none(server: Api) -> None:
    await written(server)
    for name in (
        "6",
        "offset:x",
        "offset:",
        "time:x",
        "time:1e3",
        "version:5",
        "operation:none",
        "nothing",
        "\0",
        "2026-13-01T00:00Z",
    ):
        assert problem(await read(server, name)) == (404, "unknown_moment"), name
    for name in ("2026-11-28T17:07:08", "2026-11-28", "2026-11-28T17:07:08-0500", "2026-02-30T00:00Z", "time:2026-11-28T17:07"):
        answer = await read(server, name)
        assert problem(answer) == (404, "unknown_moment"), name
        assert "a zone, as 2026-11-28T14:00:00Z" in answer.json()["detail"], name
    for name in ("now", "2026-11-281"):
        assert "name an offset up to 5, a time, or the id" in (await read(server, name)).json()["detail"]
    for name in ("", "x" * 256):
        assert problem(await read(server, name)) == (422, "unprocessable_entity")
    assert problem(await server.client.get("/api/v2/documents/e?at=0", headers=WRITER)) == (404, "document_not_found")
    assert problem(await server.client.get(f"{PATH}?at=0")) == (401, "unauthorized")


@pytest.mark.rule("HV11")
async def test_a_state_of_the_past_in_every_form(server: Api) -> None:
    """As JSON, text, HTML, Markdown and Yjs update, of all roots or one, with its ETag."""
    ana = await written(server)
    await ana.write({"type": "insert", "position": ["m", "key"], "content": "value"})
    state = (await read(server, 2, format="json")).json()
    assert state["content"] == {"body": {"$text": [{"insert": "twoone"}]}}
    assert (state["offset"], state["head"]) == (2, "op 2")
    now = (await server.client.get(PATH, headers=WRITER)).json()
    assert now["epoch"] == state["epoch"]
    assert (await read(server, 6, format="json", root="m")).json()["content"] == {"m": {"$map": {"key": "value"}}}
    assert "twoone" in (await read(server, 2, format="html")).text
    assert "twoone" in (await read(server, 2, format="markdown")).text
    client = YjsClient()
    client.receive(yjs.encode(SyncStep2((await read(server, 2, format="yjs")).content)))
    assert str(client.text) == "twoone"
    etag = (await read(server, 2)).headers["etag"]
    again = await server.client.get(f"{PATH}?at=2&format=text", headers=WRITER | {"if-none-match": etag})
    assert again.status_code == 304
    assert (await read(server, 3)).headers["etag"] != etag


@pytest.mark.rule("HV12")
async def test_every_moment_is_what_was_there_then(server: Api) -> None:
    """Whatever came later, however it is asked for, and whether or not it was asked for before."""
    ana = await server.connect("d", token("ana"))
    seen: list[Any] = [{}]
    for number in range(12):
        edits: list[dict[str, Any]] = [{"type": "insert", "position": ["body", 0], "content": f"{number} "}]
        if number % 3 == 2:
            edits = [{"type": "delete", "position": ["body", 1], "length": 2}]
        await ana.write(*edits)
        seen.append((await server.client.get(PATH, headers=WRITER)).json()["content"])
    for offset in [*range(13), 5, 0, 12]:
        assert (await read(server, offset, format="json")).json()["content"] == seen[offset]


@pytest.mark.rule("ER1")
async def test_what_was_forgotten_cannot_be_had(server: Api) -> None:
    """The document goes on, with those who are in it; whoever asks for what was before is told that it is not kept."""
    ana = await written(server)
    assert problem(await server.client.delete(f"{PATH}/history?before=3", headers=WRITER)) == (403, "grant_too_low")
    assert (await read(server, 2)).text == "twoone"
    done = await server.client.delete(f"{PATH}/history?before=3", headers=ADMIN)
    assert (done.status_code, done.json()) == (200, {"first_offset": 4})
    for name in ("1", "2", "0"):
        assert problem(await read(server, name)) == (410, "history_forgotten"), name
    assert problem(await read(server, "op 2"))[0] in {404, 410}
    page = await server.client.get(f"{PATH}/operations", headers=WRITER)
    assert (*problem(page), page.json()["first_offset"]) == (410, "history_forgotten", 4)
    page = await server.client.get(f"{PATH}/operations?after=offset:3", headers=WRITER)
    assert [one["content"] for one in page.json()["operations"]] == ["four", "five"]
    page = await server.client.get(f"{PATH}/operations?after=offset:2", headers=WRITER)
    assert problem(page) == (410, "history_forgotten")
    listed = (await server.client.get("/api/v2/documents", headers=WRITER)).json()["documents"]
    assert [one["first_offset"] for one in listed] == [4]
    for before in ("2", "3", "2020-01-01T00:00:00Z"):
        again = await server.client.delete(f"{PATH}/history?before={before}", headers=ADMIN)
        assert (again.status_code, again.json()) == (200, {"first_offset": 4}), before
    assert (await read(server, 4)).text == "fourthreetwoone"
    assert (await read(server, 5)).text == "fivefourthreetwoone"
    await ana.type("six")
    assert (await server.client.get(f"{PATH}?format=text", headers=WRITER)).text == "sixfivefourthreetwoone"
    again = await server.client.delete(f"{PATH}/history?before={quote('operation:op 5')}", headers=ADMIN)
    assert again.json() == {"first_offset": 6}
    polled = (await ana.poll()).json()
    assert polled["reset"] is True


@pytest.mark.rule("HV13")
async def test_who_has_gone_is_not_worked_for(server: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await written(server)
    worker, gate = server.backend.past.worker, threading.Event()
    made: list[int] = []
    state_of = moments._state

    def recorded(stored: StoredDocument, moment: Moment, operation: str | None) -> State:
        made.append(moment.offset)
        return state_of(stored, moment, operation)

    monkeypatch.setattr(moments, "_state", recorded)
    busy = asyncio.ensure_future(worker.run("other", lambda: gate.wait(20)))
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as leaving:
        with pytest.raises(httpx.ReadTimeout):
            await leaving.get(f"{PATH}?at=2", headers=WRITER, timeout=httpx.Timeout(20, read=300 * MS))
    async with asyncio.timeout(20):
        while any(not job.done.done() for jobs in worker._turns._waiting.values() for job in jobs):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(MS)
    gate.set()
    assert await busy
    assert (await read(server, 3)).text == "threetwoone"
    assert made == [3]
