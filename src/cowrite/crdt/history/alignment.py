"""What of a document stays as it is when it is edited to show another moment."""

from __future__ import annotations

from typing import Final

from cowrite.crdt.history.blame import IN_ARRAYS, IN_TEXTS, IN_XML
from cowrite.crdt.history.pairing import Paired, Place
from cowrite.crdt.history.patching import Held, Kept
from cowrite.crdt.history.showing import Now
from cowrite.crdt.history.sides import Part
from cowrite.crdt.outline import TYPE


class Alignment:
    """What a root or shared type shows at both of two moments."""

    def __init__(self, paired: Paired, place: Place, *, back: bool) -> None:
        """``back``: the later moment is what there is, and the earlier one what there should be."""
        self._paired = paired
        self._place = place
        self._back = back

    @classmethod
    def of_root(cls, paired: Paired, name: str, *, back: bool) -> Alignment:
        """What a root shows at both."""
        holder = paired.items.root(name)
        return cls(paired, Place(holder, holder), back=back)

    def kept(self, what: Held) -> list[Kept]:
        """See :class:`cowrite.crdt.history.patching.Along`."""
        seen = _SEEN[what]
        kept: list[Kept] = []
        before = after = 0
        for part in self._paired.parts(self._place):
            piece = part.piece
            if piece.content not in seen:
                continue
            if part.before and part.after:
                at, want_at = (after, before) if self._back else (before, after)
                kept.append((at, want_at, piece.length, self._within(part)))
            before += piece.length * part.before
            after += piece.length * part.after
        return kept

    def stays(self, key: str) -> bool:
        """See :class:`cowrite.crdt.history.patching.Along`."""
        return self._entry(key) is not None

    def entry(self, key: str) -> Alignment | None:
        """See :class:`cowrite.crdt.history.patching.Along`."""
        part = self._entry(key)
        return self._within(part) if part is not None else None

    def _entry(self, key: str) -> Part | None:
        old = self._paired.entry(self._place.old.entries.get(key, ()))
        new = Now().entry(self._place.new.entries.get(key, ()))
        if old is None or new is None or not self._paired.same(old, new):
            return None
        return Part(new, True, True, old)

    def _within(self, part: Part) -> Alignment | None:
        if part.piece.content != TYPE:
            return None
        return Alignment(self._paired, self._paired.within(part), back=self._back)


_SEEN: Final = {Held.TEXT: IN_TEXTS, Held.ITEMS: IN_ARRAYS, Held.NODES: IN_XML}
