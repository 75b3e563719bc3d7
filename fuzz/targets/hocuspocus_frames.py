"""Hocuspocus' frames: as those of y-websocket."""

from __future__ import annotations

from collections.abc import Iterable

from cowrite.core.document_ids import is_document_id
from cowrite.protocol.hocuspocus import Addressed, Authenticate, HocuspocusDialect, decode, major_version
from cowrite.protocol.lib0 import MalformedFrame
from cowrite.protocol.messages import UnknownMessage
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
    if isinstance(message, Addressed):
        is_document_id(message.document_id)
        written = HocuspocusDialect(message.address).encode(message.message)
        assert decode(written) == message
        if isinstance(message.message, Authenticate):
            assert 0 <= major_version(message.message.version) < 1000


def seeds() -> Iterable[bytes]:
    return frames_of("hocuspocus")
