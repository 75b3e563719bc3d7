"""Awareness entries, and whether their states can be read by browsers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress

from cowrite.protocol.awareness import MAX_STATE_DEPTH, decode_entries, encode_entries, is_valid_state
from cowrite.protocol.lib0 import MalformedFrame, read_bytes
from fuzz.vectors import ROOT, frames_of

MAX_BYTES = 2048


def check(data: bytes) -> None:
    check_state(data.decode("utf-8", "replace"))
    try:
        entries = decode_entries(data)
    except MalformedFrame as error:
        assert 0 <= error.at <= len(data), "the error names a place in the body"
        return
    assert decode_entries(encode_entries(entries)) == entries
    for entry in entries:
        if entry.state is not None:
            check_state(entry.state)


def check_state(state: str) -> None:
    """What is called valid is JSON as browsers read it, and not deep."""
    valid = is_valid_state(state)
    if is_valid_state(state, must_be_object=True):
        assert valid
    if not valid:
        return
    value = json.loads(state, parse_constant=_no_constant, parse_int=str)
    level, depth = [value], 0
    while level := [part for one in level for part in _parts(one)]:
        depth += 1
    assert depth <= MAX_STATE_DEPTH


def _parts(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _no_constant(name: str) -> None:
    raise AssertionError(f"browsers cannot read {name}")


def seeds() -> Iterable[bytes]:
    for frame in frames_of("yjs"):
        if frame.startswith(b"\x01"):
            with suppress(MalformedFrame):
                yield read_bytes(frame, 1)[0]
    states = json.loads((ROOT / "spec" / "vectors" / "awareness_states.json").read_text(encoding="utf-8"))["vectors"]
    yield from (one["state"].encode("utf-8", "replace") for one in states if isinstance(one.get("state"), str))
    yield b'{"a":' * 70 + b"1" + b"}" * 70
