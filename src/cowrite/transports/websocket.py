"""WebSockets on uvicorn's port: uvicorn reads the HTTP request and hands an upgrade over to :class:`Upgrades`.

Theory of operation. picows reads frames (fast, in C; see :mod:`cowrite.transports.frame_reader`). All else is done here and in
:mod:`cowrite.transports.picows_wire`: the answer to the upgrade, fragmented messages, pings, the close handshake with the codes
of the table, and writing. Small messages that are written in one turn of the event loop leave together, in one system call for
each socket. A large message goes out in fragments as the socket drains, as views of the one ``bytes`` object that all joiners
share.

picows never writes to the socket itself: on uvloop it hands over frames of more than 8 KB as views of a buffer that it then
reuses, so that a socket which cannot take them at once sends garbage (picows 2.3.1; the contract suite would show it). And its
close frame for a message that is too large has the code 1009, upon which stock clients send the same message again, for ever.
"""

from __future__ import annotations

import asyncio
import binascii
import hashlib
import socket
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Final, Protocol, TypeAlias

from cowrite.core.limits import Limits
from cowrite.protocol.close_codes import CloseCode
from cowrite.transports.attendance import max_message_bytes
from cowrite.transports.frame_reader import FrameReader, FrameReaders
from cowrite.transports.picows_wire import PicowsWire
from cowrite.transports.read_turn import ReadTurn
from cowrite.transports.services import Services, Serving
from cowrite.transports.stranger import Stranger
from cowrite.transports.upgrade import (
    NOT_SERVING,
    OVERLOADED,
    TOO_MANY,
    Accepted,
    Refused,
    UpgradeRequest,
    answer,
    refuse_crowded,
    split_protocols,
)

_UNSENT_BYTES: Final = 128 << 10
"""What the kernel keeps for a slow peer beyond what is on its way, where it can be told so (Linux, macOS)."""
_VERSION: Final = "13"
_KEY_BYTES: Final = 16
_GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""Of RFC 6455, 1.3."""
_SWITCHING: Final = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"

_NO_GET: Final = Refused(HTTPStatus.METHOD_NOT_ALLOWED, "A WebSocket is opened with GET.")
_OTHER_VERSION: Final = Refused(HTTPStatus.UPGRADE_REQUIRED, "Only version 13 of the WebSocket protocol is understood.")
_BAD_KEY: Final = Refused(HTTPStatus.BAD_REQUEST, "Sec-WebSocket-Key is not 16 bytes in base64.")
_HEADERS: Final = {
    _NO_GET: "Allow: GET\r\n",
    _OTHER_VERSION: f"Sec-WebSocket-Version: {_VERSION}\r\n",
    NOT_SERVING: "Retry-After: 1\r\n",
    OVERLOADED: "Retry-After: 5\r\n",
    TOO_MANY: "Retry-After: 5\r\n",
}
"""What an answer has beside its text."""

_Opening: TypeAlias = tuple[Services, Accepted, Callable[[], None]]


class Connection(Protocol):
    """uvicorn's, of a client that asks for a WebSocket."""

    transport: asyncio.Transport
    client: tuple[str, int] | None
    """The address of the other end."""
    connections: set[Any]
    """All of the server: the WebSocket takes the place of this one."""


class Head:
    """The request line and headers, as uvicorn has read them; names in lower case."""

    def __init__(self, method: str, target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self.method = method
        self._target = target
        self._headers = headers
        self._first = dict(reversed(headers))

    def first(self, name: bytes) -> str | None:
        """The value of the first header of this name."""
        value = self._first.get(name)
        return None if value is None else value.decode("latin-1").strip()

    def upgrade_request(self) -> UpgradeRequest:
        """What it asks for."""
        path, _, query = self._target.partition(b"?")
        offers = [value.decode("latin-1") for name, value in self._headers if name == b"sec-websocket-protocol"]
        protocols = split_protocols(offers)
        return UpgradeRequest(path, query, self.first(b"host"), self.first(b"origin"), protocols)


class Upgrades:
    """Answers the requests for WebSockets of one server. The ASGI application sees none."""

    def __init__(self, serving: Serving, limits: Limits) -> None:
        self._serving = serving
        self._readers = FrameReaders(max_message_bytes(limits))
        self._turn = ReadTurn()

    def answer(self, head: Head, connection: Connection) -> None:
        """Open a WebSocket, which takes the connection over; or refuse to, and close. Where many come at once: in a later turn
        of the event loop, and what its client sends until then waits in the system.
        """
        transport, services = connection.transport, self._serving()
        if services is None:
            _refuse(transport, NOT_SERVING)
        elif not services.arrivals.do(partial(self._answer, head, connection, transport)):
            transport.pause_reading()

    def _answer(self, head: Head, connection: Connection, transport: asyncio.Transport) -> None:
        if transport.is_closing():
            return
        opening = self._decide(head, connection.client[0] if connection.client is not None else None)
        if isinstance(opening, Refused):
            _refuse(transport, opening)
            return
        connections = connection.connections
        connections.discard(connection)
        services, accepted, give_back = opening
        if (unsent := getattr(socket, "TCP_NOTSENT_LOWAT", None)) is not None:
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, unsent, _UNSENT_BYTES)
        wire = PicowsWire(transport, accepted, services, self._turn)
        # uvloop keeps the last protocol that is not buffered, and with it all that uvicorn knows of the request.
        transport.set_protocol(_NOBODY)
        transport.set_protocol(SocketProtocol(wire, services, transport, self._readers, self._turn, connections, give_back))
        if not transport.is_reading():  # it had to wait
            transport.resume_reading()
        transport.write(_acceptance(head.first(b"sec-websocket-key") or "", accepted.protocol))
        wire.opened()

    def _decide(self, head: Head, client: str | None) -> _Opening | Refused:
        if head.method != "GET":
            return _NO_GET
        if head.first(b"sec-websocket-version") != _VERSION:
            return _OTHER_VERSION
        services = self._serving()
        if services is None or services.load.draining:
            return NOT_SERVING
        if not services.load.accepts:
            return refuse_crowded(services.excess, "connections")
        accepted = answer(head.upgrade_request(), services.origins, services.excess.log)
        if isinstance(accepted, Refused):
            return accepted
        if not _is_key(head.first(b"sec-websocket-key")):
            return _BAD_KEY
        address = services.addresses.client_of(client, head.first(b"x-forwarded-for"))
        give_back = services.addresses.take(address)
        if give_back is None:
            return refuse_crowded(services.excess, "address_sockets", address)
        return services, accepted, give_back


