"""Reading the contents of structs from the bytes of a state, as the JSON that :mod:`cowrite.crdt.values` describes.

The bytes are the engine's own encoding, or passed the guard: nothing is checked here. ``at`` is the place of a struct's content
(:func:`content_at`).
"""

from __future__ import annotations

import re
import struct
from base64 import b64encode

from cowrite.crdt.content import read_json, read_sized, read_varuint
from cowrite.crdt.outline import HAS_KEY, HAS_ORIGIN, HAS_RIGHT_ORIGIN
from cowrite.crdt.values import Json, escape, number_to_json, to_json

ARRAY_TYPE, MAP_TYPE, TEXT_TYPE, ELEMENT_TYPE, FRAGMENT_TYPE, XML_TEXT_TYPE = 0, 1, 2, 3, 4, 6
"""The kinds of shared types as they are written."""

_ONE = re.compile(rb"(?:[\x80-\xff]*+[\0-\x7f]){2}")
_BOTH = re.compile(rb"(?:[\x80-\xff]*+[\0-\x7f]){4}")
"""Two integers for each neighbour, looked over in one go: this is done for every piece that is read."""


def content_at(data: bytes, at: int) -> int:
    """Return the place of a struct's content: behind its first byte, its neighbours or its parent, and its key."""
    info = data[at]
    if info & (HAS_ORIGIN | HAS_RIGHT_ORIGIN):
        neighbours = _ONE if info & HAS_ORIGIN == 0 or info & HAS_RIGHT_ORIGIN == 0 else _BOTH
        match = neighbours.match(data, at + 1)
        assert match is not None, "a struct names the neighbours that its first byte announces"
        return match.end()
    _, _, at = read_parent(data, at + 1)
    return read_sized(data, at)[1] if info & HAS_KEY else at


def read_parent(data: bytes, at: int) -> tuple[str | None, tuple[int, int], int]:
    """Read a struct's parent: (name of a root, or None; Yjs client and clock of a type, else 0; the place behind it)."""
    if data[at] == 1:
        start, end = read_sized(data, at + 1)
        return data[start:end].decode(), (0, 0), end
    client, at = read_varuint(data, at + 1)
    clock, at = read_varuint(data, at)
    return None, (client, clock), at


def read_string(data: bytes, at: int) -> str:
    """Read a string."""
    start, end = read_sized(data, at)
    return data[start:end].decode()


def read_embed(data: bytes, at: int) -> Json:
    """Read a value that is embedded in a text."""
    start, end = read_sized(data, at)
    return to_json(read_json(data[start:end]))


def read_format(data: bytes, at: int) -> tuple[str, Json]:
    """Read a format: an attribute's name, and its value from there on (None: it ends)."""
    start, end = read_sized(data, at)
    return data[start:end].decode(), read_embed(data, end)


def read_type(data: bytes, at: int) -> tuple[int, str | None]:
    """Read a shared type: its kind, and the tag of an element."""
    kind = data[at]
    return kind, read_string(data, at + 1) if kind == ELEMENT_TYPE else None


def read_binary(data: bytes, at: int) -> Json:
    """Read bytes."""
    start, end = read_sized(data, at)
    return {"$bin": b64encode(data[start:end]).decode()}


def read_values(data: bytes, at: int) -> list[Json]:
    """Read the plain values of a list or an entry."""
    count, at = read_varuint(data, at)
    values = []
    for _ in range(count):
        value, at = _read_any(data, at)
        values.append(value)
    return values


def read_document(data: bytes, at: int) -> Json:
    """Read a subdocument: its id alone."""
    return {"$doc": read_string(data, at)}


def _read_any(data: bytes, at: int) -> tuple[Json, int]:
    kind = data[at]
    at += 1
    if kind == 119:
        start, end = read_sized(data, at)
        return data[start:end].decode(), end
    if kind == 125:
        return _read_integer(data, at)
    if kind in _CONSTANTS:
        return _CONSTANTS[kind], at
    if kind in _NUMBERS:
        number = _NUMBERS[kind]
        return number_to_json(float(number.unpack_from(data, at)[0])), at + number.size
    if kind == 116:
        return read_binary(data, at), read_sized(data, at)[1]
    count, at = read_varuint(data, at)
    if kind == 117:
        items = []
        for _ in range(count):
            item, at = _read_any(data, at)
            items.append(item)
        return items, at
    fields = {}
    for _ in range(count):
        start, end = read_sized(data, at)
        fields[data[start:end].decode()], at = _read_any(data, end)
    return {escape(name): fields[name] for name in sorted(fields)}, at


_CONSTANTS = {127: None, 126: None, 121: False, 120: True}
_NUMBERS = {124: struct.Struct(">f"), 123: struct.Struct(">d"), 122: struct.Struct(">q")}


def _read_integer(data: bytes, at: int) -> tuple[Json, int]:
    """Read a signed integer: its first byte has a sign and six bits."""
    byte = data[at]
    value, negative, shift = byte & 63, byte & 64, 6
    while byte > 127:
        at += 1
        byte = data[at]
        value |= (byte & 127) << shift
        shift += 7
    return number_to_json(float(-value if negative else value)), at + 1
