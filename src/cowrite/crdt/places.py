"""What a document has to remember of its structs to judge where an update would put new ones.

Theory of operation. An update names neighbours and parents by id only. Four things can be wrong with such a place, and the
engine notices none of them in time:

* Levels. Shared types nested so deep that the engine's recursion overflows; thousands of small updates may build them up.
* Parents. A parent that is no shared type: the engine fails half-way.
* Halves. A neighbour or a deletion that begins or ends between the two UTF-16 halves of a character beyond U+FFFF: the engine
  keeps the character whole, miscounts, and encodes a state in which the client's later clocks are shifted.
* What is no value of an entry, under a key. With a format mark the engine panics when it tells what has changed. And of content
  of more than one clock, once it was cut, it forgets all but the last piece: these keep pointing to the type that holds them
  when that is gone, and the process dies of what is put beside them.

So this keeps, for each client, runs of clocks of the same level and kind, and where the halves are. Typing makes no new runs; a
new paragraph makes about three.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from cowrite.crdt.errors import HostileUpdate
from cowrite.crdt.neighbours import Neighbours, Typist
from cowrite.crdt.outline import CLOCK_BITS, CLOCK_MASK, CONTENT, DELETED, FORMAT, GC, HAS_KEY, SKIP, TYPE, Layout, Outline

MAX_LEVELS: Final = 100
"""How deep shared types may be nested. The engine crashes the process from about 20 000 levels on; readers recurse, too."""

_VALUE, _TYPE, _GONE, _HOLE = range(4)  # the two low bits of a mark
_KIND = 3
_KEYED = 4  # the next one: it stands under a key
_LEVEL = 3  # the others are the level
_DEEPEST = (1 << 13) - 1
_NO_VALUES: Final = frozenset((GC, DELETED, TYPE, SKIP))


_FOUR_BYTES = re.compile(rb"[\xf0-\xf4][\x80-\xbf]{3}")


def may_hold_halves(state: bytes) -> bool:
    """Tell whether there may be characters beyond U+FFFF in it: quick, and wrong only when the answer is yes."""
    return _FOUR_BYTES.search(state) is not None


def may_be_misplaced(outline: Outline, state: Mapping[int, int]) -> bool:
    """Tell whether anything in it but a half of a known character could be wrong, by what a document with that state holds.

    What is typed at the end of a text never is.
    """
    layout, rows = outline.layout, outline.layout.rows
    if outline.types or layout.halves or any(layout.heads) or any(rows[2::4]):
        return True
    if any(head >> CLOCK_BITS & HAS_KEY for head in rows[::4]):
        return True  # what is put beside an entry comes later: it has been looked at by then
    return any(start < state.get(client, 0) < end for client, start, end in outline.brings)


def check_cut(layout: Layout, state: Mapping[int, int]) -> None:
    """Refuse a character of which a document with that state knows one half: the engine would take the other one by itself."""
    for half in layout.halves:
        if state.get(layout.clients[(half >> CLOCK_BITS) - 1], 0) == (half & CLOCK_MASK) + 1:
            raise HostileUpdate("half_character", "what is known of it ends between the two UTF-16 halves of a character")


class Places:
    """Levels, kinds and halves of characters of the structs of one document."""

    __slots__ = ("_checked", "_clients", "_halves", "_typing", "neighbours")

    def __init__(self) -> None:
        self.neighbours = Neighbours()
        """What hangs under what, by which :mod:`cowrite.crdt.neighbours` judges what an update names."""
        self._clients: dict[int, _Runs] = {}
        self._halves: dict[int, array[int]] = {}  # client → ascending clocks of first halves of characters
        self._checked: tuple[Outline, Sequence[_Run]] | None = None
        self._typing: tuple[Outline, Typist, _Runs] | None = None

    def types_on(self, outline: Outline) -> bool:
        """Tell whether it is what somebody types on, as nearly always: then nothing can be wrong with it.

        It has one struct, which goes on behind its client's last one, before the same neighbour, and both are mere values in a
        list. False: :meth:`check` it, and its neighbours.
        """
        self._typing = None
        if outline.structs != 1 or outline.deletes or self._halves or outline.layout.halves:
            return False
        typist = self.neighbours.typist(outline)
        if typist is None:
            return False
        layout = outline.layout
        head, _, right, _ = layout.rows
        runs = self._clients[layout.clients[layout.blocks[0][0]]]
        if runs.marks[-1] & (_KIND | _KEYED) or head >> CLOCK_BITS & CONTENT in _NO_VALUES:
            return False
        if right and self._look_up(layout, right, {}) & _KEYED:
            return False
        self._typing = outline, typist, runs
        return True

    def check(self, outline: Outline) -> None:
        """Raise :class:`HostileUpdate` when the update would put something in a wrong place.

        The document must have what the update needs, and all that it has must have been told to :meth:`note`.
        """
        if self._halves or outline.layout.halves:
            self._check_halves(outline)
        self._checked = outline, self._place(outline, strict=True)

    def note(self, outline: Outline) -> None:
        """Remember where the structs of an update went that has been applied. Checks nothing."""
        typing, self._typing = self._typing, None
        if typing is not None and typing[0] is outline:
            typing[1].end = typing[2].end = outline.brings[0].end  # in the same runs
            return
        self.neighbours.note(outline)
        checked, self._checked = self._checked, None
        placed = checked[1] if checked is not None and checked[0] is outline else self._place(outline, strict=False)
        for client, start, end, mark in placed:
            runs = self._clients.get(client)
            if runs is None:
                runs = self._clients[client] = _Runs()
            runs.add(start, end, mark)
        for half in outline.layout.halves:
            clocks = self._halves.setdefault(outline.layout.clients[(half >> CLOCK_BITS) - 1], array("I"))
            if not clocks or clocks[-1] < half & CLOCK_MASK:
                clocks.append(half & CLOCK_MASK)

    def _place(self, outline: Outline, *, strict: bool) -> Sequence[_Run]:
        """Find the mark of each struct."""
        layout = outline.layout
        if outline.structs == 1:
            number, _, _, end = layout.blocks[0]
            head = layout.rows[0]
            mark = self._mark(layout, 0, end - (head & CLOCK_MASK), {}, strict)
            return ((layout.clients[number], head & CLOCK_MASK, end, mark),) if mark != _HOLE else ()
        placed: list[_Run] = []
        fresh: dict[int, _Runs] = {}  # by number of the client
        taken = [block[1] for block in layout.blocks]
        for index, behind in layout.order:
            number, _, last, end_clock = layout.blocks[index]
            client = layout.clients[number]
            runs = fresh.setdefault(number, _Runs())
            for row in range(taken[index], behind):
                start = layout.rows[4 * row] & CLOCK_MASK
                end = layout.rows[4 * row + 4] & CLOCK_MASK if row + 1 < last else end_clock
                mark = self._mark(layout, 4 * row, end - start, fresh, strict)
                runs.add(start, end, mark)
                if mark != _HOLE:
                    placed.append((client, start, end, mark))
            taken[index] = behind
        return placed

    def _mark(self, layout: Layout, at: int, length: int, fresh: dict[int, _Runs], strict: bool) -> int:
        """Find the mark of the struct whose row is there."""
        rows = layout.rows
        content = rows[at] >> CLOCK_BITS & CONTENT
        left = rows[at + 1]
        if content in (GC, SKIP):
            return _HOLE if content else _GONE
        if left >> CLOCK_BITS or not left:
            mark = self._beside(layout, left, rows[at + 2], fresh, strict)
        else:
            mark = self._at_head(layout, left, fresh, strict) | (_KEYED if rows[at] >> CLOCK_BITS & HAS_KEY else 0)
        if content == TYPE:
            if strict and mark >> _LEVEL >= MAX_LEVELS:
                raise HostileUpdate("levels", f"shared types would be nested more than {MAX_LEVELS} levels deep")
            return mark | _TYPE
        if content == DELETED:
            return mark | _GONE
        if strict and mark & _KEYED and (content == FORMAT or length > 1):
            raise HostileUpdate("no_entry", "a format mark, or more than one value, stands under a key")
        return mark

    def _beside(self, layout: Layout, left: int, right: int, fresh: dict[int, _Runs], strict: bool) -> int:
        """Find the mark of what stands between neighbours, of which one may not be named."""
        mark = self._look_up(layout, left, fresh) & ~_KIND if left else 0
        if right:
            other = self._look_up(layout, right, fresh) & ~_KIND
            if strict and (mark | other) & _KEYED:  # else one may be in a list, and the engine decides by what is left of them
                raise HostileUpdate("no_entry", "an entry under a key has a right neighbour")
            mark = max(mark, other)
        return mark

    def _at_head(self, layout: Layout, head: int, fresh: dict[int, _Runs], strict: bool) -> int:
        """Find the mark of what stands at the beginning of a list."""
        if not layout.heads[head - 1]:
            return 0
        parent = self._look_up(layout, layout.heads[head - 1], fresh)
        if strict and parent & _KIND == _VALUE:
            raise HostileUpdate("parent", "a struct's parent is no shared type")
        return min((parent >> _LEVEL) + 1, _DEEPEST) << _LEVEL

    def _look_up(self, layout: Layout, place: int, fresh: dict[int, _Runs]) -> int:
        number = (place >> CLOCK_BITS) - 1
        clock = place & CLOCK_MASK
        runs = fresh.get(number)
        if runs is not None and runs.starts and runs.starts[0] <= clock < runs.end:
            mark = runs.mark(clock)
            if mark != _HOLE:
                return mark
        runs = self._clients.get(layout.clients[number])
        return _GONE if runs is None else runs.mark(clock)

    def _check_halves(self, outline: Outline) -> None:
        layout = outline.layout
        inside = set(layout.halves)
        known = [self._halves.get(client) for client in layout.clients]
        rows = layout.rows
        for at in range(0, len(rows), 4):
            for place in (rows[at + 1], rows[at + 2] - 1):
                number = (place >> CLOCK_BITS) - 1
                if number >= 0 and (place in inside or _holds(known[number], place & CLOCK_MASK)):
                    _refuse_half()
        own = {(layout.clients[(half >> CLOCK_BITS) - 1], half & CLOCK_MASK) for half in inside}
        for client, start, end in outline.deletes:
            clocks = self._halves.get(client)
            for clock in (start - 1, end - 1):
                if (client, clock) in own or _holds(clocks, clock):
                    _refuse_half()


_Run: TypeAlias = tuple[int, int, int, int]
"""(client, start, end, mark)."""


class _Runs:
    """Marks of one client's clocks: each holds from its start to the next one's."""

    __slots__ = ("end", "marks", "starts")

    def __init__(self) -> None:
        self.starts = array("I")
        self.marks = array("H")
        self.end = 0

    def add(self, start: int, end: int, mark: int) -> None:
        """Add what of it comes behind the end."""
        if end > self.end:
            if not self.marks or self.marks[-1] != mark:
                self.starts.append(max(start, self.end))
                self.marks.append(mark)
            self.end = end

    def mark(self, clock: int) -> int:
        starts = self.starts
        if clock >= starts[-1]:
            return self.marks[-1]
        return self.marks[bisect_right(starts, clock) - 1]


def _holds(clocks: array[int] | None, clock: int) -> bool:
    if clocks is None:
        return False
    index = bisect_left(clocks, clock)
    return index < len(clocks) and clocks[index] == clock


def _refuse_half() -> None:
    raise HostileUpdate("half_character", "it cuts a character beyond U+FFFF into its two UTF-16 halves")
