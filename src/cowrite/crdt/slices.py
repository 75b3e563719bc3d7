"""An update cut into small ones that, applied in turn, do the same."""

from __future__ import annotations

from collections.abc import Iterator

from cowrite.crdt.outline import CLOCK_BITS, CLOCK_MASK, SKIP, Layout


def slices(update: bytes, layout: Layout, structs: int) -> Iterator[bytes]:
    """Cut an update into updates of at most so many structs each, and at last one with all deletions.

    Each slice needs only what the update needs and what the slices before it bring.
    """
    taken = [block[1] for block in layout.blocks]
    for index, behind in layout.order:
        row = taken[index]
        while row < behind:
            if layout.rows[4 * row] >> CLOCK_BITS == SKIP:
                row += 1
                continue
            end = row + 1
            while end < behind and end - row < structs and layout.rows[4 * end] >> CLOCK_BITS != SKIP:
                end += 1
            yield _slice(update, layout, index, row, end)
            row = end
        taken[index] = behind
    yield b"\x00" + update[layout.deletes_at :]


def _slice(update: bytes, layout: Layout, index: int, row: int, end: int) -> bytes:
    out = bytearray((1,))
    _write_varuint(out, end - row)
    _write_varuint(out, layout.clients[layout.blocks[index][0]])
    _write_varuint(out, layout.rows[4 * row] & CLOCK_MASK)
    out += update[layout.rows[4 * row + 3] : struct_end(layout, index, end - 1)]
    out.append(0)
    return bytes(out)


def struct_end(layout: Layout, index: int, row: int) -> int:
    """Return the place behind the bytes of a row's struct; ``index`` is its block."""
    if row + 1 < layout.blocks[index][2]:
        return layout.rows[4 * row + 7]
    if index + 1 == len(layout.blocks):
        return layout.deletes_at
    # The next block's head stands between; its integers have their shortest form, the guard saw to that.
    number, first, behind, _ = layout.blocks[index + 1]
    head = bytearray()
    _write_varuint(head, behind - first)
    _write_varuint(head, layout.clients[number])
    _write_varuint(head, layout.rows[4 * first] & CLOCK_MASK)
    return layout.rows[4 * first + 3] - len(head)


def _write_varuint(out: bytearray, value: int) -> None:
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
