"""A grant that is changed at one server, and everybody who is connected to another one, in every way that there is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from cowrite.protocol import yjs
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.hocuspocus import Authenticated, Close, Scope, SyncStatus
from cowrite.protocol.messages import SyncStep1, SyncStep2
from cowrite.testing.transport_contract.operations import JsonClient
from cowrite.testing.transport_contract.provider import Provider, update
from cowrite.testing.transport_contract.server import EMPTY_STATE_VECTOR, edit, ended, expect, join
from http_api import REALTIME, Api, Member, bearer, insert, problem, token, two_servers
from timing import MS

ADMIN = bearer(token("root", **{"*": "admin"}))


class Everywhere:
    """One user, connected to a server by each kind of socket, and polling."""

    def __init__(self, server: Api, member: Member) -> None:
        self.server, self.member = server, member
        self.url = server.url.replace("http", "ws", 1)

    async def come(self) -> None:
        shown = token("ana")
        self.yjs = await join(f"{self.url}/yjs/d?token={shown}")
        self.json = await JsonClient.connect(self.url, "d", shown)
        self.hocuspocus = await Provider.enter(self.url, "d", token=shown)

    async def go(self) -> None:
        for socket in (self.yjs, self.json.socket, self.hocuspocus.socket):
            await socket.close()

    async def poll(self, accept: str) -> asyncio.Future[httpx.Response]:
        """A poll that waits, of either form."""
        query, headers = {"document_id": "d"}, self.member.headers | {"accept": accept}
        first = await self.server.client.get(f"{REALTIME}/poll", params=query, headers=headers)
        query |= {"wait": "20", "last_operation": str(self.member.head), "cursor": first.headers.get("cowrite-cursor", "")}
        return asyncio.ensure_future(self.server.client.get(f"{REALTIME}/poll", params=query, headers=headers))


async def change(at: Api, grant: str | None) -> None:
    body = {"document_id": "d", "user_id": "ana", "grant": grant}
    answer = await at.client.post(f"{REALTIME}/grants", json=body, headers=ADMIN)
    assert answer.status_code == 200, answer.text


@pytest.mark.rule("AE4")
async def test_a_smaller_grant(tmp_path: Path) -> None:
    """Every connection is told, stays, and reads; what it writes from then on is refused in its protocol's words."""
    async with two_servers(tmp_path) as (here, there):
        ana = Everywhere(here, await here.connect("d", token("ana")))
        await ana.member.type("hello")
        await ana.come()
        await change(there, "read")
        assert (await ana.json.expect("grant"))["grant"] == "read"
        assert await ana.hocuspocus.hear(Authenticated, "d") == Authenticated(Scope.READ_ONLY)
        ana.json.write(insert("no"), request=1)
        assert (await ana.json.expect("refused"))["code"] == "grant_too_low"
        ana.hocuspocus.say(update("no"), "d")
        assert await ana.hocuspocus.hear(SyncStatus, "d") == SyncStatus(False)
        ana.yjs.send(edit("no")[0])
        ana.yjs.send(yjs.encode(SyncStep1(EMPTY_STATE_VECTOR)))
        state = await expect(ana.yjs, SyncStep2)
        assert isinstance(state, SyncStep2)
        assert b"hello" in state.update
        assert b"no" not in state.update
        assert problem(await ana.member.write(insert("no"))) == (403, "grant_too_low")
        assert (await ana.member.poll()).json()["offset"] == 1
        await ana.go()


@pytest.mark.rule("AE4")
async def test_no_grant_any_more(tmp_path: Path) -> None:
    """Every connection ends with 4403 or in its protocol's words, and whoever waits for a poll is refused."""
    async with two_servers(tmp_path) as (here, there):
        ana = Everywhere(here, await here.connect("d", token("ana")))
        await ana.member.type("hello")
        await ana.come()
        polls = [await ana.poll("application/json"), await ana.poll("application/octet-stream")]
        await asyncio.sleep(100 * MS)
        await change(there, None)
        assert (await ended(ana.yjs)).code == CloseCode.FORBIDDEN
        assert (await ended(ana.json.socket)).code == CloseCode.FORBIDDEN
        assert await ana.hocuspocus.hear(Close, "d") == Close("forbidden")
        for answer in await asyncio.gather(*polls):
            assert problem(answer) == (403, "forbidden")
        for again in (await ana.member.poll(), await ana.member.write(insert("no"))):
            assert problem(again) == (403, "forbidden")
        await ana.hocuspocus.socket.close()
