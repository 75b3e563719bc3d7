"""What was deleted, and is there again under other ids: an undo does not bring it back another time."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence

from cowrite.crdt.history.copies import Copy
from cowrite.crdt.outline import ClockRange


class Spans:
    """Clocks of Yjs clients."""

    def __init__(self, ranges: Iterable[ClockRange] = ()) -> None:
        self._clients: dict[int, list[tuple[int, int]]] = {}
        for client, start, end in ranges:
            self.add(client, start, end)

    def add(self, client: int, start: int, end: int) -> None:
        known = self._clients.setdefault(client, [])
        for first, last, inside in list(self.parts(client, start, end)):
            if not inside:
                insort(known, (first, last))

    def parts(self, client: int, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
        """Cut a range where it enters or leaves: the parts, and whether they are in it."""
        known = self._clients.get(client, [])
        at = bisect_right(known, start, key=_first)
        if at and known[at - 1][1] > start:
            at -= 1
        while start < end:
            first, last = known[at] if at < len(known) else (end, end)
            inside = first <= start
            behind = min(last if inside else first, end)
            yield start, behind, inside
            start = behind
            at += inside

    def common(self, ranges: Iterable[ClockRange]) -> list[ClockRange]:
        """Return the parts of these ranges that are in it."""
        return [
            ClockRange(client, first, last)
            for client, start, end in ranges
            for first, last, inside in self.parts(client, start, end)
            if inside
        ]


def written_again(
    copies: Sequence[tuple[Copy, bool]], inserted: Iterable[ClockRange]
) -> tuple[list[tuple[Copy, bool]], list[ClockRange]]:
    """Find what is there again of what a person wrote, whoever has brought it back.

    ``copies`` are as for :func:`standing_in`, ``inserted`` is what the undo takes away. Returns the copies, of which those that
    are copies of that go too, cut where they are so in part; and the ids of these.
    """
    again = Spans(ClockRange(client, clock, clock + length) for (client, clock, length, *_), _ in copies)
    # What a person has only brought back they did not write.
    mine = Spans(
        ClockRange(client, first, last)
        for client, start, end in inserted
        for first, last, copied in again.parts(client, start, end)
        if not copied
    )
    cut: list[tuple[Copy, bool]] = []
    found: list[ClockRange] = []
    for (client, clock, length, old_client, old_clock), taken in copies:
        by = clock - old_clock
        for start, end, theirs in list(mine.parts(old_client, old_clock, old_clock + length)):
            cut.append(((client, start + by, end - start, old_client, start), taken or theirs))
            if theirs:
                mine.add(client, start + by, end + by)
                found.append(ClockRange(client, start + by, end + by))
    return cut, found


def standing_in(copies: Sequence[tuple[Copy, bool]], gone: Spans, back: Spans) -> Spans:
    """Return the ids that something stands in for: of which a copy, or a copy of that, will be there after an undo.

    ``copies`` are in the order of the log, each with whether the undo takes it away; ``gone`` is what is deleted now, and
    ``back`` what the undo brings back.
    """
    found = Spans()
    for (client, clock, length, old_client, old_clock), taken in reversed(copies):
        by = old_clock - clock
        for start, end, again in list(found.parts(client, clock, clock + length)):
            if again:
                found.add(old_client, start + by, end + by)
            elif not taken:
                _add_lasting(found, (client, start, end), (old_client, by), gone, back)
    return found


def _add_lasting(found: Spans, new: tuple[int, int, int], old: tuple[int, int], gone: Spans, back: Spans) -> None:
    client, old_client, by = new[0], *old
    for start, end, deleted in gone.parts(*new):
        for first, last, returns in back.parts(client, start, end):
            if returns or not deleted:
                found.add(old_client, first + by, last + by)


def _first(span: tuple[int, int]) -> int:
    return span[0]
