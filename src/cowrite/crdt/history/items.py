"""What a state is made of: every piece with its identity, in document order.

Theory of operation. An encoded state names each struct by (Yjs client, clock, length) with the neighbours that it had when it
was written. :class:`cowrite.crdt.conflicts.Lists` puts the structs in the engine's order from these alone, without the engine.
Who wrote a piece and when follows from its identity and the ranges of the log's entries: nothing has to be replayed, and merges
and reloads change no identity. Contents are read from the bytes when they are asked for.

A list and its order hold for every moment before the state as well: what is not yet there at a moment has an id beyond that
moment's state vector, and leaving it out leaves the others in their order.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Final, NamedTuple

from cowrite.crdt.conflicts import Lists
from cowrite.crdt.content import MAX_CLOCK, read_long
from cowrite.crdt.errors import EngineFault, HostileUpdate
from cowrite.crdt.guard import outline_of_state
from cowrite.crdt.history import contents
from cowrite.crdt.outline import (
    ANY,
    CLOCK_BITS,
    CLOCK_MASK,
    CONTENT,
    DELETED,
    GC,
    HAS_KEY,
    SKIP,
    ClockRange,
    Outline,
)
from cowrite.crdt.values import Json

BINARY, EMBED, FORMAT, DOCUMENT = 3, 5, 6, 9
"""Kinds of contents that :mod:`cowrite.crdt.outline` does not name."""

MAX_STEPS: Final = 4_000_000
"""Steps past concurrent pieces that reading one state may take, about 1 µs each: twice what one update may cause."""
_NO_PIECES: Final = frozenset((GC, SKIP))
_NEVER: Final = ((0, MAX_CLOCK + 1, MAX_CLOCK + 1),)
"""Behind the last range that is deleted."""
_new = tuple.__new__  # makes a named tuple in a third of the time


class Piece(NamedTuple):
    """Clocks of one Yjs client that stand side by side and are alike."""

    client: int
    clock: int
    length: int
    """In clocks: UTF-16 code units of a string, values of a list, else 1."""
    content: int
    """Its kind, as in a struct's first byte."""
    deleted: bool
    at: int
    """The place of its struct's first byte."""
    skipped: int = 0
    """Clocks of its struct that come before it."""

    def cut(self, start: int, end: int, *, deleted: bool) -> Piece:
        """Return the part of it from clock ``start`` up to ``end``."""
        skipped = self.skipped + start - self.clock
        return Piece(self.client, start, end - start, self.content, deleted, self.at, skipped)


class Holder(NamedTuple):
    """A root or a shared type: what was ever in it, as far as the state tells."""

    pieces: Sequence[Piece]
    """Its list in document order."""
    entries: Mapping[str, Sequence[Piece]]
    """By key, all that was written under it; the last one counts."""


EMPTY: Final = Holder((), {})


class Items:
    """The pieces of one state; see :func:`read_items`."""

    def __init__(
        self, data: bytes, outline: Outline, roots: Mapping[str, Holder], types: Mapping[tuple[int, int], Holder]
    ) -> None:
        self.roots = roots
        """By name in order; a root in which nothing was ever written is missing."""
        self.outline = outline
        self._data = data
        self._types = types

    def root(self, name: str) -> Holder:
        """Return a root, an empty one when nothing was ever written into it."""
        return self.roots.get(name, EMPTY)

    def within(self, piece: Piece) -> Holder:
        """Return what a shared type holds."""
        return self._types.get((piece.client, piece.clock), EMPTY)

    def text(self, piece: Piece) -> str:
        """Return the text of a string, or of a part of one that cuts no character in two."""
        data = self._data
        start = contents.content_at(data, piece.at) + 1
        size = data[start - 1]
        if size > 127:
            size, start = read_long(data, start, size)
        text = data[start : start + size].decode()
        if text.isascii():
            return text[piece.skipped : piece.skipped + piece.length]
        units = text.encode("utf-16-le")
        return units[2 * piece.skipped : 2 * (piece.skipped + piece.length)].decode("utf-16-le", "surrogatepass")

    def values(self, piece: Piece) -> list[Json]:
        """Return the items of an array: plain values, bytes, a subdocument. None for what is no item."""
        at = self._content_at(piece)
        if piece.content == ANY:
            return contents.read_values(self._data, at)[piece.skipped : piece.skipped + piece.length]
        if piece.content == BINARY:
            return [contents.read_binary(self._data, at)]
        return [contents.read_document(self._data, at)] if piece.content == DOCUMENT else []

    def embed(self, piece: Piece) -> Json:
        """Return a value that is embedded in a text."""
        return contents.read_embed(self._data, self._content_at(piece))

    def format(self, piece: Piece) -> tuple[str, Json]:
        """Return an attribute that text has from here on, and its value (None: no longer)."""
        return contents.read_format(self._data, self._content_at(piece))

    def type(self, piece: Piece) -> tuple[int, str | None]:
        """Return what kind a shared type is (see :mod:`cowrite.crdt.history.contents`), and the tag of an element."""
        return contents.read_type(self._data, self._content_at(piece))

    def _content_at(self, piece: Piece) -> int:
        return contents.content_at(self._data, piece.at)


