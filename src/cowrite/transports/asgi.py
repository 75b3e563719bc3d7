"""The same WebSockets as a plain ASGI application, for every server that is not cowrite's own.

The server then owns the socket: it answers pings, reassembles fragments and has its own largest message (uvicorn:
``ws_max_size``, 16 MB unless told otherwise), whose close code is not in cowrite's table.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import quote

from cowrite.core.delivery.outbox import Outbox
from cowrite.protocol.close_codes import CloseCode
from cowrite.transports.attendance import max_message_bytes
from cowrite.transports.connections import connection_for
from cowrite.transports.json_connection import MeteredWire
from cowrite.transports.link import LinkMeter
from cowrite.transports.services import Connection, Services, Serving
from cowrite.transports.upgrade import NOT_SERVING, Accepted, Language, Refused, UpgradeRequest, answer, refuse_crowded

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

HIGH_WATER: Final = 64 << 10
_ABNORMAL, _NO_CODE = 1006, 1005


class SocketEndpoint:
    """An ASGI application for all WebSockets."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection to its end."""
        await receive()  # websocket.connect
        services = self._serving()
        if services is None or services.load.draining:
            await _refuse(scope, send, NOT_SERVING)
            return
        if not services.load.accepts:
            await _refuse(scope, send, refuse_crowded(services.excess, "connections"))
            return
        match answer(_request(scope), services.origins, services.excess.log):
            case Refused() as refused:
                await _refuse(scope, send, refused)
            case accepted:
                address = _address(scope, services)
                if (give_back := services.addresses.take(address)) is None:
                    await _refuse(scope, send, refuse_crowded(services.excess, "address_sockets", address))
                    return
                try:
                    await send({"type": "websocket.accept", "subprotocol": accepted.protocol})
                    wire = AsgiWire(send, services, text=accepted.language is Language.JSON)
                    await _converse(receive, wire, accepted, services)
                finally:
                    give_back()


class AsgiWire:
    """Queues what a connection writes; one task hands it to the server, which makes it wait when the socket is full."""

    def __init__(self, send: Send, services: Services, *, text: bool = False) -> None:
        self.link = LinkMeter(services.clock)
        self._excess = services.excess
        self._send = send
        self._text = text
        self._queue: deque[bytes] = deque()
        self._queued = 0
        """Bytes in the queue, and of the message that is being sent."""
        self._refused = False
        """The connection was told that nothing more can be written now: it waits to be told otherwise."""
        self._closing: tuple[int, str] | None = None
        self._over = False
        self._wake = asyncio.Event()
        self._reading = asyncio.Event()
        self._reading.set()

    def write(self, message: bytes) -> None:
        if self._closing is None and not self._over:
            self._queue.append(message)
            self._queued += len(message)
            self._wake.set()

    def writable(self) -> bool:
        if self._queued >= HIGH_WATER:
            self._refused = True
            self.link.full()
        return not self._refused

    def join(self, outbox: Outbox) -> None:
        """Messages wait here for the server that owns the socket: each is written by itself."""

    def ping(self) -> None:
        """The server that owns the socket has its own pings, and does not tell how long they take."""

    def close(self, code: int, reason: str) -> None:
        if self._closing is None:
            self._excess.closed(code)
            self._closing = code, reason
            self._wake.set()

    def throttle(self, paused: bool) -> None:
        """Take nothing more from the server, or do again."""
        if paused:
            self._reading.clear()
        else:
            self._reading.set()

    async def readable(self) -> None:
        """Wait until something more may be taken from the server."""
        await self._reading.wait()

    async def run(self, drained: Callable[[], None]) -> None:
        """Send until closed, or until the socket is gone. ``drained`` is called when there is room again."""
        try:
            while True:
                await self._send_queue(drained)
                if self._closing is not None:
                    code, reason = self._closing
                    await self._send({"type": "websocket.close", "code": code, "reason": reason})
                    return
                self._wake.clear()
                await self._wake.wait()
        except (OSError, RuntimeError):
            # The socket is gone (OSError), or the server noticed that and we did not yet (RuntimeError): receive() tells.
            pass
        finally:
            self._over = True
            self._queue.clear()

    async def _send_queue(self, drained: Callable[[], None]) -> None:
        while self._queue:
            message = self._queue.popleft()
            content = {"text": message.decode()} if self._text else {"bytes": message}
            await self._send({"type": "websocket.send", **content})
            self._queued -= len(message)
            if self._refused and not self._queue:
                self._refused = False
                self.link.drained()
                drained()


