"""Bodies of polling Yjs clients: several frames, each behind its length."""

from __future__ import annotations

from collections.abc import Iterable

from cowrite.protocol.envelope import seal, unseal
from cowrite.protocol.lib0 import MalformedFrame
from cowrite.transports.polling import _Cursor
from fuzz.targets import yjs_frames
from fuzz.vectors import frames_of

MAX_BYTES = 2048


def check(data: bytes) -> None:
    _Cursor.read(data.decode("latin-1"))
    try:
        messages = unseal(data)
    except MalformedFrame as error:
        assert 0 <= error.at <= len(data), "the error names a place in the body"
        return
    assert sum(map(len, messages)) <= len(data)
    assert unseal(seal(messages)) == messages
    for message in messages:
        yjs_frames.check(message)


def seeds() -> Iterable[bytes]:
    frames = frames_of("yjs")
    return [*frames_of("envelope"), *(seal(frames[at : at + 3]) for at in range(0, len(frames), 3)), b"process:epoch:12:3"]
