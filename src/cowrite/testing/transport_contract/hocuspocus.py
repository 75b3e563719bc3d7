"""The socket for Hocuspocus providers at ``/hocuspocus``: their frames, as they were captured from the stock ones."""

from __future__ import annotations

import asyncio

import pytest

from cowrite.core.limits import Limits
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.hocuspocus import (
    Addressed,
    Authenticate,
    Authenticated,
    Close,
    Message,
    Scope,
    Stateless,
    SyncStatus,
)
from cowrite.protocol.messages import (
    AwarenessUpdate,
    PermissionDenied,
    QueryAwareness,
    SyncStep1,
    SyncStep2,
    Update,
)
from cowrite.testing.transport_contract.provider import NOTHING, Provider, by_token, content, slowly, update
from cowrite.testing.transport_contract.server import (
    EMPTY_STATE_VECTOR,
    ServerOptions,
    StartServer,
    ended,
    text_of,
)

_HELLO = bytes.fromhex("03646f63 0200 027277 05342e382e30")
"""h4, 31 ms: "doc", token "rw", version "4.8.0"."""
_STEP_1 = bytes.fromhex("03646f63 0000 0100")
_CARET = bytes.fromhex("03646f63 01 0d 01 01 01 09 7b2275223a2241227d")
"""h4, 421 ms: client 1, clock 1, {"u":"A"}."""
_TYPED = bytes.fromhex("03646f63 0002 0c 010101000401017402686900")
"""h4, 574 ms: an update that writes "hi" into the root "t"."""