def read_items(state: bytes, *, max_steps: int = MAX_STEPS) -> Items:
    """Read a whole state, as a document encodes it.

    Takes time in proportion to the structs (about 12 µs each) and does not call the engine. Raises
    :class:`~cowrite.crdt.errors.EngineFault` when that is no state, :class:`~cowrite.crdt.errors.HostileUpdate`
    (``conflicts``) when finding the order of what was written at the same time takes more than ``max_steps``.
    """
    try:
        outline = outline_of_state(state)
    except HostileUpdate as error:
        raise EngineFault(f"A state cannot be read: {error}") from error
    if outline.needs:
        raise EngineFault("A state cannot be read: it needs something that it does not hold itself.")
    return _Building(state, outline).items(max_steps)


class _Building:
    def __init__(self, data: bytes, outline: Outline) -> None:
        self._data = data
        self._outline = outline
        self._pieces: dict[int, Piece] = {}  # by the first id of its struct
        self._ends: dict[int, int] = {}  # first id → last id, of each struct
        self._first_rows: dict[int, int] = {}  # head → place in rows of a struct that names its parent and key
        self._firsts: list[int] = []  # all first ids, ascending; filled when needed
        self._deletes: dict[int, list[ClockRange]] = {}
        self._partly: set[int] = set()  # first ids of structs of which only some clocks are deleted

    def items(self, max_steps: int) -> Items:
        self._read_rows()
        layout = self._outline.layout
        lists = Lists(layout, max_steps)
        lists.integrate()
        roots: dict[str, tuple[list[Piece], dict[str, list[Piece]]]] = {}
        types: dict[tuple[int, int], tuple[list[Piece], dict[str, list[Piece]]]] = {}
        for head, row in self._first_rows.items():
            at = layout.rows[row + 3]
            name, place, behind = contents.read_parent(self._data, at + 1)
            holder = types.setdefault(place, ([], {})) if name is None else roots.setdefault(name, ([], {}))
            pieces = self._in_order(lists.order_from(head, self._ends))
            if self._data[at] & HAS_KEY:
                holder[1][contents.read_string(self._data, behind)] = pieces
            else:
                holder[0].extend(pieces)
        return Items(
            self._data,
            self._outline,
            {name: Holder(*roots[name]) for name in sorted(roots)},
            {place: Holder(*holder) for place, holder in types.items()},
        )

    def _read_rows(self) -> None:
        layout = self._outline.layout
        rows, pieces, ends = layout.rows, self._pieces, self._ends
        for gone_range in self._outline.deletes:
            self._deletes.setdefault(gone_range.client, []).append(gone_range)
        for number, first, behind, end_clock in layout.blocks:
            client = layout.clients[number]
            base = number + 1 << CLOCK_BITS
            gone = chain(self._deletes.get(client, ()), _NEVER)
            _, gone_from, gone_behind = next(gone)
            heads, lefts, places = (rows[4 * first + column : 4 * behind : 4] for column in (0, 1, 3))
            clocks = [head & CLOCK_MASK for head in heads]
            for head, clock, end, place in zip(heads, clocks, [*clocks[1:], end_clock], places, strict=True):
                content = head >> CLOCK_BITS & CONTENT
                if content == DELETED:
                    deleted = True
                elif content in _NO_PIECES:
                    continue
                else:
                    while gone_behind <= clock:
                        _, gone_from, gone_behind = next(gone)
                    deleted = gone_from < end
                    if deleted and not (gone_from <= clock and end <= gone_behind):
                        deleted = False
                        self._partly.add(base | clock)
                pieces[base | clock] = _new(Piece, (client, clock, end - clock, content, deleted, place, 0))
                ends[base | clock] = (base | end) - 1
            for row, left in enumerate(lefts, first):
                if 0 < left <= CLOCK_MASK:
                    self._first_rows.setdefault(left, 4 * row)

    def _in_order(self, order: Sequence[tuple[int, int]]) -> list[Piece]:
        pieces, ends, partly = self._pieces, self._ends, self._partly
        found: list[Piece] = []
        for first, last in order:
            if ends.get(first) == last and first not in partly:
                found.append(pieces[first])
            else:
                found += self._parts(first, last)
        return found

    def _parts(self, first: int, last: int) -> list[Piece]:
        """Return what stands from one id to another of the same struct, cut where deletions begin and end."""
        self._firsts = self._firsts or sorted(self._pieces)
        start = self._firsts[bisect_right(self._firsts, first) - 1]
        whole = self._pieces[start]
        clock, end = first & CLOCK_MASK, (last & CLOCK_MASK) + 1
        if start not in self._partly:
            return [whole.cut(clock, end, deleted=whole.deleted)]
        return [whole.cut(*part[:2], deleted=part[2]) for part in cut_by(self._deletes[whole.client], clock, end)]


def cut_by(ranges: Sequence[ClockRange], clock: int, end: int) -> list[tuple[int, int, bool]]:
    """Cut clocks of one client at the ends of its ascending ranges: (start, end, whether that is within one)."""
    parts = []
    at = bisect_right(ranges, clock, key=lambda known: known[2])
    while clock < end:
        inside = at < len(ranges) and ranges[at][1] <= clock
        stop = end if at >= len(ranges) else min(end, ranges[at][2] if inside else ranges[at][1])
        parts.append((clock, stop, inside))
        at += inside
        clock = stop
    return parts
