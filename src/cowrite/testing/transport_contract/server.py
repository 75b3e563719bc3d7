"""What the contract suite of transports needs from a transport's own tests, and the messages that it sends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from cowrite.core.limits import Limits
from cowrite.core.ports import Access, Authorizer, Grant, Storage
from cowrite.protocol import yjs
from cowrite.protocol.messages import Message, SyncStep1, SyncStep2
from cowrite.testing.client import ConnectionEnded, WebSocketClient
from cowrite.testing.yjs_client import YjsClient

EMPTY_STATE_VECTOR = b"\0"


async def everybody_writes(token: str | None, document_id: str) -> Access:
    """An authorizer: the token is the user's id."""
    return Access(token or "somebody", Grant.WRITE)


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How a test wants its server."""

    authorize: Authorizer = everybody_writes
    limits: Limits = field(default_factory=Limits)
    allowed_origins: tuple[str, ...] = ()
    demo: bool = False
    storage: Storage | None = None
    """None: one in memory."""


StartServer: TypeAlias = Callable[[ServerOptions], Awaitable[str]]
"""Starts a server and gives its address, ``ws://127.0.0.1:{port}``. It is stopped after the test."""


def edit(text: str, client_id: int | None = None) -> tuple[bytes, bytes]:
    """An Update message by a new client that writes ``text``, and a SyncStep2 message with the same."""
    client = YjsClient(client_id)
    sent: list[bytes] = []
    client.connect(sent.append)
    client.text += text
    return sent[-1], yjs.encode(SyncStep2(client.doc.get_update(EMPTY_STATE_VECTOR)))


async def join(url: str, **options: object) -> WebSocketClient:
    """A socket in a room: connected, and its SyncStep1 answered."""
    client = await WebSocketClient.connect(url, **options)  # type: ignore[arg-type] # the same as connect's
    client.send(yjs.encode(SyncStep1(EMPTY_STATE_VECTOR)))
    await expect(client, SyncStep2)
    return client


async def expect(client: WebSocketClient, kind: type[Message] | tuple[type[Message], ...]) -> Message:
    """The next message of this kind; others are passed over."""
    async with asyncio.timeout(10):
        while True:
            message = yjs.decode(await client.receive())
            if isinstance(message, kind):
                return message


async def ended(client: WebSocketClient) -> ConnectionEnded:
    """How the connection ends; whatever comes before is passed over."""
    async with asyncio.timeout(20):
        try:
            while True:
                await client.receive()
        except ConnectionEnded as end:
            return end


async def text_of(url: str) -> str:
    """What a new client reads in the root ``body``."""
    client = YjsClient()
    socket = await join(url)
    client.connect(socket.send)
    while not client.synced:
        client.receive(await socket.receive())
    await socket.close()
    return str(client.text)
