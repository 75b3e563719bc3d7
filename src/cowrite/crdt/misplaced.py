"""Content that the engine shows as something else than it is.

Text among values. A list of values may hold text only in an update written to do harm, or when one name is used for an array
and for a text. The engine then shows each character as an item, but counts in other units: reading an array that holds a
character beyond U+FFFF *never ends*. So before an array is read it must be sure that the transaction put no text into one. That
is decided here: from the update when the type that holds the text is as new as the text, and else by counting what has come out
of texts.

Strings embedded in a text as values. The engine shows them as text, but counts each as one unit.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable

from cowrite.crdt.content import read_sized
from cowrite.crdt.history.contents import content_at
from cowrite.crdt.outline import CLOCK_BITS, CLOCK_MASK, CONTENT, STRING, TYPE, Layout
from cowrite.crdt.text_index import utf16_length

_EMBED = 5
_TEXT_TYPES = (2, 6)
_QUOTE = ord('"')
_ELSEWHERE = -1


def hides_text(update: bytes, layout: Layout, shown: Iterable[str]) -> bool:
    """Tell whether an update of the engine's own puts text somewhere else than into a text.

    ``shown`` are the strings that came out of texts that existed before it, and of roots that are texts.
    """
    holders = _Holders(update, layout)
    rows = layout.rows
    expected = 0
    for number, first, behind, end in layout.blocks:
        for row in range(first, behind):
            head = rows[4 * row]
            if head >> CLOCK_BITS & CONTENT != STRING:
                continue
            kind = holders.kind(number + 1 << CLOCK_BITS | head & CLOCK_MASK)
            if kind is None:
                expected += (rows[4 * row + 4] & CLOCK_MASK if row + 1 < behind else end) - (head & CLOCK_MASK)
            elif kind not in _TEXT_TYPES:
                return True
    return expected > sum(map(utf16_length, shown))


def embedded_strings(update: bytes, layout: Layout) -> frozenset[str]:
    """Return the strings that an update of the engine's own embeds as values in texts, unless they are one unit long."""
    strings = set()
    rows = layout.rows
    for at in range(0, len(rows), 4):
        if rows[at] >> CLOCK_BITS & CONTENT == _EMBED:
            start, end = read_sized(update, content_at(update, rows[at + 3]))
            if update[start] == _QUOTE:
                strings.add(json.loads(update[start:end]))
    return frozenset(string for string in strings if utf16_length(string) != 1)


class _Holders:
    """The shared types in which the structs of an update stand, as far as it brings them itself."""

    def __init__(self, update: bytes, layout: Layout) -> None:
        self._update = update
        self._layout = layout
        self._blocks = {block[0]: block for block in layout.blocks}
        self._heads: dict[int, int] = {}  # row → number of the head of its list

    def kind(self, place: int) -> int | None:
        """Return the kind of the type that holds the struct with this id; None for a root, or a type that was there before."""
        head = self._head(place)
        row = self._row(self._layout.heads[head - 1]) if head > 0 else _ELSEWHERE
        if row == _ELSEWHERE or self._layout.rows[4 * row] >> CLOCK_BITS & CONTENT != TYPE:
            return None
        return self._update[content_at(self._update, self._layout.rows[4 * row + 3])]

    def _head(self, place: int) -> int:
        """Return the number of the head of the list in which an id stands, by way of its neighbours."""
        passed = []
        while place >> CLOCK_BITS:
            row = self._row(place)
            if row == _ELSEWHERE:
                place = _ELSEWHERE
                break
            if row in self._heads:
                place = self._heads[row]
                break
            passed.append(row)
            place = self._layout.rows[4 * row + 1] or self._layout.rows[4 * row + 2]
        for row in passed:  # a text typed in one go is one long chain: each step is taken once
            self._heads[row] = place
        return place

    def _row(self, place: int) -> int:
        block = self._blocks.get((place >> CLOCK_BITS) - 1)
        clock = place & CLOCK_MASK
        if block is None or clock >= block[3]:
            return _ELSEWHERE
        rows = self._layout.rows
        row = bisect_right(range(block[1], block[2]), clock, key=lambda row: rows[4 * row] & CLOCK_MASK) + block[1] - 1
        return row if row >= block[1] else _ELSEWHERE
