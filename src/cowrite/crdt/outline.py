"""What an update brings, deletes and needs, without applying it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from cowrite.crdt.roots import RootKind


class ClockRange(NamedTuple):
    """The structs of one Yjs client with ``start <= clock < end``."""

    client: int
    start: int
    end: int


CLOCK_BITS = 31
CLOCK_MASK = (1 << CLOCK_BITS) - 1

GC = 0
DELETED = 1
STRING = 4
FORMAT = 6
TYPE = 7
ANY = 8
SKIP = 10
HAS_ORIGIN = 0x80
HAS_RIGHT_ORIGIN = 0x40
HAS_KEY = 0x20
CONTENT = 0x1F


class Layout(NamedTuple):
    """Where the structs of an update stand in its bytes, and where they go in a document.

    An id is one integer: ``(number of its client + 1) << 31 | clock``. Smaller integers are numbers of heads: places at the
    beginning of a list, without a left neighbour. 0 means that nothing is written.
    """

    clients: Sequence[int]
    """Every client that an id names; its place here is its number."""
    blocks: Sequence[tuple[int, int, int, int]]
    """One per client with structs: (the client's number, its first row, the row behind its last, the clock behind its last)."""
    rows: Sequence[int]
    """Four integers per struct, skips included, as they stand in the bytes: first byte << 31 | clock; the id of the origin, or
    the number of the head, or 0; the id of the right origin, or 0; the place of its first byte."""
    heads: Sequence[int]
    """For each head (the first one is number 1): the id of the type that holds the list, or 0 for a root."""
    order: Sequence[tuple[int, int]]
    """Steps (block, row behind): which rows to take next so that each comes after everything that it refers to."""
    halves: Sequence[int]
    """The ids of high surrogates in strings."""
    deletes_at: int
    """The place of the delete set's first byte."""


NO_LAYOUT = Layout((), (), (), (), (), (), 0)


class Outline(NamedTuple):
    """What :func:`cowrite.crdt.guard.inspect` found in an update. Says nothing about any document.

    Named tuples here, where the rest of the project has frozen dataclasses: three are made for every keystroke, in a quarter of
    the time.
    """

    brings: tuple[ClockRange, ...]
    """The structs that it carries; holes (Yjs "skip" structs) are left out. Ranges of one client are ascending and apart."""
    deletes: tuple[ClockRange, ...]
    """What it marks as deleted. A client's ranges are ascending and do not overlap."""
    needs: tuple[tuple[int, int], ...]
    """(client, clock) that a document must know before, the highest one per client. Whatever else the update refers to it
    brings itself, in an order that can be integrated."""
    roots: Mapping[str, RootKind | None]
    """The roots that the update names, with the kind that their content shows; None when it does not tell."""
    structs: int = 0
    """How many structs it carries, holes included."""
    types: int = 0
    """How many of them are shared types (elements, nested maps, texts, arrays)."""
    loose: int = 0
    """At most how many of them go where the update does not tell what the engine has to do: between neighbours between which
    only the document knows what stands, or into the middle of another."""
    layout: Layout = NO_LAYOUT
    """Where each struct stands and goes; read inside this package only."""

    @property
    def parts(self) -> int:
        """Its structs and deleted ranges: what it costs to apply grows with them."""
        return self.structs + len(self.deletes)

    @property
    def weight(self) -> int:
        """About how many bytes of memory it takes beyond what that of a keystroke does."""
        layout = self.layout
        if self.structs == 1 and len(self.needs) < 2 and len(layout.clients) < 3 and not (self.deletes or layout.halves):
            return 0  # a keystroke
        ranges = len(self.brings) + len(self.deletes) + len(self.needs) + len(layout.order)
        integers = len(layout.heads) + len(layout.halves) + len(layout.clients)
        total = 32 * self.structs + 140 * ranges + 40 * integers + 200 * (len(layout.blocks) + len(self.roots))
        return max(0, total - 1000)

    @property
    def is_empty(self) -> bool:
        """True when it neither brings nor deletes anything (Yjs sends such updates when there is nothing to say)."""
        return not self.brings and not self.deletes


def missing(outline: Outline, state: Mapping[int, int]) -> tuple[tuple[int, int], ...]:
    """Return the (client, clock) halves that the update needs and that ``state`` does not hold.

    ``state`` maps each client to its next clock, as in a state vector, of a document that holds nothing pending. An empty
    answer means that applying the update to that document leaves nothing pending. Pure; about as fast as one look-up per need.
    """
    known = state.get
    return tuple([need for need in outline.needs if known(need[0], 0) <= need[1]])


def covers(ranges: Iterable[ClockRange], others: Iterable[ClockRange]) -> bool:
    """Tell whether every clock of ``others`` is in one of ``ranges``, which are ascending for each client."""
    return next(iter(uncovered(ranges, others)), None) is None


def uncovered(ranges: Iterable[ClockRange], others: Iterable[ClockRange]) -> Iterator[ClockRange]:
    """Give those of ``others`` that are not in ``ranges`` whole, in their order."""
    joined: dict[int, list[list[int]]] = {}
    for client, start, end in ranges:
        of_client = joined.setdefault(client, [])
        if of_client and of_client[-1][1] == start:
            of_client[-1][1] = end
        else:
            of_client.append([start, end])
    for other in others:
        of_client = joined.get(other.client, [])
        at = bisect_right(of_client, other.start, key=lambda known: known[0]) - 1
        if at < 0 or of_client[at][1] < other.end:
            yield other
