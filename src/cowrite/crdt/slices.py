"""Updates cut into others: into small ones that, applied in turn, do the same; and to what a document can take of them."""

from __future__ import annotations

import sys
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Final

from cowrite.crdt.errors import HostileUpdate
from cowrite.crdt.guard import outline_of_state
from cowrite.crdt.outline import CLOCK_BITS, CLOCK_MASK, SKIP, ClockRange, Layout, Outline

_STRING: Final = 4
_ONE_CALL: Final = 8 << 10
"""What has no more bytes takes the engine 40 ms at worst."""
_STEPS: Final = 150_000
"""How many steps past others one call of the engine may take: 20 ms."""
_BYTES_A_PIECE: Final = 8
_LEAST_STRUCTS: Final = 8
"""In what is larger still; else cutting would take longer than all else."""
_RANGES: Final = 256
_HAS_ORIGIN, _HAS_RIGHT, _HAS_KEY = 0x80, 0x40, 0x20
"""What a struct's first byte tells."""


def slices(update: bytes, outline: Outline, *, structs: int, ranges: int, size: int = sys.maxsize) -> Iterator[bytes]:
    """Cut an update into updates of at most so many structs, and then of at most so many deleted ranges.

    Each slice needs only what the update needs and what the slices before it bring. With ``size`` it has about so many bytes at
    most, unless it is one struct: and a longer text is cut as though it had been typed in parts, which is the same text. Other
    content cannot be cut.
    """
    layout = outline.layout
    taken = [block[1] for block in layout.blocks]
    for index, behind in layout.order:
        row = taken[index]
        while row < behind:
            end = row + 1
            if not _is_skip(layout, row):
                start = layout.rows[4 * row + 3]
                while (
                    end < behind
                    and end - row < structs
                    and not _is_skip(layout, end)
                    and struct_end(layout, index, end) - start <= size
                ):
                    end += 1
                if struct_end(layout, index, end - 1) - start <= size:
                    yield _write([_block(update, layout, index, row, end)], ())
                else:
                    yield from _parts(update, layout, index, row, size)
            row = end
        taken[index] = behind
    for at in range(0, len(outline.deletes), ranges):
        yield _write([], outline.deletes[at : at + ranges])


