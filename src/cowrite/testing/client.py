"""WebSocket clients for tests of servers: one that can do what no decent client does, and a Yjs client on it."""

from __future__ import annotations

import asyncio
import base64
import os
import socket as socket_module
import struct
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from cowrite.testing.yjs_client import YjsClient

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
ACK_PROTOCOL: Final = "cowrite.ack.v1"
_READ_BYTES: Final = 1 << 20


class UpgradeRefused(Exception):
    """The server answered the upgrade with something else than 101."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(f"{status} {body.decode(errors='replace')}")
        self.status = status
        self.headers = headers
        self.body = body


class ConnectionEnded(Exception):
    """The socket is closed. ``code`` is None when there was no close frame, 1005 for one without a code."""

    def __init__(self, code: int | None, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Frame:
    """One WebSocket frame, as it came."""

    final: bool
    kind: int
    payload: bytes


class WebSocketClient:
    """A WebSocket as bytes and frames. It reads nothing until it is asked to, and does nothing by itself but what is said."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: Mapping[str, str]) -> None:
        self.headers = headers
        """Of the server's answer; names in lower case."""
        self.ended: ConnectionEnded | None = None
        """How the connection ended, once :meth:`receive` has seen that."""
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        protocols: Iterable[str] = (),
        headers: Mapping[str, str] | None = None,
        receive_buffer: int | None = None,
    ) -> WebSocketClient:
        """Open a WebSocket. The path is sent as it stands in ``url``. Raises :class:`UpgradeRefused`.

        ``receive_buffer``: bytes that the kernel keeps for a client that does not read.
        """
        parts = urlsplit(url)
        sock = await _open_socket(parts.hostname or "", parts.port or 80, receive_buffer)
        reader, writer = await asyncio.open_connection(sock=sock, limit=_READ_BYTES)
        sent = {
            "Host": parts.netloc,
            "Upgrade": "websocket",
            "Connection": "keep-alive, Upgrade",  # as Firefox writes it
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        }
        if offered := ", ".join(protocols):
            sent["Sec-WebSocket-Protocol"] = offered
        sent |= headers or {}
        target = url.partition(parts.netloc)[2] or "/"
        head = f"GET {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in sent.items()) + "\r\n"
        writer.write(head.encode())
        status, answered = _parse_head(await reader.readuntil(b"\r\n\r\n"))
        if status != 101:
            body = await reader.readexactly(int(answered.get("content-length", "0")))
            writer.close()
            raise UpgradeRefused(status, answered, body)
        return cls(reader, writer, answered)

    @property
    def protocol(self) -> str | None:
        """The sub-protocol that the server selected."""
        return self.headers.get("sec-websocket-protocol")

    def send(self, payload: bytes, *, kind: int = BINARY, final: bool = True) -> None:
        """Send a frame. Never blocks."""
        self.send_raw(encode_frame(payload, kind=kind, final=final))

    def send_raw(self, data: bytes) -> None:
        """Send bytes that need not be a frame."""
        self._writer.write(data)

    async def drain(self) -> None:
        """Wait until most of what was sent has left."""
        await self._writer.drain()

    async def receive(self) -> bytes:
        """The next message; pings are answered. Raises :class:`ConnectionEnded`, having finished the close handshake."""
        parts = []
        while True:
            frame = await self.receive_frame()
            if frame.kind == PING:
                self.send(frame.payload, kind=PONG)
            elif frame.kind in {BINARY, TEXT, CONTINUATION}:
                parts.append(frame.payload)
                if frame.final:
                    return b"".join(parts)

    async def receive_frame(self) -> Frame:
        """The next frame, whatever it is. A close frame is answered and raises :class:`ConnectionEnded`."""
        if self.ended is not None:
            raise self.ended
        try:
            first, second = await self._reader.readexactly(2)
            length = second & 0x7F
            if length >= 126:
                size = 2 if length == 126 else 8
                length = int.from_bytes(await self._reader.readexactly(size))
            payload = await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            self._end(None, "")
        assert first & 0x70 == 0, "reserved bits are set"
        assert second & 0x80 == 0, "a server's frames have no mask"
        if first & 0xF == CLOSE:
            with suppress(ConnectionError):
                self.send(payload[:2], kind=CLOSE)
            self._end(struct.unpack("!H", payload[:2])[0] if payload else 1005, payload[2:].decode())
        return Frame(bool(first & 0x80), first & 0xF, payload)

    async def close(self, code: int | None = 1000) -> None:
        """Say goodbye, and read until the server has answered."""
        self.send(b"" if code is None else struct.pack("!H", code), kind=CLOSE)
        with suppress(ConnectionEnded):
            while True:
                await self.receive_frame()

    def drop(self) -> None:
        """Cut the connection without a word."""
        self._writer.transport.abort()

    def _end(self, code: int | None, reason: str) -> None:
        self.ended = ConnectionEnded(code, reason)
        self._writer.close()
        raise self.ended


