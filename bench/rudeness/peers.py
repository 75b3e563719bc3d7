"""Sockets of people who do not behave: they hear what comes, and do nothing that they are not told to."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from cowrite.protocol import yjs
from cowrite.protocol.messages import SyncStep1
from cowrite.testing.client import BINARY, CLOSE, encode_frame
from cowrite.tokens import issue

_TAIL: Final = 256
"""A close frame is shorter, and the last that a server sends."""
_AT_ONCE: Final = 100
"""Sockets that are being opened at a time."""


@dataclass
class Town:
    """Where the rude live: what they may do, have done, and what became of them."""

    address: str
    port: int
    secret: str
    honest: Sequence[str]
    """The documents of the honest."""
    few: bool
    """Only to try everything out."""
    did: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    """How the server ended sockets: a status of HTTP, a close code, or ``closed`` without a word."""
    peers: set[Peer] = field(default_factory=set)
    in_place: asyncio.Event = field(default_factory=asyncio.Event)

    def many(self, count: int) -> int:
        """So many, or few."""
        return max(2, count // 50) if self.few else count

    def token(self, sub: str, grant: str = "write") -> str:
        return issue(self.secret, sub=sub, documents={"*": grant})

    def yjs(self, document: str, sub: str, grant: str = "write") -> bytes:
        """The request that opens this document."""
        return upgrade(f"/yjs/{document}?token={self.token(sub, grant)}")

    async def open(self, first: bytes = b"", *, receive_buffer: int | None = None, keep: bool = True) -> Peer:
        """Open a socket and send this. ``receive_buffer``: what its kernel takes for it."""
        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, (self.address, self.port))
        _, peer = await loop.create_connection(lambda: Peer(self, keep=keep), sock=sock)
        if first:
            peer.send(first)
        return peer

    async def open_many(self, requests: Sequence[bytes], *, answered: bool = False) -> list[Peer]:
        """Open a socket for each, some at a time; ``answered``: until the server has said something to each."""
        peers: list[Peer] = []
        for start in range(0, len(requests), _AT_ONCE):
            some = await asyncio.gather(*(self.open(first) for first in requests[start : start + _AT_ONCE]))
            if answered:
                await asyncio.gather(*(peer.answered.wait() for peer in some))
            peers += some
        return peers

    async def empty(self) -> None:
        """Wait until all sockets are gone."""
        while self.peers:  # noqa: ASYNC110 - a hundred times a second is often enough
            await asyncio.sleep(0.01)

    def leave(self) -> None:
        """Everybody goes, without a word."""
        for peer in list(self.peers):
            peer.goes = True
            peer.transport.abort()


class Peer(asyncio.Protocol):
    """One socket."""

    def __init__(self, town: Town, *, keep: bool) -> None:
        self.transport = cast("asyncio.Transport", None)
        self.answered = asyncio.Event()
        """The server has sent something, or ended it."""
        self.goes = False
        """Its end is its own doing."""
        self.is_told_to_go = False
        """By a status of HTTP or a close code."""
        self.on_data: Callable[[], None] | None = None
        self.heard = 0
        self._head = b""
        self._tail = b""
        self._town = town
        self._keep = keep
        self._room = asyncio.Event()
        self._room.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._town.peers.add(self)

    def data_received(self, data: bytes) -> None:
        self.heard += len(data)
        if len(self._head) < _TAIL:
            self._head += data[:_TAIL]
        if self._keep:
            self._tail = (self._tail + data)[-_TAIL:]
            self.is_told_to_go = self.is_told_to_go or self._end().isdigit()
        self.answered.set()
        if self.on_data is not None:
            self.on_data()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._town.peers.discard(self)
        self.answered.set()
        self._room.set()
        if not self.goes:
            self._town.ended[self._end()] += 1

    @property
    def is_open(self) -> bool:
        return self in self._town.peers

    def send(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    async def room(self) -> None:
        """Wait until most of what was sent has left."""
        await self._room.wait()

    def reset(self) -> None:
        """Go with an RST."""
        sock: Any = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.goes = True
        self.transport.abort()

    def _end(self) -> str:
        status = self._head[9:12].decode(errors="replace") if self._head.startswith(b"HTTP/1.1 ") else ""
        if status and status != "101":
            return status
        for at, byte in enumerate(self._tail[:-3]):
            if byte == 0x80 | CLOSE and at + 2 + self._tail[at + 1] == len(self._tail):
                return str(int.from_bytes(self._tail[at + 2 : at + 4]))
        return "closed"


def upgrade(target: str) -> bytes:
    """The request for a WebSocket."""
    return (
        f"GET {target} HTTP/1.1\r\nHost: rude\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    ).encode()


SYNC: Final = encode_frame(yjs.encode(SyncStep1(b"\0")), kind=BINARY)
"""Asks for the document."""
