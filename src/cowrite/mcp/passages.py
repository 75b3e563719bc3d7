"""Passages of a text: where they are, what is around them, and long ones page by page. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_AROUND: Final = 80
_LONGEST: Final = 600
"""Characters of a passage that are shown of it; in the middle of a longer one something is left out."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some lines of a text, each behind its number."""

    shown: str
    first: int
    last: int
    lines: int
    """So many does the text have."""
    next: tuple[int, int] | None
    """Line and character in it at which the next page begins; None: this is the last one."""


def page(text: str, line: int, character: int, most: int) -> Page:
    """At most so many characters from a place on: a line from 1, and a character of it from 0.

    A line is cut only where it alone is too long. Raises ``IndexError`` for a place that is not in the text.
    """
    lines = text.split("\n")
    if not 1 <= line <= len(lines) or not 0 <= character <= len(lines[line - 1]):
        raise IndexError(f"there is no character {character} in line {line} of {len(lines)} lines")
    shown: list[str] = []
    left, number, start = most, line, character
    while number <= len(lines):
        rest = lines[number - 1][start:]
        if len(rest) > left and shown:
            return Page("\n".join(shown), line, number - 1, len(lines), (number, 0))
        cut = rest[:left]
        shown.append(f"{number}\t{cut}")
        if len(cut) < len(rest):
            return Page("\n".join(shown), line, number, len(lines), (number, start + len(cut)))
        left -= len(cut) + 2 + len(str(number))
        number, start = number + 1, 0
        if left <= 0 and number <= len(lines):
            return Page("\n".join(shown), line, number - 1, len(lines), (number, 0))
    return Page("\n".join(shown), line, len(lines), len(lines), None)


def occurrences(text: str, wanted: str, most: int) -> list[int]:
    """Where it begins, also where two overlap: the first ones, at most so many."""
    found: list[int] = []
    start = text.find(wanted)
    while start >= 0 and len(found) < most:
        found.append(start)
        start = text.find(wanted, start + 1)
    return found


def differing(old: str, new: str) -> tuple[int, int]:
    """How many characters both have in common at the beginning, and behind that at the end.

    Only what lies between is changed: what others write beside it, its formatting and who wrote it stay.
    """
    shorter = min(len(old), len(new))
    first = next((index for index in range(shorter) if old[index] != new[index]), shorter)
    shorter -= first
    last = next((index for index in range(shorter) if old[-1 - index] != new[-1 - index]), shorter)
    return first, last


def around(text: str, start: int, stop: int) -> str:
    """What stands there, with what is around it, in numbered lines."""
    first, last = max(0, start - _AROUND), min(len(text), stop + _AROUND)
    if last - first > _LONGEST:
        half = _LONGEST // 2
        return f"{_numbered(text, first, first + half)}\n(…)\n{_numbered(text, last - half, last)}"
    return _numbered(text, first, last)


def _numbered(text: str, first: int, last: int) -> str:
    number = text.count("\n", 0, first) + 1
    before = "…" if first and text[first - 1] != "\n" else ""
    behind = "…" if last < len(text) and text[last] != "\n" else ""
    lines = f"{before}{text[first:last]}{behind}".split("\n")
    return "\n".join(f"{number + index}\t{line}" for index, line in enumerate(lines))
