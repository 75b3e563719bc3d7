"""Who wrote which clocks of which Yjs client, who deleted them, and when: from what each entry of the log brought and deleted.

Theory of operation. In a log the clocks of one Yjs client ascend without gaps, so an entry's range needs only its start.
Entries, ranges and deletions are in arrays: 20 bytes, 12 and 12 for each, when they are full. What was brought back is in
lists of tuples, and so is what was deleted since somebody last asked; therefore :attr:`Attribution.size` counts more. An
entry that carried what others wrote has a number of its own for each of them: such an entry is one for each author. What a
restore or an undo brought back has new clocks; its cause says which ones these were before (``copies``), and they are
credited to who wrote them first. That is found when the entry is appended, so a copy of a copy costs no more to look up. So is
where one author goes on without a pause: a thousand keys typed one after the other are one run, found in one step.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import repeat
from operator import itemgetter
from typing import Final, NamedTuple

from cowrite.crdt.history.copies import Copy
from cowrite.crdt.history.origins import Origins
from cowrite.crdt.values import Json

NOBODY: Final = -1
"""No entry: it was forgotten, or is not known yet."""

_ENTRY_BYTES: Final = 40
_PART_BYTES: Final = 140
PAUSE_MS: Final = 60_000
"""What one author wrote with no longer pauses is told as one."""

_FEW: Final = 100


class Authored(NamedTuple):
    """What one entry of the log brought."""

    offset: int
    author: str
    created_at: int
    """Milliseconds since 1970."""
    ranges: Sequence[tuple[int, int, int]]
    """(Yjs client, first clock, the clock behind the last)."""
    copies: Sequence[Copy] = ()
    """What it brought back; empty but for a restore or an undo."""
    writers: Sequence[str] = ()
    """Who wrote each of the ranges, "" where nobody knows; empty when all of them are its author's."""
    deletes: Sequence[tuple[int, int, int]] = ()
    """What it deleted: as ``ranges``."""


class Credit(NamedTuple):
    """An entry, for people."""

    author: str
    created_at: int
    """Milliseconds since 1970."""
    offset: int


Span = tuple[int, int, int, int]
"""(First clock, the clock behind the last, number of the entry that wrote them first, number of the entry that brought them
back or NOBODY)."""


Run = tuple[int, int, int, int, int]
"""As a span, but of several entries each of which goes on with the one before: with the first and the last of them."""


class _Client:
    __slots__ = ("begins", "copies", "deletions", "end", "entries", "starts")

    def __init__(self) -> None:
        self.deletions = _Deletions()
        self.starts = array("I")
        self.entries = array("i")
        self.begins = array("I")  # for each range which one is the first of those that go on up to it
        self.end = 0
        self.copies: list[tuple[int, int, int]] = []  # ascending: (first clock, the clock behind the last, entry)


class _Deletions:
    """Who deleted clocks of one client: ascending ranges, which do not overlap, as nothing is deleted twice in a log."""

    __slots__ = ("_ends", "_entries", "_new", "_starts")

    def __init__(self) -> None:
        self._starts = array("I")
        self._ends = array("I")
        self._entries = array("I")
        self._new: list[tuple[int, int, int]] = []

    def add(self, start: int, end: int, number: int) -> None:
        self._new.append((start, end, number))

    def spans(self, clock: int, end: int, otherwise: int) -> list[tuple[int, int, int]]:
        if self._new:
            self._sort()
        spans = []
        at = bisect_right(self._ends, clock)
        while clock < end:
            if at == len(self._starts) or self._starts[at] >= end:
                spans.append((clock, end, otherwise))
                break
            start, stop = self._starts[at], min(self._ends[at], end)
            if start > clock:
                spans.append((clock, start, otherwise))
                clock = start
            spans.append((clock, stop, self._entries[at]))
            clock = stop
            at += 1
        return spans

    def _sort(self) -> None:
        if len(self._new) <= _FEW:  # what was deleted since somebody last asked
            for start, end, number in self._new:
                at = bisect_left(self._starts, start)
                self._starts.insert(at, start)
                self._ends.insert(at, end)
                self._entries.insert(at, number)
        else:
            ranges = sorted([*zip(self._starts, self._ends, self._entries, strict=True), *self._new])
            self._starts, self._ends, self._entries = (array("I", column) for column in zip(*ranges, strict=True))
        self._new = []


