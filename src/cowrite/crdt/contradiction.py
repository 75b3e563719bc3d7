"""Whether an update says something else of a (client, clock) than a document does.

Yjs takes it for granted that an id names one thing for ever: of two structs with one id each replica keeps the one that it saw
first, and replicas that saw different ones differ for good. It happens when two programs use one client id, and in attacks.

What is compared is content and place, as far as both sides still know them: what is deleted on either side has a place and no
content, what is collected neither. (What goes on behind deleted content stands beside it, wherever it says that it stands: with
another place, roots and keys would hold what nobody has judged.) Structs may be cut and joined differently on both sides, and
the engine writes numbers in other forms than browsers do; so units and values are compared, not bytes.
"""

from __future__ import annotations

import math
import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from cowrite.crdt.content import CONTENT_READERS, read_json, read_sized, read_varuint
from cowrite.crdt.outline import (
    CLOCK_MASK,
    CONTENT,
    DELETED,
    GC,
    HAS_KEY,
    HAS_ORIGIN,
    HAS_RIGHT_ORIGIN,
    STRING,
    ClockRange,
    Layout,
)
from cowrite.crdt.slices import struct_end

_BINARY, _EMBED, _FORMAT, _ANY, _DOCUMENT = 3, 5, 6, 8, 9
_REPLACEMENT = "�".encode("utf-16-le")

_Id: TypeAlias = tuple[int, int]


def overlapping(
    brings: Iterable[ClockRange], known: Mapping[int, int], checked: Mapping[int, int] | None = None
) -> list[ClockRange]:
    """Return what of these ranges a document with the state ``known`` holds, but for what was ``checked``: by client, up to a
    clock.
    """
    overlaps = []
    for client, start, end in brings:
        held = known.get(client, 0)
        if start < held:
            first, last = max(start, (checked or {}).get(client, 0)), min(end, held)
            if first < last:
                overlaps.append(ClockRange(client, first, last))
    return overlaps


def starts_of(overlaps: Sequence[ClockRange]) -> dict[int, int]:
    """For each client the first clock."""
    return {client: start for client, start, _ in reversed(overlaps)}


def contradicts(update: bytes, layout: Layout, held: bytes, overlaps: Sequence[ClockRange]) -> bool:
    """Tell whether ``update`` and ``held`` differ within these ranges, all of which both bring.

    ``held`` is what a document encoded of the clients of the ranges, each from its first range on. It is read from its
    beginning and no further than needed. Takes time in proportion to the structs that are read, and their bytes.
    """
    wanted: dict[int, list[ClockRange]] = {}
    for overlap in overlaps:
        wanted.setdefault(overlap.client, []).append(overlap)
    reader = _HeldReader(held)
    while wanted:
        ranges = wanted.pop(reader.next_client())
        ours = reader.structs()
        if _differ(update, layout, ranges, ours):
            return True
        if wanted:
            for _ in ours:  # to where the next client begins
                pass
    return False


def _differ(update: bytes, layout: Layout, ranges: Sequence[ClockRange], ours: Iterator[_Struct]) -> bool:
    our = next(ours, None)
    for wanted in ranges:
        for their in _structs(update, layout, wanted):
            start, stop = max(their.clock, wanted.start), min(their.end, wanted.end)
            while start < stop:
                while our is not None and our.end <= start:
                    our = next(ours, None)
                if our is None:
                    # The range begins inside a character beyond U+FFFF, of which the engine has left the second half out:
                    # no editor writes such an update.
                    return True
                end = min(stop, our.end)
                if their.differs(our, start, end):
                    return True
                start = end
    return False


def _structs(update: bytes, layout: Layout, wanted: ClockRange) -> Iterator[_Struct]:
    """Read the structs of an outlined update that touch the range, in which there is no hole."""
    rows = layout.rows
    index = next(index for index, block in enumerate(layout.blocks) if layout.clients[block[0]] == wanted.client)
    _, first, behind, end_clock = layout.blocks[index]
    row = bisect_right(range(behind), wanted.start, first, behind, key=lambda row: rows[4 * row] & CLOCK_MASK) - 1
    for at in range(max(row, first), behind):
        clock = rows[4 * at] & CLOCK_MASK
        if clock >= wanted.end:
            return
        end = rows[4 * at + 4] & CLOCK_MASK if at + 1 < behind else end_clock
        yield _Struct(wanted.client, clock, end, update[rows[4 * at + 3] : struct_end(layout, index, at)])


