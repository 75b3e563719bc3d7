"""The bodies of messages that all dialects of Yjs share. A reader takes the frame and the index of the body."""

from __future__ import annotations

from cowrite.protocol.awareness import MAX_ENTRIES, MAX_STATE_BYTES, decode_entries
from cowrite.protocol.lib0 import MalformedFrame, read_bytes, read_varuint
from cowrite.protocol.messages import AwarenessUpdate, SyncStep1, SyncStep2, Update

_STEP_2, _UPDATE = 1, 2


def read_sync(frame: bytes, at: int) -> tuple[SyncStep1 | SyncStep2 | Update, int]:
    """A step of synchronisation. State vectors and updates are passed on unread."""
    step, start = read_varuint(frame, at)
    if step > _UPDATE:
        raise MalformedFrame(f"unknown sync step {step}", at)
    payload, at = read_bytes(frame, start)
    if step == _UPDATE:
        return Update(payload), at
    return (SyncStep2(payload) if step == _STEP_2 else SyncStep1(payload)), at


def read_awareness(
    frame: bytes, at: int, *, max_entries: int = MAX_ENTRIES, max_state_bytes: int = MAX_STATE_BYTES
) -> tuple[AwarenessUpdate, int]:
    """Awareness entries. States are passed on unread."""
    body, end = read_bytes(frame, at)
    try:
        entries = decode_entries(body, max_entries=max_entries, max_state_bytes=max_state_bytes)
    except MalformedFrame as error:
        raise MalformedFrame(error.what, end - len(body) + error.at) from None  # counted from the start of the frame
    return AwarenessUpdate(entries), end


def check_end(frame: bytes, at: int) -> None:
    """A frame is exactly one message. Raises :class:`MalformedFrame` when something follows it."""
    if at != len(frame):
        raise MalformedFrame(f"{len(frame) - at} bytes after the message", at)
