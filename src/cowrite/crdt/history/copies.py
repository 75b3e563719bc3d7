"""What a restore or an undo brings back: which ids it has now, and which it had before.

Theory of operation. The engine's undo manager writes a deleted struct again right before the old one, which it names as the new
one's right neighbour. So for most of what comes back the old id is written in the update itself (:func:`_named`). Where it is
not (in a shared type that was itself written again, and for entries) the whole scratch document is read, in which both stand:

* What stands right before a deleted run of the same content is a copy of it; so is what is in a shared type that was written
  again, when all that it holds is the same, in order. For anything else nobody is given credit. (:class:`_Undone`)
* After a restore that had to be mended, the same can be seen as at the moment: the ids that could be seen then and those that
  can be seen now are laid side by side, position by position. (:class:`_Restored`)
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from cowrite.crdt.guard import outline_of_state
from cowrite.crdt.history.items import BINARY, DOCUMENT, EMBED, FORMAT, Holder, Items, Piece, read_items
from cowrite.crdt.history.patching import same
from cowrite.crdt.history.scratch import Scratch
from cowrite.crdt.outline import ANY, CLOCK_BITS, CLOCK_MASK, CONTENT, DELETED, GC, SKIP, STRING, TYPE, ClockRange, Outline

Copy = tuple[int, int, int, int, int]
"""(Yjs client, clock, length, Yjs client before, clock before)."""


def copies_of_restore(
    scratch: Scratch, undone: tuple[Sequence[ClockRange], Sequence[ClockRange]], outline: Outline
) -> Sequence[Copy]:
    """Return what a restore brings back that needed no mending, with the update of this outline.

    ``undone`` is what was inserted since the moment, and what was deleted.
    """
    named = _named(outline, scratch.client_id, _Ranges(undone[1]))
    return copies_of_undo(scratch, *undone) if named is None else _joined(named)


def copies_of_mended(scratch: Scratch, then: bytes) -> Sequence[Copy]:
    """Return what a restore brings back that was mended. ``then`` is the state at the moment."""
    items = read_items(scratch.encode())
    outline = outline_of_state(then)
    beginning: dict[int, int] = {}
    for client, _, end in outline.brings:
        beginning[client] = max(end, beginning.get(client, 0))
    return _joined(_Restored(items, scratch.client_id, beginning, _Ranges(outline.deletes)).copies())


def copies_of_undo(scratch: Scratch, inserted: Iterable[ClockRange], deleted: Iterable[ClockRange]) -> Sequence[Copy]:
    """Return what an undo brings back. ``inserted`` and ``deleted`` is what it undoes."""
    items = read_items(scratch.encode())
    return _joined(_Undone(items, scratch.client_id, _Ranges(inserted), _Ranges(deleted)).copies())


def _named(outline: Outline, client_id: int, back: _Ranges) -> list[Copy] | None:
    """Find the old ids in the update itself; None when it does not tell all."""
    layout = outline.layout
    rows = layout.rows
    copies: list[Copy] = []
    for _, first, behind, end_clock in layout.blocks:
        for at in range(4 * first, 4 * behind, 4):
            clock = rows[at] & CLOCK_MASK
            content = rows[at] >> CLOCK_BITS & CONTENT
            length = (rows[at + 4] & CLOCK_MASK if at + 4 < 4 * behind else end_clock) - clock
            right = rows[at + 2]
            client, old = layout.clients[(right >> CLOCK_BITS) - 1] if right else client_id, right & CLOCK_MASK
            if content == TYPE or not back.hold(client, old, old + length):
                return None
            copies.append((client_id, clock, length, client, old))
    return copies


class _Ranges:
    """Whether clocks are among some ranges, of which those of one client do not overlap."""

    def __init__(self, ranges: Iterable[ClockRange]) -> None:
        self._clients: dict[int, list[tuple[int, int]]] = {}
        for client, start, end in sorted(ranges):
            known = self._clients.setdefault(client, [])
            if known and known[-1][1] >= start:
                known[-1] = known[-1][0], max(end, known[-1][1])
            else:
                known.append((start, end))

    def hold(self, client: int, start: int, end: int) -> bool:
        """Tell whether all of these clocks are in it."""
        known = self._clients.get(client, ())
        at = bisect_right(known, (start, CLOCK_MASK)) - 1
        return at >= 0 and known[at][1] >= end

    def cut(self, piece: Piece) -> Iterator[tuple[Piece, bool]]:
        """Cut a piece at the ends of ranges: the parts, and whether they are in one."""
        start, end = piece.clock, piece.clock + piece.length
        known = self._clients.get(piece.client, ())
        at = max(0, bisect_right(known, (start, CLOCK_MASK)) - 1)
        for first, last in islice(known, at, None):
            if first >= end:
                break
            if last <= start:
                continue
            if start < first:
                yield piece.cut(start, first, deleted=piece.deleted), False
                start = first
            yield piece.cut(start, min(last, end), deleted=piece.deleted), True
            start = min(last, end)
        if start < end:
            yield piece.cut(start, end, deleted=piece.deleted), False


def side_by_side(old: Iterable[Piece], new: Iterable[Piece]) -> list[tuple[Piece, Piece]] | None:
    """Cut both into pairs of the same length; None when they have not the same length in all."""
    pairs = []
    before, after = list(old)[::-1], list(new)[::-1]
    while before and after:
        one, other = before.pop(), after.pop()
        length = min(one.length, other.length)
        pairs.append((_head(one, length), _head(other, length)))
        if one.length > length:
            before.append(_tail(one, length))
        if other.length > length:
            after.append(_tail(other, length))
    return None if before or after else pairs


def _head(piece: Piece, length: int) -> Piece:
    return piece if piece.length == length else piece.cut(piece.clock, piece.clock + length, deleted=piece.deleted)


def _tail(piece: Piece, length: int) -> Piece:
    return piece.cut(piece.clock + length, piece.clock + piece.length, deleted=piece.deleted)


def _copy(old: Piece, new: Piece) -> Copy:
    return new.client, new.clock, new.length, old.client, old.clock


class _Restored:
    """Lays what could be seen at a moment and what can be seen now side by side."""

    def __init__(self, items: Items, fresh: int, beginning: Mapping[int, int], gone_before: _Ranges) -> None:
        self._items = items
        self._fresh = fresh
        self._beginning = beginning
        self._gone = gone_before

    def copies(self) -> Iterator[Copy]:
        for holder in self._items.roots.values():
            yield from self._match(holder, holder)

    def _match(self, old: Holder, new: Holder) -> Iterator[Copy]:
        for one, other in side_by_side(self._before(old.pieces), _shown(new.pieces)) or ():
            yield from self._pair(one, other)
        for key, written in new.entries.items():
            was = list(self._before(old.entries.get(key, ())))
            if was and not written[-1].deleted:
                yield from self._pair(_last(was), _last(written))

    def _pair(self, old: Piece, new: Piece) -> Iterator[Copy]:
        if new.client == self._fresh:
            yield _copy(old, new)
        if old.content == new.content == TYPE:
            yield from self._match(self._items.within(old), self._items.within(new))

    def _before(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        for piece in pieces:
            end = self._beginning.get(piece.client, 0)
            if piece.clock >= end or piece.content in (FORMAT, DELETED, GC, SKIP):
                continue
            known = _head(piece, min(piece.length, end - piece.clock))
            if not piece.deleted:
                yield known
            else:
                yield from (part for part, gone in self._gone.cut(known) if not gone)


class _Undone:
    """Finds what was written again right before what it was."""

    def __init__(self, items: Items, fresh: int, inserted: _Ranges, deleted: _Ranges) -> None:
        self._items = items
        self._fresh = fresh
        self._inserted = inserted
        self._deleted = deleted

    def copies(self) -> Iterator[Copy]:
        for holder in self._items.roots.values():
            yield from self._look(holder)

    def _look(self, holder: Holder) -> Iterator[Copy]:
        """Find copies in what was not written again itself."""
        for at, piece in enumerate(holder.pieces):
            if piece.deleted:
                continue
            if piece.client == self._fresh:
                yield from self._run(piece, islice(holder.pieces, at + 1, None))
            elif piece.content == TYPE:
                yield from self._look(self._items.within(piece))
        for written in holder.entries.values():
            yield from self._entry(written)

    def _run(self, piece: Piece, behind: Iterable[Piece]) -> Iterator[Copy]:
        old: list[Piece] = []
        wanted = piece.length
        for other in behind:
            back = self._came_back(other)
            if not wanted or not back or back[0].clock != other.clock or (old and not _follows(old[-1], other)):
                break
            old.append(_head(back[0], min(wanted, back[0].length)))
            wanted -= old[-1].length
        yield from self._pairs(old, [piece])

    def _entry(self, written: Sequence[Piece]) -> Iterator[Copy]:
        new = written[-1]
        if new.client == self._fresh:
            yield from self._came_under(written[:-1], written)
        elif new.content == TYPE and not new.deleted:
            yield from self._look(self._items.within(new))

    def _pairs(self, old: Sequence[Piece], new: Sequence[Piece]) -> Iterator[Copy]:
        pairs = side_by_side(old, new)
        if pairs is not None and all(equal(self._items, *pair) for pair in pairs):
            for one, other in pairs:
                yield _copy(one, other)
                if one.content == TYPE:
                    yield from self._inside(self._items.within(one), self._items.within(other))

    def _inside(self, old: Holder, new: Holder) -> Iterator[Copy]:
        """Find copies in a shared type that was written again."""
        was = [part for piece in old.pieces if piece.content != FORMAT for part in self._came_back(piece)]
        yield from self._pairs(was, list(_shown(new.pieces)))
        for key, written in new.entries.items():
            yield from self._came_under(old.entries.get(key, ()), written)

    def _came_under(self, old: Sequence[Piece], new: Sequence[Piece]) -> Iterator[Copy]:
        """The last that was deleted under a key comes back."""
        before = [part for piece in old for part in self._came_back(piece)]
        if before and not new[-1].deleted:
            yield from self._pairs([_last(before)], [_last(new)])

    def _came_back(self, piece: Piece) -> list[Piece]:
        """Return the parts of a piece that were deleted, and not inserted by the same person."""
        gone = [part for part, back in self._deleted.cut(piece) if back]
        return [part for one in gone for part, theirs in self._inserted.cut(one) if not theirs]


def equal(items: Items, old: Piece, new: Piece) -> bool:
    """Tell whether two pieces hold the same; of shared types, whether they are of one kind and tag."""
    if old.content != new.content:
        return False
    if old.content == STRING:
        return items.text(old) == items.text(new)
    if old.content == TYPE:
        return items.type(old) == items.type(new)
    if old.content in (ANY, BINARY, DOCUMENT):
        return same(items.values(old), items.values(new))
    if old.content == FORMAT:
        return same(items.format(old), items.format(new))
    return old.content == EMBED and same(items.embed(old), items.embed(new))


def _follows(one: Piece, other: Piece) -> bool:
    return one.client == other.client and one.clock + one.length == other.clock


def _last(written: Sequence[Piece]) -> Piece:
    """Return the value that counts of those that were written under a key: the last one of a struct of several."""
    piece = written[-1]
    return piece if piece.length == 1 else _tail(piece, piece.length - 1)


def _shown(pieces: Iterable[Piece]) -> Iterator[Piece]:
    return (piece for piece in pieces if not piece.deleted and piece.content != FORMAT)


def _joined(copies: Iterable[Copy]) -> tuple[Copy, ...]:
    """Join neighbours, in the order of their new ids."""
    joined: list[Copy] = []
    for copy in sorted(copies):
        if joined:
            client, clock, length, old_client, old_clock = joined[-1]
            if copy[:2] == (client, clock + length) and copy[3:] == (old_client, old_clock + length):
                joined[-1] = client, clock, length + copy[2], old_client, old_clock
                continue
        joined.append(copy)
    return tuple(joined)
