"""Who may come in where: every address of the application, those that somebody adds tomorrow included."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from cowrite.core.clock import SystemClock
from cowrite.core.ports import AccessClaims, Grant
from cowrite.protocol import yjs
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.hocuspocus import Authenticate, Authenticated, Scope, SyncStatus
from cowrite.protocol.messages import PermissionDenied, SyncStep1, SyncStep2
from cowrite.testing.client import ConnectionEnded, WebSocketClient
from cowrite.testing.transport_contract.operations import JsonClient
from cowrite.testing.transport_contract.provider import NOTHING, Provider, update
from cowrite.testing.transport_contract.server import EMPTY_STATE_VECTOR, edit, expect
from cowrite.tokens import AccessTokens, issue
from cowrite.transports.upgrade import Language
from every_route import ADMIN, CONNECT, GUARDED, ONE, OPEN, PAGE, Asks, application, http_routes
from http_api import KEYS, SECRET, Api, api, bearer, insert, problem, token

DAY = 24 * 3600 * 1000
NO_ID = "01900000-0000-7000-8000-000000000000"


@pytest.fixture
async def server() -> AsyncIterator[Api]:
    async with api() as started:
        writer = await started.connect("d", token("writer"))
        await writer.type("hello there")
        yield started


def access_token(grant: Grant, *, made: int | None = None, document_id: str = "d") -> str:
    """Of a session that nobody has ended; ``made`` in milliseconds since 1970."""
    clock, now = SystemClock(), SystemClock().now()
    claims = AccessClaims(
        session_id=str(uuid4()),
        document_id=document_id,
        user_id="reader",
        grant=grant,
        session_ends_at=(made or now) + DAY,
        decided_at=made or now,
        issued_at=0 if made is None else made,
        expires_at=0 if made is None else made + 600_000,
    )
    return AccessTokens(KEYS, clock).issue(claims)


def bad_tokens() -> dict[str, str | None]:
    """By what is wrong with them."""
    old = (SystemClock().now() // 1000 - 3 * 24 * 3600) * 1000
    return {
        "none": None,
        "empty": "",
        "text": "x",
        "changed": token("ana")[:-4] + "AAAA",
        "of another secret": issue("B" * 42 + "A", sub="ana", documents={"*": "admin"}),
        "unsigned": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbmEifQ.",
        "expired": issue(SECRET, sub="ana", documents={"*": "admin"}, now=old),
        "expired access": access_token(Grant.ADMIN, made=old),
    }


async def ask(server: Api, route: str, asks: Asks, headers: Mapping[str, str], **more: str) -> httpx.Response:
    method, path = route.split()
    path = path.format(document_id="d", version_id=NO_ID, webhook_id=NO_ID)
    return await server.client.request(method, path, params=asks.query | more, json=asks.body, headers=headers)


@pytest.mark.rule("AE1")
@pytest.mark.parametrize("demo", [False, True])
def test_all_addresses_are_known(tmp_path: Path, *, demo: bool) -> None:
    """Whoever adds a route says in ``every_route.py`` what it asks for."""
    found = set(http_routes(application(tmp_path, demo=demo).router.routes))
    # What no route takes under /api is answered by the first of these, all sockets by the second: Language has them.
    expected = {*GUARDED, *PAGE, CONNECT, "ANY /api/{rest:path}", "SOCKET /{path:path}"} | {f"GET {path}" for path in OPEN}
    assert found == expected | ({"MOUNT "} if demo else set())
    assert SOCKETS.keys() == set(Language)


@pytest.mark.rule("AE1")
async def test_no_route_without_a_valid_token(server: Api) -> None:
    """Without one, with one that is wrong and with one that has ended: 401 with a code, before anything else is told."""
    bad = bad_tokens()
    shown = [{}, *(bearer(str(bad[wrong])) for wrong in ("text", "changed", "expired", "expired access"))]
    for route, asks in GUARDED.items():
        answers = [await ask(server, route, asks, headers) for headers in shown]
        answers.append(await ask(server, route, asks, {}, access_token=str(bad["expired access"])))
        for answer in answers:
            assert problem(answer) == (401, "unauthorized"), route
            assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.rule("AE1")
async def test_no_session_without_a_valid_token(server: Api) -> None:
    """``connect`` is asked with the token in the body."""
    for wrong, bad in bad_tokens().items():
        body = {"document_id": "d", "session_token": bad}
        answer = await server.client.post("/api/v2/realtime/connect", json=body)
        assert problem(answer) == (401, "unauthorized"), wrong


@pytest.mark.rule("AE2")
async def test_each_grant_on_each_route(server: Api) -> None:
    """Less than what a route asks for is 403, with either kind of token; a reader reads everything that is to be read."""
    for route, asks in GUARDED.items():
        needed = asks.grant
        if needed is None:  # refresh and disconnect: they ask for a session, whatever it may do
            continue
        for grant in (one for one in Grant if one is needed is Grant.READ or not one.allows(needed)):
            for shown in (token("reader", d=grant), access_token(grant)):
                answer = await ask(server, route, asks, bearer(shown))
                if ADMIN in route:
                    assert problem(answer) == (403, "forbidden"), (route, grant)
                elif grant.allows(needed):
                    assert answer.status_code == 200 or problem(answer) == (404, "version_not_found"), (route, answer.text)
                else:
                    assert problem(answer) == (403, "grant_too_low"), (route, grant)
        if ONE in route:
            for shown in (token("reader", e="admin"), access_token(Grant.ADMIN, document_id="e")):
                assert problem(await ask(server, route, asks, bearer(shown))) == (403, "forbidden"), route


@pytest.mark.rule("AE3")
async def test_what_is_open_tells_of_nobody(server: Api) -> None:
    """It can only be read, and has neither a text, a name nor the id of a document."""
    for path in OPEN:
        answer = await server.client.get(path)
        assert answer.status_code == 200
        for told in ("hello there", "writer", "Writer", '"d"'):
            assert told not in answer.text, path
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            assert problem(await server.client.request(method, path)) == (405, "method_not_allowed")


# ---- sockets -------------------------------------------------------------------------------------------------------------


async def enter_yjs(url: str, shown: str | None) -> tuple[int | None, bool | None]:
    """By y-websocket's protocol: the code that the socket is closed with; else whether an edit was taken."""
    query = "" if shown is None else f"?token={shown}"
    socket = await WebSocketClient.connect(f"{url}/yjs/d{query}")
    try:
        socket.send(yjs.encode(SyncStep1(EMPTY_STATE_VECTOR)))
        await expect(socket, SyncStep2)
    except ConnectionEnded as end:
        return end.code, None
    socket.send(edit("forged")[0])
    socket.send(yjs.encode(SyncStep1(EMPTY_STATE_VECTOR)))
    answer = await expect(socket, SyncStep2)
    await socket.close()
    assert isinstance(answer, SyncStep2)
    return None, b"forged" in answer.update


