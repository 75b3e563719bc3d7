"""Yjs updates (v1) written by hand, struct by struct: also such as no editor would write.

    write_update([block(1, 0, text("ab", root="body"), text("c", origin=(1, 1)))], deletes={1: [(0, 1)]})

Nothing is checked. Numbers may be given where the format has them, bytes wherever a string goes (they need not be UTF-8).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

Id = tuple[int, int]
"""(client, clock)."""

TYPES = {"array": 0, "map": 1, "text": 2, "xmlelement": 3, "xmlfragment": 4, "xmlhook": 5, "xmltext": 6}


class Place(TypedDict, total=False):
    """Where a struct goes. Root, parent and key are written only without neighbours."""

    origin: Id | None
    right: Id | None
    root: str | bytes
    parent: Id
    key: str | bytes | None


@dataclass(frozen=True, slots=True)
class Block:
    """The structs of one client from a clock on."""

    client: int
    clock: int
    structs: tuple[bytes, ...]


def block(client: int, clock: int, *structs: bytes) -> Block:
    """Put structs of one client behind one another."""
    return Block(client, clock, structs)


def write_update(blocks: Sequence[Block] = (), deletes: Mapping[int, Sequence[tuple[int, int]]] | None = None) -> bytes:
    """Write an update: its blocks in the given order, and for each client its deleted ranges as (clock, length)."""
    out = varuint(len(blocks))
    for each in blocks:
        out += varuint(len(each.structs)) + varuint(each.client) + varuint(each.clock) + b"".join(each.structs)
    out += varuint(len(deletes or {}))
    for client, ranges in (deletes or {}).items():
        out += varuint(client) + varuint(len(ranges))
        out += b"".join(varuint(clock) + varuint(length) for clock, length in ranges)
    return out


def item(content: int, body: bytes, **place: Unpack[Place]) -> bytes:
    """Write a struct with that number of a kind of content, followed by the content's bytes."""
    origin, right, key = place.get("origin"), place.get("right"), place.get("key")
    info = content | (0x80 if origin else 0) | (0x40 if right else 0) | (0x20 if key is not None else 0)
    out = bytes((info,))
    for neighbour in (origin, right):
        if neighbour:
            out += varuint(neighbour[0]) + varuint(neighbour[1])
    if not origin and not right:
        if "parent" in place:
            out += b"\x00" + varuint(place["parent"][0]) + varuint(place["parent"][1])
        else:
            out += b"\x01" + sized(place.get("root", "t"))
        if key is not None:
            out += sized(key)
    return out + body


def text(content: str | bytes, **place: Unpack[Place]) -> bytes:
    """Write a string."""
    return item(4, sized(content), **place)


def deleted(length: int, **place: Unpack[Place]) -> bytes:
    """Write content that was deleted."""
    return item(1, varuint(length), **place)


def binary(content: bytes, **place: Unpack[Place]) -> bytes:
    """Write bytes."""
    return item(3, sized(content), **place)


def embed(value: Any, **place: Unpack[Place]) -> bytes:
    """Write an embedded JSON value; bytes are taken as its text."""
    return item(5, _json(value), **place)


def mark(name: str | bytes, value: Any, **place: Unpack[Place]) -> bytes:
    """Write a format mark."""
    return item(6, sized(name) + _json(value), **place)


def shared_type(kind: str | int, name: str | bytes | None = None, **place: Unpack[Place]) -> bytes:
    """Write a shared type; elements and hooks have a name."""
    number = TYPES[kind] if isinstance(kind, str) else kind
    return item(7, varuint(number) + (sized(name) if name is not None else b""), **place)


def values(*content: Any, **place: Unpack[Place]) -> bytes:
    """Write values in lib0's "any" form; see :func:`any_value`."""
    return item(8, varuint(len(content)) + b"".join(map(any_value, content)), **place)


def subdocument(guid: str | bytes, options: Any, **place: Unpack[Place]) -> bytes:
    """Write a subdocument."""
    return item(9, sized(guid) + any_value(options), **place)


def gc(length: int) -> bytes:
    """Write structs that were collected."""
    return b"\x00" + varuint(length)


def skip(length: int) -> bytes:
    """Write a hole."""
    return b"\x0a" + varuint(length)


def varuint(value: int) -> bytes:
    """Write a variable-length unsigned integer of any size."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def varint(value: int) -> bytes:
    """Write a variable-length signed integer of any size."""
    sign, value = (0x40, -value) if value < 0 else (0, value)
    first, value = sign | value & 63, value >> 6
    return bytes((first | 0x80,)) + varuint(value) if value else bytes((first,))


def sized(content: str | bytes) -> bytes:
    """Write bytes or a string with its length before it."""
    raw = content.encode() if isinstance(content, str) else content
    return varuint(len(raw)) + raw


def any_value(value: Any) -> bytes:
    """Write a value in lib0's "any" form as Yjs does: None, bool, int, float, str, bytes, list, dict.

    Ellipsis stands for undefined, and :class:`Raw` for its own bytes. An integer beyond 32 bits becomes a double.
    """
    if isinstance(value, Raw):
        return value.content
    for constant, kind in ((..., 127), (None, 126), (False, 121), (True, 120)):
        if value is constant:
            return bytes((kind,))
    if isinstance(value, int) and abs(value) < 2**31:
        return b"\x7d" + varint(value)
    if isinstance(value, int | float):
        return b"\x7b" + struct.pack(">d", value)
    if isinstance(value, str):
        return b"\x77" + sized(value)
    if isinstance(value, bytes):
        return b"\x74" + sized(value)
    if isinstance(value, list):
        return b"\x75" + varuint(len(value)) + b"".join(map(any_value, value))
    return b"\x76" + varuint(len(value)) + b"".join(sized(key) + any_value(each) for key, each in value.items())


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes to be written where a value goes."""

    content: bytes


def _json(value: Any) -> bytes:
    return sized(value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False, separators=(",", ":")))
