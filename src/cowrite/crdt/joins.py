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
        content = run_right = end = -1
        a, b = 4 * first, 4 * behind
        for head, left, right in zip(rows[a:b:4], rows[a + 1 : b : 4], rows[a + 2 : b : 4], strict=True):
            clock = head & CLOCK_MASK
            here = base | clock
            if (
                left == here - 1
                and right == run_right
                and head >> CLOCK_BITS & CONTENT == content
                and lists.stand_together(left, here)
            ):
                run_structs += 1
                run_length += clock - end
            else:
                if run_structs:
                    cost += _cost(content, run_structs, run_length + clock - end)
                    joined += run_structs
                    run_structs = run_length = 0
                content = head >> CLOCK_BITS & CONTENT
                if content not in (STRING, ANY):
                    content = -1
                run_right = right
            end = clock
        cost += _cost(content, run_structs, run_length + end_clock - end)
        joined += run_structs
    if cost + joined * len(rows) // 256 > limit:
        raise HostileUpdate("joins", "joining its structs would take too long")


def _cost(content: int, structs: int, length: int) -> int:
    """Count what is copied, in steps: a value is cloned, a string's bytes are moved."""
    copied = structs * length
    return copied if content == ANY else copied >> 4
