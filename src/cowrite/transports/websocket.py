"""WebSockets by picows, on uvicorn's port: uvicorn reads the HTTP request and hands the socket of an upgrade to this class.

Theory of operation. picows reads frames (fast, in C). What it leaves to its user is in :mod:`cowrite.transports.picows_wire`:
fragmented messages, pings, the close handshake with the codes of the table, and writing. Small messages that are written in one
turn of the event loop leave together, in one system call for each socket. A large message goes out in fragments as the socket
drains, as views of the one ``bytes`` object that all joiners share.

picows never writes to the socket itself: on uvloop it hands over frames of more than 8 KB as views of a buffer that it then
reuses, so that a socket which cannot take them at once sends garbage (picows 2.3.1; the contract suite would show it). And its
close frame for a message that is too large has the code 1009, upon which stock clients send the same message again, for ever.

It is used through parts that it does not document (protocol class, logger, transport): the version is pinned to a minor one,
and the contract suite of the transports tells when a new one does otherwise.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, cast

import structlog
from picows import WSAutoPingStrategy, WSUpgradeRequest, WSUpgradeResponse
from picows.common import WSUpgradeResponseWithListener
from picows.picows import WSProtocol  # type: ignore[attr-defined] # not in its stubs

from cowrite.protocol.close_codes import CloseCode
from cowrite.transports.addresses import not_counted
from cowrite.transports.attendance import max_message_bytes
from cowrite.transports.picows_wire import PicowsWire
from cowrite.transports.services import Serving
from cowrite.transports.upgrade import NOT_SERVING, OVERLOADED, TOO_MANY, Refused, UpgradeRequest, answer, split_protocols

_UNSENT_BYTES: Final = 128 << 10
"""What the kernel keeps for a slow peer beyond what is on its way, where it can be told so (Linux, macOS)."""
_ACCEPTED_VERSION: Final = "13"

_log = structlog.get_logger(__name__)


def picows_protocol(serving: Serving) -> type[asyncio.Protocol]:
    """The class for uvicorn's ``ws=``. Every upgrade is answered here: the ASGI application sees none."""

    class PicowsProtocol(_PicowsProtocol):
        __slots__ = ()

        def __init__(self, config: object, server_state: Any, app_state: object, _loop: object = None) -> None:
            super().__init__(serving, server_state.connections)

    return cast("type[asyncio.Protocol]", PicowsProtocol)


def is_websocket(connection: object) -> bool:
    """Whether one of uvicorn's connections is a WebSocket of these."""
    return isinstance(connection, _PicowsProtocol)


