"""Which neighbours a struct may name, so that every replica puts it in the same place.

Theory of operation. A struct names its left neighbour (origin) and its right one. All structs of a list form a tree, in which
each hangs under its origin; the list is that tree read from its root, each struct before what hangs under it. To place a
struct, YATA searches what hangs under its origin, and stops at its right neighbour. Whoever writes names what stands right of
the origin then: that hangs directly under the origin, or not under it at all, and then the search never meets it. Three
others do harm that stays:

* One that hangs deeper under the origin. The search stops amid what hangs together, and replicas which other structs reach in
  another order make another order of them, also of those that are in order themselves.
* One that stands left of the origin, or is it, if one piece of text may hold both and something before them. The engine (as
  Yjs) cuts the piece behind the origin and then before the right neighbour, and goes on with what is left of it: the struct
  goes before the right neighbour. Where they were two pieces already it goes behind the origin. How a document is cut depends
  on what came in which order, and on restarts.
* One in another list. When the one list is collected, browsers that read the document anew take the struct as collected, and
  the engine does not. Likewise, if one neighbour was collected and the other was not: unless the list of that is deleted,
  too; and what begins with clocks that were collected, and goes on where something lives.

What a struct names never changes, and but for what was collected this depends on nothing else than what the struct builds
on. So it is judged once, and everybody would come to the same result, in whatever order things come.

Editors write none of the three, but for one case: undo in Yjs 13.6 may, when it brings back a list in which something had been
deleted and brought back before. Yjs's own replicas may differ after it (``tests/node/test_replicas.py``).

The tree is remembered in *runs*: what one client has put behind its own last unit, with the same right neighbour. Only what
is in one run can be in one piece, and typing makes no new ones. Whether a unit hangs under another is told in logarithmic
time, by a shortcut from each run to one far above it (skew-binary jump pointers: Myers, "An applicative random-access stack",
1983): two people who type by turns make a tree that is as deep as their text is long.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, TypeAlias

from cowrite.crdt.errors import HostileUpdate
from cowrite.crdt.outline import CLOCK_BITS, CLOCK_MASK, CONTENT, GC, HAS_KEY, SKIP, Layout, Outline

_COLLECTED: Final = 0
_ENTRY: Final = 1
"""The runs of all that was collected, and of all that stands under keys: of these nothing is known or needed."""
_NOWHERE: Final = (1 << 32) - 1
_NO_RIGHT: Final = -1

_Id: TypeAlias = tuple[int, int]
_Unit: TypeAlias = tuple[int, int, int]
"""(run, clock, first clock of the run)."""


class Neighbours:
    """What hangs under what in the lists of one document."""

    __slots__ = ("_before", "_clients", "_clocks", "_depths", "_numbers", "_parents", "_shortcuts", "_taken", "_undo")

    def __init__(self) -> None:
        self._clients: dict[int, Typist] = {}
        self._numbers = 0
        # By run: what it hangs under. If that is no unit, its list instead: the holding type's (number of the client, clock).
        self._parents = array("I", (_NOWHERE, _NOWHERE))
        self._clocks = array("I", (0, 0))
        self._depths = array("I", (0, 0))
        self._shortcuts = array("I", (_COLLECTED, _ENTRY))
        self._taken: Outline | None = None
        """What was checked, and is remembered as if it had been applied; and what there was before, to take it back."""
        self._undo: dict[int, tuple[int, int, int]] = {}
        self._before = 0

    def check(self, outline: Outline) -> list[_Id]:
        """Raise :class:`HostileUpdate` when a struct has neighbours between which no editor could have put it.

        Returns shared types as (client, clock): unless all of these are deleted, the update must be refused, too. It puts
        something into each of them beside something that was collected. The document must have what the update needs, and all
        that it has must have been told to :meth:`note`.
        """
        if self._taken is not None:
            self._take_back()
        goes_on = outline.structs < 2 and self._goes_on(outline)
        self._taken, self._before = outline, len(self._parents)
        if goes_on:
            return []
        dead: set[_Id] = set()
        try:
            self._follow(outline.layout, dead)
        except HostileUpdate:
            self._take_back()
            raise
        if not dead:
            return []
        names = {known.number: client for client, known in self._clients.items()}
        return [(names[number], clock) for number, clock in dead]

    def note(self, outline: Outline) -> None:
        """Remember where the structs of an update went that has been applied. Checks nothing."""
        if self._taken is not outline:
            self._take_back()
            self._follow(outline.layout, None)
        self._taken = None
        self._undo.clear()

    def _take_back(self) -> None:
        """What was checked last has not been applied."""
        if self._taken is not None:
            self._taken = None
            for client, before in self._undo.items():
                if before[0]:
                    self._clients[client].cut(*before)
                else:
                    del self._clients[client]
            self._undo.clear()
            for column in (self._parents, self._clocks, self._depths, self._shortcuts):
                del column[self._before :]

    def typist(self, outline: Outline) -> Typist | None:
        """Return whose one struct it brings that goes on behind that client's last one, before the same neighbour: it is in its
        place, and once it is applied there is nothing to :meth:`note` but the typist's new ``end``. None: it is another.
        """
        if self._taken is not None:
            self._take_back()
        layout = outline.layout
        number, rows = layout.blocks[0][0], layout.rows
        client = self._clients.get(layout.clients[number])
        if client is None or rows[1] != (number + 1 << CLOCK_BITS | client.end - 1) or rows[0] & CLOCK_MASK != client.end:
            return None
        return client if _name(layout, rows[2]) == client.right else None

    def _goes_on(self, outline: Outline) -> bool:
        """Take what somebody types on, as nearly always; of a deletion there is nothing to take."""
        if not outline.structs:
            return True
        client = self.typist(outline)
        if client is None:
            return False
        name, start, end = outline.brings[0]
        self._undo[name] = len(client.runs), start, client.right
        client.end = end
        return True

    def _follow(self, layout: Layout, dead: set[_Id] | None) -> None:
        """Take the structs of an update; check them unless ``dead`` is None."""
        rows = layout.rows
        taken = [block[1] for block in layout.blocks]
        for index, behind in layout.order:
            number, _, last, end_clock = layout.blocks[index]
            name = layout.clients[number]
            client = self._clients.get(name)
            if client is None:
                self._numbers += 1
                client = self._clients[name] = Typist(self._numbers)
            if dead is not None and name not in self._undo:
                self._undo[name] = len(client.runs), client.end, client.right
            own = number + 1 << CLOCK_BITS
            for row in range(taken[index], behind):
                end = rows[4 * row + 4] & CLOCK_MASK if row + 1 < last else end_clock
                if end > client.end and rows[4 * row] >> CLOCK_BITS & CONTENT != SKIP:
                    self._take(layout, rows[4 * row : 4 * row + 3], client, own, end, dead)
            taken[index] = behind

    def _take(self, layout: Layout, row: Sequence[int], client: Typist, own: int, end: int, dead: set[_Id] | None) -> None:
        """Take what is new of a struct, which ends before ``end``; ``own`` is the id of its client's clock 0."""
        head, left, right = row
        start = head & CLOCK_MASK
        if head >> CLOCK_BITS & CONTENT == GC:
            client.add(start, end, _COLLECTED, _NO_RIGHT)
            return
        if start < client.end:  # the rest of it goes on behind what is known
            if client.runs[-1] == _COLLECTED:
                if dead is not None and not self._was_to_be_collected(layout, left, right, dead):
                    raise HostileUpdate("neighbours", f"clock {client.end} of a client goes on behind what was collected")
                client.add(start, end, _COLLECTED, _NO_RIGHT)
                return
            left = own | client.end - 1
        name = _name(layout, right)
        if client.end and left == own | client.end - 1 and name == client.right:  # as nearly always
            client.end = end
            return
        origin = self._unit(layout, left) if left >> CLOCK_BITS else None
        other = self._unit(layout, right) if right else None
        if other is not None and dead is not None and not self._fits(origin, other, dead):
            raise HostileUpdate(
                "neighbours", f"clock {start} of a client is put before what cannot stand right of its left neighbour"
            )
        if other is not None and other[0] == _COLLECTED:
            run = _COLLECTED
        elif origin is not None:
            run = origin[0] if origin[0] <= _ENTRY else self._hang(origin)
        elif other is not None:
            run = other[0] if other[0] == _ENTRY else self._begin_beside(other)
        else:
            run = _ENTRY if head >> CLOCK_BITS & HAS_KEY else self._begin(layout, layout.heads[left - 1])
        client.add(start, end, run, name)

    def _fits(self, origin: _Unit | None, other: _Unit, dead: set[_Id]) -> bool:
        """Tell whether something may stand behind ``origin`` and before ``other``, if all of ``dead`` are that."""
        run, clock, first = other
        if run == _ENTRY or (origin is not None and origin[0] == _ENTRY):
            return True  # what has an entry as a neighbour is judged elsewhere
        if _COLLECTED in (run, origin[0] if origin is not None else run):
            if origin is None or run == origin[0]:
                return True
            return self._dies(other if run else origin, dead)
        if origin is None:
            return clock == first and not self._depths[run]
        if run == origin[0]:
            return clock == origin[1] + 1 or first == clock <= origin[1]
        if clock == first and (self._parents[run], self._clocks[run]) == origin[:2] and self._depths[run]:
            return True
        return not self._hangs_under(run, origin) and self._list(origin) == self._list(other)

    def _was_to_be_collected(self, layout: Layout, left: int, right: int, dead: set[_Id]) -> bool:
        """Tell whether a struct, of which the beginning was, says that it stands in a list that is gone."""
        if left >> CLOCK_BITS or right:
            unit = self._unit(layout, left if left >> CLOCK_BITS else right)
            return unit[0] <= _ENTRY or self._dies(unit, dead)
        parent = layout.heads[left - 1]
        if not parent:
            return False
        if self._unit(layout, parent)[0] != _COLLECTED:
            dead.add((self._clients[layout.clients[(parent >> CLOCK_BITS) - 1]].number, parent & CLOCK_MASK))
        return True

    def _dies(self, unit: _Unit, dead: set[_Id]) -> bool:
        """Its list has to be that of a type that is deleted; a root never is."""
        holder = self._list(unit)
        dead.add(holder)
        return holder[0] > 0

    def _list(self, unit: _Unit) -> _Id:
        """Return the type that holds the list: (number of the client, clock), or zeros for a root."""
        top = self._above(unit[0], 0)
        return self._parents[top], self._clocks[top]

    def _hangs_under(self, run: int, unit: _Unit) -> bool:
        """Tell whether a run, which is not the unit's, hangs under the unit, be it deep."""
        depth = self._depths[unit[0]]
        if self._depths[run] <= depth:
            return False
        top = self._above(run, depth + 1)
        return self._parents[top] == unit[0] and self._clocks[top] >= unit[1]

    def _above(self, run: int, depth: int) -> int:
        """Return the run of that depth under which this one hangs, or which it is."""
        depths = self._depths
        while depths[run] > depth:
            far = self._shortcuts[run]
            run = far if depths[far] >= depth else self._parents[run]
        return run

    def _hang(self, unit: _Unit) -> int:
        """Make a run that hangs under a unit."""
        parent, clock, _ = unit
        depths, shortcuts = self._depths, self._shortcuts
        near = shortcuts[parent]
        far = shortcuts[near]
        shortcuts.append(far if depths[parent] - depths[near] == depths[near] - depths[far] else parent)
        self._parents.append(parent)
        self._clocks.append(clock)
        depths.append(depths[parent] + 1)
        return len(depths) - 1

    def _begin(self, layout: Layout, parent: int) -> int:
        """Make a run that hangs under no unit of the list of that type; of a root, where there is none."""
        if not parent:
            return self._top(0, 0)
        run, clock, _ = self._unit(layout, parent)
        return self._top(self._clients[layout.clients[(parent >> CLOCK_BITS) - 1]].number, clock) if run else _COLLECTED

    def _begin_beside(self, unit: _Unit) -> int:
        return self._top(*self._list(unit))

    def _top(self, parent: int, clock: int) -> int:
        self._parents.append(parent)
        self._clocks.append(clock)
        self._depths.append(0)
        self._shortcuts.append(len(self._shortcuts))
        return len(self._depths) - 1

    def _unit(self, layout: Layout, place: int) -> _Unit:
        client = self._clients.get(layout.clients[(place >> CLOCK_BITS) - 1])
        clock = place & CLOCK_MASK
        if client is None or not client.end > clock >= client.starts[0]:
            return _COLLECTED, clock, 0
        index = bisect_right(client.starts, clock) - 1
        return client.runs[index], clock, client.starts[index]


def _name(layout: Layout, right: int) -> int:
    """Return an id as it can be compared with those of other updates."""
    return layout.clients[(right >> CLOCK_BITS) - 1] << CLOCK_BITS | right & CLOCK_MASK if right else _NO_RIGHT


class Typist:
    """The runs of one client's clocks: each holds from its start to the next one's."""

    __slots__ = ("end", "number", "right", "runs", "starts")

    def __init__(self, number: int) -> None:
        self.number = number
        self.starts = array("I")
        self.runs = array("I")
        self.end = 0
        self.right = _NO_RIGHT
        """The right neighbour of its last struct: only what has the same can become one piece with it."""

    def add(self, start: int, end: int, run: int, right: int) -> None:
        """Add what of it comes behind the end."""
        if not self.runs or self.runs[-1] != run:
            self.starts.append(max(start, self.end))
            self.runs.append(run)
        self.end = end
        self.right = right

    def cut(self, runs: int, end: int, right: int) -> None:
        """Be as before: with so many runs, up to that clock."""
        del self.starts[runs:], self.runs[runs:]
        self.end = end
        self.right = right
