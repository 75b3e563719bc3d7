"""Too many sockets of one user, session and address, at a real server, and what the metric says of it."""

from __future__ import annotations

from contextlib import suppress

import httpx
import pytest
from structlog.testing import capture_logs

from cowrite.core.limits import Limits
from cowrite.core.operations.writing import MAX_NODES, MAX_OPERATIONS
from cowrite.core.presence.refusals import MAX_STATE_BYTES
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.hocuspocus import Authenticate, Close, Stateless
from cowrite.protocol.messages import PermissionDenied
from cowrite.testing.client import ConnectionEnded, UpgradeRefused, WebSocketClient
from cowrite.testing.transport_contract import ServerOptions
from cowrite.testing.transport_contract.operations import JsonClient
from cowrite.testing.transport_contract.provider import Provider
from cowrite.testing.transport_contract.server import ended, join
from cowrite.transports.hocuspocus_document import MAX_STATELESS_BYTES
from http_api import REALTIME, insert, problem
from live_server import live_server
from transports.metric import refused

LIMITS = Limits(user_sockets=2, session_sockets=1, address_sockets=2)


@pytest.mark.rule("LM1", "LM3")
async def test_too_many_of_one_user() -> None:
    """Whatever the sockets speak: the third is closed with 4529, another user comes in, and who goes makes room."""
    async with live_server(ServerOptions(limits=LIMITS), picows=True) as server:
        first, second = [await join(f"{server.url}/yjs/{document}?token=ana") for document in ("d", "e")]
        third = await WebSocketClient.connect(f"{server.url}/yjs/f?token=ana")
        end = await ended(third)
        assert (end.code, end.reason) == (CloseCode.TOO_FAST, "2 connections of this user are open already")
        with pytest.raises(ConnectionEnded, match="2 connections of this user are open already"):
            await JsonClient.connect(server.url, "d", "ana")
        provider = await Provider.connect(server.url)
        provider.say(Authenticate("ana", "4.8.0"), "d")
        assert await provider.hear(PermissionDenied, "d") == PermissionDenied("too_fast")
        await provider.socket.close()
        await (await join(f"{server.url}/yjs/d?token=ben")).close()
        assert await refused(server) == {"user_sockets": 3, "too_fast": 3}
        await first.close()
        await (await join(f"{server.url}/yjs/f?token=ana")).close()
        await second.close()


@pytest.mark.rule("LM2", "LM3", "CL20")
@pytest.mark.parametrize("picows", [True, False])
async def test_too_many_of_one_address(*, picows: bool) -> None:
    """The third is answered with 429 as long as the others are there; another address and this machine are not concerned."""
    async with live_server(ServerOptions(limits=LIMITS), picows=picows) as server:

        async def come(user: str, address: str | None) -> WebSocketClient:
            headers = {} if address is None else {"X-Forwarded-For": f"1.2.3.4, {address}"}
            return await join(f"{server.url}/yjs/d?token={user}", headers=headers)

        sockets = [await come(f"user-{number}", "9.9.9.9") for number in range(2)]
        with capture_logs() as lines:
            for _ in range(3):
                with pytest.raises(UpgradeRefused) as error:
                    await come("eve", "9.9.9.9")
        told = [line for line in lines if line["event"].startswith("too many") and line["log_level"] == "warning"]
        assert [(line["limit"], line["address"]) for line in told] == [("address_sockets", "9.9.9.9")]
        assert error.value.status == 429
        assert b"too many connections from this address" in error.value.body
        sockets += [await come("ben", "8.8.8.8"), await come("cem", None)]
        assert await refused(server) == {"address_sockets": 3}
        await sockets[0].close()
        while len(sockets) < 5:  # the server hears of it in a moment
            with suppress(UpgradeRefused):
                sockets.append(await come("eve", "9.9.9.9"))
        for socket in sockets[1:]:
            await socket.close()


@pytest.mark.rule("LM3")
async def test_requests_that_are_too_large() -> None:
    """What HTTP refuses because of a limit is counted by its code; other refusals are not."""
    async with live_server(ServerOptions(), picows=True) as server:
        url = server.url.replace("ws", "http", 1)
        async with httpx.AsyncClient(base_url=url, headers={"authorization": "Bearer ana"}, trust_env=False) as client:
            body = {"document_id": "d", "operations": [insert("x" * (2 << 20))], "base": None}
            assert problem(await client.post(f"{REALTIME}/operations", json=body)) == (413, "too_large")
            assert problem(await client.get("/api/v2/documents/none")) == (404, "document_not_found")
        assert await refused(server) == {"too_large": 1}


@pytest.mark.rule("LM3")
async def test_refusals_inside_a_socket() -> None:
    """A JSON socket's, and documents that a Hocuspocus connection denies or ends: the sockets stay, and they count."""
    async with live_server(ServerOptions(limits=Limits(user_sockets=2)), picows=True) as server:
        bot = await JsonClient.connect(server.url, "d", "ana")
        bot.write(*[insert("x")] * (MAX_OPERATIONS + 1))
        assert (await bot.expect("refused"))["code"] == "field"  # of a form that no limit concerns
        bot.write({"type": "insert", "position": ["list", 0], "content": [0] * (MAX_NODES + 1)})
        assert (await bot.expect("refused"))["code"] == "too_many_nodes"
        bot.send({"type": "presence", "data": {"text": "x" * MAX_STATE_BYTES}})
        assert (await bot.expect("refused"))["code"] == "too_large"
        provider = await Provider.enter(server.url, "d")
        provider.say(Stateless("x" * (MAX_STATELESS_BYTES + 1)), "d")
        assert await provider.hear(Close, "d") == Close("message_too_large")
        await provider.log_in("e")
        provider.say(Authenticate("ana", "4.8.0"), "f")
        assert await provider.hear(PermissionDenied, "f") == PermissionDenied("too_fast")
        assert await refused(server) == {
            "too_many_nodes": 1,
            "too_large": 1,
            "message_too_large": 1,
            "user_sockets": 1,
            "too_fast": 1,
        }
        await provider.socket.close()
        await bot.socket.close()