class LiveClient:
    """A Yjs client on a WebSocket. Use :func:`live_client`."""

    def __init__(self, yjs: YjsClient, socket: WebSocketClient) -> None:
        self.yjs = yjs
        self.socket = socket
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Read until the connection ends."""
        with suppress(ConnectionEnded):
            while True:
                self.yjs.receive(await self.socket.receive())
                self._news.set()
        self._news.set()

    async def until(self, condition: Callable[[], object], *, seconds: float = 25.0) -> None:
        """Wait for something that the client's state says. Raises ``TimeoutError``."""
        async with asyncio.timeout(seconds):
            while not condition():
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def live_client(
    url: str, yjs: YjsClient | None = None, *, protocols: Iterable[str] = (ACK_PROTOCOL,)
) -> AsyncIterator[LiveClient]:
    """A Yjs client that is connected and synced while the block runs, and says goodbye at its end."""
    yjs = yjs if yjs is not None else YjsClient()
    socket = await WebSocketClient.connect(url, protocols=protocols)
    client = LiveClient(yjs, socket)
    yjs.connect(socket.send)
    reading = asyncio.create_task(client.run())
    try:
        await client.until(lambda: yjs.synced or socket.ended is not None)
        yield client
    finally:
        yjs.disconnect()
        if socket.ended is None:
            socket.send(struct.pack("!H", 1000), kind=CLOSE)
        await reading


def encode_frame(payload: bytes, *, kind: int = BINARY, final: bool = True) -> bytes:
    """A client's frame, masked."""
    first = (0x80 if final else 0) | kind
    if len(payload) < 126:
        header = bytes((first, 0x80 | len(payload)))
    elif len(payload) < 1 << 16:
        header = struct.pack("!BBH", first, 0x80 | 126, len(payload))
    else:
        header = struct.pack("!BBQ", first, 0x80 | 127, len(payload))
    mask = os.urandom(4)
    stream = (mask * (len(payload) // 4 + 1))[: len(payload)]
    masked = int.from_bytes(payload) ^ int.from_bytes(stream)
    return header + mask + masked.to_bytes(len(payload))


async def _open_socket(host: str, port: int, receive_buffer: int | None) -> socket_module.socket:
    loop = asyncio.get_running_loop()
    (family, kind, proto, _, address), *_ = await loop.getaddrinfo(host, port, type=socket_module.SOCK_STREAM)
    sock = socket_module.socket(family, kind, proto)
    if receive_buffer is not None:
        sock.setsockopt(socket_module.SOL_SOCKET, socket_module.SO_RCVBUF, receive_buffer)
    sock.setblocking(False)
    await loop.sock_connect(sock, address)
    return sock


def _parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    line, *lines = head.decode().strip().split("\r\n")
    return int(line.split(" ")[1]), {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in lines)}