class _PicowsProtocol(WSProtocol):  # type: ignore[misc]
    __slots__ = ("_connections", "_give_back", "_head", "_services", "_socket", "wire")

    def __init__(self, serving: Serving, connections: set[object]) -> None:
        services = serving()
        super().__init__(
            host_port=None,
            ws_path=None,
            is_client_side=False,
            ws_listener_factory=self._answer,
            logger=_LOG,
            disconnect_on_exception=True,
            websocket_handshake_timeout=None,
            enable_auto_ping=False,
            auto_ping_idle_timeout=0,
            auto_ping_reply_timeout=0,
            auto_ping_strategy=WSAutoPingStrategy.PING_WHEN_IDLE,
            enable_auto_pong=False,
            max_frame_size=max_message_bytes(services.limits) if services is not None else 0,
            extra_headers=None,
            read_buffer_init_size=2048,
        )
        self._services = services
        self._connections = connections
        self._socket: asyncio.Transport
        self._head: _Head
        self.wire: PicowsWire | None = None
        self._give_back: Callable[[], None] = not_counted
        """The place of its address."""

    # ---- what uvicorn calls ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._socket = transport
        self._connections.add(self)
        if (unsent := getattr(socket, "TCP_NOTSENT_LOWAT", None)) is not None:
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, unsent, _UNSENT_BYTES)
        super().connection_made(_PicowsTransport(transport, self))

    def data_received(self, data: bytes) -> None:
        """The request, as uvicorn puts it together again. What follows goes straight into picows' buffer."""
        self._head = _Head(data)
        head = self._head.for_picows()
        self.get_buffer(len(head))[: len(head)] = head
        super().buffer_updated(len(head))
        # They would stay as long as the socket, and be a fifth of what one costs.
        del self._head
        for told in (self.transport.request, self.transport.response):
            if told is not None:
                told.headers.clear()

    def shutdown(self) -> None:
        """The server stops."""
        if self.wire is not None:  # else the upgrade was refused, and the socket is about to close
            self.wire.connection.close(CloseCode.SERVICE_RESTART, "the server is restarting")

    # ---- what the event loop calls -----------------------------------------------------------------------------------

    def buffer_updated(self, nbytes: int) -> None:
        if self.wire is not None:
            self.wire.hear()
        super().buffer_updated(nbytes)

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self)
        self._give_back()
        super().connection_lost(error)

    # ---- what picows calls -------------------------------------------------------------------------------------------

    def _answer(self, request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        head, services = self._head, self._services
        if head.method != "GET":
            return _refusal(Refused(HTTPStatus.METHOD_NOT_ALLOWED, "A WebSocket is opened with GET."), allow="GET")
        if head.first("sec-websocket-version") != _ACCEPTED_VERSION:
            refused = Refused(HTTPStatus.UPGRADE_REQUIRED, "Only version 13 of the WebSocket protocol is understood.")
            return _refusal(refused, sec_websocket_version=_ACCEPTED_VERSION)
        if services is None:
            return _refusal(NOT_SERVING, retry_after="1")
        if not services.load.accepts:
            services.excess.count("connections")
            return _refusal(OVERLOADED, retry_after="5")
        match answer(head.upgrade_request(), services.origins):
            case Refused() as refused:
                return _refusal(refused)
            case accepted:
                peer, forwarded = self._socket.get_extra_info("peername"), head.first("x-forwarded-for")
                address = services.addresses.client_of(peer[0] if isinstance(peer, tuple) else None, forwarded)
                if (give_back := services.addresses.take(address)) is None:
                    services.excess.count("address_sockets")
                    return _refusal(TOO_MANY, retry_after="5")
                self._give_back = give_back
                self.wire = PicowsWire(self._socket, accepted, services)
                chosen = [("Sec-WebSocket-Protocol", accepted.protocol)] if accepted.protocol is not None else []
                return WSUpgradeResponseWithListener(WSUpgradeResponse.create_101_response(chosen), self.wire)

    def broken(self, code: int, reason: str) -> None:
        """No more frames can be read. What still comes is thrown away until the client has read why, and closes."""
        assert self.wire is not None
        self.wire.fail(code, reason)
        self._socket.set_protocol(_Deaf(self))


class _PicowsTransport:
    """What picows takes for the socket. The answer to the upgrade passes; later picows writes only when it gives up."""

    __slots__ = ("_protocol", "_socket", "_upgraded")

    def __init__(self, socket: asyncio.Transport, protocol: _PicowsProtocol) -> None:
        self._socket = socket
        self._protocol = protocol
        self._upgraded = False

    def get_extra_info(self, name: str) -> Any:
        return self._socket.get_extra_info(name)

    def get_write_buffer_size(self) -> int:
        return 1  # else picows would write to the file descriptor, past us

    def write(self, data: bytes) -> None:
        if not self._upgraded:
            self._upgraded = data.startswith(b"HTTP/1.1 101")
            self._socket.write(data)
        else:  # a close frame: pings and pongs are not left to picows
            (code,) = struct.unpack_from("!H", data, 2)
            self._protocol.broken(code, data[4:].decode())

    def close(self) -> None:
        if not self._upgraded:
            self._socket.close()

    abort = close


class _Deaf(asyncio.Protocol):
    """Hears nothing but the end. Closing a socket with unread data resets it, and the client would not see the close frame."""

    def __init__(self, protocol: _PicowsProtocol) -> None:
        self._protocol = protocol

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc)


class _PicowsLog:
    """Takes what picows logs. Its warnings are about what peers do, which is logged with the connection's close."""

    def isEnabledFor(self, level: int) -> bool:
        return False

    def log(self, *args: object) -> None:
        pass

    debug = info = warning = error = log

    def exception(self, message: str, *args: object) -> None:
        _log.error("picows failed", reason=message % args if args else message, exc_info=True)


_LOG: Final = _PicowsLog()


class _Head:
    """The request line and headers. picows is given only those that it needs: it is strict about the others' form and size."""

    def __init__(self, data: bytes) -> None:
        line, *lines = data.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        self.method, self._target, _ = line.split(" ", 2)
        self._headers = [(name.lower(), value.strip()) for name, _, value in (one.partition(":") for one in lines)]

    def all(self, name: str) -> list[str]:
        return [value for each, value in self._headers if each == name]

    def first(self, name: str) -> str | None:
        return next(iter(self.all(name)), None)

    def for_picows(self) -> bytes:
        key = re.sub(r"[^!-~]", "?", self.first("sec-websocket-key") or "")[:100]
        return (
            "GET / HTTP/1.1\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
            f"sec-websocket-key: {key}\r\n\r\n"
        ).encode()

    def upgrade_request(self) -> UpgradeRequest:
        path, _, query = self._target.encode("latin-1").partition(b"?")
        protocols = split_protocols(self.all("sec-websocket-protocol"))
        return UpgradeRequest(path, query, self.first("host"), self.first("origin"), protocols)


def _refusal(refused: Refused, **headers: str) -> WSUpgradeResponseWithListener:
    extra = [
        ("Content-Type", "text/plain; charset=utf-8"),
        *((name.replace("_", "-"), value) for name, value in headers.items()),
    ]
    response = WSUpgradeResponse.create_error_response(refused.status, f"{refused.detail}\n".encode(), extra)
    return WSUpgradeResponseWithListener(response, None)
