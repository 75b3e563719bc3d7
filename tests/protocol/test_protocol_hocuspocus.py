"""The Hocuspocus dialect: frames to messages and back."""

from __future__ import annotations

import pytest

from cowrite.protocol import yjs
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.hocuspocus import (
    MAX_ADDRESS_BYTES,
    PING,
    PONG,
    Addressed,
    Authenticate,
    Authenticated,
    BroadcastStateless,
    Close,
    HocuspocusDialect,
    Message,
    Ping,
    Pong,
    Scope,
    Stateless,
    SyncStatus,
    TokenRequest,
    decode,
    major_version,
)
from cowrite.protocol.lib0 import MalformedFrame
from cowrite.protocol.messages import (
    Acknowledged,
    AwarenessUpdate,
    PermissionDenied,
    QueryAwareness,
    SyncStep1,
    SyncStep2,
    UnknownMessage,
    Update,
)

MESSAGES: list[Message] = [
    SyncStep1(b"\x00"),
    SyncStep2(b"\x00\x00"),
    Update(b"x" * 300),
    AwarenessUpdate((AwarenessEntry(7, 1, "{}"), AwarenessEntry(8, 2, None))),
    QueryAwareness(),
    PermissionDenied("unauthorized"),
    Authenticate("token", "4.8.0"),
    Authenticate(""),
    TokenRequest(),
    Authenticated(Scope.READ_ONLY),
    Stateless("ping! 👋"),
    BroadcastStateless(""),
    Close(),
    Close("document_deleted"),
    SyncStatus(True),
    SyncStatus(False),
]
OPEN_ENDED = (Authenticate, TokenRequest, Close)
"""Messages that may have one more part: a part of them is another message."""


@pytest.mark.rule("HP1", "HP2", "HP3", "HP4")
@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
@pytest.mark.parametrize("address", ["doc", "naïve 同期", "s\0mf5d901n1g9", "", "x" * MAX_ADDRESS_BYTES])
def test_messages_survive_the_wire(message: Message, address: str) -> None:
    """Every message is read back as it was written, with its address."""
    assert decode(HocuspocusDialect(address).encode(message)) == Addressed(address, message)


@pytest.mark.rule("HP4")
@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_frame_is_exactly_one_message(message: Message) -> None:
    """Nothing may be missing from a message, and nothing may follow it."""
    frame = HocuspocusDialect("doc").encode(message)
    for end in range(len(frame)):
        try:
            part = decode(frame[:end])
        except MalformedFrame:
            continue
        assert isinstance(part, Addressed)
        assert isinstance(part.message, OPEN_ENDED)
        assert part.message != message
    with pytest.raises(MalformedFrame):
        decode(frame + b"\x00\x00\x00")


@pytest.mark.rule("HP1")
@pytest.mark.parametrize("message", [one for one in MESSAGES if isinstance(one, SyncStep1 | Update | AwarenessUpdate)])
def test_bodies_are_those_of_y_websocket(message: SyncStep1 | Update | AwarenessUpdate) -> None:
    """Behind the address a message of both protocols is the same."""
    assert HocuspocusDialect("doc").encode(message) == b"\x03doc" + yjs.encode(message)


@pytest.mark.rule("HP4")
def test_ping_and_pong_have_no_address() -> None:
    """They are one byte each."""
    assert decode(PING) == Ping()
    assert decode(PONG) == Pong()
    with pytest.raises(MalformedFrame):
        decode(PING + PONG)


@pytest.mark.rule("HP4")
@pytest.mark.parametrize("kind", [4, 9, 10, 42, 127])
def test_unknown_types(kind: int) -> None:
    """SyncReply (4) is between servers; with an address 9 and 10 are no types either."""
    with pytest.raises(UnknownMessage) as unknown:
        decode(b"\x03doc" + bytes((kind,)) + b"\xff\xff")
    assert unknown.value.kind == kind


@pytest.mark.rule("HP4")
@pytest.mark.parametrize(
    ("address", "document_id"), [("doc", "doc"), ("doc\0id", "doc"), ("\0id", ""), ("a\0b\0c", "a"), ("", "")]
)
def test_the_document_in_an_address(address: str, document_id: str) -> None:
    """It is what stands before the first U+0000."""
    assert Addressed(address, Close()).document_id == document_id


@pytest.mark.rule("HP16")
def test_dialects_are_compared_by_identity() -> None:
    """Two of the same address are different: only who shares one shares frames."""
    assert HocuspocusDialect("doc") != HocuspocusDialect("doc")


@pytest.mark.rule("HP12")
def test_acknowledgements_by_number_have_no_place() -> None:
    with pytest.raises(AssertionError):
        HocuspocusDialect("doc").encode(Acknowledged(1, 1))


@pytest.mark.rule("HP2")
@pytest.mark.parametrize(
    ("version", "major"),
    [
        (None, 0),
        ("4.8.0", 4),
        ("10.0.0-rc.1", 10),
        ("3", 3),
        ("", 0),
        ("v4", 0),
        ("-1.0", 0),
        ("٤.0", 0),
        ("9999.0", 0),
        ("²", 0),
    ],
)
def test_versions(version: str | None, major: int) -> None:
    """Whatever text a client sends as its version, it is a number or none."""
    assert major_version(version) == major