class HocuspocusContract:
    """What a provider is promised."""

    @pytest.mark.rule("HP5", "HP11", "HP12", "HP17")
    async def test_provider_as_captured(self, start: StartServer) -> None:
        """The frames of a provider 4 are answered with those of the reference server."""
        url = await start(ServerOptions())
        provider = await Provider.connect(url, "/")
        for frame in (_HELLO, _STEP_1, bytes.fromhex("03646f63 01 06 010100027b7d")):
            provider.socket.send(frame)
        received = [await provider.socket.receive() for _ in range(3)]
        assert received == [
            bytes.fromhex("03646f63 0202 0a 726561642d7772697465"),
            bytes.fromhex("03646f63 0000 0100"),
            bytes.fromhex("03646f63 0001 02 0000"),
        ]
        provider.socket.send(bytes.fromhex("03646f63 0001 02 0000"))
        assert await provider.socket.receive() == bytes.fromhex("03646f63 0801")
        provider.socket.send(_TYPED)
        assert await provider.socket.receive() == bytes.fromhex("03646f63 0801")
        provider.socket.send(_CARET)
        assert await provider.socket.receive() == _CARET
        provider.socket.send(bytes.fromhex("03646f63 03"))
        assert await provider.socket.receive() == _CARET
        provider.socket.send(bytes.fromhex("03646f63 0000 03 010102"))
        assert await provider.socket.receive() == bytes.fromhex("03646f63 0000 03 010102")
        assert await provider.socket.receive() == bytes.fromhex("03646f63 0001 02 0000")
        provider.socket.send(bytes.fromhex("03646f63 07"))
        provider.socket.send(bytes.fromhex("03646f63 01 08 01 01 02 04 6e756c6c"))  # as 2 and 3 do, after CLOSE
        assert await provider.silent()
        await provider.socket.close()

    @pytest.mark.rule("HP12")
    async def test_provider_status_of_each_message(self, start: StartServer) -> None:
        """Repetitions and updates without content, too."""
        provider = await Provider.enter(await start(ServerOptions()))
        twice = update("twice")
        for message in (twice, twice, Update(NOTHING), SyncStep2(twice.update), SyncStep2(NOTHING)):
            provider.say(message)
        for _ in range(5):
            assert await provider.hear(SyncStatus) == SyncStatus(True)
        assert await provider.silent()
        await provider.socket.close()

    @pytest.mark.rule("HP5", "HP6")
    async def test_provider_token_of_each_document(self, start: StartServer) -> None:
        """Granted, read-only, refused, not known: side by side on one socket, and nothing secret is told."""
        url = await start(ServerOptions(by_token))
        provider = await Provider.connect(url)
        for address, token in (("x", "ana"), ("y", "bad"), ("z", "read"), ("w", "elsewhere"), ("v", "comment")):
            provider.say(Authenticate(token, "4.8.0"), address)
            provider.say(SyncStep1(EMPTY_STATE_VECTOR), address)
        heard: dict[str, list[Message]] = {}
        while sum(map(len, heard.values())) < 11:
            one = await provider.next()
            assert isinstance(one, Addressed)
            heard.setdefault(one.address, []).append(one.message)
        handshake = [SyncStep1(EMPTY_STATE_VECTOR), SyncStep2(NOTHING)]
        assert heard == {
            "x": [Authenticated(Scope.READ_WRITE), *handshake],
            "y": [PermissionDenied("unauthorized")],
            "z": [Authenticated(Scope.READ_ONLY), *handshake],
            "w": [PermissionDenied("forbidden")],
            "v": [Authenticated(Scope.READ_ONLY), *handshake],
        }
        provider.say(update("ignored"), "y")
        provider.say(Authenticate("ana", "4.8.0"), "y")
        assert await provider.hear(Authenticated, "y") == Authenticated(Scope.READ_WRITE)
        await provider.socket.close()

    @pytest.mark.rule("HP6", "HP7")
    @pytest.mark.parametrize("query", ["?token=ana", ""])
    async def test_provider_without_a_token(self, start: StartServer, query: str) -> None:
        """It comes in with the token of the address, or else as somebody without one, when that is allowed."""
        provider = await Provider.connect(await start(ServerOptions(by_token)), query)
        provider.socket.send(_STEP_1)
        if query:
            assert await provider.hear((Authenticated, SyncStep1)) == SyncStep1(EMPTY_STATE_VECTOR)
            await provider.hear(SyncStep2)
            provider.say(Authenticate("", None))
            assert await provider.hear(Authenticated) == Authenticated(Scope.READ_WRITE)
        else:
            assert await provider.silent(), "a 4 whose token function has failed would take an answer for another failure"
            provider.say(Authenticate("", "4.8.0"))
            assert await provider.hear(PermissionDenied) == PermissionDenied("unauthorized")
        await provider.socket.close()

    @pytest.mark.rule("HP8", "HP9")
    async def test_provider_what_follows_a_token_waits(self, start: StartServer) -> None:
        """It is played in order; but a CLOSE ends the check, and whoever comes then is somebody else."""
        let_in = asyncio.Event()
        url = await start(ServerOptions(slowly(let_in)))
        provider = await Provider.connect(url)
        provider.say(Authenticate("bad", "4.8.0"))
        provider.say(update("dropped"))
        provider.say(Close())
        provider.say(Authenticate("ana", "4.8.0"))
        provider.say(SyncStep1(EMPTY_STATE_VECTOR))
        provider.say(update("kept"))
        assert await provider.silent()
        let_in.set()
        kinds = []
        while SyncStatus not in kinds:
            one = await provider.next()
            assert isinstance(one, Addressed)
            kinds.append(type(one.message))
        assert kinds == [Authenticated, SyncStep1, SyncStep2, SyncStatus]
        assert await text_of(f"{url}/yjs/doc?token=ben") == "kept"
        await provider.socket.close()

    @pytest.mark.rule("HP8")
    @pytest.mark.parametrize("flood", ["messages", "bytes"])
    async def test_provider_what_waits_is_bounded(self, start: StartServer, flood: str) -> None:
        """Too much before a token is checked closes with 4205."""
        provider = await Provider.connect(await start(ServerOptions(slowly(asyncio.Event()))))
        provider.socket.send(_HELLO)
        for _ in range({"messages": 1001, "bytes": 6}[flood]):
            provider.say(Update(bytes(1 << 20)) if flood == "bytes" else QueryAwareness())
        assert (await ended(provider.socket)).code == CloseCode.RESET_CONNECTION

    @pytest.mark.rule("HP8", "HP22")
    async def test_provider_all_documents_come_at_once(self, start: StartServer) -> None:
        """As many as one socket may have, their tokens checked at a time, as after a restart: nobody is closed for it."""
        gate = asyncio.Event()
        most = Limits().documents_per_socket
        provider = await Provider.connect(await start(ServerOptions(slowly(gate))))
        for number in range(most):
            provider.say(Authenticate("ana"), f"doc {number}")
            provider.say(SyncStep1(EMPTY_STATE_VECTOR), f"doc {number}")
        provider.say(Authenticate("ana"), "one more")
        assert await provider.hear(PermissionDenied, "one more") == PermissionDenied("too_many_documents")
        gate.set()
        entered = set[str]()
        while len(entered) < most:
            one = await provider.next()
            if isinstance(one, Addressed) and isinstance(one.message, Authenticated):
                entered.add(one.address)
        await provider.socket.close()

    @pytest.mark.rule("HP13", "HP17", "HP18")
    async def test_provider_of_a_reader(self, start: StartServer) -> None:
        """What a reader writes is refused message by message, and dropped; a commenter may point and talk."""
        url = await start(ServerOptions(by_token))
        writer = await Provider.enter(url)
        reader, commenter = await Provider.enter(url, token="read"), await Provider.enter(url, token="comment")
        for provider in (reader, commenter):
            provider.say(update("no"))
            assert await provider.hear(SyncStatus) == SyncStatus(False)
            provider.say(SyncStep2(content("no")))
            assert await provider.hear(SyncStatus) == SyncStatus(False)
            provider.say(Stateless(f"from {provider is commenter}"))
            client_id = 7 if provider is reader else 8
            provider.say(AwarenessUpdate((AwarenessEntry(client_id, 1, "{}"),)))
        assert await writer.hear((Update, AwarenessUpdate, Stateless)) == Stateless("from True")
        assert await writer.hear((Update, AwarenessUpdate)) == AwarenessUpdate((AwarenessEntry(8, 1, "{}"),))
        for provider in (reader, commenter, writer):
            await provider.socket.close()

    @pytest.mark.rule("HP17")
    async def test_provider_leaves_a_document(self, start: StartServer) -> None:
        """At once, though the socket stays; and edits of others come no more."""
        url = await start(ServerOptions(limits=Limits(loss_grace_seconds=60)))
        one, other = await Provider.enter(url), await Provider.enter(url)
        one.socket.send(_CARET)
        await other.hear(AwarenessUpdate)
        one.say(Close())
        assert await other.hear(AwarenessUpdate) == AwarenessUpdate((AwarenessEntry(1, 1, None),))
        await one.hear(AwarenessUpdate)  # its own caret
        other.say(update("unseen"))
        await other.hear(SyncStatus)
        assert await one.silent()
        for provider in (one, other):
            await provider.socket.close()

    @pytest.mark.rule("HP18")
    async def test_provider_texts_between_applications(self, start: StartServer) -> None:
        """They go to whoever speaks this protocol in the document, at whatever address; a too large one ends the document."""
        url = await start(ServerOptions())
        one, other, elsewhere = (
            await Provider.enter(url),
            await Provider.enter(url, "doc\0id"),
            await Provider.enter(url, "else"),
        )
        one.socket.send(bytes.fromhex("03646f63 05 05 70696e6721"))
        assert await one.hear(Stateless) == Stateless("ping!")
        assert await other.hear(Stateless, "doc\0id") == Stateless("ping!")
        assert await elsewhere.silent()
        one.say(Stateless("x" * (1 << 16)))
        assert len((await one.hear(Stateless)).payload) == 1 << 16
        one.say(Stateless("x" * ((1 << 16) + 1)))
        assert await one.hear((Close, Stateless)) == Close("message_too_large")
        for provider in (one, other, elsewhere):
            await provider.socket.close()
