"""A document that has become as large as it may, at a real server, whatever its clients speak."""

from __future__ import annotations

import httpx
import pytest

from cowrite.core.limits import Limits
from cowrite.protocol import yjs
from cowrite.protocol.envelope import seal, unseal
from cowrite.protocol.hocuspocus import SyncStatus
from cowrite.protocol.messages import Acknowledged, PermissionDenied, SyncStep1, Update
from cowrite.testing.client import live_client
from cowrite.testing.transport_contract import ServerOptions
from cowrite.testing.transport_contract.operations import JsonClient
from cowrite.testing.transport_contract.provider import Provider, content, update
from cowrite.testing.transport_contract.server import expect, join
from http_api import PLAIN, REALTIME, insert, problem
from live_server import live_server
from transports.metric import refused

FULL = "the document is full: it may have 4000 bytes, and this would make it larger; delete something first"
BINARY = {"content-type": "application/octet-stream", "accept": "application/octet-stream"}


@pytest.mark.rule("LM9", "LM10", "LM3")
async def test_whatever_they_speak() -> None:
    """It is refused in each protocol's own words, deletions are not, and then there is room."""
    options = ServerOptions(limits=Limits(document_bytes=4000))
    async with live_server(options, picows=True) as server, live_client(f"{server.url}/yjs/d?token=ana") as ana:
        ana.yjs.text += "a" * 3000
        await ana.until(lambda: ana.yjs.saved)
        eve = await join(f"{server.url}/yjs/d?token=eve")
        eve.send(yjs.encode(update("b" * 2000)))
        assert await expect(eve, PermissionDenied) == PermissionDenied(FULL)
        provider = await Provider.enter(server.url, "d")
        provider.say(update("c" * 2000), "d")
        assert await provider.hear(SyncStatus, "d") == SyncStatus(False)
        bot = await JsonClient.connect(server.url, "d", "bot")
        bot.write(insert("d" * 2000), request=1)
        answer = await bot.expect("refused")
        assert (answer["request"], answer["code"], answer["detail"], answer["retry"]) == (1, "document_full", FULL, False)
        url, headers = server.url.replace("ws", "http", 1), {"authorization": "Bearer cem"}
        async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, verify=PLAIN) as client:
            body = {"document_id": "d", "operations": [insert("e" * 2000)], "base": None}
            assert problem(await client.post(f"{REALTIME}/operations", json=body)) == (413, "document_full")
            batch = seal([yjs.encode(Update(content("f" * 2000)))])
            answers = await client.post(
                f"{REALTIME}/operations", content=batch, params={"document_id": "d"}, headers=headers | BINARY
            )
            told, question = [yjs.decode(message) for message in unseal(answers.content)]
            assert (told, type(question)) == (PermissionDenied(FULL), SyncStep1), "as it always asks who has just come"
            assert await refused(server) == {"document_full": 5}
            assert str(ana.yjs.text) == bot.text == "a" * 3000
            bot.write({"type": "delete", "position": ["body", 0], "length": 1000}, request=2)
            await bot.expect("acknowledged")
            batch = seal([yjs.encode(Update(content("f" * 100)))])
            answers = await client.post(f"{REALTIME}/operations", content=batch, params={"document_id": "d"}, headers=BINARY)
            assert any(isinstance(yjs.decode(message), Acknowledged) for message in unseal(answers.content))
        await ana.until(lambda: len(str(ana.yjs.text)) == 2100)
        for socket in (eve, provider.socket, bot.socket):
            await socket.close()
