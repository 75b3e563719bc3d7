"""What an update brings, deletes and needs, without applying it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cowrite.crdt.roots import RootKind
from cowrite.crdt.structs import Structs


@dataclass(frozen=True, slots=True)
class ClockRange:
    """The structs of one Yjs client with ``start <= clock < end``."""

    client: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Outline:
    """What :func:`cowrite.crdt.guard.inspect` found in an update. Says nothing about any document."""

    brings: tuple[ClockRange, ...]
    """The structs that it carries; holes (Yjs "skip" structs) are left out. Ranges of one client are ascending and apart."""
    deletes: tuple[ClockRange, ...]
    """What it marks as deleted. A client's ranges are ascending and do not overlap."""
    needs: tuple[tuple[int, int], ...]
    """(client, clock) that a document must know before, the highest one per client. Whatever else the update refers to it
    brings itself, in an order that can be integrated."""
    roots: Mapping[str, RootKind | None]
    """The roots that the update names, with the kind that their content shows; None when it does not tell."""
    structs: int
    """How many structs it carries, holes included."""
    types: int
    """How many of them are shared types (elements, nested maps, texts, arrays)."""
    placed: Structs
    """Where each struct goes; read by this package only."""

    @property
    def is_empty(self) -> bool:
        """True when it neither brings nor deletes anything (Yjs sends such updates when there is nothing to say)."""
        return not self.brings and not self.deletes


def missing(outline: Outline, state: Mapping[int, int]) -> tuple[tuple[int, int], ...]:
    """Return the (client, clock) pairs that the update needs and that ``state`` does not hold.

    ``state`` maps each client to its next clock, as in a state vector, of a document that holds nothing pending. An empty
    answer means that applying the update to that document leaves nothing pending. Pure; about as fast as one look-up per need.
    """
    known = state.get
    return tuple([need for need in outline.needs if known(need[0], 0) <= need[1]])
