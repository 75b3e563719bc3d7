"""Where each Yjs client has typed last, so that the next keystroke there need not be looked for.

Theory of operation. To say at which index a string was inserted the engine reads the text from its beginning: 2 ms for 4 MB,
and as long for 200 000 pieces, again and again for everybody who types. But whoever goes on typing refers, as the left
neighbour, to the last unit that the same client has written, and nobody knew of that unit before. Yjs puts such a string
directly behind its left neighbour, unless something else refers to that neighbour in the same way; so it is enough to remember
the index behind that unit (a *tail*), to move it with everything that happens before it, and to forget it as soon as anything
else is put there.

Whoever strikes a wrong key deletes it, and types on. So it is also remembered how many of the last units stand side by side and
can be seen: the last of these are deleted by their clocks alone, wherever they are. What is typed then stands behind the last
one that is left. It names as its neighbours either that one and the first deleted one (before which it stands then), or the
last deleted one and what was the right neighbour before.

A tail is learnt from an operation that the engine itself has told, and forgotten whenever it is not certain: when its unit is
deleted, when something is formatted, when much happens at once. Then the engine is asked again. Only texts that are roots have
tails: within a node the path would have to be known, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from cowrite.crdt.content import read_sized
from cowrite.crdt.history.contents import content_at
from cowrite.crdt.operations import OperationDraft, OperationType
from cowrite.crdt.outline import CLOCK_BITS, CLOCK_MASK, CONTENT, DELETED, GC, SKIP, STRING, ClockRange, Outline
from cowrite.crdt.text_index import utf16_length

MAX_TAILS: Final = 2000
"""Clients whose place is remembered in one document."""
_HARMLESS = frozenset((GC, DELETED, STRING, SKIP))
"""Kinds of content after which an index is what it was but for what the operations tell."""
_MANY = 64
"""Structs or operations in one change beyond which all is forgotten."""
_ORDINARY = 0xFF & ~CONTENT
_AFTER_ITS_OWN = (0x80, 0xC0)
"""Flags of a struct that has a left neighbour, and perhaps a right one."""


class _End(NamedTuple):
    """What a client's next keystroke has to look like."""

    clock: int
    root: str
    right: tuple[int, int]
    """Its right neighbour: one that lies before the left one, in the same piece, would make the engine put it elsewhere."""
    left: int
    """The clock of its last unit that is not deleted: behind it is the place. Those from there to ``clock`` were deleted."""
    first: int
    """The units from this clock to ``left``, if any, are characters that stand side by side, and can be seen."""

    def typed(self, start: int, end: int, right: tuple[int, int], text: str) -> _End:
        """The same after a string with that right neighbour."""
        first = self.first if self.left == start - 1 else start
        # Half a character must not be deleted: where there are such the engine is asked.
        return _End(end, self.root, right, end - 1, first if len(text) == end - start else end)


class Continuation(NamedTuple):
    """What one client types, or deletes of its last characters, where it was."""

    update: bytes
    """All of what is typed as one struct."""
    client: int
    brings: tuple[ClockRange, ...]
    place: int
    """The index at which it begins."""
    text: str
    deleted: int
    """How many units."""
    before: bool
    """What is typed stands before what is deleted, not behind it."""
    end: _End
    """What comes next has to look like this."""

    @property
    def operations(self) -> tuple[OperationDraft, ...]:
        """As the engine would tell it: from left to right."""
        root, place = self.end.root, self.place
        typed = OperationDraft(OperationType.INSERT, (root, place), self.text, None, {})
        if not self.deleted:
            return (typed,)
        at = place + utf16_length(self.text) if self.before else place
        deleted = OperationDraft(OperationType.DELETE, (root, at), None, self.deleted)
        if not self.text:
            return (deleted,)
        return (typed, deleted) if self.before else (deleted, typed)


