"""A Hocuspocus provider for the contract suite, and whom it meets."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from cowrite.core.ports import Access, AccessDenied, Authorizer, Grant
from cowrite.protocol.hocuspocus import Addressed, Authenticate, HocuspocusDialect, Message, Ping, Pong, SyncStatus, decode
from cowrite.protocol.messages import SyncStep1, SyncStep2, Update
from cowrite.testing.client import WebSocketClient
from cowrite.testing.transport_contract.server import EMPTY_STATE_VECTOR
from cowrite.testing.yjs_client import YjsClient

M = TypeVar("M")

NOTHING = b"\0\0"
"""The update that brings nothing."""


class Provider:
    """A Hocuspocus provider that does nothing by itself."""

    def __init__(self, socket: WebSocketClient) -> None:
        self.socket = socket

    @classmethod
    async def connect(cls, url: str, query: str = "") -> Provider:
        """Open a socket; nobody speaks before the client."""
        return cls(await WebSocketClient.connect(f"{url}/hocuspocus{query}"))

    @classmethod
    async def enter(cls, url: str, *addresses: str, token: str = "ana", version: str | None = "4.8.0") -> Provider:
        """A provider that is in step with the server in these documents (``doc``, if none is named)."""
        provider = await cls.connect(url)
        for address in addresses or ("doc",):
            await provider.log_in(address, token=token, version=version)
        return provider

    async def log_in(self, address: str = "doc", *, token: str = "ana", version: str | None = "4.8.0") -> None:
        """Show a token, synchronise, and wait until all is saved."""
        self.say(Authenticate(token, version), address)
        self.say(SyncStep1(EMPTY_STATE_VECTOR), address)
        await self.hear(SyncStep2, address)
        self.say(SyncStep2(NOTHING), address)
        await self.hear(SyncStatus, address)

    def say(self, message: Message, address: str = "doc") -> None:
        """Send a message."""
        self.socket.send(HocuspocusDialect(address).encode(message))

    async def next(self) -> Addressed | Ping | Pong:
        """The next message, whatever it is."""
        async with asyncio.timeout(10):
            return decode(await self.socket.receive())

    async def hear(self, kind: type[M] | tuple[type[M], ...], address: str = "doc") -> M:
        """The next message of this kind at this address; others are passed over."""
        while True:
            one = await self.next()
            if isinstance(one, Addressed) and one.address == address and isinstance(one.message, kind):
                return one.message

    async def silent(self, seconds: float = 0.2) -> bool:
        """Nothing comes."""
        try:
            async with asyncio.timeout(seconds):
                await self.socket.receive()
        except TimeoutError:
            return True
        return False


def update(text: str) -> Update:
    """An Update of a new Yjs client that has written a text."""
    return Update(content(text))


def content(text: str) -> bytes:
    """The same as bytes."""
    client = YjsClient()
    client.text += text
    return client.doc.get_update(EMPTY_STATE_VECTOR)


async def by_token(token: str | None, document_id: str) -> Access:
    """Tokens: ``bad`` is none, ``elsewhere`` gives no access, ``read`` and ``comment`` are grants, any other writes."""
    if token in {"bad", None}:
        raise AccessDenied("secret words about the token", known=False)
    if token == "elsewhere":
        raise AccessDenied("secret words about the document", known=True)
    return Access(str(token), Grant(token) if token in {"read", "comment"} else Grant.WRITE)


def slowly(let_in: asyncio.Event) -> Authorizer:
    """Authorize by token, once the event is set."""

    async def authorize(token: str | None, document_id: str) -> Access:
        await let_in.wait()
        return await by_token(token, document_id)

    return authorize