def gentle_slices(update: bytes, outline: Outline | None = None) -> Iterator[bytes]:
    """Cut an update of the log so that no call of the engine takes long, whatever is in it. ``outline``: if it is known.

    The engine keeps the interpreter while it is called, and places each struct by a search past others: what is full of
    conflicts takes a time that grows with the square of its size (1.2 s for 3000 structs, 44 KB). What the guard cannot read is
    left whole: the engine tells what is wrong with it.
    """
    if len(update) <= _ONE_CALL:
        yield update
        return
    if outline is None:
        try:
            outline = outline_of_state(update)
        except HostileUpdate:
            yield update
            return
    structs = max(_LEAST_STRUCTS, _STEPS // (len(update) // _BYTES_A_PIECE))
    yield from slices(update, outline, structs=structs, ranges=_RANGES)


def ready_part(update: bytes, outline: Outline, state: Mapping[int, int], without: Container[int] = ()) -> bytes:
    """Cut an update to what a document with that state can take of it without anything pending.

    ``missing`` is empty for the part, and the part is the largest of that kind: of each client a run of structs from the first
    on, and of the deletions what is known then. Of the clients ``without`` it has no structs.
    """
    layout = outline.layout
    reached = [state.get(client, 0) for client in layout.clients]
    taken = [block[1] for block in layout.blocks]
    # Blocks of which nothing more can be taken.
    waiting = {index for index, block in enumerate(layout.blocks) if layout.clients[block[0]] in without}
    for index, behind in layout.order:
        number, _, last, end_clock = layout.blocks[index]
        while index not in waiting and taken[index] < behind:
            row = taken[index]
            if _is_skip(layout, row):
                taken[index] += 1
            elif _is_ready(layout, row, number, reached):
                taken[index] += 1
                end = layout.rows[4 * row + 4] & CLOCK_MASK if row + 1 < last else end_clock
                reached[number] = max(reached[number], end)
            else:
                waiting.add(index)
    blocks = []
    for index, (_, row, _, _) in enumerate(layout.blocks):
        end = taken[index]
        while end > row and _is_skip(layout, end - 1):
            end -= 1
        if end > row:
            blocks.append(_block(update, layout, index, row, end))
    known = dict(state) | dict(zip(layout.clients, reached, strict=True))
    deletes = [ClockRange(client, start, min(end, known.get(client, 0))) for client, start, end in outline.deletes]
    return _write(blocks, [each for each in deletes if each.start < each.end])


def deletion(deletes: Sequence[ClockRange]) -> bytes:
    """Write an update that only deletes. ``deletes``: as in an outline."""
    return _write([], deletes)


def struct_end(layout: Layout, index: int, row: int) -> int:
    """Return the place behind the bytes of a row's struct; ``index`` is its block."""
    if row + 1 < layout.blocks[index][2]:
        return layout.rows[4 * row + 7]
    if index + 1 == len(layout.blocks):
        return layout.deletes_at
    # The next block's head stands between; its integers have their shortest form, the guard saw to that.
    number, first, behind, _ = layout.blocks[index + 1]
    head = bytearray()
    for integer in (behind - first, layout.clients[number], layout.rows[4 * first] & CLOCK_MASK):
        _write_varuint(head, integer)
    return layout.rows[4 * first + 3] - len(head)


def _parts(update: bytes, layout: Layout, index: int, row: int, size: int) -> Iterator[bytes]:
    """One struct, in as many as its text has parts of so many bytes."""
    start, end = layout.rows[4 * row + 3], struct_end(layout, index, row)
    info = update[start]
    if info & 31 != _STRING or info & _HAS_KEY:
        yield _write([_block(update, layout, index, row, row + 1)], ())
        return
    client, clock = layout.clients[layout.blocks[index][0]], layout.rows[4 * row] & CLOCK_MASK
    right, at = _neighbours(update, start)
    head = update[start:at]
    _, at = _read_varuint(update, at)  # the length of the text
    while at < end:
        behind = min(at + size, end)
        while behind < end and update[behind] & 0xC0 == 0x80:  # within a character
            behind -= 1
        out = bytearray()
        for integer in (1, client, clock):
            _write_varuint(out, integer)
        out += head
        _write_varuint(out, behind - at)
        out += update[at:behind]
        yield _write([bytes(out)], ())
        clock += len(update[at:behind].decode().encode("utf-16-le")) // 2
        at = behind
        following = bytearray((_STRING | _HAS_ORIGIN | info & _HAS_RIGHT,))
        for integer in (client, clock - 1):
            _write_varuint(following, integer)
        head = bytes(following) + right


def _neighbours(update: bytes, start: int) -> tuple[bytes, int]:
    """The right neighbour of a text, as it is written, and where its content begins."""
    info, at = update[start], start + 1
    if info & _HAS_ORIGIN:
        at = _behind_id(update, at)
    right = at
    if info & _HAS_RIGHT:
        at = _behind_id(update, at)
        return update[right:at], at
    if not info & _HAS_ORIGIN:
        is_root, at = _read_varuint(update, at)
        if is_root:
            length, at = _read_varuint(update, at)
            at += length
        else:
            at = _behind_id(update, at)
    return b"", at


def _behind_id(update: bytes, at: int) -> int:
    _, at = _read_varuint(update, at)
    _, at = _read_varuint(update, at)
    return at


def _is_skip(layout: Layout, row: int) -> bool:
    return layout.rows[4 * row] >> CLOCK_BITS == SKIP


def _is_ready(layout: Layout, row: int, number: int, reached: Sequence[int]) -> bool:
    head, left, right = layout.rows[4 * row : 4 * row + 3]
    if left and not left >> CLOCK_BITS:
        left = layout.heads[left - 1]
    return head & CLOCK_MASK <= reached[number] and all(
        place & CLOCK_MASK < reached[(place >> CLOCK_BITS) - 1] for place in (left, right) if place
    )


def _block(update: bytes, layout: Layout, index: int, row: int, end: int) -> bytes:
    out = bytearray()
    for integer in (end - row, layout.clients[layout.blocks[index][0]], layout.rows[4 * row] & CLOCK_MASK):
        _write_varuint(out, integer)
    return bytes(out) + update[layout.rows[4 * row + 3] : struct_end(layout, index, end - 1)]


def _write(blocks: Sequence[bytes], deletes: Sequence[ClockRange]) -> bytes:
    out = bytearray()
    _write_varuint(out, len(blocks))
    for each in blocks:
        out += each
    by_client: dict[int, list[ClockRange]] = {}
    for deleted in deletes:
        by_client.setdefault(deleted.client, []).append(deleted)
    _write_varuint(out, len(by_client))
    for client, ranges in by_client.items():
        _write_varuint(out, client)
        _write_varuint(out, len(ranges))
        for _, start, stop in ranges:
            _write_varuint(out, start)
            _write_varuint(out, stop - start)
    return bytes(out)


def _write_varuint(out: bytearray, value: int) -> None:
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)


def _read_varuint(update: bytes, at: int) -> tuple[int, int]:
    """An integer that the guard has seen, and the place behind it."""
    value = shift = 0
    while True:
        byte = update[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
