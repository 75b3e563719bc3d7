"""Web pages of others: what a page can make a visitor's browser send is sent here as browsers send it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle

import httpx
import pytest

from cowrite.testing.client import UpgradeRefused, WebSocketClient
from every_route import CONNECT, GUARDED, OPEN
from http_api import REALTIME, Api, api, bearer, insert, problem, token

EVIL = "https://evil.example"
FOREIGN: dict[str, Mapping[str, str]] = {
    "another site": {"origin": EVIL, "sec-fetch-site": "cross-site"},
    "another site, in an old browser": {"origin": EVIL},
    "a sandboxed frame": {"origin": "null", "sec-fetch-site": "cross-site"},
    "a file": {"origin": "null"},
    "a form of a browser that leaves the origin out": {"sec-fetch-site": "cross-site"},
    "a sister site": {"sec-fetch-site": "same-site"},
    "no scheme": {"origin": "evil.example"},
    "nothing": {"origin": ""},
    "the name in a longer one": {"origin": "http://localhost.evil.example"},
    "the name as a user": {"origin": "http://localhost@evil.example"},
}
SIMPLE = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x")
"""What a page can send to anybody without the browser asking first."""
SOCKETS = ("/yjs/d", "/hocuspocus", f"{REALTIME}/ws")
CHANGES = [route for route in [*GUARDED, CONNECT] if not route.startswith("GET")]


async def write(server: Api, headers: Mapping[str, str]) -> httpx.Response:
    body = {"document_id": "d", "operations": [insert("x")], "base": None}
    return await server.client.post(f"{REALTIME}/operations", json=body, headers=dict(headers))


async def opens(server: Api, path: str, headers: Mapping[str, str]) -> int:
    """The status that an upgrade is answered with."""
    try:
        socket = await WebSocketClient.connect(f"{server.url.replace('http', 'ws', 1)}{path}", headers=headers)
    except UpgradeRefused as refused:
        return refused.status
    await socket.close()
    return 101


@pytest.mark.rule("OR1")
@pytest.mark.parametrize("demo", [False, True])
async def test_foreign_pages_change_nothing(*, demo: bool) -> None:
    """Whatever page and whatever way: on no route that changes something, with a valid token or, in the demo, without one."""
    shown = {} if demo else bearer(token("root", **{"*": "admin"}))
    async with api(demo=demo) as server:
        for headers in FOREIGN.values():
            assert problem(await write(server, {**headers, **shown})) == (403, "origin_refused"), headers
        for route, content_type in zip(CHANGES, cycle(SIMPLE), strict=False):
            method, path = route.split()
            sent = {**FOREIGN["another site"], "content-type": content_type, **shown}
            answer = await server.client.request(method, path.replace("{document_id}", "d"), content=b"{}", headers=sent)
            assert problem(answer) == (403, "origin_refused"), route
        assert (await server.client.get("/api/v2/documents", headers=shown)).json()["documents"] == []


@pytest.mark.rule("OR2")
async def test_foreign_pages_read_nothing() -> None:
    """They may ask, as pictures and links do; the answer says that their page must not have it, and needs a token as ever."""
    async with api(demo=True) as server:
        assert (await write(server, {})).status_code == 200
        for headers in FOREIGN.values():
            answer = await server.client.get("/api/v2/documents/d", headers=headers)
            assert answer.status_code == 200
            assert "access-control-allow-origin" not in answer.headers
            assert answer.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.rule("OR3")
async def test_foreign_pages_open_no_socket() -> None:
    """Browsers ask no page before they open one: the server does."""
    async with api(demo=True) as server:
        for path in SOCKETS:
            for headers in FOREIGN.values():
                if "origin" in headers:  # sockets of pages always have one
                    assert await opens(server, path, headers) == 403, headers
            assert await opens(server, path, {"origin": "http://localhost:5173"}) == 101
            assert await opens(server, path, {}) == 101


@pytest.mark.rule("OR4")
async def test_rebound_names() -> None:
    """A foreign name that points to this machine makes a page the server's own in a browser's eyes, but not in the demo's."""
    async with api(demo=True) as server:
        port = server.url.rpartition(":")[2]
        for name in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "0.0.0.0", "10.0.0.1", "", "[::"):
            host = f"{name}:{port}"
            own = {"host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin"}
            assert problem(await write(server, own)) == (421, "misdirected_request"), name
            for path in SOCKETS:
                assert await opens(server, path, own) == 403
        for path in (*OPEN, "/", "/api/v2/documents", f"{REALTIME}/poll?document_id=d"):
            answer = await server.client.get(path, headers={"host": f"evil.example:{port}"})
            assert problem(answer) == (421, "misdirected_request"), path
        assert (await server.client.get("/api/v2/documents")).json()["documents"] == []


@pytest.mark.rule("OR4")
async def test_names_outside_the_demo() -> None:
    """There a server has any name: a token is needed whatever the page, and browsers keep none for it."""
    async with api() as server:
        own = {"host": "app.example", "origin": "https://app.example", "sec-fetch-site": "same-origin"}
        assert problem(await write(server, own)) == (401, "unauthorized")
        assert (await write(server, own | bearer(token("ana")))).status_code == 200


@pytest.mark.rule("OR5")
async def test_who_may() -> None:
    """Pages of the server itself, which may keep their origin to themselves; those that are allowed; and who is no page."""
    async with api(demo=True, allowed_origins=("https://app.example",)) as server:
        may: tuple[Mapping[str, str], ...] = (
            {},
            {"origin": server.url, "sec-fetch-site": "same-origin"},
            {"origin": "null", "sec-fetch-site": "same-origin"},
            {"origin": "https://app.example", "sec-fetch-site": "cross-site"},
            {"origin": "http://localhost:5173", "sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "none"},
            {"sec-fetch-site": "same-origin"},
        )
        for headers in may:
            assert (await write(server, headers)).status_code == 200, headers
        asked = {"origin": "https://app.example", "access-control-request-method": "PATCH"}
        preflight = await server.client.options("/api/v2/documents/d/versions/x", headers=asked)
        methods = preflight.headers["access-control-allow-methods"].split(", ")
        assert {route.split()[0] for route in GUARDED} <= set(methods)
    async with api(demo=True, allowed_origins=("*",)) as server:
        for headers in FOREIGN.values():
            assert (await write(server, headers)).status_code == 200, headers
