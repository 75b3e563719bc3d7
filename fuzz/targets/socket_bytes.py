"""Bytes of a WebSocket, in any pieces: the same frames and the same end however they are cut."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from functools import cache

from picows import WSFrame

from cowrite.testing.client import BINARY, CLOSE, CONTINUATION, PING, TEXT
from cowrite.transports.frame_reader import FrameReader

MAX_BYTES = 1024
_MAX_FRAME = 4096


class _Heard:
    def __init__(self) -> None:
        self.frames: list[tuple[object, bytes, bool]] = []
        self.failed: int | None = None

    def take(self, frame: WSFrame) -> None:
        if self.failed is None:  # a wire that closes drops what comes
            self.frames.append((frame.msg_type, frame.get_payload_as_bytes(), frame.fin))

    def fail(self, code: int, reason: str) -> None:
        assert 1000 <= code < 1016
        assert reason.isprintable()
        self.failed = code


@cache
def loop() -> asyncio.AbstractEventLoop:
    """picows asks for one."""
    return asyncio.new_event_loop()


def check(data: bytes) -> None:
    """The first byte says how large the pieces are."""
    loop().run_until_complete(_check(data))


async def _check(data: bytes) -> None:
    size = data[0] + 1 if data else 1
    whole, cut = _heard(data[1:], len(data)), _heard(data[1:], size)
    assert cut.failed == whole.failed
    # What stands in one piece with what breaks the protocol comes behind that.
    assert cut.frames[: len(whole.frames)] == whole.frames
    assert whole.failed is not None or len(cut.frames) == len(whole.frames)
    assert all(len(payload) <= len(data) for _, payload, _ in whole.frames)


def _heard(data: bytes, size: int) -> _Heard:
    reader, heard = FrameReader(_MAX_FRAME), _Heard()
    for piece in _pieces(reader, data, size):
        reader.get_buffer(-1)[: len(piece)] = piece
        reader.read(heard, len(piece))
        if reader.broken:
            break
    return heard


def _pieces(reader: FrameReader, data: bytes, size: int) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        room = min(size, len(reader.get_buffer(-1)))
        yield data[at : at + room]
        at += room


def _frame(payload: bytes, kind: int = BINARY) -> bytes:
    """A client's frame, with a mask that changes nothing."""
    length = bytes((0x80 | len(payload),)) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
    return bytes((0x80 | kind,)) + length + bytes(4) + payload


def seeds() -> Iterable[bytes]:
    yield b"\2" + _frame(b"hello") + _frame(b"", PING)
    yield b"\xff" + _frame(b"x" * 300) + _frame(b"\x03\xe8bye", CLOSE)
    yield b"\0" + _frame(b"half", TEXT) + _frame(b"\xff", CONTINUATION)
    yield b"\7" + b"\x82\xff" + b"\xff" * 8 + b"mask"