class Attribution:
    """Grows with the log: :meth:`append` its entries in order. Entries have numbers here, from 0."""

    def __init__(self) -> None:
        self._offsets = array("Q")
        self._times = array("Q")
        self._authors = array("I")
        self._names: list[str] = []
        self._numbers: dict[str, int] = {}
        self._clients: dict[int, _Client] = {}
        self._parts = 0
        self._copies = array("Q")  # six for each: the entry's offset, and as in Copy
        self._lost: dict[int, list[tuple[int, int, int]]] = {}  # of origins, ascending: the entry that deleted the last copy
        self.unowned: set[int] = set()
        """Yjs clients of which something was carried while they were nobody's."""
        self.origins = Origins()
        """What the copies of these entries stand for."""

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes: an entry may bring and delete in a thousand places."""
        return _ENTRY_BYTES * len(self._offsets) + _PART_BYTES * self._parts

    @property
    def head(self) -> int:
        """The offset of the last entry that was appended; 0 at first."""
        return self._offsets[-1] if self._offsets else 0

    def append(self, entries: Iterable[Authored]) -> None:
        """Take the next entries of the log. Raises ValueError when one does not follow on the last one."""
        for offset, author, created_at, ranges, copies, writers, deletes in entries:
            if offset <= self.head:
                raise ValueError(f"entry {offset} does not come after entry {self.head}")
            number = self._number(offset, author, created_at)
            self._parts += len(ranges) + 3 * len(copies) + len(deletes)
            if not writers:
                for client, start, end in ranges:
                    self._add(client, start, end, number)
            else:
                numbers = {author: number}
                for (client, start, end), writer in zip(ranges, writers, strict=True):
                    if not writer:
                        self.unowned.add(client)
                    if writer not in numbers:
                        numbers[writer] = self._number(offset, writer, created_at)
                    self._add(client, start, end, numbers[writer])
            for copy in copies:
                self._copies.extend((offset, *copy))
                self._copy(*copy)
                self.origins.add(*copy)
            for client, start, end in deletes:
                self._known(client).deletions.add(start, end, number)
                if self.origins:
                    self._lose(client, start, end, number)

    def copies(self, until: int) -> list[Copy]:
        """Return what the entries up to an offset have brought back, in the order of the log."""
        known = zip(*(iter(self._copies),) * 6, strict=True)
        return [(client, clock, length, old, was) for offset, client, clock, length, old, was in known if offset <= until]

    def spans(self, client: int, clock: int, end: int) -> list[Span]:
        """Tell whose the clocks from ``clock`` up to ``end`` are, in order, each exactly once."""
        known = self._clients.get(client)
        if known is None:
            return [(clock, end, NOBODY, NOBODY)]
        spans = _own(known, clock, end)
        return [part for span in spans for part in _with_copies(known.copies, *span[:3])] if known.copies else spans

    def runs(self, client: int, clock: int, end: int) -> list[Run]:
        """Tell the same as :meth:`spans`, but with neighbours in one of which each goes on with the one before."""
        known = self._clients.get(client)
        if known is None:
            return [(clock, end, NOBODY, NOBODY, NOBODY)]
        if known.copies:
            spans = self.spans(client, clock, end)
            return [(start, stop, number, number, restored) for start, stop, number, restored in spans]
        return _own_runs(known, clock, end)

    def deletions(
        self, client: int, clock: int, end: int, otherwise: int = NOBODY, *, until: int | None = None
    ) -> list[tuple[int, int, int]]:
        """Tell which entries deleted the clocks from ``clock`` up to ``end``, in order, each exactly once: of what was there
        again as a copy, the entry that deleted the last copy, when it is not behind the offset ``until``.

        Each is (first clock, the clock behind the last, the entry's number); ``otherwise`` where no entry has deleted them.
        """
        known = self._clients.get(client)
        spans = [(clock, end, otherwise)] if known is None else known.deletions.spans(clock, end, otherwise)
        return [part for span in spans for part in self._last_lost(client, *span, until)] if self._lost else spans

    def goes_on(self, number: int, other: int) -> bool:
        """Tell whether two entries that are not the same are of one author, with at most a minute between them."""
        if NOBODY in (number, other) or self._authors[number] != self._authors[other]:
            return False
        return abs(self._times[number] - self._times[other]) <= PAUSE_MS

    def credit(self, number: int) -> Credit | None:
        """Return an entry's author, time and offset; None for NOBODY."""
        if number == NOBODY:
            return None
        return Credit(self._names[self._authors[number]], self._times[number], self._offsets[number])

    def sign(self, run: dict[str, Json], number: int) -> None:
        """Write an entry's author (None: nobody's), time and offset into a JSON object; None for NOBODY."""
        author, run["created_at"], run["offset"] = self.credit(number) or (None, None, None)
        run["author"] = author or None

    def _number(self, offset: int, author: str, created_at: int) -> int:
        self._offsets.append(offset)
        self._times.append(created_at)
        self._authors.append(self._numbers.setdefault(author, len(self._names)))
        if len(self._names) < len(self._numbers):
            self._names.append(author)
        return len(self._offsets) - 1

    def _known(self, client: int) -> _Client:
        known = self._clients.get(client)
        if known is None:
            known = self._clients[client] = _Client()
        return known

    def _add(self, client: int, start: int, end: int, number: int) -> None:
        known = self._known(client)
        entries, begins = known.entries, known.begins
        if start > known.end:
            begins.append(len(entries))
            known.starts.append(known.end)
            entries.append(NOBODY)
        if end > known.end:
            goes_on = bool(entries) and self.goes_on(entries[-1], number)
            begins.append(begins[-1] if goes_on else len(entries))
            known.starts.append(max(start, known.end))
            entries.append(number)
            known.end = end

    def _copy(self, client: int, clock: int, length: int, old_client: int, old_clock: int) -> None:
        copies = self._known(client).copies
        found = [
            (clock + start - old_clock, clock + end - old_clock, number)
            for start, end, number, _ in self.spans(old_client, old_clock, old_clock + length)
        ]
        at = bisect_right(copies, clock, key=lambda copy: copy[0])
        copies[at:at] = found

    def _lose(self, client: int, clock: int, end: int, number: int) -> None:
        for start, stop, first_client, first in self.origins.spans(client, clock, end):
            if (first_client, first) == (client, start):
                continue
            known, last = self._lost.setdefault(first_client, []), first + stop - start
            at = behind = bisect_right(known, first, key=_END)
            while behind < len(known) and known[behind][0] < last:
                behind += 1
            parts = [(first, last, number)]
            for begin, finish, other in known[at:behind]:
                parts += [(begin, first, other)] if begin < first else []
                parts += [(last, finish, other)] if finish > last else []
            known[at:behind] = sorted(parts)

    def _last_lost(self, client: int, clock: int, end: int, number: int, until: int | None) -> Iterable[tuple[int, int, int]]:
        for start, stop, first_client, first in self.origins.spans(client, clock, end):
            known, by = self._lost.get(first_client, ()), start - first
            at = bisect_right(known, first, key=_END)
            while start < stop:
                begin, finish, last = known[at] if at < len(known) else (stop - by, stop - by, NOBODY)
                if start < begin + by:
                    behind, here = min(begin + by, stop), number
                else:
                    in_time = until is None or self._offsets[last] <= until
                    behind, here = min(finish + by, stop), max(number, last) if in_time else number
                    at += 1
                yield start, behind, here
                start = behind


_END = itemgetter(1)


def _own(known: _Client, clock: int, end: int) -> list[Span]:
    """Tell which entries brought clocks, without regard to copies."""
    spans: list[Span] = []
    stop = min(end, known.end)
    if clock < stop:
        first, behind = bisect_right(known.starts, clock) - 1, bisect_left(known.starts, stop)
        bounds = [clock, *known.starts[first + 1 : behind], stop]
        spans = list(zip(bounds, bounds[1:], known.entries[first:behind], repeat(NOBODY), strict=False))
        clock = stop
    if clock < end:
        spans.append((clock, end, NOBODY, NOBODY))
    return spans


def _own_runs(known: _Client, clock: int, end: int) -> list[Run]:
    """Tell which entries brought clocks, without regard to copies: from the last run to the first one, then turned."""
    runs: list[Run] = []
    stop = min(end, known.end)
    if stop < end:
        runs.append((max(clock, stop), end, NOBODY, NOBODY, NOBODY))
    if clock < stop:
        starts, entries, begins = known.starts, known.entries, known.begins
        first, at = bisect_right(starts, clock) - 1, bisect_left(starts, stop) - 1
        while (begin := begins[at]) > first:
            runs.append((starts[begin], stop, entries[begin], entries[at], NOBODY))
            stop, at = starts[begin], begin - 1
        runs.append((clock, stop, entries[first], entries[at], NOBODY))
    runs.reverse()
    return runs


def _with_copies(copies: Sequence[tuple[int, int, int]], clock: int, end: int, number: int) -> Iterable[Span]:
    at = bisect_right(copies, clock, key=lambda copy: copy[1])
    while clock < end:
        if at == len(copies) or copies[at][0] >= end:
            yield clock, end, number, NOBODY
            return
        start, stop, first = copies[at]
        if start > clock:
            yield clock, start, number, NOBODY
            clock = start
        stop = min(stop, end)
        yield clock, stop, first, number
        clock = stop
        at += 1