def _refuse(transport: asyncio.Transport, refused: Refused) -> None:
    transport.write(_refusal(refused))
    transport.close()


class SocketProtocol(asyncio.BufferedProtocol):
    """What the event loop calls for an open WebSocket."""

    __slots__ = ("_connections", "_give_back", "_reader", "_readers", "_services", "_socket", "_stranger", "_turn", "_wire")

    def __init__(
        self,
        wire: PicowsWire,
        services: Services,
        transport: asyncio.Transport,
        readers: FrameReaders,
        turn: ReadTurn,
        connections: set[Any],
        give_back: Callable[[], None],
    ) -> None:
        """``give_back`` is called when it has ended: the place of its address."""
        self._wire = wire
        self._services = services
        self._stranger: Stranger | None = Stranger(wire, services)
        """None: it is known whose it is."""
        self._socket = transport
        self._readers = readers
        self._turn = turn
        self._reader: FrameReader | None = None
        """Where the beginning of a frame is; None: nothing has come since the end of one."""
        self._connections = connections
        self._give_back = give_back
        connections.add(self)

    def shutdown(self) -> None:
        """The server stops, says uvicorn."""
        self._wire.connection.close(CloseCode.SERVICE_RESTART, "the server is restarting")

    def get_buffer(self, sizehint: int) -> memoryview:
        # What is read goes into it at once, and buffer_updated() follows, before any other socket is read.
        reader = self._reader if self._reader is not None else self._readers.next
        buffer: memoryview = reader.get_buffer(sizehint)
        most = self._turn.read_bytes if self._stranger is None else self._turn.read_bytes_of_strangers
        return buffer if len(buffer) <= most else buffer[:most]

    def buffer_updated(self, nbytes: int) -> None:
        began = time.monotonic()
        self._wire.hear()
        reader = self._reader if self._reader is not None else self._readers.next
        stranger = self._stranger
        if stranger is not None and stranger.is_known:
            stranger = self._stranger = None
        try:
            free = reader.read(self._wire if stranger is None else stranger, nbytes)
        except BaseException:
            if self._reader is None:
                self._reader = self._readers.take()  # what it still holds is this socket's, and nobody else's
            raise
        if free and self._reader is not None:
            self._reader = None
            self._readers.give_back(reader)
        elif not free and self._reader is None:
            self._reader = self._readers.take()
        gone = reader.broken or (stranger is not None and stranger.is_too_much)
        if gone or ((not free or self._wire.arrival is not None) and not self._wire.waits_for(reader.pending)):
            # What still comes is thrown away until the client has read why, and closes.
            self._reader = None
            self._socket.set_protocol(_Deaf(self))
        self._turn.took(self._socket, time.monotonic() - began)

    def pause_writing(self) -> None:
        self._wire.pause_writing()

    def resume_writing(self) -> None:
        self._wire.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._turn.forget(self._socket)
        self._wire.stop_writing()
        self._services.departures.do(self._leave)  # thousands may go at once

    def _leave(self) -> None:
        self._connections.discard(self)
        self._give_back()
        self._wire.end()


class _Deaf(asyncio.Protocol):
    """Hears nothing but the end. Closing a socket with unread data resets it, and the client would not see the close frame."""

    def __init__(self, protocol: SocketProtocol) -> None:
        self._protocol = protocol

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc)


_NOBODY: Final = asyncio.Protocol()


def is_websocket(connection: object) -> bool:
    """Whether one of uvicorn's connections is a WebSocket of these."""
    return isinstance(connection, SocketProtocol)


def _is_key(key: str | None) -> bool:
    try:
        return len(b64decode(key or "", validate=True)) == _KEY_BYTES
    except (binascii.Error, ValueError):
        return False


def _acceptance(key: str, protocol: str | None) -> bytes:
    proof = b64encode(hashlib.sha1(f"{key}{_GUID}".encode(), usedforsecurity=False).digest()).decode()
    chosen = f"Sec-WebSocket-Protocol: {protocol}\r\n" if protocol is not None else ""
    return f"{_SWITCHING}Sec-WebSocket-Accept: {proof}\r\n{chosen}\r\n".encode()


def _refusal(refused: Refused) -> bytes:
    text = f"{refused.detail}\n".encode()
    head = (
        f"HTTP/1.1 {refused.status.value} {refused.status.phrase}\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\n{_HEADERS.get(refused, '')}Content-Length: {len(text)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + text
