"""Polling: what is new, at once or later, and what an unchanged poll costs."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from cowrite.protocol import yjs
from cowrite.protocol.envelope import unseal
from cowrite.protocol.messages import SyncStep2
from http_api import REALTIME, Api, Member, api, bearer, insert, problem, token, two_servers
from timing import MS


@pytest.fixture
async def server() -> AsyncIterator[Api]:
    async with api() as started:
        yield started


async def wakes(member: Member, change: Callable[[], Awaitable[object]], **parameters: object) -> httpx.Response:
    """The answer to a long poll that waits while something changes, before its time is over."""
    polling = asyncio.ensure_future(member.poll(wait=20, **parameters))  # type: ignore[arg-type]
    await asyncio.sleep(100 * MS)
    assert not polling.done(), polling.result().text
    await change()
    async with asyncio.timeout(10):
        return await polling


@pytest.mark.rule("PO1")
async def test_what_is_there(server: Api) -> None:
    """Without a cursor everything comes, with one what is behind it; and always the same keys."""
    ana = await server.connect("d", token("ana"))
    keys = {"operations", "presence", "heartbeat", "head", "offset", "link", "server"}
    empty = (await ana.poll()).json()
    assert set(empty) == keys
    assert (empty["operations"], empty["head"], empty["offset"]) == ([], None, 0)
    first = await ana.type("hello")
    await ana.type(" world", 5)
    all_of_it = (await ana.poll()).json()
    assert [one["content"] for one in all_of_it["operations"]] == ["hello", " world"]
    behind = (await ana.poll(last_operation=first["head"])).json()
    assert set(behind) == keys
    assert [one["content"] for one in behind["operations"]] == [" world"]
    assert (behind["head"], behind["offset"]) == (ana.head, 2)
    assert (behind["link"], behind["server"]) == ("ok", "ok")
    assert abs(behind["heartbeat"] - server.backend.clock.now()) < 5000
    (present,) = behind["presence"]
    assert (present["user"], present["sessions"][0]["transport"]) == ({"id": "ana", "name": "Ana", "colour": None}, "polling")


@pytest.mark.rule("PO2")
async def test_reset(server: Api) -> None:
    """An unknown cursor, and one too far back, is answered with the state."""
    ana = await server.connect("d", token("ana"))
    first = await ana.type("a")
    unknown = (await ana.poll(last_operation="01999999-0000-7000-8000-000000000000")).json()
    assert (unknown["reset"], unknown["operations"], unknown["head"]) == (True, [], first["head"])
    assert unknown["state"] == {"body": {"$text": [{"insert": "a"}]}}
    for _ in range(3):
        await ana.write(*(insert("x") for _ in range(400)))
    far = (await ana.poll(last_operation=first["head"])).json()
    assert far["reset"] is True
    assert far["head"] == ana.head
    assert (await ana.poll(last_operation="x" * 400)).json()["reset"] is True


@pytest.mark.rule("PO3")
async def test_unknown_document(server: Api) -> None:
    """Polling a document that is not there opens nothing; one that is deleted is told."""
    assert (await server.client.get(f"{REALTIME}/poll?document_id=e", headers=bearer(token("ana")))).json()["operations"] == []
    assert server.backend.registry.get("e") is None
    ana = await server.connect("d", token("ana"))
    await ana.type("x")
    admin = bearer(token("r", d="admin"))
    assert (await server.client.delete("/api/v2/documents/d", headers=admin)).status_code == 204
    assert problem(await ana.poll()) == (410, "document_deleted")
    assert problem(await ana.write(insert("x"))) == (410, "document_deleted")


@pytest.mark.rule("PO3")
@pytest.mark.parametrize("accept", ["application/json", "application/octet-stream"])
async def test_a_document_that_is_not_there_is_waited_for(server: Api, accept: str) -> None:
    """A long poll of it opens nothing, lasts its time, and is answered when somebody has written; or when the server stops."""
    headers = bearer(token("eve")) | {"accept": accept}

    async def poll(wait: float, **query: str) -> httpx.Response:
        parameters = {"document_id": "e", "wait": str(wait)} | query
        return await server.client.get(f"{REALTIME}/poll", params=parameters, headers=headers)

    empty = await poll(100 * MS)
    assert (empty.status_code, server.backend.registry.get("e")) == (200, None)
    assert await server.backend.directory.info("e") is None
    waiting = asyncio.ensure_future(poll(20, cursor=empty.headers.get("cowrite-cursor", "")))
    await asyncio.sleep(100 * MS)
    assert (waiting.done(), server.backend.registry.get("e")) == (False, None)
    ana = await server.connect("e", token("ana"))
    await ana.type("hello")
    async with asyncio.timeout(10):
        answer = await waiting
        while b"hello" not in answer.content:  # the document was there before what was written in it
            answer = await poll(20, cursor=answer.headers.get("cowrite-cursor", ""))
    waiting = asyncio.ensure_future(server.client.get(f"{REALTIME}/poll?document_id=f&wait=20", headers=headers))
    await asyncio.sleep(100 * MS)
    server.backend.drain()
    async with asyncio.timeout(10):
        assert problem(await waiting) == (503, "unavailable")


@pytest.mark.rule("PO3", "PO22")
async def test_messages_of_a_document_that_is_not_there(server: Api) -> None:
    """It is the empty state, and with the cursor that comes along nothing until there is something."""
    headers = bearer(token("eve")) | {"accept": "application/octet-stream"}
    first = await server.client.get(f"{REALTIME}/poll?document_id=e", headers=headers)
    assert unseal(first.content) == [yjs.encode(SyncStep2(b"\0\0"))]
    query = {"document_id": "e", "cursor": first.headers["cowrite-cursor"]}
    assert (await server.client.get(f"{REALTIME}/poll", params=query, headers=headers)).content == b""
    ana = await server.connect("e", token("ana"))
    await ana.type("hello")
    state, *_ = unseal((await server.client.get(f"{REALTIME}/poll", params=query, headers=headers)).content)
    assert b"hello" in state


@pytest.mark.rule("PO4")
async def test_unchanged(server: Api) -> None:
    """A poll with the ETag of an answer is 304 until something changes: operations, or who is present."""
    ana = await server.connect("d", token("ana"))
    await ana.type("x")
    first = await ana.poll(last_operation=ana.head)
    etag = {"if-none-match": first.headers["etag"]}
    for _ in range(3):
        same = await ana.poll(headers=etag, last_operation=ana.head)
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", first.headers["etag"])
    bob = await server.connect("d", token("bob"))
    await bob.poll()
    met = await ana.poll(headers=etag, last_operation=ana.head)
    assert (met.status_code, len(met.json()["presence"])) == (200, 2)
    etag = {"if-none-match": f'"other", {met.headers["etag"]}'}
    assert (await ana.poll(headers=etag, last_operation=ana.head)).status_code == 304
    cursor = ana.head
    await ana.type("y")
    changed = await ana.poll(headers=etag, last_operation=cursor)
    assert [one["content"] for one in changed.json()["operations"]] == ["y"]
    assert changed.headers["etag"] != met.headers["etag"]


@pytest.mark.rule("PO5")
async def test_token_before_304(server: Api) -> None:
    """Who may not read is told so, whatever ETag comes along."""
    ana = await server.connect("d", token("ana"))
    etag = (await ana.poll()).headers["etag"]
    poll = f"{REALTIME}/poll?document_id=d"
    assert (await server.client.get(poll, headers={"if-none-match": etag})).status_code == 401
    await server.client.post(
        f"{REALTIME}/grants", json={"document_id": "d", "grant": None}, headers=bearer(token("r", d="admin"))
    )
    assert problem(await ana.poll(headers={"if-none-match": etag})) == (403, "forbidden")


@pytest.mark.rule("PO6")
async def test_compressed(server: Api) -> None:
    """Answers over 1 KB are compressed for those who take that, long polls too."""
    ana = await server.connect("d", token("ana"))
    await ana.type("x" * 5000)
    for wait in (0, 5):
        plain = await ana.poll(headers={"accept-encoding": "identity"}, wait=wait)
        small = await ana.poll(headers={"accept-encoding": "br, gzip;q=0.5"}, wait=wait)
        assert "content-encoding" not in plain.headers
        assert small.headers["content-encoding"] == "gzip"
        assert int(small.headers["content-length"]) < 1500 < int(plain.headers["content-length"])
        assert small.json()["operations"] == plain.json()["operations"]
    for refused in ("gzip;q=0", "br"):
        assert "content-encoding" not in (await ana.poll(headers={"accept-encoding": refused})).headers
    tiny = await ana.poll(headers={"accept-encoding": "gzip"}, last_operation=ana.head)
    assert "content-encoding" not in tiny.headers
    raw = await server.client.send(
        server.client.build_request("GET", f"{REALTIME}/poll?document_id=d", headers=ana.headers | {"accept-encoding": "gzip"}),
        stream=True,
    )
    assert gzip.decompress(b"".join([part async for part in raw.aiter_raw()])).startswith(b'{"operations":[')


@pytest.mark.rule("PO7")
async def test_long_poll_wakes(server: Api) -> None:
    """A long poll is answered when there is an operation, when somebody comes or tells something, and when its time is over."""
    ana, bob = await server.connect("d", token("ana")), await server.connect("d", token("bob"))
    await ana.type("x")
    await bob.poll()
    answer = await wakes(bob, lambda: ana.type("y"), last_operation=ana.head)
    assert [one["content"] for one in answer.json()["operations"]] == ["y"]
    met = await wakes(bob, ana.poll, last_operation=ana.head)
    assert len(met.json()["presence"]) == 2
    tell = {"document_id": "d", "data": {"at": 5}}
    told = await wakes(
        bob, lambda: server.client.post(f"{REALTIME}/presence", json=tell, headers=ana.headers), last_operation=ana.head
    )
    assert {"at": 5} in [one["sessions"][0]["data"] for one in told.json()["presence"]]
    started = asyncio.get_running_loop().time()
    over = await bob.poll(wait=0.2, last_operation=ana.head)
    assert (over.status_code, over.json()["operations"]) == (200, [])
    assert asyncio.get_running_loop().time() - started >= 0.2
    same = await bob.poll(wait=0.1, last_operation=ana.head, headers={"if-none-match": over.headers["etag"]})
    assert same.status_code == 304


@pytest.mark.rule("PO7")
async def test_long_poll_with_what_has_changed_before(server: Api) -> None:
    """A client that says by its ETag that it knows less than there is is answered at once."""
    ana, bob = await server.connect("d", token("ana")), await server.connect("d", token("bob"))
    etag = (await ana.poll()).headers["etag"]
    await bob.poll()
    async with asyncio.timeout(10):
        answer = await ana.poll(wait=20, headers={"if-none-match": etag})
    assert len(answer.json()["presence"]) == 2


@pytest.mark.rule("PO8")
async def test_revoked_while_it_waits(server: Api) -> None:
    """A long poll whose access is revoked meanwhile is refused, and gets nothing more."""
    ana = await server.connect("d", token("ana"))
    await ana.poll()
    change = {"document_id": "d", "user_id": "ana", "grant": None}
    admin = bearer(token("r", d="admin"))
    answer = await wakes(ana, lambda: server.client.post(f"{REALTIME}/grants", json=change, headers=admin))
    assert problem(answer) == (403, "forbidden")


@pytest.mark.rule("PO8")
async def test_revoked_at_another_server(tmp_path: Path) -> None:
    """The same when it was revoked at another server."""
    async with two_servers(tmp_path) as (one, other):
        ana = await one.connect("d", token("ana"))
        await ana.type("x")
        change = {"document_id": "d", "user_id": "ana", "grant": None}
        admin = bearer(token("r", d="admin"))
        answer = await wakes(
            ana, lambda: other.client.post(f"{REALTIME}/grants", json=change, headers=admin), last_operation=ana.head
        )
        assert problem(answer) == (403, "forbidden")


@pytest.mark.rule("PO9")
async def test_room_goes_while_it_waits(server: Api) -> None:
    """A long poll on a document that is deleted, or on a server that stops, is told to come again."""
    ana = await server.connect("d", token("ana"))
    await ana.type("x")
    admin = bearer(token("r", d="admin"))
    deleted = await wakes(ana, lambda: server.client.delete("/api/v2/documents/d", headers=admin), last_operation=ana.head)
    assert problem(deleted) == (503, "unavailable")
    assert problem(await ana.poll(wait=5)) == (410, "document_deleted")
    bob = await server.connect("e", token("bob"))
    await bob.type("x")

    async def stop() -> None:
        server.runtime.refuse_connections()

    assert problem(await wakes(bob, stop, last_operation=bob.head)) == (503, "unavailable")


@pytest.mark.rule("PO10")
async def test_clients_that_go_leave_nothing(server: Api) -> None:
    """A client that goes while it waits leaves no task behind."""
    ana = await server.connect("d", token("ana"))
    await ana.poll()
    before = len(asyncio.all_tasks())
    for accept in ("application/json", "application/octet-stream"):
        async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
            headers = ana.headers | {"accept": accept}
            first = await client.get(f"{REALTIME}/poll?document_id=d", headers=headers)
            query = {"document_id": "d", "wait": "20", "cursor": first.headers.get("cowrite-cursor", "")}
            with pytest.raises(httpx.ReadTimeout):
                await client.get(f"{REALTIME}/poll", params=query, headers=headers, timeout=httpx.Timeout(5, read=300 * MS))
    async with asyncio.timeout(10):
        while len(asyncio.all_tasks()) > before:  # noqa: ASYNC110
            await asyncio.sleep(10 * MS)


@pytest.mark.rule("PO11")
async def test_parameters(server: Api) -> None:
    """A parameter that is missing or out of range is refused."""
    for query in ("", "document_id=d&wait=26", "document_id=d&wait=-1", "document_id=d&wait=x", "document_id=d&wait=nan"):
        answer = await server.client.get(f"{REALTIME}/poll?{query}", headers=bearer(token("ana")))
        assert problem(answer) == (422, "unprocessable_entity")
    many = "&".join(f"a{n}=1" for n in range(200))
    assert problem(await server.client.get(f"{REALTIME}/poll?{many}")) == (400, "bad_request")
    assert problem(await server.client.post(f"{REALTIME}/poll?document_id=d")) == (405, "method_not_allowed")


@pytest.mark.rule("PO12")
async def test_presence_ends(server: Api) -> None:
    """Who polls is present until some time after the last poll; a session token by itself makes nobody present."""
    ana, bob = await server.connect("d", token("ana")), await server.connect("d", token("bob"))
    await ana.poll()
    await bob.poll()
    await server.client.get(f"{REALTIME}/poll?document_id=d", headers=bearer(token("eve")))
    room = server.backend.registry.get("d")
    assert room is not None
    assert [one.user_id for one in room.presence.persons] == ["ana", "bob"]
    room.tend(server.backend.clock.monotonic() + 29)
    assert len(room.presence.persons) == 2
    room.tend(server.backend.clock.monotonic() + 31)
    assert room.presence.persons == []


@pytest.mark.rule("PO12")
async def test_presence_ends_though_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not come again goes, and nobody has to poll for that."""
    monkeypatch.setattr("cowrite.http.polling.PRESENT_SECONDS", 50 * MS)
    monkeypatch.setattr("cowrite.runtime.TEND_SECONDS", 20 * MS)
    async with api() as server:
        ana = await server.connect("d", token("ana"))
        await ana.type("x")
        await ana.poll()
        room = server.backend.registry.get("d")
        assert room is not None
        async with asyncio.timeout(10):
            while room.presence.persons:  # noqa: ASYNC110
                await asyncio.sleep(10 * MS)
        assert room.presence.crowd.version == 2
