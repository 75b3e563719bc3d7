"""Ids of requests and sessions: in answers and in the log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping, Sequence
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from cowrite.protocol.hocuspocus import Authenticate, Authenticated, Close
from cowrite.testing.client import WebSocketClient, live_client
from cowrite.testing.transport_contract.operations import JsonClient
from cowrite.testing.transport_contract.provider import Provider
from http_api import Api, api, problem, token
from timing import MS

GOINGS = ("connection lost", "connection closed", "document left", "document closed")


@pytest.fixture
async def server() -> AsyncIterator[Api]:
    async with api() as started:
        yield started


@pytest.fixture
def lines() -> Iterator[Sequence[MutableMapping[str, Any]]]:
    """What is logged, with what is bound to it."""
    before = structlog.get_config()["processors"]
    captured = LogCapture()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, captured])
    yield captured.entries
    structlog.configure(processors=before)


def about(lines: Sequence[MutableMapping[str, Any]], event: str, **what: Any) -> list[MutableMapping[str, Any]]:
    return [one for one in lines if one["event"] == event and what.items() <= one.items()]


async def hocuspocus(sockets: str, access: str) -> Provider:
    provider = await Provider.connect(sockets)
    provider.say(Authenticate(access, "4.8.0"), "d")
    await provider.hear(Authenticated, "d")
    return provider


async def within(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10_000 * MS):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.rule("RI1", "RI3")
async def test_each_request_has_an_id(server: Api, lines: Sequence[MutableMapping[str, Any]]) -> None:
    """Its own, or a fresh one where that could be taken for something else; the same in the answer, the error and the log."""
    for given in ("", "a" * 65, "a b", "é", 'x"y', "a;b"):
        answer = await server.client.get("/healthz", headers=[(b"x-request-id", given.encode("latin-1"))])
        assert len(answer.headers["x-request-id"]) == 36
    ids = [(await server.client.get("/healthz")).headers["x-request-id"] for _ in range(3)]
    assert len(set(ids)) == 3
    for path in ("/api/v2/documents/d", "/api/nowhere", "/api/v2/admin/overview"):
        answer = await server.client.get(path, headers={"x-request-id": "proxy-1.2_3"})
        problem(answer)
        assert answer.headers["x-request-id"] == answer.json()["request_id"] == "proxy-1.2_3"
    body = {"document_id": "d", "session_token": token("ana")}
    answer = await server.client.post("/api/v2/realtime/connect", json=body, headers={"x-request-id": "mine"})
    [opened] = about(lines, "session opened", request_id="mine")
    assert opened["session"] == answer.json()["session_id"]
    assert token("ana")[:40] not in str(lines)


@pytest.mark.rule("RI1")
async def test_a_failure_has_an_id(server: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """That nobody foresaw: whoever meets it can say which line of the log it is."""

    def fail(about: str | None) -> Any:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(server.runtime, "told", fail)
    answer = await server.client.get("/metrics", headers={"x-request-id": "lost"})
    assert problem(answer) == (500, "internal_server_error")
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "lost"


@pytest.mark.rule("RI2", "RI3")
async def test_a_session_through_the_log(server: Api, lines: Sequence[MutableMapping[str, Any]]) -> None:
    """It is opened, its sockets of each kind come and go, it ends: all lines name it, and those of a socket that one."""
    member = await server.connect("d", token("ana"))
    session, access = member.answer["session_id"], member.answer["access_token"]
    sockets = server.url.replace("http", "ws", 1)
    async with live_client(f"{sockets}/yjs/d?token={access}") as client:
        await client.until(lambda: bool(client.yjs.synced))
    json_socket = await WebSocketClient.connect(f"{sockets}/api/v2/realtime/ws", protocols=["cowrite.v2.json"])
    thin = JsonClient(json_socket)
    thin.send({"type": "hello", "document_id": "d", "access_token": access})
    await thin.expect("welcome")
    await json_socket.close()
    lost, left, provider = [await hocuspocus(sockets, access) for _ in range(3)]
    left.say(Close(""), "d")
    await lost.socket.close()
    await within(lambda: about(lines, "document left") and len(about(lines, "connection lost")) == 3)
    await member.api.client.post("/api/v2/realtime/disconnect", headers=member.headers)
    await within(lambda: about(lines, "document closed"))
    await provider.socket.close()
    await left.socket.close()
    whole = [one for one in lines if one.get("session") == session]
    assert [one["event"] for one in whole if one["event"].startswith("session")] == ["session opened", "session ended"]
    opened = [one["connection"] for one in about(whole, "connection opened")]
    assert len(set(opened)) == 5
    gone = {event: [one["connection"] for one in about(whole, event)] for event in GOINGS}
    assert sum(map(len, gone.values())) == len(opened)  # each goes once
    assert set(gone["connection lost"]) == set(opened[:3])
    assert (gone["document left"], gone["document closed"]) == ([opened[3]], [opened[4]])
    assert {(one["document"], one["user"]) for one in whole} == {("d", "ana")}
    assert access[:40] not in str(lines)
