"""What cannot be imported, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_SOURCE_BYTES: Final = 1 << 20
"""Of Markdown, HTML, text and JSON, unless it is said otherwise: the work of reading them is Python's."""
MAX_NODES: Final = 20_000
"""Elements, texts, their pieces and attributes, unless it is said otherwise: the engine's work grows faster than their number.
About 5000 paragraphs."""
MAX_NESTED: Final = 45
"""Quotes, lists, tables in one another. A list takes two levels of a tree, of which there may be a hundred."""


class SourceInvalid(ValueError):
    """Nothing can be made of the bytes. ``code`` is stable, ``reason`` is for people.

    * ``not_utf8``: it is no text in UTF-8.
    * ``null_character``: it holds U+0000.
    * ``lone_surrogate``: it holds half of a surrogate pair (JSON can).
    * ``too_large``: it has more bytes than are taken.
    * ``too_many_nodes``: it has more nodes than are taken.
    * ``too_deep``: it is nested too deep.
    * ``too_costly``: reading it takes more work than one import may cause.
    * ``not_prosemirror``: it is not the JSON of a ProseMirror document.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class SourceLimits:
    """How much of one source is taken."""

    bytes: int = MAX_SOURCE_BYTES
    nodes: int = MAX_NODES


class Counter:
    """Counts what is made, so that little bytes cannot become much memory."""

    __slots__ = ("_left", "_most")

    def __init__(self, most: int = MAX_NODES) -> None:
        self._left = self._most = most

    def one_more(self, count: int = 1) -> None:
        """Raises :class:`SourceInvalid` (``too_many_nodes``)."""
        self._left -= count
        if self._left < 0:
            raise too_many_nodes(self._most)


def too_many_nodes(most: int, what: str = "nodes") -> SourceInvalid:
    """To be raised where there are more than so many."""
    return SourceInvalid("too_many_nodes", f"it has more than {most} {what}; import it in parts")


def too_deep() -> SourceInvalid:
    """To be raised where blocks are nested too deep."""
    return SourceInvalid("too_deep", f"quotes, lists and tables are nested more than {MAX_NESTED} deep")