class _HeldReader:
    """Reads an update that the engine has encoded, struct by struct, as far as is asked for."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = read_varuint(data, 0)[1]
        self._client = self._clock = self._left = 0

    def next_client(self) -> int:
        """Go on to the next client, after all structs of the one before have been read."""
        self._left, at = read_varuint(self._data, self._at)
        self._client, at = read_varuint(self._data, at)
        self._clock, self._at = read_varuint(self._data, at)
        return self._client

    def structs(self) -> Iterator[_Struct]:
        data = self._data
        for _ in range(self._left):
            start = self._at
            kind = data[start] & CONTENT
            if kind == GC:
                length, end = read_varuint(data, start + 1)
            else:
                _, at = _read_neighbours(data, start)
                if kind == STRING:
                    at, end = read_sized(data, at)
                    content = data[at:end]
                    length = len(content) if content.isascii() else len(content.decode().encode("utf-16-le")) >> 1
                else:
                    end, length = CONTENT_READERS[kind](data, at)
            self._at = end
            self._clock += length
            yield _Struct(self._client, self._clock - length, self._clock, data[start:end])


class _Struct:
    """One struct: its bytes, and what they say once that is asked for."""

    __slots__ = ("_content_at", "_neighbours", "_values", "client", "clock", "end", "kind", "raw")

    def __init__(self, client: int, clock: int, end: int, raw: bytes) -> None:
        self.client = client
        self.clock = clock
        self.end = end
        self.raw = raw
        self.kind = raw[0] & CONTENT
        self._content_at = 0
        self._neighbours: tuple[_Id | None, _Id | None] = None, None
        self._values: bytes | list[object] | None = None

    def differs(self, other: _Struct, start: int, end: int) -> bool:
        """Tell whether this and the other say different things of the clocks from ``start`` to ``end``."""
        if self.raw == other.raw and self.clock == other.clock:
            return False
        if GC in (self.kind, other.kind):
            return False
        if self.place(start) != other.place(start):
            return True
        if DELETED in (self.kind, other.kind):
            return False
        if self.kind != other.kind:
            return True
        mine, others = self.values(start, end), other.values(start, end)
        if isinstance(mine, bytes) and isinstance(others, bytes):
            return mine != others and not _same_units(mine, others)
        return not all(map(_same_value, mine, others))

    def place(self, clock: int) -> tuple[_Id | None, _Id | None, bytes]:
        """Tell the neighbours of that clock when it was written, and parent and key where they are written instead."""
        self._read_head()
        origin, right = self._neighbours
        if clock > self.clock:
            return (self.client, clock - 1), right, b""
        return origin, right, self.raw[1 : self._content_at] if origin is right is None else b""

    def values(self, start: int, end: int) -> bytes | list[object]:
        """Give the content of these clocks: UTF-16 for strings, else one value each."""
        if self._values is None:
            self._read_head()
            self._values = _values(self.kind, self.raw, self._content_at)
        width = 2 if self.kind == STRING else 1
        return self._values[width * (start - self.clock) : width * (end - self.clock)]

    def _read_head(self) -> None:
        if not self._content_at:
            self._neighbours, self._content_at = _read_neighbours(self.raw, 0)


def _read_neighbours(data: bytes, at: int) -> tuple[tuple[_Id | None, _Id | None], int]:
    """Read where a struct goes. Returns its neighbours, and where its content begins."""
    info = data[at]
    at += 1
    origin = right = None
    if info & HAS_ORIGIN:
        origin, at = _read_id(data, at)
    if info & HAS_RIGHT_ORIGIN:
        right, at = _read_id(data, at)
    if origin is right is None:
        at = read_sized(data, at + 1)[1] if data[at] else _read_id(data, at + 1)[1]
        if info & HAS_KEY:
            at = read_sized(data, at)[1]
    return (origin, right), at


def _read_id(data: bytes, at: int) -> tuple[_Id, int]:
    client, at = read_varuint(data, at)
    clock, at = read_varuint(data, at)
    return (client, clock), at


def _values(kind: int, raw: bytes, at: int) -> bytes | list[object]:
    if kind == STRING:
        return raw[read_sized(raw, at)[0] :].decode().encode("utf-16-le")
    if kind == _ANY:
        count, at = read_varuint(raw, at)
        values = []
        for _ in range(count):
            value, at = _read_any(raw, at)
            values.append(value)
        return values
    if kind == _EMBED:
        return [read_json(raw[read_sized(raw, at)[0] :])]
    if kind == _FORMAT:
        start, end = read_sized(raw, at)
        return [[raw[start:end], read_json(raw[read_sized(raw, end)[0] :])]]
    if kind == _DOCUMENT:
        start, end = read_sized(raw, at)
        return [raw[start:end]]  # the engine writes a subdocument's options in its own way
    return [raw[at:]]


def _read_any(data: bytes, at: int) -> tuple[object, int]:
    """Read a value in lib0's "any" form, which the guard has let pass."""
    kind = data[at]
    at += 1
    if kind in _CONSTANTS:
        return _CONSTANTS[kind], at
    if kind in _FORMS:
        form, width = _FORMS[kind]
        return struct.unpack(form, data[at : at + width])[0], at + width
    if kind == 125:
        return _read_varint(data, at)
    if kind in (116, 119):
        at, end = read_sized(data, at)
        return data[at:end] if kind == 116 else data[at:end].decode(), end
    count, at = read_varuint(data, at)
    items: list[object] = []
    keys: list[str] = []
    for _ in range(count):
        if kind == 118:
            start, at = read_sized(data, at)
            keys.append(data[start:at].decode())
        value, at = _read_any(data, at)
        items.append(value)
    return (dict(zip(keys, items, strict=True)) if kind == 118 else items), at


_CONSTANTS = {127: ..., 126: None, 121: False, 120: True}
_FORMS = {124: (">f", 4), 123: (">d", 8), 122: (">q", 8)}


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    first = data[at]
    value = first & 63
    shift = 6
    byte = first
    while byte > 127:
        at += 1
        byte = data[at]
        value |= (byte & 127) << shift
        shift += 7
    return -value if first & 64 else value, at + 1


def _same_units(one: bytes, other: bytes) -> bool:
    """Compare UTF-16. A browser puts U+FFFD for both halves of a character when it cuts between them: no contradiction."""
    for at in range(0, len(one), 2):
        mine, others = one[at : at + 2], other[at : at + 2]
        if mine != others:
            halves = {mine, others} - {_REPLACEMENT}
            if len(halves) != 1 or not 0xD8 <= halves.pop()[1] <= 0xDF:
                return False
    return True


def _same_value(one: object, other: object) -> bool:
    """Compare values as replicas hold them: all numbers are doubles, and the engine's JSON reader may miss the last bit."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-14) or (math.isnan(one) and math.isnan(other))
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same_value, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same_value(value, other[key]) for key, value in one.items())
    return type(one) is type(other) and one == other
