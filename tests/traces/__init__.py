"""Recorded editing sessions.

``automerge_paper.xz``: how Martin Kleppmann wrote a paper in LaTeX (https://arxiv.org/abs/1608.03960), key by key: 182 315
characters typed and 77 463 deleted. From https://github.com/automerge/automerge-perf by way of
https://github.com/josephg/editing-traces, packed anew: runs of neighbouring keys as (what, distance to the run before, keys),
in front of all the text that was typed.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

_TYPED, _BACKSPACE, _DELETED = range(3)


class Key(NamedTuple):
    """One key: a character that is typed at an index, or (empty) the one at that index deleted."""

    at: int
    character: str


def automerge_paper() -> list[Key]:
    """All keys in order. The text is ASCII, and empty before the first one."""
    data = lzma.decompress((Path(__file__).parent / "automerge_paper.xz").read_bytes())
    size = int.from_bytes(data[:4], "big")
    numbers, typed = _numbers(data[4 : 4 + size]), iter(data[4 + size :].decode("ascii"))
    keys: list[Key] = []
    start = 0
    for what, signed, count in zip(numbers, numbers, numbers, strict=True):
        start += -(signed + 1) // 2 if signed % 2 else signed // 2
        for at in range(count):
            if what == _TYPED:
                keys.append(Key(start + at, next(typed)))
            else:
                keys.append(Key(start - at if what == _BACKSPACE else start, ""))
    return keys


def play(text: list[str], keys: Sequence[Key]) -> None:
    """Do what the keys did to a text, given as a list of its characters."""
    for at, character in keys:
        if character:
            text.insert(at, character)
        else:
            del text[at]


def _numbers(data: bytes) -> Iterator[int]:
    value = shift = 0
    for byte in data:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            yield value
            value = shift = 0
