"""WebSocket frames as a server sends them, and writing them in few system calls."""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from typing import Final, Protocol

import structlog

FINAL: Final = 0x80
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

LARGE_BYTES: Final = 4 << 20
"""So much of large messages is written in one turn of the event loop: some milliseconds. A hundred who join would take a tenth
of a second of each turn, and the edits of the others wait for two or three.
"""

_log = structlog.get_logger(__name__)


def frame(message: bytes, kind: int = BINARY) -> bytes:
    """A whole message as one WebSocket frame; ``kind`` is BINARY or TEXT."""
    return header(FINAL | kind, len(message)) + message


def header(first: int, length: int) -> bytes:
    """A frame's header, as a server sends it: without a mask (RFC 6455, 5.2)."""
    if length < 126:
        return bytes((first, length))
    return struct.pack("!BBH", first, 126, length) if length < 1 << 16 else struct.pack("!BBQ", first, 127, length)


def control_frame(kind: int, payload: bytes) -> bytes:
    """A close, ping or pong frame; ``payload`` has at most 125 bytes."""
    return header(FINAL | kind, len(payload)) + payload


class Flushable(Protocol):
    """A socket with something to write."""

    def flush(self) -> None:
        """Write it."""
        ...


class Pausing(Protocol):
    """A socket with more of a large message than could be written in this turn."""

    def go_on(self) -> None:
        """Write more of it."""
        ...


class WriteTurn:
    """What the sockets of one event loop write in this turn of it.

    A flush of a room gives every peer an update and a moved caret, say. Both leave in one system call, the dearest part of
    delivering a message; and what is sent to a thousand peers is joined once. A room calls :meth:`flush` at the end of its own
    flush, so that writing counts as part of its cost; what else is written leaves in the loop's next turn.
    """

    def __init__(self) -> None:
        self._sockets: list[Flushable] = []
        self._messages: list[bytes] = []
        self._kind = BINARY
        self._joined = b""
        self._large_left = LARGE_BYTES
        self._pausing: deque[Pausing] = deque()

    def spend(self, size: int) -> bool:
        """Whether so much of a large message may be written in this turn; else :meth:`pause`."""
        if self._large_left <= 0:
            return False
        if self._large_left == LARGE_BYTES:
            asyncio.get_running_loop().call_soon(self._begin)
        self._large_left -= size
        return True

    def pause(self, socket: Pausing) -> None:
        """Let it go on in a later turn, after those that have paused before."""
        self._pausing.append(socket)

    def _begin(self) -> None:
        self._large_left = LARGE_BYTES
        for _ in range(len(self._pausing)):
            if self._large_left <= 0:
                break
            self._pausing.popleft().go_on()

    def add(self, socket: Flushable) -> None:
        """This socket has something to write when the turn is over."""
        if not self._sockets:
            asyncio.get_running_loop().call_soon(self.flush)
        self._sockets.append(socket)

    def put_first(self, multicast: Flushable) -> None:
        """This one writes to many sockets, when the turn is over, before all that write by themselves."""
        self.add(multicast)
        self._sockets.insert(0, self._sockets.pop())

    def join(self, messages: list[bytes], kind: int = BINARY) -> bytes:
        """The frames of these messages. Sockets that get the same messages one after the other share the ``bytes``."""
        # Lists are compared by their elements' identity first: nothing is read of messages that are the same object.
        if messages != self._messages or kind != self._kind:
            self._messages, self._kind = messages, kind
            self._joined = b"".join([frame(message, kind) for message in messages])
        return self._joined

    def flush(self) -> None:
        """Write now what waits."""
        sockets, self._sockets = self._sockets, []
        for socket in sockets:
            try:
                socket.flush()
            except Exception:  # one that breaks must not silence the others
                _log.exception("socket not written")
        self._messages, self._joined = [], b""