async def _converse(receive: Receive, wire: AsgiWire, accepted: Accepted, services: Services) -> None:
    connection = connection_for(wire, accepted, services, throttle=wire.throttle)
    writing = asyncio.create_task(wire.run(connection.drained))
    reading = asyncio.create_task(_read(receive, wire, connection, max_message_bytes(services.limits)))
    connection.opened()
    goodbye = False
    try:
        await asyncio.wait((reading, writing), return_when=asyncio.FIRST_COMPLETED)
        if reading.done():
            goodbye = reading.result()
    finally:
        connection.lost(goodbye=goodbye)
        for task in (reading, writing):
            task.cancel()
        await asyncio.wait((reading, writing))


async def _read(receive: Receive, wire: AsgiWire, connection: Connection, max_message: int) -> bool:
    """Feed the connection until its socket is gone. True: the client said goodbye."""
    while True:
        await wire.readable()
        event = await receive()
        if event["type"] == "websocket.disconnect":
            return _is_goodbye(event)
        message, text = event.get("bytes"), event.get("text")
        if len(message or text or "") > max_message:
            connection.close(CloseCode.MESSAGE_TOO_LARGE, f"a message of more than {max_message} bytes")
        elif message is not None:
            connection.receive(message)
        else:
            connection.receive_text((text or "").encode(errors="surrogatepass"))


def _is_goodbye(event: Mapping[str, Any]) -> bool:
    """Whether the client sent a close frame. uvicorn says 1005 of a lost connection, too, but gives no reason then."""
    code = event.get("code", _NO_CODE)
    return bool(code != _ABNORMAL and (code != _NO_CODE or "reason" in event))


def _request(scope: Scope) -> UpgradeRequest:
    headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))
    host, origin = headers.get(b"host"), headers.get(b"origin")
    # Servers write the address into their logs when they accept: from this scope, with the token in it.
    query, scope["query_string"] = scope["query_string"], b""
    return UpgradeRequest(
        path=_path(scope),
        query=query,
        host=host.decode("latin-1") if host is not None else None,
        origin=origin.decode("latin-1") if origin is not None else None,
        protocols=tuple(scope.get("subprotocols", ())),
    )


def _address(scope: Scope, services: Services) -> str | None:
    """What the server has read in X-Forwarded-For is in the scope already; where it has not, it is read here."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    client, forwarded = scope.get("client"), headers.get(b"x-forwarded-for")
    return services.addresses.client_of(
        client[0] if client else None, forwarded.decode("latin-1") if forwarded is not None else None
    )


def _path(scope: Scope) -> bytes:
    """The path as it was sent, below the prefix under which this application is mounted."""
    raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    for prefix in (quote(scope.get("root_path", "")).encode(), scope.get("root_path", "").encode()):
        if prefix and raw.startswith(prefix + b"/"):
            return raw[len(prefix) :]
    return raw


async def _refuse(scope: Scope, send: Send, refused: Refused) -> None:
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})  # the server answers 403
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "websocket.http.response.start", "status": int(refused.status), "headers": headers})
    await send({"type": "websocket.http.response.body", "body": f"{refused.detail}\n".encode()})


if TYPE_CHECKING:
    _: type[MeteredWire] = AsgiWire
