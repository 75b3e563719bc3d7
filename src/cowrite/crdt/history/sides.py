"""Two moments of one log in one set of pieces: what could be seen at which of them, and whose deletions came between.

Theory of operation. A document is made of the state before, and then takes in the state after, without collecting what that
deletes: so it holds whatever could be seen at either moment, in one order. A piece was there before when its clock is below the
state vector of then and it was not deleted then; it is there after when it is not deleted now.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from cowrite.crdt.content import MAX_CLOCK
from cowrite.crdt.document import Document
from cowrite.crdt.guard import deletes_of
from cowrite.crdt.history.items import Holder, Items, Piece, cut_by, read_items
from cowrite.crdt.outline import ClockRange
from cowrite.crdt.state_vector import decode_state_vector, encode_state_vector

_new = tuple.__new__  # makes a named tuple in a third of the time
_NOTHING_GONE: tuple[Sequence[int], Sequence[int]] = ((MAX_CLOCK + 1,), ())


class Part(NamedTuple):
    """A piece that could be seen at one of two moments at least."""

    piece: Piece
    before: bool
    after: bool
    was: Piece | None = None
    """What was seen in its place before, when it is a copy of that (see :mod:`cowrite.crdt.history.pairing`)."""


class Sides:
    """Two moments: from an encoded state to another one that holds all of it.

    Takes about as long as loading both, and :func:`read_items`. Raises :class:`EngineFault`.
    """

    def __init__(self, before: bytes, after: bytes) -> None:
        document = _KeepingDocument()
        document.take_in(before)
        self._vector = dict(document.state)
        self._deletes = _by_client(deletes_of(document.diff(encode_state_vector(self._vector))))
        # Of each client where its deleted ranges begin and end; behind the last one begins none.
        self._gone: Mapping[int, tuple[Sequence[int], Sequence[int]]] = {
            client: ([*(known.start for known in ranges), MAX_CLOCK + 1], [known.end for known in ranges])
            for client, ranges in self._deletes.items()
        }
        document.take_in(after)
        self.items: Items = read_items(document.encode())

    def parts(self, holder: Holder) -> list[Part]:
        """Return what could be seen of a list at either moment, cut so that each part is alike."""
        parts: list[Part] = []
        vector, gone, append = self._vector.get, self._gone.get, parts.append
        for piece in holder.pieces:
            client, clock, length, _, deleted, _, _ = piece
            known, end = vector(client, 0), clock + length
            if clock >= known:
                if not deleted:
                    append(_new(Part, (piece, False, True, None)))
                continue
            starts, ends = gone(client, _NOTHING_GONE)
            at = bisect_right(ends, clock)
            if end <= starts[at] and end <= known:
                append(_new(Part, (piece, True, not deleted, None)))
            elif not (deleted and end <= known and starts[at] <= clock and end <= ends[at]):  # else it was gone before
                parts += self._cut(piece, known)
        return parts

    def pieces(self, holder: Holder) -> Iterable[Piece]:
        """What could be seen before (see :class:`cowrite.crdt.history.showing.Side`)."""
        return [part.piece for part in self.parts(holder) if part.before]

    def entry(self, written: Sequence[Piece]) -> Piece | None:
        """What counted before."""
        for piece in reversed(written):
            if piece.clock < self._vector.get(piece.client, 0):
                return piece if self._was_there(piece) else None
        return None

    def _was_there(self, piece: Piece) -> bool:
        """Tell whether all of a piece that is known before could be seen then."""
        starts, ends = self._gone.get(piece.client, _NOTHING_GONE)
        return piece.clock + piece.length <= starts[bisect_right(ends, piece.clock)]

    def _cut(self, piece: Piece, known: int) -> list[Part]:
        end = piece.clock + piece.length
        parts = []
        for start, stop, gone in cut_by(self._deletes.get(piece.client, ()), piece.clock, min(end, known)):
            if not (gone and piece.deleted):
                parts.append(Part(piece.cut(start, stop, deleted=piece.deleted), not gone, not piece.deleted))
        if end > known and not piece.deleted:
            parts.append(Part(piece.cut(known, end, deleted=False), False, True))
        return parts


class _KeepingDocument(Document):
    def __init__(self) -> None:
        super().__init__(keep_deleted=True)

    def take_in(self, state: bytes) -> None:
        """Apply what a document has encoded itself."""
        self._integrate(state)
        self._state = decode_state_vector(self._call(self._engine.get_state))
        self._encoded = self._deletions = None


def _by_client(ranges: Iterable[ClockRange]) -> Mapping[int, list[ClockRange]]:
    by_client: dict[int, list[ClockRange]] = {}
    for deleted in ranges:
        by_client.setdefault(deleted.client, []).append(deleted)
    return by_client
