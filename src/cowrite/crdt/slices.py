"""Updates cut into others: into small ones that, applied in turn, do the same; and to what a document can take of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cowrite.crdt.outline import CLOCK_BITS, CLOCK_MASK, SKIP, ClockRange, Layout, Outline


def slices(update: bytes, outline: Outline, *, structs: int, ranges: int) -> Iterator[bytes]:
    """Cut an update into updates of at most so many structs, and then of at most so many deleted ranges.

    Each slice needs only what the update needs and what the slices before it bring.
    """
    layout = outline.layout
    taken = [block[1] for block in layout.blocks]
    for index, behind in layout.order:
        row = taken[index]
        while row < behind:
            end = row + 1
            if not _is_skip(layout, row):
                while end < behind and end - row < structs and not _is_skip(layout, end):
                    end += 1
                yield _write([_block(update, layout, index, row, end)], ())
            row = end
        taken[index] = behind
    for at in range(0, len(outline.deletes), ranges):
        yield _write([], outline.deletes[at : at + ranges])


def ready_part(update: bytes, outline: Outline, state: Mapping[int, int]) -> bytes:
    """Cut an update to what a document with that state can take of it without anything pending.

    ``missing`` is empty for the part, and the part is the largest of that kind: of each client a run of structs from the first
    on, and of the deletions what is known then.
    """
    layout = outline.layout
    reached = [state.get(client, 0) for client in layout.clients]
    taken = [block[1] for block in layout.blocks]
    waiting: set[int] = set()  # blocks of which nothing more can be taken
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
