"""lib0's integers, byte strings and texts, at every place of the bytes."""

from __future__ import annotations

from collections.abc import Iterable

from cowrite.protocol.lib0 import (
    MAX_INTEGER,
    MalformedFrame,
    read_bytes,
    read_string,
    read_varuint,
    write_bytes,
    write_string,
    write_varuint,
)
from fuzz.vectors import frames_of

MAX_BYTES = 64


def check(data: bytes) -> None:
    for at in range(len(data) + 2):
        _check_integer(data, at)
        _check_text(data, at)


def _check_integer(data: bytes, at: int) -> None:
    try:
        value, end = read_varuint(data, at)
    except MalformedFrame:
        return
    assert 0 <= value <= MAX_INTEGER
    assert at < end <= min(len(data), at + 10)
    written = write_varuint(value)
    assert len(written) <= end - at, "written in as few bytes as it needs"
    assert read_varuint(written, 0) == (value, len(written))


def _check_text(data: bytes, at: int) -> None:
    try:
        raw, end = read_bytes(data, at)
    except MalformedFrame:
        return
    assert data[end - len(raw) : end] == raw
    assert read_bytes(write_bytes(raw), 0)[0] == raw
    try:
        text, _ = read_string(data, at)
    except MalformedFrame:
        return
    assert read_string(write_string(text), 0)[0] == text


def seeds() -> Iterable[bytes]:
    return frames_of("lib0")
