"""y-websocket's dialect: one WebSocket message is a type, then that type's body, and nothing else."""

from __future__ import annotations

from typing import Final, assert_never

from cowrite.protocol.awareness import MAX_ENTRIES, MAX_STATE_BYTES, encode_entries
from cowrite.protocol.bodies import check_end, read_awareness, read_sync
from cowrite.protocol.lib0 import (
    MalformedFrame,
    read_string,
    read_varuint,
    write_bytes,
    write_string,
    write_varuint,
)
from cowrite.protocol.messages import (
    Acknowledged,
    AwarenessUpdate,
    Message,
    PermissionDenied,
    QueryAwareness,
    SyncStep1,
    SyncStep2,
    UnknownMessage,
    Update,
)

__all__ = ["MalformedFrame", "UnknownMessage", "decode", "encode"]

_SYNC, _AWARENESS, _AUTH, _QUERY_AWARENESS, _ACKNOWLEDGED = 0, 1, 2, 3, 100
_PERMISSION_DENIED = 0


def decode(frame: bytes, *, max_entries: int = MAX_ENTRIES, max_state_bytes: int = MAX_STATE_BYTES) -> Message:
    """Read the message in one binary WebSocket message, sent by either side. The limits are those of awareness.

    Raises :class:`MalformedFrame` when the frame is not exactly one message, :class:`UnknownMessage` for a type that is not
    in the table (whatever follows it), and nothing else. State vectors, updates and awareness states are passed on unread.
    """
    message: Message
    kind, at = read_varuint(frame, 0)
    if kind == _SYNC:
        message, at = read_sync(frame, at)
    elif kind == _AWARENESS:
        message, at = read_awareness(frame, at, max_entries=max_entries, max_state_bytes=max_state_bytes)
    elif kind == _QUERY_AWARENESS:
        message = QueryAwareness()
    elif kind == _AUTH:
        message, at = _read_auth(frame, at)
    elif kind == _ACKNOWLEDGED:
        message, at = _read_acknowledged(frame, at)
    else:
        raise UnknownMessage(kind)
    check_end(frame, at)
    return message


def _read_auth(frame: bytes, at: int) -> tuple[Message, int]:
    answer, start = read_varuint(frame, at)
    if answer != _PERMISSION_DENIED:
        raise MalformedFrame(f"unknown auth message {answer}", at)
    reason, at = read_string(frame, start)
    return PermissionDenied(reason), at


def _read_acknowledged(frame: bytes, at: int) -> tuple[Message, int]:
    count, at = read_varuint(frame, at)
    offset, at = read_varuint(frame, at)
    return Acknowledged(count, offset), at


def encode(message: Message) -> bytes:
    """Write a message as one frame.

    Raises ``ValueError`` for what has no place on the wire: a number outside 0 … 2^53-1, or text with a lone surrogate.
    """
    match message:
        case Update(update):
            return b"\x00\x02" + write_bytes(update)
        case SyncStep2(update):
            return b"\x00\x01" + write_bytes(update)
        case SyncStep1(state_vector):
            return b"\x00\x00" + write_bytes(state_vector)
        case AwarenessUpdate(entries):
            return b"\x01" + write_bytes(encode_entries(entries))
        case Acknowledged(count, offset):
            return b"\x64" + write_varuint(count) + write_varuint(offset)
        case PermissionDenied(reason):
            return b"\x02\x00" + write_string(reason)
        case QueryAwareness():
            return b"\x03"
        case _:
            assert_never(message)


class YjsDialect:
    """y-websocket's messages, as the core's port ``Dialect``. Take :data:`YJS`: equal dialects share each encoded broadcast."""

    def encode(self, message: Message) -> bytes:
        """One frame with this message."""
        return encode(message)


YJS: Final = YjsDialect()
