"""y-websocket's frames: one of two errors, or a message that means the same when it is written again."""

from __future__ import annotations

from collections.abc import Iterable

from cowrite.protocol.messages import UnknownMessage
from cowrite.protocol.yjs import MalformedFrame, decode, encode
from fuzz.vectors import frames_of

MAX_BYTES = 1024


def check(data: bytes) -> None:
    try:
        message = decode(data)
    except MalformedFrame as error:
        assert 0 <= error.at <= len(data), "the error names a place in the frame"
        return
    except UnknownMessage:
        return
    written = encode(message)
    assert decode(written) == message
    assert encode(decode(written)) == written


def seeds() -> Iterable[bytes]:
    return frames_of("yjs")
