"""People on WebSockets: what those of y-websocket's, Hocuspocus' and the JSON socket's have in common."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from cowrite.loadtest.addresses import Address
from cowrite.loadtest.frames import Frame, FrameCache
from cowrite.loadtest.people.person import JOIN_SECONDS, Crew, Person
from cowrite.loadtest.plan import Role

LARGE: Final = 64 << 10
"""Messages from this size on are not for all: a state, say. They are not remembered."""
_MAX_FRAME_BYTES: Final = 1 << 30
_BUFFER_BYTES: Final = 2048
"""To begin with; ten thousand sockets have one each."""
_HEAD_BYTES: Final = 256
_CLOSE_REASON_AT: Final = 2


class SocketPerson(Person, WSListener):
    """A WebSocket whose messages are looked up in a cache."""

    kind = WSMsgType.BINARY

    def __init__(self, role: Role, crew: Crew, cache: FrameCache) -> None:
        Person.__init__(self, role, crew)
        WSListener.__init__(self)
        self.cache = cache
        self.transport: WSTransport | None = None
        self.reads = True
        """What edits say matters to it, and not only that they arrive."""
        self._parts: list[bytes] | None = None
        """Of a message that comes in several frames."""

    def address(self) -> Address:
        """Where it connects."""
        token = self.crew.addresses.token_for(self.number)
        return self.crew.addresses.socket(self.role.protocol, self.role.document, token)

    async def join(self) -> None:
        address, source = self.address(), self.crew.addresses.source()
        where: dict[str, Any] = {} if source is None else {"local_addr": source}
        await ws_connect(
            lambda: self,
            address.url,
            extra_headers=address.headers,
            websocket_handshake_timeout=JOIN_SECONDS,
            max_frame_size=_MAX_FRAME_BYTES,
            read_buffer_init_size=_BUFFER_BYTES,
            **where,
        )
        await asyncio.wait_for(asyncio.shield(self.joined), JOIN_SECONDS)

    def greet(self) -> None:
        """Say what is to be said first."""
        raise NotImplementedError

    def take(self, frame: Frame) -> None:
        """A message that is neither an edit nor a cursor."""
        raise NotImplementedError

    def take_large(self, message: bytes) -> None:
        """One of at least :data:`LARGE` bytes."""
        raise NotImplementedError

    def skims(self, head: bytes) -> bool:
        """Of a message that begins like this nothing more is wanted."""
        return False

    def shares(self, head: bytes) -> bool:
        """A large message that begins like this is the same for many: it is read once, as small ones are."""
        return False

    def send(self, message: bytes) -> None:
        """Write a message; nothing where the connection has ended."""
        if self.transport is not None and self.left is None:
            self.transport.send(self.kind, message)

    async def leave(self) -> None:
        if self.transport is not None:
            self.transport.disconnect()

    # ---- what picows says --------------------------------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        self.greet()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type != self.kind or not frame.fin:
            self._part(transport, frame)
            return
        self.meter.frames += 1
        self.meter.bytes += frame.payload_size
        if frame.payload_size >= LARGE:
            # Not copied where it is not wanted: the state of 20 MB, say, that each of a hundred people gets.
            first = bytes(frame.get_payload_as_memoryview()[:_HEAD_BYTES])
            self._message(first if self.skims(first) else frame.get_payload_as_bytes())
            return
        self._message(frame.get_payload_as_bytes())

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.lost("the connection was lost")

    def _message(self, message: bytes) -> None:
        if len(message) >= LARGE and not self.shares(message[:_HEAD_BYTES]):
            self.take_large(message)
            return
        frame = self.cache.current.get(message)
        if frame is None:
            frame = self.cache.look(message)
        if frame.count:
            self.took(frame)
            if not self.reads:
                return
        elif frame.cursors:
            self.pointed(frame)
            return
        self.take(frame)

    def _part(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == self.kind or (frame.msg_type == WSMsgType.CONTINUATION and self._parts is not None):
            self.meter.bytes += frame.payload_size
            parts = self._parts = self._parts or []
            if len(parts) != 1 or not self.skims(parts[0]):
                parts.append(frame.get_payload_as_bytes())
            if frame.fin:
                self._parts = None
                self.meter.frames += 1
                self._message(b"".join(parts))
        elif frame.msg_type == WSMsgType.CLOSE:
            payload = frame.get_payload_as_bytes()
            code = int.from_bytes(payload[:_CLOSE_REASON_AT], "big") if payload else 1005
            reason = payload[_CLOSE_REASON_AT:].decode("utf-8", "replace")
            self.lost(f"the server closed it with {code}" + (f" ({reason})" if reason else ""))
            transport.disconnect()
