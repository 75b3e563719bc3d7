"""A text as a tree of units, each under its origin. It judges neighbours by walking from unit to unit."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from pycrdt import Doc, Text

from cowrite.testing.yjs_writer import Id, block, text, write_update

FIRST_LETTER = 0x4E00
"""Each unit is a letter of its own."""


class Written(NamedTuple):
    """Some text at a place."""

    first: Id
    letters: str
    origin: Id | None
    right: Id | None
    fits: bool
    update: bytes


class Lists:
    """One text, written by several clients of which some mean no good."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._clocks = dict.fromkeys(rng.sample(range(1, 60), 4), 0)
        self._origins: dict[Id, Id | None] = {}
        self._rights: dict[Id, Id | None] = {}
        self._taken: list[Written] = []

    def write(self) -> Written:
        """Write something between neighbours that are picked at random, most of them near one another."""
        rng = self._rng
        client = rng.choice(list(self._clocks))
        first = client, self._clocks[client]
        letters = "".join(chr(FIRST_LETTER + len(self._origins) + at) for at in range(rng.choice((1, 1, 2, 4))))
        known: list[Id | None] = [None, *self._origins]
        origin = rng.choice(known)
        near = [unit for unit in known if unit and self._origins[unit] == origin]
        right = rng.choice((rng.choice(known), rng.choice(near or known), origin, self._rights.get(origin) if origin else None))
        update = write_update([block(client, first[1], text(letters, root="t", origin=origin, right=right))])
        return Written(first, letters, origin, right, self._fits(origin, right), update)

    def take(self, written: Written) -> None:
        """It has been applied."""
        self._taken.append(written)
        client, clock = written.first
        for at in range(len(written.letters)):
            self._origins[client, clock + at] = (client, clock + at - 1) if at else written.origin
            self._rights[client, clock + at] = written.right
        self._clocks[client] += len(written.letters)

    def in_order(self, rng: random.Random) -> list[bytes]:
        """All updates, in some order in which each finds what it needs."""
        waiting, known, order = list(self._taken), dict.fromkeys(self._clocks, 0), []
        while waiting:
            ready = [one for one in waiting if known[one.first[0]] == one.first[1] and self._finds(one, known)]
            one = rng.choice(ready)
            waiting.remove(one)
            known[one.first[0]] += len(one.letters)
            order.append(one.update)
        return order

    def _finds(self, one: Written, known: dict[int, int]) -> bool:
        return all(unit is None or known[unit[0]] > unit[1] for unit in (one.origin, one.right))

    def _fits(self, origin: Id | None, right: Id | None) -> bool:
        if right is None or self._origins[right] == origin:
            return True
        unit = origin
        while unit is not None and self._goes_on(unit) and unit != right:
            unit = self._origins[unit]
        if unit == right:  # with the origin in one piece, perhaps; its first unit is none that a piece could be cut before
            return not self._goes_on(right)
        above: Id | None = right
        while above is not None:
            above = self._origins[above]
            if above == origin:
                return False
        return True

    def _goes_on(self, unit: Id) -> bool:
        """Whether a piece may hold the unit and the one before it."""
        before = unit[0], unit[1] - 1
        return self._origins[unit] == before and self._rights[unit] == self._rights[before]


def text_of(updates: Sequence[bytes]) -> str:
    """The text in a document that gets one update after the other."""
    document: Doc[Text] = Doc()
    for update in updates:
        document.apply_update(update)
    return str(document.get("t", type=Text))
