"""Where each Yjs client has typed last, so that the next keystroke there need not be looked for.

Theory of operation. To say at which index a string was inserted the engine reads the text from its beginning: 2 ms for 4 MB,
and as long for 200 000 pieces, again and again for everybody who types. But whoever goes on typing refers, as the left
neighbour, to the last unit that the same client has written, and nobody knew of that unit before. Yjs puts such a string
directly behind its left neighbour, unless something else refers to that neighbour in the same way; so it is enough to remember
the index behind that unit (a *tail*), to move it with everything that happens before it, and to forget it as soon as anything
else is put there.

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


class Continuation(NamedTuple):
    """Keystrokes of one client that go on where it was: what an update of them is, and does."""

    update: bytes
    """All of them as one struct."""
    brings: ClockRange
    root: str
    place: int
    text: str


class _End(NamedTuple):
    """What a client's next keystroke has to look like."""

    clock: int
    root: str
    right: tuple[int, int]
    """Its right neighbour: one that lies before the left one, in the same piece, would make the engine put it elsewhere."""


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
        """After those within were removed."""
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
        """Tell what these updates do when they are nothing but keystrokes of one client where it has typed last; else None.

        Their right neighbour is that of the last ones. Whoever applies them calls :meth:`go_on`, before anything else happens.
        """
        if not self._ends or not outlines[0].brings:
            return None
        client, start, end = outlines[0].brings[0]
        tail = self._ends.get(client)
        right = _right(outlines[0])
        if tail is None or tail.clock != start or tail.right != right:
            return None
        parts = []
        end = start
        for update, outline in zip(updates, outlines, strict=True):
            if not _continues(outline, client, end) or _right(outline) != right:
                return None
            begins, ends = read_sized(update, content_at(update, outline.layout.rows[3]))
            parts.append(update[begins:ends])
            end = outline.brings[0].end
        content = b"".join(parts)
        update = updates[0] if len(updates) == 1 else _joined(updates[0], outlines[0], content)
        places = self._roots[tail.root]
        index = places.indexes[places.slots[client]]
        return Continuation(update, ClockRange(client, start, end), tail.root, index, content.decode())

    def go_on(self, typed: Continuation) -> None:
        """These keystrokes were taken."""
        client, start, end = typed.brings
        self._ends[client] = self._ends[client]._replace(clock=end)
        places = self._roots[typed.root]
        places.insert(typed.place, end - start)
        places.indexes[places.slots[client]] = typed.place + end - start

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
            self._ends[client] = _End(end, root, _right(outline))

    def _forget_touched(self, outline: Outline) -> None:
        """Forget whoever has typed elsewhere, and tails behind which something was put."""
        layout = outline.layout
        rows = layout.rows
        for at in range(0, len(rows), 4):
            if rows[at] >> CLOCK_BITS & CONTENT not in _HARMLESS:
                self.clear()
                return
            left = rows[at + 1]
            if left >> CLOCK_BITS:
                client = layout.clients[(left >> CLOCK_BITS) - 1]
                if (end := self._ends.get(client)) is not None and end.clock == (left & CLOCK_MASK) + 1:
                    self._forget(client)
        for client, _, _ in outline.brings:
            self._forget(client)

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
            within = range(index + 1, index + draft.length + 1)
            for client in [client for client, at in zip(places.clients, places.indexes, strict=True) if at in within]:
                self._forget(client)
            places.delete(index, draft.length)


def _continues(outline: Outline, client: int, clock: int) -> bool:
    """Whether it is one string directly behind the client's own unit before that clock, and nothing else."""
    if outline.structs != 1 or outline.deletes:
        return False
    head, left = outline.layout.rows[0], outline.layout.rows[1]
    flags = head >> CLOCK_BITS
    return (
        outline.brings[0].client == client
        and head & CLOCK_MASK == clock
        and flags & CONTENT == STRING
        and left & CLOCK_MASK == clock - 1
        and outline.layout.clients[(left >> CLOCK_BITS) - 1] == client
        and flags & _ORDINARY in _AFTER_ITS_OWN
    )


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