async def enter_json(url: str, shown: str | None) -> tuple[int | None, bool | None]:
    """By the protocol of JSON operations."""
    socket = await WebSocketClient.connect(f"{url}/api/v2/realtime/ws", protocols=["cowrite.v2.json"])
    client = JsonClient(socket)
    client.send({"type": "hello", "document_id": "d"} | ({} if shown is None else {"access_token": shown}))
    try:
        await client.expect("welcome")
    except ConnectionEnded as end:
        return end.code, None
    client.write(insert("forged"), request=1)
    answer = await client.receive()
    while answer["type"] not in {"acknowledged", "refused"}:
        answer = await client.receive()
    await socket.close()
    assert answer.get("code", "grant_too_low") == "grant_too_low"
    return None, answer["type"] == "acknowledged"


async def enter_hocuspocus(url: str, shown: str | None) -> tuple[int | None, bool | None]:
    """By Hocuspocus's protocol, which refuses documents and not sockets: the code in words is read as the number."""
    provider = await Provider.connect(url)
    provider.say(Authenticate(shown or "", "4.8.0"), "d")
    answer: Authenticated | PermissionDenied = await provider.hear((Authenticated, PermissionDenied), "d")
    if isinstance(answer, PermissionDenied):
        await provider.socket.close()
        return CloseCode[answer.reason.upper()], None
    for message in (SyncStep1(EMPTY_STATE_VECTOR), SyncStep2(NOTHING)):
        provider.say(message, "d")
    assert await provider.hear(SyncStatus, "d") == SyncStatus(True)
    provider.say(update("forged"), "d")
    saved = await provider.hear(SyncStatus, "d")
    await provider.socket.close()
    assert (answer.scope is Scope.READ_WRITE) == saved.stored
    return None, saved.stored


SOCKETS: dict[Language, Callable[[str, str | None], Awaitable[tuple[int | None, bool | None]]]] = {
    Language.YJS: enter_yjs,
    Language.JSON: enter_json,
    Language.HOCUSPOCUS: enter_hocuspocus,
}


@pytest.mark.rule("AE1", "AE2")
@pytest.mark.parametrize("language", list(SOCKETS))
async def test_each_token_on_each_socket(server: Api, language: Language) -> None:
    """A bad one is 4401, one for another document 4403; a reader reads and does not write; a writer does."""
    enter, url = SOCKETS[language], server.url.replace("http", "ws", 1)
    for wrong, bad in bad_tokens().items():
        assert await enter(url, bad) == (CloseCode.UNAUTHORIZED, None), wrong
    assert await enter(url, token("reader", e="admin")) == (CloseCode.FORBIDDEN, None)
    for grant in (Grant.READ, Grant.COMMENT):
        assert await enter(url, token("reader", d=grant)) == (None, False)
        assert await enter(url, access_token(grant)) == (None, False)
    assert await enter(url, token("reader", d="write")) == (None, True)
