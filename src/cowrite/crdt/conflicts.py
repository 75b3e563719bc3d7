"""What it costs the engine to find each struct's place among concurrent ones.

Theory of operation. A struct names the neighbours that it had when it was written. Where these stand side by side it goes
between them at once; where concurrent structs have come between them, the engine steps past those, one by one (YATA's rule).
Editors cause few such steps; an update made for it causes the square of its length of them, minutes for a megabyte. So an
update of many structs is integrated here, on paper, before the engine sees it: the lists hold ids only, and whatever the
document holds besides is left out. A struct between neighbours that only the document knows is counted as loose:
``Document.admit`` takes care of those.

Ids are those of :class:`cowrite.crdt.outline.Layout`. A struct of several clocks is one piece until something is put into it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from typing import Final, NoReturn, TypeAlias

from cowrite.crdt.errors import HostileUpdate
from cowrite.crdt.outline import CLOCK_BITS, CLOCK_MASK, GC, SKIP, Layout

NONE: Final = 0
"""No neighbour: the end of a list, as a right one; its beginning, as a left one."""


_Piece: TypeAlias = tuple[int, int, int, int]
"""(Last clock, origin or NONE, right origin or NONE, Yjs client)."""


class Lists:
    """The lists that an update's structs form. Make them, then :meth:`integrate` once, then ask."""

    def __init__(self, layout: Layout, limit: int) -> None:
        """Take at most ``limit`` steps to place the update's structs among themselves."""
        self.loose = 0
        """How many structs went where the document may hold others, of which nothing is known here, or cut another."""
        self._shared: set[int] = set()
        """Left neighbours and heads behind which the document may hold others."""
        self._layout = layout
        self._steps_left = limit
        self._right_of: dict[int, int] = {}  # last clock of a piece → first clock of its right neighbour
        self._first_of: dict[int, int] = {}  # head → first clock of the first piece
        self._head_of: dict[int, int] = {}  # first clock of a first piece → its head, or NONE when only the document knows that
        self._splits: dict[int, list[int]] = {}  # client → last clocks of those pieces that do not end where their struct does
        self._starts: dict[int, int] = {}  # client → first id
        self._structs: dict[int, list[int]] = {}  # client → ids of its structs and the id behind them; filled when needed
        self._pieces: dict[int, _Piece] = {}  # by first clock; filled when needed
        self._blocks = {block[0] + 1: block for block in layout.blocks}
        for client, block in self._blocks.items():
            self._starts[client] = client << CLOCK_BITS | layout.rows[4 * block[1]] & CLOCK_MASK

    def integrate(self) -> None:
        """Put every struct into its list, in the engine's order. Raises :class:`HostileUpdate` when it takes too many steps."""
        rows, blocks, right_of = self._layout.rows, self._layout.blocks, self._right_of
        taken = [block[1] for block in blocks]
        for index, behind in self._layout.order:
            number, _, block_end, end_clock = blocks[index]
            base = number + 1 << CLOCK_BITS
            for at in range(4 * taken[index], 4 * behind, 4):
                head = rows[at]
                if head >> CLOCK_BITS not in (GC, SKIP):
                    end = rows[at + 4] & CLOCK_MASK if at + 4 < 4 * block_end else end_clock
                    first, last, left, right = base | head & CLOCK_MASK, (base | end) - 1, rows[at + 1], rows[at + 2]
                    if left in right_of and right_of[left] == right:  # as nearly always
                        right_of[left] = first
                        right_of[last] = right
                    else:
                        self._insert(first, last, left, right)
            taken[index] = behind

    def stand_together(self, left: int, right: int) -> bool:
        """Tell whether ``right``, the first clock of a piece, stands directly right of ``left``, the last one of another."""
        return self._right_of.get(left) == right

    def order_from(self, head: int, ends: Mapping[int, int]) -> list[tuple[int, int]]:
        """Return the pieces in the list of that head, as far as the update tells: the ids of their first and last clocks.

        ``ends``: for the id of each struct's first clock that of its last one. What is missing there is looked up.
        """
        order = []
        right_of = self._right_of
        piece = self._first_of.get(head, NONE)
        while piece:
            last = ends.get(piece, NONE)
            if not last or piece >> CLOCK_BITS in self._splits:
                found = self._piece(piece)
                assert found is not None, "the list of a head holds only what the update brings"
                last = found[0]
            order.append((piece, last))
            piece = right_of[last]
        return order

    def _insert(self, first: int, last: int, left: int, right: int) -> None:
        if left >> CLOCK_BITS:
            after = self._after(left)
            if after is None:
                self._shared.add(left)
                after = right
            self.loose += left in self._shared
            if after != right:
                left = self._scan(first, left, right, after)
                after = self._right_of[left]
            self._right_of[left] = first
            self._right_of[last] = after
        elif left:
            self._insert_under(first, last, left)
        else:
            self._insert_before(first, last, right)

    def _insert_under(self, first: int, last: int, head: int) -> None:
        """Put a struct without neighbours into the list of ``head``."""
        after = self._first_of.get(head)
        if after is None:
            parent = self._layout.heads[head - 1]
            if parent < self._starts.get(parent >> CLOCK_BITS, parent + 1):
                self._shared.add(head)
            self.loose += head in self._shared
            self._first_of[head] = first
            self._head_of[first] = head
            self._right_of[last] = NONE
        else:
            self.loose += head in self._shared
            self._put(first, last, self._scan(first, NONE, NONE, after), after)

    def _insert_before(self, first: int, last: int, right: int) -> None:
        """Put a struct without a left neighbour before ``right``, which was the first of its list once."""
        start = right if right in self._head_of else self._first_before(right)
        self.loose += start is None or not self._head_of[start] or self._head_of[start] in self._shared
        if start is None:
            self._head_of[first] = NONE
            self._right_of[last] = right
        elif start == right:
            self._put(first, last, NONE, start)
        else:
            self._put(first, last, self._scan(first, NONE, right, start), start)

    def _put(self, first: int, last: int, place: int, start: int) -> None:
        """Put a struct behind the piece that ends with ``place``, or before ``start``, the first of its list."""
        if place:
            self._right_of[last] = self._right_of[place]
            self._right_of[place] = first
            return
        head = self._head_of.pop(start)
        self._head_of[first] = head
        if head:
            self._first_of[head] = first
        self._right_of[last] = start

    def _after(self, left: int) -> int | None:
        """Return what stands right of that clock; None when only the document knows."""
        after = self._right_of.get(left)
        if after is None:
            client = left >> CLOCK_BITS
            if left < self._starts.get(client, left + 1) or self._struct(left) is None:  # or it was collected
                return None
            after = self._split(left)
        return after

    def _split(self, last: int) -> int:
        """End a piece at that clock. Returns the next one."""
        self.loose += 1
        splits = self._splits.setdefault(last >> CLOCK_BITS, [])
        index = bisect_left(splits, last)
        splits.insert(index, last)
        self._right_of[last] = last + 1
        struct = self._struct(last)
        assert struct is not None, "only what the update brings is cut"
        self._pieces.pop(max(struct[1], splits[index - 1] + 1 if index else 0), None)
        return last + 1

    def _scan(self, first: int, left: int, right: int, start: int) -> int:
        """Find the place of a struct among those that came between its neighbours: the last clock of what goes left of it."""
        struct = self._struct(right)
        if struct is not None and struct[1] < right and right - 1 not in self._right_of:
            self._split(right - 1)
        client = self._layout.clients[(first >> CLOCK_BITS) - 1]
        place = left
        passed: set[int] = set()
        conflicting: set[int] = set()
        at = start
        while at not in (NONE, right):
            self._steps_left -= 1
            piece = self._pieces.get(at) or self._piece(at)
            if piece is None:
                break
            last, origin, right_origin, other = piece
            passed.add(last)
            conflicting.add(last)
            if origin == left:
                if other < client:
                    place = last
                    conflicting.clear()
                elif right_origin == right:
                    break
            elif origin not in passed:
                break
            elif origin not in conflicting:
                place = last
                conflicting.clear()
            at = self._right_of.get(last, NONE)
            if self._steps_left < 0:
                _refuse()
        return place

    def _first_before(self, right: int) -> int | None:
        """Return the first piece of the list in which ``right`` stands; None when only the document knows."""
        while True:
            self._steps_left -= 1
            struct = self._struct(right)
            if struct is None:
                return None
            if self._steps_left < 0:
                _refuse()
            at, first, _ = struct
            if first in self._head_of:
                return first
            left = self._layout.rows[at + 1]
            if left >> CLOCK_BITS:
                right = left
            elif left:
                return self._first_of[left]
            else:
                right = self._layout.rows[at + 2]

    def _struct(self, clock: int) -> tuple[int, int, int] | None:
        """Return (place in the rows, first id, last id) of the struct at that id; None when the update does not bring it."""
        client = clock >> CLOCK_BITS
        block = self._blocks.get(client)
        if block is None:
            return None
        firsts = self._structs.get(client)
        if firsts is None:
            base = client << CLOCK_BITS
            heads = self._layout.rows[4 * block[1] : 4 * block[2] : 4]
            firsts = self._structs[client] = [base | head & CLOCK_MASK for head in heads] + [base | block[3]]
        index = bisect_right(firsts, clock) - 1
        if not 0 <= index < len(firsts) - 1:
            return None
        at = 4 * (block[1] + index)
        if self._layout.rows[at] >> CLOCK_BITS in (GC, SKIP):
            return None
        return at, firsts[index], firsts[index + 1] - 1

    def _piece(self, first: int) -> _Piece | None:
        """Describe the piece that begins with that clock; None when the update does not bring it."""
        struct = self._struct(first)
        if struct is None:
            return None
        at, struct_first, last = struct
        client = first >> CLOCK_BITS
        splits = self._splits.get(client, [])
        index = bisect_left(splits, first)
        if index < len(splits):
            last = min(last, splits[index])
        origin = self._layout.rows[at + 1] if first == struct_first else first - 1
        if not origin >> CLOCK_BITS:
            origin = NONE
        piece = self._pieces[first] = last, origin, self._layout.rows[at + 2], self._layout.clients[client - 1]
        return piece


def _refuse() -> NoReturn:
    raise HostileUpdate("conflicts", "placing its structs among one another would take too long")