class _Places:
    """The tails in one root, in no order."""

    __slots__ = ("clients", "indexes", "slots")

    def __init__(self) -> None:
        self.clients: list[int] = []
        self.indexes: list[int] = []
        self.slots: dict[int, int] = {}

    def add(self, client: int, index: int) -> None:
        self.slots[client] = len(self.clients)
        self.clients.append(client)
        self.indexes.append(index)

    def remove(self, client: int) -> None:
        slot = self.slots.pop(client)
        last, index = self.clients.pop(), self.indexes.pop()
        if last != client:
            self.clients[slot], self.indexes[slot], self.slots[last] = last, index, slot

    def insert(self, index: int, length: int) -> None:
        self.indexes = [at + length if at > index else at for at in self.indexes]

    def delete(self, index: int, length: int) -> None:
        """After those within were forgotten."""
        self.indexes = [at - length if at > index else at for at in self.indexes]


class Tails:
    """The tails of one document."""

    def __init__(self) -> None:
        self._ends: dict[int, _End] = {}
        self._roots: dict[str, _Places] = {}

    def clear(self) -> None:
        """Remember nothing."""
        self._ends.clear()
        self._roots.clear()

    def continuation(self, updates: Sequence[bytes], outlines: Sequence[Outline]) -> Continuation | None:
        """Tell what these updates do when they are nothing but keystrokes of one client where it has typed last, or one that
        deletes the last characters there; else None.

        The right neighbour of all is the same. Whoever applies them calls :meth:`go_on`, before anything else happens.
        """
        outline = outlines[0]
        if outline.deletes:
            return self._correction(updates[0], outline) if len(updates) == 1 else None
        if not self._ends or not outline.brings:
            return None
        client, start, end = outline.brings[0]
        tail = self._ends.get(client)
        right = _right(outline)
        if tail is None or tail.clock != start:
            return None
        left = start - 1
        if right == (client, tail.left + 1):
            left = tail.left
        elif right != tail.right:
            return None
        if not _continues(outline, client, start, left):
            return None
        update, content = updates[0], _content(updates[0], outline)
        if len(updates) > 1:
            parts = [content]
            for more, one in zip(updates[1:], outlines[1:], strict=True):
                if one.deletes or not _continues(one, client, end, end - 1) or _right(one) != right:
                    return None
                parts.append(_content(more, one))
                end = one.brings[0].end
            content = b"".join(parts)
            update = _joined(update, outline, content)
        text = content.decode()
        return Continuation(
            update,
            client,
            (ClockRange(client, start, end),),
            self._place(client, tail),
            text,
            0,
            False,
            tail.typed(start, end, right, text),
        )

    def _correction(self, update: bytes, outline: Outline) -> Continuation | None:
        """A client deletes its last characters, and perhaps types in their place."""
        client, start, end = outline.deletes[0]
        tail = self._ends.get(client)
        if tail is None or end != tail.left + 1 or start <= tail.first or len(outline.deletes) > 1:
            return None
        place = self._place(client, tail) - (end - start)
        after = tail._replace(left=start - 1)
        if not outline.structs:
            return Continuation(update, client, (), place, "", end - start, False, after)
        right = _right(outline)
        before = right == (client, start)
        if not _continues(outline, client, tail.clock, start - 1 if before else tail.clock - 1):
            return None
        if not before and right != tail.right:
            return None
        text = _content(update, outline).decode()
        after = after.typed(*outline.brings[0][1:], right, text)
        return Continuation(update, client, outline.brings, place, text, end - start, before, after)

    def _place(self, client: int, tail: _End) -> int:
        places = self._roots[tail.root]
        return places.indexes[places.slots[client]]

    def go_on(self, typed: Continuation) -> None:
        """These keystrokes were taken."""
        places = self._roots[typed.end.root]
        if typed.deleted:
            places.delete(typed.place, typed.deleted)
        end = typed.place
        if typed.brings:
            length = typed.brings[0].end - typed.brings[0].start
            places.insert(typed.place, length)
            end += length
        self._ends[typed.client] = typed.end
        places.indexes[places.slots[typed.client]] = end

    def follow(self, outline: Outline, drafts: Sequence[OperationDraft]) -> None:
        """Another change was made: this is its outline, and what the engine has told of it."""
        if outline.structs > _MANY or len(drafts) > _MANY or len(self._ends) >= MAX_TAILS:
            self.clear()
        elif self._ends:
            self._forget_touched(outline)
            for draft in drafts:
                self._move(draft)
        if outline.structs == 1 and not outline.deletes and len(drafts) == 1:
            self._learn(outline, drafts[0])

    def _learn(self, outline: Outline, draft: OperationDraft) -> None:
        root, index = draft.position[0], draft.position[-1]
        client, start, end = outline.brings[0]
        text = draft.content
        if (
            len(draft.position) == 2
            and isinstance(root, str)
            and isinstance(index, int)
            and isinstance(text, str)
            and not draft.attributes
            and outline.layout.rows[0] >> CLOCK_BITS & CONTENT == STRING
            and utf16_length(text) == end - start
        ):
            self._roots.setdefault(root, _Places()).add(client, index + end - start)
            right = _right(outline)
            self._ends[client] = _End(start, root, right, start - 1, start).typed(start, end, right, text)

    def _forget_touched(self, outline: Outline) -> None:
        """Forget whoever has typed elsewhere, and tails behind which something was put; and what stood side by side where
        something was put between, or deleted.
        """
        layout = outline.layout
        rows = layout.rows
        for at in range(0, len(rows), 4):
            if rows[at] >> CLOCK_BITS & CONTENT not in _HARMLESS:
                self.clear()
                return
            left, right = rows[at + 1], rows[at + 2]
            if left >> CLOCK_BITS:
                self._part(layout.clients[(left >> CLOCK_BITS) - 1], (left & CLOCK_MASK) + 1)
            if right:
                self._part(layout.clients[(right >> CLOCK_BITS) - 1], right & CLOCK_MASK)
        for client, _, _ in outline.brings:
            self._forget(client)
        for client, start, end in outline.deletes:
            tail = self._ends.get(client)
            if tail is not None and start <= tail.left:
                self._part(client, min(end, tail.clock))

    def _part(self, client: int, clock: int) -> None:
        """Something was done before the unit of this clock, or behind the one before it."""
        tail = self._ends.get(client)
        if tail is None:
            return
        if tail.left < clock <= tail.clock:
            self._forget(client)
        elif tail.first < clock <= tail.left:
            self._ends[client] = tail._replace(first=clock)

    def _forget(self, client: int) -> None:
        tail = self._ends.pop(client, None)
        if tail is not None:
            self._roots[tail.root].remove(client)

    def _move(self, draft: OperationDraft) -> None:
        """Follow an operation."""
        root, index = draft.position[0], draft.position[-1]
        places = self._roots.get(root) if isinstance(root, str) else None
        if places is None or len(draft.position) > 2:
            return
        if draft.type is OperationType.FORMAT or not isinstance(index, int):
            for client in list(places.clients):
                self._forget(client)
        elif draft.type is OperationType.INSERT:
            assert isinstance(draft.content, str), "other things than strings were noticed before"
            places.insert(index, utf16_length(draft.content))
        else:
            assert draft.length is not None, "what is deleted by index has a length"
            places.delete(index, draft.length)


