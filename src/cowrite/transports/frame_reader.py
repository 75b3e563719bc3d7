"""picows' reader of WebSocket frames, without a socket of its own, so that many sockets share a few of them.

Theory of operation. A reader has two buffers, three kilobytes together, and objects around them: most of what an idle socket
would need. But it holds something of a socket only from the middle of a frame to its end. So what comes is read by a reader
that all sockets share; one that is left with half a frame stays with that socket until the frame is complete. One whose peer
has closed, or broken the protocol, stays for good: it remembers that.

It is used through parts that picows does not document (protocol class, logger, transport): the version is pinned to a minor
one, and the contract suite of the transports tells when a new one does otherwise.
"""

from __future__ import annotations

import struct
from typing import Any, Final, Protocol

import structlog
from picows import WSAutoPingStrategy, WSFrame, WSListener, WSMsgType, WSTransport
from picows.picows import WSProtocol  # type: ignore[attr-defined] # not in its stubs

_REQUEST: Final = (
    b"GET / HTTP/1.1\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
"""Before it has seen an upgrade a reader reads no frames."""
_KEPT: Final = 16
"""Readers that wait for the next half of a frame to come."""
_KEPT_BYTES: Final = 64 << 10
"""Buffers grow with the largest frame, and never shrink: larger ones are not kept."""

_log = structlog.get_logger(__name__)


class Hearer(Protocol):
    """A socket for which frames are read."""

    def take(self, frame: WSFrame) -> None:
        """A frame, which is valid during the call only."""
        ...

    def fail(self, code: int, reason: str) -> None:
        """The reader cannot go on; the code is one of RFC 6455."""
        ...


class FrameReader(WSProtocol):  # type: ignore[misc]
    """Reads the frames of one socket at a time. Give it bytes by ``get_buffer`` and :meth:`read`."""

    __slots__ = ("_frames", "pending")

    def __init__(self, max_frame_bytes: int) -> None:
        self.pending = 0
        """Bytes that it has of a frame that is not complete."""
        self._frames = _Frames()
        super().__init__(
            host_port=None,
            ws_path=None,
            is_client_side=False,
            ws_listener_factory=lambda request: self._frames,
            logger=_LOG,
            disconnect_on_exception=True,
            websocket_handshake_timeout=None,
            enable_auto_ping=False,
            auto_ping_idle_timeout=0,
            auto_ping_reply_timeout=0,
            auto_ping_strategy=WSAutoPingStrategy.PING_WHEN_IDLE,
            enable_auto_pong=False,
            max_frame_size=max_frame_bytes,
            extra_headers=None,
            read_buffer_init_size=0,
        )
        self.connection_made(_NoSocket(self._frames))
        self.get_buffer(-1)[: len(_REQUEST)] = _REQUEST
        self.buffer_updated(len(_REQUEST))

    @property
    def broken(self) -> bool:
        """It cannot go on."""
        return self._frames.broken

    def read(self, hearer: Hearer, count: int) -> bool:
        """So many bytes were put into the buffer. Returns whether it may read for another socket now."""
        frames = self._frames
        frames.hearer, frames.left = hearer, self.pending + count
        self.buffer_updated(count)
        frames.hearer = None
        self.pending = frames.left
        return not (frames.left or frames.spent)


class FrameReaders:
    """Those that are between two frames."""

    def __init__(self, max_frame_bytes: int) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._readers: list[FrameReader] = []

    @property
    def next(self) -> FrameReader:
        """The one that reads what comes next, of whatever socket at a frame's beginning."""
        if not self._readers:
            self._readers.append(FrameReader(self._max_frame_bytes))
        return self._readers[-1]

    def take(self) -> FrameReader:
        """It belongs to a socket now."""
        return self._readers.pop()

    def give_back(self, reader: FrameReader) -> None:
        """It belongs to none any more."""
        if len(self._readers) < _KEPT and len(reader.get_buffer(-1)) < _KEPT_BYTES:
            self._readers.append(reader)


class _Frames(WSListener):
    __slots__ = ("broken", "hearer", "left", "spent")

    def __init__(self) -> None:
        self.hearer: Hearer | None = None
        self.left = 0
        """Bytes behind the last frame; while none was read, all that there are."""
        self.spent = False
        """It may read for no other socket."""
        self.broken = False

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        assert self.hearer is not None
        self.left = frame.tail_size
        if frame.msg_type == WSMsgType.CLOSE:
            self.spent = True
        self.hearer.take(frame)


class _NoSocket:
    """What picows takes for its socket."""

    def __init__(self, frames: _Frames) -> None:
        self._frames = frames

    def get_extra_info(self, name: str) -> Any:
        return self if name == "socket" else None

    def fileno(self) -> int:
        return -1

    def setsockopt(self, *option: object) -> None:
        pass

    def getsockopt(self, *option: object) -> int:
        return 0

    def get_write_buffer_size(self) -> int:
        return 1  # else picows would write to the file descriptor

    def write(self, data: bytes) -> None:
        if self._frames.hearer is not None:  # a close frame; else it is the answer to the upgrade
            (code,) = struct.unpack_from("!H", data, 2)
            self._frames.spent = self._frames.broken = True
            self._frames.hearer.fail(code, data[4:].decode())

    def close(self) -> None:
        pass

    abort = close


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
