"""Positions in text as Python counts them, in characters (code points), and what the engine says of a text in its own units.

A text is mirrored as a ``str``: what is embedded in it (a picture, a mention) stands there as one :data:`EMBEDDED`, so that an
index of the string is a position in the text, whatever is in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cowrite.crdt.text_index import utf16_length

EMBEDDED: Final = "\ufffc"
"""What stands for something in a text that is no character (U+FFFC, the object replacement character)."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One place of a text that has changed. Of several the first happened first: the next one's index counts what it did."""

    index: int
    deleted: str
    """What stood there."""
    inserted: str
    """What stands there now."""


def characters(pieces: Iterable[tuple[object, Any]]) -> str:
    """What the engine tells of a text (``diff``), as its mirror."""
    return "".join(piece if isinstance(piece, str) else EMBEDDED for piece, _ in pieces)


def units_before(text: str, index: int) -> int:
    """How many UTF-16 units stand before a character."""
    return index if text.isascii() else utf16_length(text[:index])


def read_delta(text: str, delta: Iterable[Mapping[str, Any]]) -> tuple[str, list[Edit]]:
    """What a text is after a change that the engine tells as a delta, and what has changed, in characters."""
    parts: list[str] = []
    edits: list[Edit] = []
    read = written = 0
    for step in delta:
        if "insert" in step:
            piece = step["insert"]
            inserted = piece if isinstance(piece, str) else EMBEDDED
            edits.append(Edit(written, "", inserted))
            parts.append(inserted)
            written += len(inserted)
            continue
        end = _end(text, read, step["delete"] if "delete" in step else step["retain"])
        if "delete" in step:
            edits.append(Edit(written, text[read:end], ""))
        else:
            kept = text[read:end]
            parts.append(kept)
            written += len(kept)
        read = end
    parts.append(text[read:])
    return "".join(parts), edits


def _end(text: str, start: int, units: int) -> int:
    """Where so many UTF-16 units from ``start`` on end."""
    piece = text[start : start + units]
    if piece.isascii():
        return start + len(piece)
    encoded = piece.encode("utf-16-le", "surrogatepass")[: 2 * units]
    return start + len(encoded.decode("utf-16-le", "surrogatepass"))
