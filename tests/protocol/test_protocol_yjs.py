"""The y-websocket dialect: frames to messages and back."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import cowrite.protocol
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.lib0 import MAX_INTEGER
from cowrite.protocol.messages import (
    Acknowledged,
    AwarenessUpdate,
    Message,
    PermissionDenied,
    QueryAwareness,
    SyncStep1,
    SyncStep2,
    Update,
)
from cowrite.protocol.yjs import MalformedFrame, UnknownMessage, decode, encode

MESSAGES = [
    SyncStep1(b"\x00"),
    SyncStep2(b"\x00\x00"),
    Update(b"x" * 300),
    AwarenessUpdate((AwarenessEntry(7, 1, "{}"), AwarenessEntry(8, 2, None))),
    QueryAwareness(),
    PermissionDenied("non, merci à vous"),
    Acknowledged(3, 4711),
]


@pytest.mark.rule("PR16")
@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_messages_survive_the_wire(message: Message) -> None:
    """Every message is read back as it was written."""
    assert decode(encode(message)) == message


@pytest.mark.rule("PR5")
@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_frame_is_exactly_one_message(message: Message) -> None:
    """Nothing may be missing from a message, and nothing may follow it."""
    frame = encode(message)
    for end in range(len(frame)):
        with pytest.raises(MalformedFrame):
            decode(frame[:end])
    with pytest.raises(MalformedFrame, match=f"1 bytes after the message at byte {len(frame)}"):
        decode(frame + b"\x00")


@pytest.mark.rule("PR6")
@pytest.mark.parametrize("kind", [SyncStep1, SyncStep2, Update])
@pytest.mark.parametrize("payload", [b"", b"\xff\xff", b"\x00" * 100_000])
def test_sync_payloads_pass_unread(kind: type[SyncStep1 | SyncStep2 | Update], payload: bytes) -> None:
    """State vectors and updates are bytes to this layer; others judge them."""
    assert decode(encode(kind(payload))) == kind(payload)


@pytest.mark.rule("PR7")
def test_unknown_sync_step_is_malformed() -> None:
    """There are three sync messages."""
    with pytest.raises(MalformedFrame, match="unknown sync step 3 at byte 1"):
        decode(b"\x00\x03\x00")


@pytest.mark.rule("PR8")
def test_unknown_auth_message_is_malformed() -> None:
    """The only auth message is permission denied."""
    assert decode(b"\x02\x00\x02no") == PermissionDenied("no")
    with pytest.raises(MalformedFrame, match="unknown auth message 1 at byte 1"):
        decode(b"\x02\x01\x02no")


@pytest.mark.rule("PR9")
def test_query_awareness_is_one_byte() -> None:
    """A query has no body."""
    assert encode(QueryAwareness()) == b"\x03"


@pytest.mark.rule("PR10")
def test_acknowledgement_is_message_100() -> None:
    """An acknowledgement is the count of durable messages and the offset of the log."""
    assert encode(Acknowledged(2, 300)) == b"\x64\x02\xac\x02"
    assert decode(b"\x64\x02\xac\x02") == Acknowledged(2, 300)


@pytest.mark.rule("PR11")
@pytest.mark.parametrize(
    ("frame", "kind"), [(b"\x04", 4), (b"\x63\xff\xff", 99), (b"\xff\xff\xff\xff\xff\xff\xff\x0f", MAX_INTEGER)]
)
def test_unknown_type_is_told_with_its_number(frame: bytes, kind: int) -> None:
    """A type that is not in the table is no damage to the frame: the caller decides what it means."""
    with pytest.raises(UnknownMessage, match=f"unknown message type {kind}") as caught:
        decode(frame)
    assert caught.value.kind == kind


@pytest.mark.rule("PR13")
@pytest.mark.rule("PR14")
def test_limits_of_awareness_are_the_callers() -> None:
    """The bounds of entries and states can be set; errors count bytes from the start of the frame."""
    frame = encode(AwarenessUpdate((AwarenessEntry(1, 1, "{}"), AwarenessEntry(2, 1, "[1]"))))
    with pytest.raises(MalformedFrame, match="2 awareness entries; at most 1 are allowed at byte 2"):
        decode(frame, max_entries=1)
    with pytest.raises(MalformedFrame, match="awareness state of 3 bytes; at most 2 are allowed at byte 10"):
        decode(frame, max_state_bytes=2)
    assert frame[10] == 3


@pytest.mark.rule("PR16")
def test_what_has_no_place_on_the_wire_is_not_written() -> None:
    """A number or a text that nobody could read is refused by the writer."""
    with pytest.raises(ValueError, match="-1 cannot be sent"):
        encode(Acknowledged(-1, 0))
    with pytest.raises(UnicodeEncodeError):
        encode(PermissionDenied("\udfff"))


@pytest.mark.rule("PR21")
def test_the_layer_is_pure() -> None:
    """protocol/ imports only itself and a few pure modules of the standard library."""
    allowed = {"__future__", "collections", "cowrite", "dataclasses", "enum", "json", "math", "re", "typing"}
    for path in Path(next(iter(cowrite.protocol.__path__))).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            else:
                continue
            for name in names:
                assert name.split(".")[0] in allowed, (path.name, name)
                assert not name.startswith("cowrite") or name.startswith("cowrite.protocol"), (path.name, name)
