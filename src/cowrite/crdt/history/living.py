"""What was deleted, and is there again under other ids: an undo does not bring it back another time."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence

from cowrite.crdt.history.copies import Copy
from cowrite.crdt.history.origins import Origins
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
    """Return the ids that something stands in for: of which a copy, or another copy of the same, will be there after an undo.

    ``copies`` are all of the log, in its order, each with whether the undo takes it away; ``gone`` is what is deleted now, and
    ``back`` what of that the undo brings back. Of all copies of the same, chains of copies resolved, those that are there stand
    in for the others and for what was written first; when none is, the newest of those that come back.
    """
    found = Spans()
    newest_first = _of_the_first(copies)[::-1]
    for candidates, wanted in ((gone, False), (back, True)):
        for (client, clock, length, old_client, old_clock), taken in newest_first:
            by = old_clock - clock
            for start, end, again in list(found.parts(old_client, old_clock, old_clock + length)):
                if again:
                    found.add(client, start - by, end - by)
                elif not taken:
                    lasting = candidates.parts(client, start - by, end - by)
                    for first, last in [(first, last) for first, last, inside in lasting if inside is wanted]:
                        found.add(old_client, first + by, last + by)
    return found


def _of_the_first(copies: Sequence[tuple[Copy, bool]]) -> list[tuple[Copy, bool]]:
    """Say of copies of copies what was written first, so that two copies of the same are known as such."""
    origins = Origins(copy for copy, _ in copies)
    return [
        ((client, start, end - start, first_client, first_clock), taken)
        for (client, clock, length, *_), taken in copies
        for start, end, first_client, first_clock in origins.spans(client, clock, clock + length)
    ]


def _first(span: tuple[int, int]) -> int:
    return span[0]
