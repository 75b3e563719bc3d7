"""Texts in which every index is a place: each unit is one character, value or type.

To insert into a text at an index one must know that the index is within it and not inside of a character, and that the text
holds nothing that cannot be seen. Reading the whole text tells, and takes time in proportion to it. So it is remembered of
which roots that was seen, until something comes that may make it untrue. Most texts are even; those with characters beyond
U+FFFF are not, and are read each time.
"""

from __future__ import annotations

from collections.abc import Sequence

from cowrite.crdt.outline import CLOCK_BITS, CONTENT, HAS_KEY, Outline
from cowrite.crdt.text_index import utf16_length

_JSON, _BINARY, _ANY, _DOCUMENT = 2, 3, 8, 9
_UNSEEN_IN_TEXTS = frozenset((_JSON, _BINARY, _ANY, _DOCUMENT))


class EvenTexts:
    """The roots of one replica that are even texts."""

    def __init__(self) -> None:
        self._roots: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._roots)

    def __contains__(self, root: str) -> bool:
        return root in self._roots

    def note(self, root: str, pieces: Sequence[tuple[object, int]]) -> None:
        """A root's text was read: these are its pieces, each with its units."""
        if all(not isinstance(piece, str) or units == len(piece) for piece, units in pieces):
            self._roots.add(root)

    def forget(self) -> None:
        """Too much has come to look at it all: read the texts again."""
        self._roots.clear()

    def wrote(self, root: str, text: str) -> None:
        """A string was inserted into this root."""
        if utf16_length(text) != len(text):
            self._roots.discard(root)

    def received(self, outline: Outline) -> None:
        """An update of others was applied."""
        if self._roots and (outline.layout.halves or _may_hide_values(outline)):
            self._roots.clear()


def _may_hide_values(outline: Outline) -> bool:
    """Whether it has values in a list, of which it does not tell the kind: in a text they cannot be seen."""
    rows = outline.layout.rows
    for at in range(0, len(rows), 4):
        first = rows[at] >> CLOCK_BITS
        if first & CONTENT in _UNSEEN_IN_TEXTS and not first & HAS_KEY:
            return True
    return False
