"""Where the structs of an update go: the guard's notes, in columns, for the checks that need more than one struct at a time.

An id is one integer: ``(number of its client + 1) << 31 | clock``, the number being the client's place in ``clients``. Smaller
integers are numbers of heads: places at the beginning of a list, without a left neighbour. 0 means that nothing is written.
"""

from __future__ import annotations

from array import array
from typing import TypeAlias

CLOCK_BITS = 31
CLOCK_MASK = (1 << CLOCK_BITS) - 1

GC = 0
STRING = 4
TYPE = 7
SKIP = 10
HAS_ORIGIN = 0x80
HAS_RIGHT_ORIGIN = 0x40
HAS_KEY = 0x20
CONTENT = 0x0F

Column: TypeAlias = "list[int] | array[int]"
"""A list while the update is small; an array (8 bytes a row instead of about 40) when it is large."""

_SMALL = 32_768  # bytes


class Structs:
    """One row per struct, skips included, in the order of the bytes. Written by the guard, then only read."""

    __slots__ = ("blocks", "clients", "clocks", "heads", "heads_by_place", "infos", "lefts", "numbers", "order", "rights")

    def __init__(self, size: int) -> None:
        small = size <= _SMALL
        self.infos = bytearray()
        """Each struct's first byte: its kind of content and which of its neighbours are written."""
        self.clocks: Column = [] if small else array("I")
        self.lefts: Column = [] if small else array("Q")
        """The id of the origin, or the number of the head, or 0."""
        self.rights: Column = [] if small else array("Q")
        """The id of the right origin, or 0."""
        self.clients: list[int] = []
        """Every client that an id names; its place here is its number."""
        self.numbers: dict[int, int] = {}
        self.blocks: list[tuple[int, int, int, int]] = []
        """(number of the client, its first row, the row behind its last, the clock behind its last)."""
        self.heads: list[int] = []
        """For each head (the first one is number 1): the id of the type that holds the list, or 0 for a root."""
        self.heads_by_place: dict[tuple[int | str, str | None], int] = {}
        self.order: tuple[tuple[int, int], ...] = ()
        """(block, row behind): which rows to take next so that each comes after everything that it refers to."""

    def number(self, client: int) -> int:
        """Return the client's number, a new one when it is named for the first time."""
        number = self.numbers.get(client)
        if number is None:
            number = self.numbers[client] = len(self.clients)
            self.clients.append(client)
        return number

    def head(self, parent: int | str, key: str | None) -> int:
        """Return the number of a list's head: in the root of that name or the type with that id; under a key for entries."""
        place = (parent, key)
        head = self.heads_by_place.get(place)
        if head is None:
            self.heads.append(0 if isinstance(parent, str) else parent)
            head = self.heads_by_place[place] = len(self.heads)
        return head
