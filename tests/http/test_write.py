"""Writing operations and presence over HTTP."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest

from cowrite.core.limits import Limits
from cowrite.stores.memory import MemoryDatabase, memory_storage
from http_api import REALTIME, Api, Member, api, bearer, insert, problem, token, two_servers
from timing import MS


@pytest.fixture
async def server() -> AsyncIterator[Api]:
    async with api() as started:
        yield started


async def text(member: Member) -> str:
    answer = await member.api.client.get("/api/v2/documents/d?format=text", headers=member.headers)
    assert answer.status_code == 200
    return answer.text


@pytest.mark.rule("HT20")
async def test_written(server: Api) -> None:
    """The answer has the operations as committed, where the log stands, and all that came behind the base."""
    ana, bob = await server.connect("d", token("ana")), await server.connect("d", token("bob"))
    first = await ana.type("hello")
    (operation,) = first["operations"]
    assert (operation["content"], operation["author"], first["offset"]) == ("hello", "ana", 1)
    assert first["head"] == operation["id"]
    bob.head = first["head"]
    await ana.type(" world", 5)
    written = await bob.type("oh, ")
    assert [one["content"] for one in written["operations"]] == ["oh, "]
    assert [one["content"] for one in written["since_base"]] == [" world", "oh, "]
    assert written["offset"] == 3
    assert await text(ana) == "oh, hello world"


@pytest.mark.rule("HT21")
async def test_sent_again(server: Api) -> None:
    """What is sent again is answered as the first time, and applied once; an id that is taken is refused."""
    ana, bob = await server.connect("d", token("ana")), await server.connect("d", token("bob"))
    one = insert("x", id=str(uuid4()))
    first = await ana.write(one)
    again = await ana.write(one, base=None)
    assert again.json()["operations"] == first.json()["operations"]
    assert await text(ana) == "x"
    assert problem(await ana.write(one | {"content": "y"}, base=None)) == (409, "operation_id_taken")
    assert problem(await bob.write(one, base=None)) == (409, "operation_id_taken")
    taken = await bob.write(insert("a"), one, base=None)
    assert taken.json()["index"] == 1


@pytest.mark.rule("HT22")
async def test_all_or_nothing(server: Api) -> None:
    """The operations of a request build on one another; one that does not fit refuses them all, and says which."""
    ana = await server.connect("d", token("ana"))
    await ana.write(insert("ab"), insert("c", 2), {"type": "delete", "position": ["body", 0], "length": 1})
    assert await text(ana) == "bc"
    refused = await ana.write(insert("d", 2), insert("e", 99))
    assert problem(refused) == (422, "range")
    assert (refused.json()["index"], refused.json()["field"]) == (1, "position")
    bad = await ana.write(insert("d", 2), {"type": "insert", "position": ["body", 0]})
    assert problem(bad) == (422, "field")
    assert (bad.json()["index"], bad.json()["field"]) == (1, "content")
    assert await text(ana) == "bc"


@pytest.mark.rule("HT23")
async def test_malformed(server: Api) -> None:
    """A request that is not one is refused before anything is looked at."""
    ana = await server.connect("d", token("ana"))

    async def post(body: bytes, **headers: str) -> httpx.Response:
        return await server.client.post(f"{REALTIME}/operations", content=body, headers=ana.headers | headers)

    for body in (b"", b"{", b"\xff", b"[" * 100_000, b'{"a": NaN}', b"9" * 5000):
        assert problem(await post(body)) == (400, "malformed_json")
    cases = {"[]": None, '{"base": null, "x": 1}': "x", '{"document_id": "d", "operations": []}': "base"}
    for text_of, field in cases.items():
        answer = await post(text_of.encode())
        assert problem(answer) == (422, "field")
        assert answer.json().get("field") == field
    for body_of in ({"document_id": 1}, {"document_id": "d", "operations": []}, {"document_id": "d", "operations": {}}):
        assert problem(await post(json.dumps(body_of | {"base": None}).encode())) == (422, "field")
    assert problem(await post(b'{"base": null, "operations": []}')) == (422, "bad_document_id")
    assert problem(await ana.write(insert("x"), base=str(uuid4()))) == (409, "unknown_base")
    assert problem(await ana.write(insert("x"), base="x" * 37)) == (422, "field")
    assert problem(await ana.write(insert("x"), after=str(uuid4()))) == (409, "unknown_previous")


@pytest.mark.rule("HT24")
async def test_large_bodies(server: Api) -> None:
    """A body over 1 MB is refused, whether its length is told or not, and before all of it was read."""
    ana = await server.connect("d", token("ana"))
    url = f"{REALTIME}/operations"
    told = await server.client.post(url, content=b" " * ((1 << 20) + 1), headers=ana.headers)
    assert problem(told) == (413, "too_large")

    async def parts(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b" " * 65536

    assert problem(await server.client.post(url, content=parts(64), headers=ana.headers)) == (413, "too_large")
    with pytest.raises((httpx.WriteError, httpx.ReadError)):  # the server has closed while this was still sending
        await server.client.post(url, content=parts(2000), headers=ana.headers)


@pytest.mark.rule("HT31")
@pytest.mark.parametrize("path", ["operations", "operations?document_id=d", "disconnect", "connect"])
async def test_a_client_that_goes_while_it_sends(server: Api, path: str, caplog: pytest.LogCaptureFixture) -> None:
    """Half a body, and the connection is gone: nothing is applied, and the log has no error."""
    ana = await server.connect("d", token("ana"))
    kind = "application/octet-stream" if "?" in path else "application/json"
    head = (
        f"POST {REALTIME}/{path} HTTP/1.1\r\nHost: test\r\nContent-Type: {kind}\r\nContent-Length: 100\r\n"
        f"Authorization: {ana.headers['authorization']}\r\n\r\n"
    )
    address = urlsplit(server.url)
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(head.encode() + b'{"document_id": "d"')
    await writer.drain()
    await asyncio.sleep(50 * MS)
    writer.transport.abort()
    await asyncio.sleep(50 * MS)
    assert (await ana.poll()).json()["operations"] == []
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.rule("HT25")
async def test_grants(server: Api) -> None:
    """To write takes the grant for it, and to tell about oneself that to comment."""
    reader = await server.connect("d", token("ana", d="read"))
    commenter = await server.connect("d", token("bob", d="comment"))
    for member in (reader, commenter):
        assert problem(await member.write(insert("x"))) == (403, "grant_too_low")
    statuses = []
    for member in (reader, commenter):
        body = {"document_id": "d", "data": {"at": 1}}
        statuses.append((await server.client.post(f"{REALTIME}/presence", json=body, headers=member.headers)).status_code)
    assert statuses == [403, 204]
    (bob,) = [one for one in (await reader.poll()).json()["presence"] if one["user"]["id"] == "bob"]
    (present,) = bob["sessions"]
    assert (present["data"], present["transport"]) == ({"at": 1}, "polling")
    assert present["session_id"] == commenter.answer["session_id"]


@pytest.mark.rule("HT26")
async def test_presence_is_bounded(server: Api) -> None:
    """What one tells about oneself has at most 16 KB; what is left out stays."""
    ana = await server.connect("d", token("ana"))

    async def tell(**told: object) -> httpx.Response:
        return await server.client.post(f"{REALTIME}/presence", json={"document_id": "d", **told}, headers=ana.headers)

    assert (await tell(data={"x": "a" * 8000}, cursor="a" * 8000)).status_code == 204
    assert problem(await tell(data={"x": "a" * 8000}, cursor="a" * 9000)) == (413, "too_large")
    refused: list[dict[str, object]] = [
        {"data": []},
        {"state": "gone"},
        {"ttl": -1},
        {"ttl": 3601},
        {"ttl": 1.5},
        {"x": 1},
    ]
    for wrong in refused:
        assert problem(await tell(**wrong)) == (422, "unprocessable_entity")
    assert (await tell(data=None, state="away")).status_code == 204
    (present,) = (await ana.poll()).json()["presence"][0]["sessions"]
    assert (present["state"], present["data"], present["cursor"]) == ("away", None, "a" * 8000)


@pytest.mark.rule("PE8")
async def test_a_program_without_a_socket_is_present_for_a_time(server: Api) -> None:
    """As long as it says, also when it does not come again; with its session token alone, too: that is one session."""
    ana = await server.connect("d", token("ana"))
    await ana.type("x")
    bot = bearer(token("bot"))

    async def tell(**told: object) -> None:
        answer = await server.client.post(f"{REALTIME}/presence", json={"document_id": "d", **told}, headers=bot)
        assert answer.status_code == 204

    await tell(ttl=3600, data={"task": 1})
    await tell(ttl=3600, data={"task": 2})
    room = server.backend.registry.get("d")
    assert room is not None
    room.tend(server.backend.clock.monotonic() + 1000)
    people = (await server.client.get("/api/v2/documents/d/presence", headers=bot)).json()["presence"]
    assert [(one["user"]["id"], [session["data"] for session in one["sessions"]]) for one in people] == [("bot", [{"task": 2}])]
    await tell(ttl=0)
    assert (await server.client.get("/api/v2/documents/d/presence", headers=bot)).json()["presence"] == []


@pytest.mark.rule("PE3", "PE4")
async def test_presence_of_all_is_bounded() -> None:
    """A session too many of one user is served, and what it tells is refused; so is what is too much together."""
    async with api(limits=Limits(presence_sessions=1, presence_bytes=100)) as server:
        first, second = await server.connect("d", token("ana")), await server.connect("d", token("ana"))

        async def tell(member: Member, state: object) -> httpx.Response:
            body = {"document_id": "d", "data": state}
            return await server.client.post(f"{REALTIME}/presence", json=body, headers=member.headers)

        assert (await tell(first, {"n": 1})).status_code == 204
        assert problem(await tell(second, {"n": 2})) == (429, "too_many_sessions")
        assert problem(await tell(first, {"x": "x" * 100})) == (429, "presence_full")
        await second.type("x")
        (present,) = (await second.poll()).json()["presence"][0]["sessions"]
        assert present["data"] == {"n": 1}


@pytest.mark.rule("HT27")
async def test_store_that_cannot_be_written() -> None:
    """What cannot be committed in time is refused for now; sending it again finds out, and nothing is applied twice."""
    database = MemoryDatabase()
    async with api(storage=memory_storage(database), limits=Limits(submission_seconds=200 * MS)) as server:
        ana = await server.connect("d", token("ana"))
        await ana.type("a")
        database.unavailable = True
        one = insert("b", 1, id=str(uuid4()))
        refused = await ana.write(one)
        assert problem(refused) == (503, "unavailable")
        assert refused.json()["retry"] is True
        assert int(refused.headers["retry-after"]) > 0
        database.unavailable = False
        async with asyncio.timeout(10):
            while (again := await ana.write(one)).status_code == 503:  # noqa: ASYNC110
                await asyncio.sleep(50 * MS)
        assert again.status_code == 200
        assert await text(ana) == "ab"


@pytest.mark.rule("HT28")
async def test_far_behind(server: Api) -> None:
    """Whoever wrote at a base that is too far back is told where the log stands, and reads the rest by itself."""
    ana = await server.connect("d", token("ana"))
    for _ in range(3):
        await ana.write(*(insert("x") for _ in range(400)))
    written = (await ana.write(insert("y"), base=None)).json()
    assert written["since_base"] is None
    assert written["head"] == (await ana.poll()).json()["head"]


@pytest.mark.rule("HT29")
async def test_any_server(tmp_path: Path) -> None:
    """A session may write and poll at any server: what was written at one is seen, and can be built on, at the other."""
    async with two_servers(tmp_path) as (one, other):
        ana = await one.connect("d", token("ana"))
        elsewhere = ana.on(other)
        for turn in range(6):
            member = (ana, elsewhere)[turn % 2]
            member.head = (elsewhere, ana)[turn % 2].head
            await member.type(str(turn), turn)
            for server in (ana, elsewhere):
                polled = (await server.poll(last_operation=member.head)).json()
                assert (polled["operations"], polled["head"]) == ([], member.head)
        assert await text(ana) == await text(elsewhere) == "012345"
        bob = await other.connect("d", token("bob"))
        assert "".join(one["content"] for one in (await bob.poll()).json()["operations"]) == "012345"


@pytest.mark.rule("HT30")
async def test_pages_of_other_sites() -> None:
    """Pages of allowed origins may use the API; others may not change anything, and browsers let them read nothing."""
    async with api(allowed_origins=("https://app.example",)) as server:
        good, bad = {"origin": "https://app.example"}, {"origin": "https://evil.example"}
        asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        preflight = await server.client.options(f"{REALTIME}/operations", headers=good | asked)
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == "https://app.example"
        allowed = preflight.headers["access-control-allow-headers"].lower()
        assert {"authorization", "content-type", "if-none-match"} <= {name.strip() for name in allowed.split(",")}
        assert (
            "access-control-allow-origin"
            not in (await server.client.options(f"{REALTIME}/operations", headers=bad | asked)).headers
        )
        body = {"document_id": "d", "session_token": token("ana")}
        answer = await server.client.post(f"{REALTIME}/connect", json=body, headers=good)
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        exposed = {name.strip() for name in answer.headers["access-control-expose-headers"].lower().split(",")}
        assert {"etag", "cowrite-cursor", "retry-after", "date"} <= exposed
        assert problem(await server.client.post(f"{REALTIME}/connect", json=body, headers=bad)) == (403, "origin_refused")
        deleted = await server.client.delete("/api/v2/documents/d", headers=bad | bearer(token("r", d="admin")))
        assert problem(deleted) == (403, "origin_refused")
        read = await server.client.get(f"{REALTIME}/poll?document_id=d", headers=bad | bearer(token("ana")))
        assert "access-control-allow-origin" not in read.headers
        own = {"origin": server.url}
        assert (await server.client.post(f"{REALTIME}/connect", json=body, headers=own)).status_code == 200
        problem_read = await server.client.get(f"{REALTIME}/poll?document_id=d", headers=good)
        assert problem(problem_read) == (401, "unauthorized")
        assert problem_read.headers["access-control-allow-origin"] == "https://app.example"