def _continues(outline: Outline, client: int, clock: int, before: int) -> bool:
    """Whether it brings one string of this client and clock alone, directly behind the client's own unit ``before``."""
    if outline.structs != 1:
        return False
    head, left = outline.layout.rows[0], outline.layout.rows[1]
    flags = head >> CLOCK_BITS
    return (
        outline.brings[0].client == client
        and head & CLOCK_MASK == clock
        and flags & CONTENT == STRING
        and left & CLOCK_MASK == before
        and outline.layout.clients[(left >> CLOCK_BITS) - 1] == client
        and flags & _ORDINARY in _AFTER_ITS_OWN
    )


def _content(update: bytes, outline: Outline) -> bytes:
    """Its only struct's string."""
    begins, ends = read_sized(update, content_at(update, outline.layout.rows[3]))
    return update[begins:ends]


def _right(outline: Outline) -> tuple[int, int]:
    """The right neighbour of its first struct."""
    right = outline.layout.rows[2] if outline.structs else 0
    return (outline.layout.clients[(right >> CLOCK_BITS) - 1], right & CLOCK_MASK) if right else (-1, 0)


def _joined(update: bytes, outline: Outline, content: bytes) -> bytes:
    """The update with another string in its only struct."""
    length = len(content)
    size = bytearray()
    while length > 127:
        size.append(length & 127 | 128)
        length >>= 7
    size.append(length)
    return update[: content_at(update, outline.layout.rows[3])] + size + content + b"\0"
