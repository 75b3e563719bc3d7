"""The clock on the wall goes an hour back while a server runs, and stays so over a restart. A real process and its SQLite."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from cowrite.protocol import yjs
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.messages import Update
from cowrite.testing.client import LiveClient, WebSocketClient, live_client
from cowrite.testing.transport_contract.server import ended, join
from cowrite.testing.yjs_writer import block, text, write_update
from cowrite.tokens import issue
from demo_server import DemoServer
from http_api import PLAIN, REALTIME, SECRET, bearer
from timing import MS
from turned_clock import TurnedClock

HOUR = 3_600_000
DOCUMENT = "/api/v2/documents/doc"
SETTINGS = {"COWRITE_SECRET": SECRET, "COWRITE_VERSION_PAUSE": "1", "COWRITE_VERSION_INTERVAL": "600"}
SETTINGS |= {"COWRITE_LIMIT_HELD_SECONDS": "1", "COWRITE_LIMIT_EVICTION_SECONDS": "0.5"}


def token(sub: str, *, turned: int = 0) -> str:
    """As a host's backend on the same machine makes it."""
    return issue(SECRET, sub=sub, documents={"*": "write"}, ttl=12 * 3600, now=time.time_ns() // 1_000_000 + turned)


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(10_000 * MS):
        while not await condition():  # noqa: ASYNC110 - it is asked over HTTP
            await asyncio.sleep(50 * MS)


class Scene:
    """One server, somebody who asks it over HTTP, and what is known of the document."""

    def __init__(self, server: DemoServer, http: httpx.AsyncClient) -> None:
        self.socket = server.url.replace("http", "ws", 1)
        self.http = http
        self.turned = 0

    async def get(self, path: str, **query: Any) -> Any:
        answer = await self.http.get(path, params=query, headers=bearer(token("reader", turned=self.turned)))
        answer.raise_for_status()
        return answer.json() if "json" in answer.headers["content-type"] else answer.text

    async def operations(self, last: str | None = None) -> list[dict[str, Any]]:
        cursor = {} if last is None else {"last_operation": last}
        found = await self.get(f"{REALTIME}/poll", document_id="doc", **cursor)
        return list(found["operations"])

    async def versions(self) -> list[int]:
        return [one["offset"] for one in (await self.get(f"{DOCUMENT}/versions", kind="automatic"))["versions"]]

    async def type(self, client: LiveClient, word: str) -> None:
        """And wait until it is on the disk."""
        client.yjs.text += word
        await client.until(lambda: client.yjs.saved)

    async def connect(self, sub: str) -> str:
        """An access token for somebody."""
        body = {"document_id": "doc", "session_token": token(sub, turned=self.turned)}
        answer = await self.http.post(f"{REALTIME}/connect", json=body)
        answer.raise_for_status()
        return str(answer.json()["access_token"])

    def url(self, sub: str) -> str:
        return f"{self.socket}yjs/doc?token={token(sub, turned=self.turned)}"


@pytest.mark.rule("CK1", "ID2", "HV5", "HV22")
@pytest.mark.timeout(180)
async def test_an_hour_back_while_it_runs_and_over_a_restart(tmp_path: Path) -> None:
    """Nobody is sent away for it; edits are stored in order, held ones end in time, versions are made, and documents closed."""
    clock = TurnedClock(tmp_path)
    server = DemoServer(tmp_path, demo=False, **SETTINGS)
    server.program = clock.program
    with server:
        async with httpx.AsyncClient(base_url=server.url, timeout=30, trust_env=False, verify=PLAIN) as http:
            scene = Scene(server, http)
            await while_it_runs(scene, clock)
            server.stop()
            server.start()
            await after_a_restart(scene, clock)
        assert server.errors() == []
        server.stop()


async def while_it_runs(scene: Scene, clock: TurnedClock) -> None:
    old, poller = scene.url("late"), await scene.connect("cem")
    async with live_client(scene.url("ana")) as ana, live_client(scene.url("ben")) as ben:
        await scene.type(ana, "one ")
        await until(lambda: versions_are(scene, [1]))
        eve = await join(scene.url("eve"))
        eve.send(yjs.encode(Update(write_update([block(9, 0, text("x", origin=(8, 5)))]))))  # nobody has what it builds on
        clock.step(-HOUR)
        scene.turned = -HOUR
        await scene.type(ana, "two ")
        await ben.until(lambda: str(ben.yjs.text) == "one two ")
        await scene.type(ben, "three ")

        first, second, third = await scene.operations()
        assert [first["content"], second["content"], third["content"]] == ["one ", "two ", "three "]
        assert first["id"] < second["id"] < third["id"]
        assert second["created_at"] <= third["created_at"]
        assert first["created_at"] - second["created_at"] == pytest.approx(HOUR, abs=60_000)  # by the clock as it is now
        assert await scene.operations(first["id"]) == [second, third]

        # An interval of ten minutes has not passed; but the version before seems to be of the future.
        await until(lambda: versions_are(scene, [3, 1]))
        present = await scene.get(f"{DOCUMENT}/presence")
        assert sorted(one["user"]["id"] for one in present["presence"]) == ["ana", "ben"]
        assert (await ended(eve)).code == CloseCode.MISSING_DEPENDENCIES

        # Who polls goes on; but the host's token of a minute ago is made in the future now: whoever comes needs a new one.
        assert (await ended(await WebSocketClient.connect(old))).code == CloseCode.UNAUTHORIZED
        query = {"document_id": "doc", "last_operation": second["id"]}
        answers = [
            await scene.http.get(f"{REALTIME}/poll", params=query, headers=bearer(access))
            for access in (poller, await scene.connect("cem"))
        ]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert answers[0].json()["operations"] == answers[1].json()["operations"] == [third]
    await until(lambda: nobody_has_it_open(scene))


async def after_a_restart(scene: Scene, clock: TurnedClock) -> None:
    """The clock is back still, and then as before."""
    known = await scene.operations()
    async with live_client(scene.url("ana")) as ana:
        assert str(ana.yjs.text) == "one two three "
        await scene.type(ana, "four ")
        clock.step(0)
        scene.turned = 0
        await scene.type(ana, "five ")
    *_, fourth, fifth = await scene.operations()
    assert [one["content"] for one in await scene.operations(known[-1]["id"])] == ["four ", "five "]
    assert await scene.operations(fourth["id"]) == [fifth]
    assert fourth["created_at"] >= known[-1]["created_at"]
    for offset, words in enumerate(("one ", "one two ", "one two three ", "one two three four "), 1):
        assert await scene.get(DOCUMENT, at=f"offset:{offset}", format="text", root="body") == words
    assert await scene.get(DOCUMENT, at=f"time:{fifth['created_at']}", format="text", root="body") == "one two three four five "


async def versions_are(scene: Scene, offsets: list[int]) -> bool:
    return await scene.versions() == offsets


async def nobody_has_it_open(scene: Scene) -> bool:
    return 'cowrite_documents{worker="1"} 0.0' in await scene.get("/metrics")
