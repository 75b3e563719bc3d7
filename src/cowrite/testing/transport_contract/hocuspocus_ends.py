"""What a Hocuspocus provider may not send, and how its documents and its socket end."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from cowrite.core.limits import Limits
from cowrite.core.ports import Access
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.hocuspocus import (
    PONG,
    Authenticate,
    Authenticated,
    BroadcastStateless,
    Close,
    HocuspocusDialect,
    Message,
    Ping,
    Scope,
    SyncStatus,
    TokenRequest,
)
from cowrite.protocol.messages import (
    PermissionDenied,
    SyncStep2,
    Update,
)
from cowrite.testing.client import TEXT
from cowrite.testing.transport_contract.provider import Provider, content, update
from cowrite.testing.transport_contract.server import (
    ServerOptions,
    StartServer,
    ended,
    everybody_writes,
    text_of,
)
from cowrite.testing.yjs_client import YjsClient

_TOLD = "message refused", "connection closed"


class HocuspocusEndContract:
    """What becomes of bad input."""

    @pytest.mark.rule("HP21")
    @pytest.mark.parametrize(
        ("token", "version", "told"),
        [
            ("ana", "4.8.0", Close("hostile_update")),
            ("", None, Close("hostile_update")),
            ("ana", None, PermissionDenied("hostile_update")),
        ],
    )
    async def test_provider_one_document_ends(self, start: StartServer, token: str, version: str | None, told: Message) -> None:
        """Of a client that may be a 2, which CLOSE would break, it is told by a denial. Other documents go on."""
        url = await start(ServerOptions())
        provider = await Provider.enter(url, "doc", "other", token=token, version=version)
        provider.say(Update(b"\1\1\1\0\x3f" + b"secret words"))
        with capture_logs() as logs:
            assert await provider.hear((Close, PermissionDenied)) == told
        provider.say(update("ignored"))
        provider.say(update("kept"), "other")
        assert await provider.hear(SyncStatus, "other") == SyncStatus(True)
        assert "secret words" not in str(logs)
        assert await text_of(f"{url}/yjs/doc") == ""
        await provider.socket.close()

    @pytest.mark.rule("HP22")
    async def test_provider_too_many_documents(self, start: StartServer) -> None:
        """One more than the limit is refused, until one is left."""
        url = await start(ServerOptions(limits=Limits(documents_per_socket=2)))
        provider = await Provider.enter(url, "one", "two")
        provider.say(Authenticate("ana", "4.8.0"), "three")
        assert await provider.hear(PermissionDenied, "three") == PermissionDenied("too_many_documents")
        provider.say(Close(), "one")
        await provider.log_in("three")
        await provider.socket.close()

    @pytest.mark.rule("HP23")
    @pytest.mark.parametrize(
        "frame", ["", "090102", "03646f63000900", "03646f630002c80101", "03646f63", "02c32807", "0002000272 77", "00070000"]
    )
    async def test_provider_malformed_frames(self, start: StartServer, frame: str) -> None:
        """What cannot be read, and a name that no document can have, closes the socket with 4401."""
        provider = await Provider.enter(await start(ServerOptions()))
        provider.socket.send(bytes.fromhex(frame))
        assert (await ended(provider.socket)).code == CloseCode.UNAUTHORIZED

    @pytest.mark.rule("HP23")
    async def test_provider_text_and_names_that_are_too_long(self, start: StartServer) -> None:
        """Both close with 4401."""
        url = await start(ServerOptions())
        provider = await Provider.enter(url)
        provider.socket.send(b"hello", kind=TEXT)
        assert (await ended(provider.socket)).code == CloseCode.UNAUTHORIZED
        provider = await Provider.enter(url, "ü" * 255)
        provider.say(Authenticate("ana"), "ü" * 256)
        assert (await ended(provider.socket)).code == CloseCode.UNAUTHORIZED

    @pytest.mark.rule("HP23")
    @pytest.mark.parametrize(
        "message",
        [
            TokenRequest(),
            Authenticated(Scope.READ_WRITE),
            PermissionDenied("no"),
            SyncStatus(True),
            BroadcastStateless("A"),
            42,
            Ping(),
        ],
    )
    async def test_provider_messages_that_clients_do_not_send(self, start: StartServer, message: Message | int | Ping) -> None:
        """They are passed over four times, each with a log line; the fifth closes with 4205."""
        match message:
            case Ping():
                frame = b"\x09"
            case int():
                frame = b"\x03doc\x2a"
            case _:
                frame = HocuspocusDialect("doc").encode(message)
        provider = await Provider.enter(await start(ServerOptions()))
        with capture_logs() as logs:
            for _ in range(4):
                provider.socket.send(frame)
            provider.socket.send(PONG)
            provider.say(update("going on"))
            assert await provider.hear(SyncStatus) == SyncStatus(True)
            assert [line["event"] for line in logs if line["event"] in _TOLD] == ["message refused"] * 4
            provider.socket.send(frame)
            assert (await ended(provider.socket)).code == CloseCode.RESET_CONNECTION

    @pytest.mark.rule("HP23")
    async def test_provider_too_large_messages(self, start: StartServer) -> None:
        """A frame over the limit closes the socket with 4413, and so does an Update over its own; a SyncStep2 brings that."""
        limits = Limits(update_bytes=1000, sync_bytes=1 << 20)
        url = await start(ServerOptions(limits=limits))
        provider = await Provider.enter(url)
        provider.say(update("x" * 1000))
        assert (await ended(provider.socket)).code == CloseCode.MESSAGE_TOO_LARGE
        provider = await Provider.enter(url)
        provider.say(SyncStep2(content("x" * 1000)))
        assert await provider.hear(SyncStatus) == SyncStatus(True)
        assert await text_of(f"{url}/yjs/doc") == "x" * 1000
        provider.socket.send(bytes(2 << 20))
        assert (await ended(provider.socket)).code == CloseCode.MESSAGE_TOO_LARGE

    @pytest.mark.rule("HP25")
    async def test_provider_order_behind_a_large_update(self, start: StartServer) -> None:
        """What comes behind a large update waits until that is inspected, and is taken though the socket is lost meanwhile."""
        url = await start(ServerOptions())
        provider = await Provider.enter(url)
        client, frames = YjsClient(), list[bytes]()
        client.connect(frames.append)
        frames.clear()
        client.text += "x" * 300_000
        client.text += "behind"
        for frame in frames:
            provider.socket.send(b"\x03doc" + frame)
        await provider.socket.drain()
        await asyncio.sleep(0.05)
        provider.socket.drop()
        async with asyncio.timeout(10):
            while not (await text_of(f"{url}/yjs/doc")).endswith("behind"):
                pass

    @pytest.mark.rule("HP26")
    async def test_provider_failures_of_the_server(self, start: StartServer) -> None:
        """When something unforeseen fails the socket is closed with 4500; the log has the traceback, but no token."""

        async def authorize(token: str | None, document_id: str) -> Access:
            if token == "very-secret":
                raise RuntimeError("the user database is away")
            return await everybody_writes(token, document_id)

        provider = await Provider.enter(await start(ServerOptions(authorize)))
        with capture_logs() as logs:
            provider.say(Authenticate("very-secret", "4.8.0"), "other")
            assert (await ended(provider.socket)).code == CloseCode.INTERNAL_ERROR
        (line,) = logs
        assert (line["event"], line["log_level"]) == ("connection failed", "error")
        assert "very-secret" not in str(logs)
