"""Too many messages and bytes of one connection, at a real server, and what the metric says of it."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import replace

import httpx
import pytest

from cowrite.core.limits import Limits
from cowrite.protocol import yjs
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.envelope import seal
from cowrite.protocol.messages import AwarenessUpdate, QueryAwareness, Update
from cowrite.testing.client import WebSocketClient, live_client
from cowrite.testing.transport_contract import ServerOptions
from cowrite.testing.transport_contract.operations import JsonClient
from cowrite.testing.transport_contract.provider import Provider, content
from cowrite.testing.transport_contract.server import ended, join
from http_api import PLAIN, REALTIME, insert, problem
from live_server import live_server
from transports.metric import refused

LIMITS = Limits(
    rate_messages=50, burst_messages=20, rate_bytes=64 << 10, burst_bytes=256 << 10, late_seconds=0.2, sync_bytes=256 << 10
)
QUERY = yjs.encode(QueryAwareness())


async def flood(client: WebSocketClient, frame: bytes) -> tuple[int | None, str]:
    """Send it a hundred times and read; how the server ends that."""
    with suppress(ConnectionError):
        for _ in range(100):
            client.send(frame)
    end = await ended(client)
    return end.code, end.reason


@pytest.mark.rule("LM7", "LM3")
@pytest.mark.parametrize("picows", [True, False])
async def test_too_much_of_one_connection(*, picows: bool) -> None:
    """A burst is taken, what goes on beyond it is served later and then closed; whoever else is there does not wait."""
    options = ServerOptions(limits=LIMITS)
    async with live_server(options, picows=picows) as server, live_client(f"{server.url}/yjs/d?token=ana") as ana:
        eve = await join(f"{server.url}/yjs/d?token=eve")
        flooding = asyncio.create_task(flood(eve, QUERY))
        ana.yjs.text += "meanwhile"
        await ana.until(lambda: ana.yjs.saved)
        assert not flooding.done()
        assert await flooding == (CloseCode.TOO_FAST, "its messages are more than one connection may send")
        provider = await Provider.enter(server.url, "one", "two")
        for number in range(60):
            provider.say(QueryAwareness(), ("one", "two")[number % 2])
        end = await ended(provider.socket)
        assert (end.code, end.reason) == (CloseCode.TOO_FAST, "its messages are more than one connection may send")
        bot = await JsonClient.connect(server.url, "d", "bot")
        for _ in range(100):
            bot.send({"type": "heartbeat"})
        assert (await ended(bot.socket)).code == CloseCode.TOO_FAST
        assert await refused(server) == {"rate_messages": 3, "too_fast": 3}
        large = yjs.encode(AwarenessUpdate((AwarenessEntry(7, 1, '"' + "x" * 15_000 + '"'),)))
        eve = await join(f"{server.url}/yjs/d?token=eve")
        for _ in range(15):  # a burst of messages has 20
            eve.send(large)
        assert await flood(eve, large) == (CloseCode.TOO_FAST, "its messages have more bytes than one connection may send")
        assert await refused(server) == {"rate_messages": 3, "rate_bytes": 1, "too_fast": 4}


@pytest.mark.rule("LM8", "LM7", "LM3")
async def test_too_much_of_one_session() -> None:
    """Requests beyond the burst are refused until the rate has made up for them; a batch of a polling client takes its time."""
    # On a machine that is slow the requests take a second, too.
    limits = replace(LIMITS, rate_bytes=1 << 10)
    async with live_server(ServerOptions(limits=limits), picows=True) as server:
        url, headers = server.url.replace("ws", "http", 1), {"authorization": "Bearer ana"}
        async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, verify=PLAIN) as client:
            body = {"document_id": "d", "operations": [insert("x" * 100_000)], "base": None}
            answers = [await client.post(f"{REALTIME}/operations", json=body) for _ in range(4)]
            assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
            assert problem(answers[3]) == (429, "too_fast")
            assert "have more bytes than one user may send" in answers[3].json()["detail"]
            assert 1 <= int(answers[3].headers["retry-after"]) <= 300_000 >> 10
            assert await refused(server) == {"rate_bytes": 1, "too_fast": 1}
            batch = seal([yjs.encode(Update(content("y")))] + [QUERY] * 39)
            began = time.monotonic()
            binary = {"content-type": "application/octet-stream", "accept": "application/octet-stream"}
            query = {"document_id": "d"}
            answer = await client.post(f"{REALTIME}/operations", content=batch, params=query, headers=binary)
            assert answer.status_code == 200, answer.text
            assert time.monotonic() - began >= 20 / LIMITS.rate_messages
