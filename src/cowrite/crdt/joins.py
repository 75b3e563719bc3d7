"""What it costs the engine to join an update's neighbouring structs.

At the end of a transaction the engine joins structs that continue one another, from right to left, and each time copies what
it has joined so far: the square of their number for strings (3 s for 1 MB), and with a hundred times the weight for values
(60 s for 240 KB). Editors join before they send, so hardly any update has structs that can be joined.
"""

from __future__ import annotations

from cowrite.crdt.conflicts import Lists
from cowrite.crdt.errors import HostileUpdate
from cowrite.crdt.outline import ANY, CLOCK_BITS, CLOCK_MASK, CONTENT, STRING, Layout


def check_joins(layout: Layout, lists: Lists, limit: int) -> None:
    """Raise :class:`HostileUpdate` when joining would take more than ``limit`` steps (about 40 ns each).

    ``lists`` tell which structs stand side by side: those between which others were put are not joined.
    """
    rows = layout.rows
    cost = joined = 0
    for number, first, behind, end_clock in layout.blocks:
        base = number + 1 << CLOCK_BITS
        run_structs = run_length = 0
        content = right = end = -1
        for at in range(4 * first, 4 * behind, 4):
            head = rows[at]
            clock = head & CLOCK_MASK
            if (
                content in (STRING, ANY)
                and head >> CLOCK_BITS & CONTENT == content
                and rows[at + 1] == (base | clock) - 1
                and rows[at + 2] == right
                and lists.stand_together((base | clock) - 1, base | clock)
            ):
                run_structs += 1
                run_length += clock - end
            else:
                cost += _cost(content, run_structs, run_length)
                joined += run_structs
                run_structs = run_length = 0
                content = head >> CLOCK_BITS & CONTENT
                right = rows[at + 2]
            end = clock
        cost += _cost(content, run_structs, run_length + end_clock - end)
        joined += run_structs
    if cost + joined * len(rows) // 256 > limit:
        raise HostileUpdate("joins", "joining its structs would take too long")


def _cost(content: int, structs: int, length: int) -> int:
    """Count what is copied, in steps: a value is cloned, a string's bytes are moved."""
    copied = structs * length
    return copied if content == ANY else copied >> 4
