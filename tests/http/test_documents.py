"""Documents over HTTP: which there are, what is in them, and their end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from cowrite.protocol import yjs
from cowrite.protocol.messages import SyncStep2
from cowrite.testing.client import WebSocketClient
from cowrite.testing.transport_contract.server import ended, join
from cowrite.testing.yjs_client import YjsClient
from http_api import REALTIME, Api, api, bearer, insert, problem, token, two_servers
from timing import MS

DOCUMENTS = "/api/v2/documents"
ADMIN = bearer(token("root", **{"*": "admin"}))
WRITER = bearer(token("ana"))


@pytest.fixture
async def server() -> AsyncIterator[Api]:
    async with api() as started:
        yield started


async def create(server: Api, document_id: str, headers: dict[str, str] = WRITER) -> httpx.Response:
    return await server.client.post(DOCUMENTS, json={"document_id": document_id}, headers=headers)


def path(document_id: str, rest: str = "") -> str:
    """Not by httpx: it would take the dots away."""
    return f"{DOCUMENTS}/{quote(document_id, safe='').replace('.', '%2E')}{rest}"


IDS = [
    "d",
    "a/operations",
    "a",
    "..",
    ".",
    "a%2Fb",
    "a/b",
    "/",
    "//",
    "a/../b",
    "😀" * 255,
    "\u202e\x01\n",
    "?x=1#y",
    "%",
    "a b+c",
]


@pytest.mark.rule("HT40")
async def test_ids_with_anything_in_them(server: Api) -> None:
    """An id is percent-encoded once, slashes too, and names its document alone, on every route."""
    for number, document_id in enumerate(IDS):
        made = await create(server, document_id)
        assert made.status_code == 201, made.text
        assert made.json()["document_id"] == document_id
        member = await server.connect(document_id, token("ana"))
        await member.write(*(insert("x") for _ in range(number + 1)))
        if "." not in document_id:
            assert (await server.client.get(made.headers["location"], headers=WRITER)).json()["document_id"] == document_id
    for number, document_id in enumerate(IDS):
        state = (await server.client.get(path(document_id), headers=WRITER)).json()
        assert state["document_id"] == document_id
        assert state["content"] == {"body": {"$text": [{"insert": "x" * (number + 1)}]}}
        operations = (await server.client.get(path(document_id, "/operations"), headers=WRITER)).json()["operations"]
        assert len(operations) == number + 1
    listed = (await server.client.get(DOCUMENTS, headers=WRITER)).json()
    assert [one["document_id"] for one in listed["documents"]] == sorted(IDS, key=str.encode)


@pytest.mark.rule("HT40")
async def test_ids_that_are_none(server: Api) -> None:
    """What is no id is refused, and a slash that is not encoded leads nowhere."""
    for bad in ("a" * 256, "%00", "%FF", "%ED%A0%80"):
        assert problem(await server.client.get(f"{DOCUMENTS}/{bad}", headers=WRITER)) == (422, "bad_document_id")
    for nowhere in ("a/b", "a/operations/b", "", "a/"):
        assert problem(await server.client.get(f"{DOCUMENTS}/{nowhere}", headers=WRITER))[0] == 404
    assert problem(await create(server, "a\0")) == (422, "bad_document_id")


@pytest.mark.rule("HT41")
async def test_create(server: Api) -> None:
    """A document can be made before it is edited, once, by those who may write it."""
    made = await create(server, "d")
    assert made.status_code == 201
    assert (made.json()["offset"], made.json()["deleted_at"]) == (0, None)
    assert problem(await create(server, "d")) == (409, "document_exists")
    assert problem(await create(server, "e", bearer(token("r", e="comment")))) == (403, "grant_too_low")
    assert problem(await create(server, "e", bearer(token("r", d="write")))) == (403, "forbidden")
    assert problem(await create(server, "e", {})) == (401, "unauthorized")
    assert problem(await server.client.get(path("e"), headers=WRITER)) == (404, "document_not_found")
    assert problem(await server.client.get(path("e", "/operations"), headers=WRITER)) == (404, "document_not_found")


@pytest.mark.rule("HT42")
async def test_list(server: Api) -> None:
    """Pages of the documents that the token opens, in the order of their ids."""
    for document_id in ("a1", "a2", "a3", "b1", "b2"):
        await create(server, document_id)

    async def listed(headers: dict[str, str], **query: str | int) -> tuple[list[str], str | None]:
        answer = await server.client.get(DOCUMENTS, params=query, headers=headers)
        assert answer.status_code == 200, answer.text
        return [one["document_id"] for one in answer.json()["documents"]], answer.json()["next"]

    assert await listed(WRITER) == (["a1", "a2", "a3", "b1", "b2"], None)
    assert await listed(WRITER, limit=2) == (["a1", "a2"], "a2")
    assert await listed(WRITER, limit=3, after="a2") == (["a3", "b1", "b2"], None)
    assert await listed(WRITER, prefix="b") == (["b1", "b2"], None)
    some = bearer(token("r", **{"a*": "read", "b2": "comment"}))
    assert (await listed(some))[0] == ["a1", "a2", "a3", "b2"]
    assert await listed(bearer(token("r", c="read"))) == ([], None)
    member = await server.connect("b1", token("ana"))
    assert (await listed(member.headers))[0] == ["b1"]
    for headers in ({}, bearer("x")):
        assert problem(await server.client.get(DOCUMENTS, headers=headers)) == (401, "unauthorized")
    for query in ("limit=0", "limit=x", f"prefix={'a' * 256}"):
        assert problem(await server.client.get(f"{DOCUMENTS}?{query}", headers=WRITER)) == (422, "unprocessable_entity")


@pytest.mark.rule("HT43")
async def test_formats(server: Api) -> None:
    """The state as JSON, text, HTML, Markdown or a Yjs update: as `format` says, else as `Accept` does."""
    ana = await server.connect("d", token("ana"))
    await ana.type("a & b")
    await ana.write({"type": "insert", "position": ["m", "key"], "content": "value"})

    async def read(query: str = "", accept: str | None = None) -> httpx.Response:
        return await server.client.get(path("d", query), headers=WRITER | ({"accept": accept} if accept else {}))

    state = (await read()).json()
    assert state["content"] == {"body": {"$text": [{"insert": "a & b"}]}, "m": {"$map": {"key": "value"}}}
    assert (state["head"], state["offset"]) == (ana.head, 2)
    assert (await read("?format=text&root=body")).text == "a & b"
    assert "a &amp; b" in (await read("?format=html")).text
    assert (await read("?format=json&root=m")).json()["content"] == {"m": {"$map": {"key": "value"}}}
    assert (await read("?format=json&root=none")).json()["content"] == {}
    assert (await read("?format=text&root=none")).text == ""
    for accept, media_type in {
        "text/html;q=0.5, text/markdown": "text/markdown; charset=utf-8",
        "text/*": "text/plain; charset=utf-8",
        "text/html,application/xhtml+xml,*/*;q=0.8": "text/html; charset=utf-8",
        "application/json;q=x, text/plain": "text/plain; charset=utf-8",
        "*/*": "application/json",
        "application/octet-stream": "application/octet-stream",
    }.items():
        assert (await read(accept=accept)).headers["content-type"] == media_type
    assert problem(await read(accept="image/png")) == (406, "not_acceptable")
    assert problem(await read("?format=pdf")) == (422, "unprocessable_entity")
    client = YjsClient()
    client.receive(yjs.encode(SyncStep2((await read("?format=yjs")).content)))
    assert str(client.text) == "a & b"


@pytest.mark.rule("HT44")
async def test_unchanged_state(server: Api) -> None:
    """A state is 304 for those who have it, in that format and of that root, until it changes."""
    ana = await server.connect("d", token("ana"))
    await ana.type("x" * 3000)
    etags = {}
    for query in ("", "?format=text", "?format=text&root=body", "?format=json&root="):
        first = await server.client.get(path("d", query), headers=WRITER)
        assert (first.headers.get("content-encoding") == "gzip") is not query.endswith("root=")
        etags[query] = first.headers["etag"]
        same = await server.client.get(path("d", query), headers=WRITER | {"if-none-match": first.headers["etag"]})
        assert (same.status_code, same.content) == (304, b"")
    assert len(set(etags.values())) == 4
    await ana.type("y")
    for query, etag in etags.items():
        assert (await server.client.get(path("d", query), headers=WRITER | {"if-none-match": etag})).status_code == 200
    assert (await server.client.get(path("d"), headers={"if-none-match": "*"})).status_code == 401


@pytest.mark.rule("HT45")
async def test_operations(server: Api) -> None:
    """The log in pages of whole entries, which lead from one to the next."""
    ana = await server.connect("d", token("ana"))
    for number in range(10):
        await ana.type(str(number), number)
    found: list[str] = []
    after: str | None = None
    pages = 0
    while True:
        query = {"limit": "4"} | ({"after": after} if after is not None else {})
        page = (await server.client.get(path("d", "/operations"), params=query, headers=WRITER)).json()
        found += [one["content"] for one in page["operations"]]
        after, pages = page["next"], pages + 1
        if after is None:
            break
    assert (found, pages) == ([str(number) for number in range(10)], 3)
    at_end = await server.client.get(path("d", "/operations"), params={"after": ana.head}, headers=WRITER)
    assert at_end.json() == {"operations": [], "next": None}
    unknown = await server.client.get(path("d", "/operations?after=x"), headers=WRITER)
    assert problem(unknown) == (404, "unknown_operation")
    later = await server.client.get(path("d", "/operations"), params={"after": "offset:8"}, headers=WRITER)
    assert [one["content"] for one in later.json()["operations"]] == ["8", "9"]
    await ana.write({**insert("x"), "id": "offset:2"})
    named = await server.client.get(path("d", "/operations"), params={"after": "offset:2"}, headers=WRITER)
    assert named.json()["operations"] == [], "an operation's id comes first"
    for bad in ("after=%00", "limit=0", f"after={'x' * 37}"):
        assert problem(await server.client.get(path("d", f"/operations?{bad}"), headers=WRITER))[0] in {404, 422}


@pytest.mark.rule("HT46")
async def test_delete(server: Api) -> None:
    """A deleted document is gone for all, sockets and requests, until it is undeleted; its content is kept."""
    ana = await server.connect("d", token("ana"))
    await ana.type("kept")
    assert problem(await server.client.delete(path("d"), headers=WRITER)) == (403, "grant_too_low")
    assert problem(await server.client.post(path("d", "/undelete"), headers=ADMIN)) == (409, "document_not_deleted")
    socket = await join(f"{server.url.replace('http', 'ws', 1)}/yjs/d?token={token('ana')}")
    assert (await server.client.delete(path("d"), headers=ADMIN)).status_code == 204
    assert (await ended(socket)).code == 4410
    late = await WebSocketClient.connect(f"{server.url.replace('http', 'ws', 1)}/yjs/d?token={token('ana')}")
    assert (await ended(late)).code == 4410
    for answer in (
        await server.client.get(path("d"), headers=WRITER),
        await server.client.get(path("d", "/operations"), headers=WRITER),
        await server.client.delete(path("d"), headers=ADMIN),
        await create(server, "d"),
        await ana.poll(),
        await ana.write(insert("x")),
        await server.client.post(f"{REALTIME}/connect", json={"document_id": "d", "session_token": token("ana")}),
    ):
        assert problem(answer) == (410, "document_deleted")
    assert (await server.client.get(DOCUMENTS, headers=WRITER)).json()["documents"] == []
    assert problem(await server.client.get(path("d"))) == (401, "unauthorized")
    assert (await server.client.post(path("d", "/undelete"), headers=ADMIN)).status_code == 200
    assert (await server.client.get(path("d", "?format=text"), headers=WRITER)).text == "kept"
    for rest in ("", "/undelete"):
        method = "DELETE" if not rest else "POST"
        assert problem(await server.client.request(method, path("e", rest), headers=ADMIN)) == (404, "document_not_found")


@pytest.mark.rule("HT46")
async def test_delete_restores_nobody(server: Api) -> None:
    """Whose access was revoked stays out when the document is deleted and undeleted."""
    ana = await server.connect("d", token("ana"))
    await ana.type("x")
    await server.client.post(f"{REALTIME}/grants", json={"document_id": "d", "user_id": "ana", "grant": None}, headers=ADMIN)
    await server.client.delete(path("d"), headers=ADMIN)
    await server.client.post(path("d", "/undelete"), headers=ADMIN)
    assert problem(await ana.poll()) == (403, "forbidden")


@pytest.mark.rule("HT46")
async def test_deleted_at_another_server(tmp_path: Path) -> None:
    """Who is connected to another server is sent away, too."""
    async with two_servers(tmp_path) as (one, other):
        ana = await one.connect("d", token("ana"))
        await ana.type("x")
        socket = await join(f"{one.url.replace('http', 'ws', 1)}/yjs/d?token={token('ana')}")
        assert (await other.client.delete(path("d"), headers=ADMIN)).status_code == 204
        assert (await ended(socket)).code == 4410
        async with asyncio.timeout(10):
            while (await ana.poll()).status_code != 410:  # noqa: ASYNC110
                await asyncio.sleep(20 * MS)


@pytest.mark.rule("HT47")
async def test_presence(server: Api) -> None:
    """Who is in a document."""
    assert problem(await server.client.get(path("d", "/presence"), headers=WRITER)) == (404, "document_not_found")
    ana = await server.connect("d", token("ana"))
    await ana.type("x")
    await ana.poll()
    (present,) = (await server.client.get(path("d", "/presence"), headers=WRITER)).json()["presence"]
    assert present["user"]["id"] == "ana"
    bob = await server.connect("empty", token("bob"))
    await bob.poll()
    (present,) = (await server.client.get(path("empty", "/presence"), headers=WRITER)).json()["presence"]
    assert present["user"]["id"] == "bob", "nobody has written in it"
    await server.client.delete(path("d"), headers=ADMIN)
    assert problem(await server.client.get(path("d", "/presence"), headers=WRITER)) == (410, "document_deleted")
    assert problem(await server.client.get(path("d", "/presence"), headers=bearer(token("r", e="read")))) == (403, "forbidden")


@pytest.mark.rule("HT48")
async def test_never_older_than_the_log(tmp_path: Path) -> None:
    """A state is not older than what was committed before it was asked for, at whatever server."""
    async with two_servers(tmp_path) as (one, other):
        ana, elsewhere = await one.connect("d", token("ana")), None
        for turn in range(5):
            await ana.type(str(turn), turn)
            elsewhere = ana.on(other)
            answer = await other.client.get(path("d", "?format=text"), headers=elsewhere.headers)
            assert answer.text == "".join(map(str, range(turn + 1)))
