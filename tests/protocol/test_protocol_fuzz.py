"""Random frames: whatever bytes come, decode() answers with a message or one of its two errors."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from cowrite.protocol import hocuspocus
from cowrite.protocol.awareness import AwarenessEntry, is_valid_state
from cowrite.protocol.lib0 import MAX_INTEGER, MalformedFrame
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
from cowrite.protocol.yjs import decode, encode

pytestmark = pytest.mark.fuzz

COUNT = 3000 * int(os.environ.get("COWRITE_FUZZ", "1"))
VECTORS = Path(__file__).parents[2] / "spec" / "vectors"


def frames(name: str) -> list[bytes]:
    return [bytes.fromhex(one["hex"]) for one in json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))["vectors"]]


FRAMES = frames("yjs")
HOCUSPOCUS_FRAMES = frames("hocuspocus")
CHARACTERS = 'aé€😀\0"{}[]\\:,nul 01\ufeff'


def outcome(frame: bytes) -> str:
    """Decode, and check what must hold: nothing else is raised, and a message means the same when written again."""
    try:
        message = decode(frame)
    except MalformedFrame as error:
        return "malformed" if 0 <= error.at <= len(frame) else f"wrong place {error.at}"
    except UnknownMessage:
        return "unknown"
    assert decode(encode(message)) == message
    return "message"


def hocuspocus_outcome(frame: bytes) -> str:
    """The same for the other dialect."""
    try:
        message = hocuspocus.decode(frame)
    except MalformedFrame as error:
        return "malformed" if 0 <= error.at <= len(frame) else f"wrong place {error.at}"
    except UnknownMessage:
        return "unknown"
    if isinstance(message, hocuspocus.Addressed):
        assert hocuspocus.decode(hocuspocus.HocuspocusDialect(message.address).encode(message.message)) == message
    return type(message).__name__


def random_integer(rng: random.Random) -> int:
    return rng.choice((0, 1, 127, 128, MAX_INTEGER, rng.getrandbits(rng.randint(1, 53))))


def random_text(rng: random.Random) -> str:
    return "".join(rng.choices(CHARACTERS, k=rng.randint(0, 40)))


def random_message(rng: random.Random) -> Message:
    kind = rng.choice((SyncStep1, SyncStep2, Update, AwarenessUpdate, QueryAwareness, PermissionDenied, Acknowledged))
    if kind is AwarenessUpdate:
        states = [random_text(rng) if rng.random() < 0.8 else None for _ in range(rng.randint(0, 5))]
        texts = [None if state is not None and state.strip() == "null" else state for state in states]
        return AwarenessUpdate(tuple(AwarenessEntry(random_integer(rng), random_integer(rng), text) for text in texts))
    if kind is PermissionDenied:
        return PermissionDenied(random_text(rng))
    if kind is Acknowledged:
        return Acknowledged(random_integer(rng), random_integer(rng))
    if kind is QueryAwareness:
        return QueryAwareness()
    return rng.choice((SyncStep1, SyncStep2, Update))(rng.randbytes(rng.choice((0, 1, 20, 127, 128, 20_000))))


def damaged(frame: bytes, rng: random.Random) -> bytes:
    """The frame with bits flipped, cut, or with bytes put in or taken out."""
    data = bytearray(frame)
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(data))
        match rng.randrange(5):
            case 0 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                data[at:] = b""
            case 2:
                data[at:at] = rng.randbytes(rng.randint(1, 3))
            case 3:
                data[at : at + 1] = b""
            case _:
                data[at : at + 1] = rng.choice((b"\xff", b"\x80", b"\x00", b"\xff" * 12))
    return bytes(data)


@pytest.mark.rule("PR20")
def test_random_bytes() -> None:
    """Random bytes, most of them starting like a message."""
    rng = random.Random(20)
    outcomes = set()
    for _ in range(COUNT):
        start = rng.choice((b"", b"\x00", b"\x00\x02", b"\x01", b"\x01\x06\x01", b"\x02\x00", b"\x03", b"\x64"))
        outcomes.add(outcome(start + rng.randbytes(rng.choice((0, 1, 2, 3, 8, 60)))))
    assert outcomes == {"message", "malformed", "unknown"}


@pytest.mark.rule("PR20")
def test_damaged_frames() -> None:
    """Valid and invalid frames with some damage."""
    rng = random.Random(21)
    outcomes = [outcome(damaged(rng.choice(FRAMES), rng)) for _ in range(COUNT)]
    assert set(outcomes) == {"message", "malformed", "unknown"}


@pytest.mark.rule("PR16")
def test_random_messages_survive_the_wire() -> None:
    """Whatever message is written is read back, and a damaged one is refused or another message, never a crash."""
    rng = random.Random(22)
    kinds = set()
    for _ in range(COUNT // 3):
        message = random_message(rng)
        frame = encode(message)
        assert decode(frame) == message
        outcome(damaged(frame, rng))
        kinds.add(type(message))
    assert len(kinds) == 7


@pytest.mark.rule("HP4")
def test_random_bytes_of_hocuspocus() -> None:
    """Random bytes behind an address, most of them starting like a message."""
    rng = random.Random(24)
    outcomes = set()
    for _ in range(COUNT):
        start = rng.choice((b"", b"\x00", b"\x00\x02", b"\x01", b"\x01\x06\x01", b"\x02", b"\x03", b"\x05", b"\x07", b"\x08"))
        address = rng.choice((b"", b"\x03doc", b"\x04d\0id"))
        outcomes.add(hocuspocus_outcome(address + start + rng.randbytes(rng.choice((0, 1, 2, 3, 8, 60)))))
    assert outcomes <= {"Addressed", "Ping", "Pong", "malformed", "unknown"}
    assert {"Addressed", "malformed", "unknown"} <= outcomes


@pytest.mark.rule("HP4")
def test_damaged_frames_of_hocuspocus() -> None:
    """Valid and invalid frames with some damage."""
    rng = random.Random(25)
    outcomes = {hocuspocus_outcome(damaged(rng.choice(HOCUSPOCUS_FRAMES), rng)) for _ in range(COUNT)}
    assert outcomes == {"Addressed", "Ping", "Pong", "malformed", "unknown"}


@pytest.mark.rule("PR15")
def test_random_states_never_raise() -> None:
    """A state is judged, whatever text it is; what is called valid can be parsed."""
    rng = random.Random(23)
    valid = 0
    for _ in range(COUNT):
        text = (
            random_text(rng) if rng.random() < 0.5 else rng.choice(("[", '{"a":', " ")) * rng.randint(0, 3) + rng.choice("1]}")
        )
        if is_valid_state(text):
            json.loads(text)
            valid += 1
    assert valid > COUNT // 100
