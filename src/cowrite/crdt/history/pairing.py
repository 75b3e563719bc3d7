"""Two moments side by side, where a copy at the one is the same as what it copies at the other.

Theory of operation. What could be seen at both moments stays where it is, and cuts a list into gaps. In a gap stands what could
be seen before and what can be seen after, each in its order; of both the origins are known
(:class:`~cowrite.crdt.history.origins.Origins`). What has the same origin is paired, as much of it as can be without crossing:
the heaviest chain. A shared type and its copy are one place, and what they hold is paired likewise.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from cowrite.crdt.history.copies import equal, side_by_side
from cowrite.crdt.history.items import Holder, Items, Piece
from cowrite.crdt.history.origins import Origins
from cowrite.crdt.history.showing import Now
from cowrite.crdt.history.sides import Part, Sides

Match = tuple[int, int, int]
"""(Place before, place after, length)."""


class Place(NamedTuple):
    """A root or a shared type: as it stood before, and as it stands after."""

    old: Holder
    new: Holder


class Paired:
    """Two moments of one log, of which copies are the same as what they copy."""

    def __init__(self, sides: Sides, origins: Origins) -> None:
        self.items: Items = sides.items
        self._sides = sides
        self._origins = origins

    def within(self, part: Part) -> Place:
        """Return what a shared type holds."""
        return Place(self.items.within(part.was or part.piece), self.items.within(part.piece))

    def parts(self, place: Place) -> list[Part]:
        """Return what could be seen of a list at either moment. Where a part has ``was``, that was seen in its place before."""
        if place.old is place.new:
            parts = self._sides.parts(place.old)
            return parts if not self._origins else self._with_pairs(parts)
        before = [Part(part.piece, True, False) for part in self._sides.parts(place.old) if part.before]
        return self._with_pairs(
            [*before, *(Part(part.piece, False, True) for part in self._sides.parts(place.new) if part.after)]
        )

    def entry(self, written: Sequence[Piece]) -> Piece | None:
        """Return what counted before of what was written under a key."""
        return self._sides.entry(written)

    def same(self, old: Piece, new: Piece) -> bool:
        """Tell whether two pieces are, or were, the same."""
        if old is new:
            return True
        origins = [self._origins.spans(piece.client, piece.clock, piece.clock + 1)[0][2:] for piece in (old, new)]
        return origins[0] == origins[1] and equal(self.items, old, new)

    def _with_pairs(self, parts: Sequence[Part]) -> list[Part]:
        found: list[Part] = []
        for stays, group in groupby(parts, key=_stays):
            alike = list(group)
            one_side = stays or len({part.before for part in alike}) == 1
            found += alike if one_side else self._gap(alike)
        return found

    def _gap(self, gap: Sequence[Part]) -> Iterator[Part]:
        old, new = (_Line([(at, part) for at, part in enumerate(gap) if part.before is side]) for side in (True, False))
        for before, after, length in heaviest(self._matches(old, new)):
            yield from _in_order(old.take(before), new.take(after))
            was, now = old.take(before + length), new.take(after + length)
            pairs = side_by_side([part.piece for _, part in was], [part.piece for _, part in now])
            assert pairs is not None, "a match is as long before as after"
            for one, other in pairs:
                if equal(self.items, one, other):
                    yield Part(other, True, True, one)
                else:
                    yield from (Part(one, True, False), Part(other, False, True))
        yield from _in_order(old.take(None), new.take(None))

    def _matches(self, old: _Line, new: _Line) -> Iterator[Match]:
        known: dict[int, list[tuple[int, int, int]]] = {}
        for place, (clock, end, client, first) in self._of(old):
            known.setdefault(client, []).append((first, first + end - clock, place))
        known = {client: _once(spans) for client, spans in known.items()}
        for place, (clock, end, client, first) in self._of(new):
            spans, stop = known.get(client, []), first + end - clock
            for start, behind, before in spans[bisect_left(spans, first, key=_BEHIND) :]:
                if start >= stop:
                    break
                begin = max(start, first)
                if begin < min(behind, stop):
                    yield before + begin - start, place + begin - first, min(behind, stop) - begin

    def _of(self, line: _Line) -> Iterator[tuple[int, tuple[int, int, int, int]]]:
        for place, piece in line.places():
            for span in self._origins.spans(piece.client, piece.clock, piece.clock + piece.length):
                yield place + span[0] - piece.clock, span


class Unchanged:
    """As :class:`Paired`, of a root that shows the same at both moments: all is as it is after."""

    def __init__(self, items: Items) -> None:
        self._items = items

    def within(self, part: Part) -> Place:
        holder = self._items.within(part.piece)
        return Place(holder, holder)

    def parts(self, place: Place) -> list[Part]:
        return [Part(piece, True, True) for piece in Now().pieces(place.new)]

    def entry(self, written: Sequence[Piece]) -> Piece | None:
        return Now().entry(written)

    def same(self, old: Piece, new: Piece) -> bool:
        return old is new


class _Line:
    """One side of a gap: parts with their numbers in it. Places are counted in clocks."""

    def __init__(self, parts: list[tuple[int, Part]]) -> None:
        self._parts = parts[::-1]
        self._place = 0

    def places(self) -> Iterator[tuple[int, Piece]]:
        place = 0
        for _, part in reversed(self._parts):
            yield place, part.piece
            place += part.piece.length

    def take(self, until: int | None) -> list[tuple[int, Part]]:
        """Take what stands before a place; None: all that is left."""
        taken = []
        while self._parts and (until is None or self._place < until):
            number, part = self._parts.pop()
            piece = part.piece
            length = piece.length if until is None else min(piece.length, until - self._place)
            if length < piece.length:
                end = piece.clock + piece.length
                rest = piece.cut(piece.clock + length, end, deleted=piece.deleted)
                self._parts.append((number, part._replace(piece=rest)))
                part = part._replace(piece=piece.cut(piece.clock, piece.clock + length, deleted=piece.deleted))
            taken.append((number, part))
            self._place += length
        return taken


def heaviest(matches: Iterator[Match]) -> list[Match]:
    """Return of some matches, which ascend and do not overlap after, those that do not cross and are the longest together.

    Takes about 1 µs per match and the logarithm of their number.
    """
    listed = list(matches)
    ends = sorted({before + length for before, _, length in listed})
    best: list[tuple[int, int]] = [(0, -1)] * (len(ends) + 1)  # a tree of maxima: (weight, number of the match at the end)
    links = []
    for number, (before, _, length) in enumerate(listed):
        weight, link = _most(best, bisect_right(ends, before))
        links.append(link)
        _raise(best, bisect_left(ends, before + length) + 1, (weight + length, number))
    chain = []
    number = _most(best, len(ends))[1]
    while number >= 0:
        chain.append(listed[number])
        number = links[number]
    return chain[::-1]


def _once(spans: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Of what was there twice (people who do not know of one another may bring back the same) leave one."""
    kept: list[tuple[int, int, int]] = []
    for first, behind, place in sorted(spans):
        start = max(first, kept[-1][1]) if kept else first
        if start < behind:
            kept.append((start, behind, place + start - first))
    return kept


def _most(best: Sequence[tuple[int, int]], at: int) -> tuple[int, int]:
    most = (0, -1)
    while at:
        most = max(most, best[at])
        at &= at - 1
    return most


def _raise(best: list[tuple[int, int]], at: int, to: tuple[int, int]) -> None:
    while at < len(best):
        best[at] = max(best[at], to)
        at += at & -at


def _in_order(old: Sequence[tuple[int, Part]], new: Sequence[tuple[int, Part]]) -> list[Part]:
    return [part for _, part in merge(old, new, key=itemgetter(0))]


def _stays(part: Part) -> bool:
    return part.before and part.after


_BEHIND = itemgetter(1)
