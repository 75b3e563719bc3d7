"""Whether what is stored of a document agrees with itself: the log is replayed from its beginning, and compared.

Compared are each entry with what it does (its update brings something new, and its operations are those that follow from it),
the state at each checkpoint, and at the end what opening the document would give. Only reads, portion by portion; a document
that is being edited meanwhile is looked at up to the head that it had at the beginning.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

from cowrite.core.ports import History, HistoryForgotten, Storage, StoreCorrupt
from cowrite.core.records import Checkpoint, Entry, StoredDocument
from cowrite.core.rooms.making import log_document
from cowrite.crdt.errors import EngineFault, HostileUpdate
from cowrite.crdt.guard import outline_of_state
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.operations import ContentOperation, OperationDraft
from cowrite.crdt.outline import missing
from cowrite.crdt.roots import RootKind

_ENTRIES: Final = 500
_BYTES: Final = 1 << 20
"""What is read, and replayed beside the event loop, at once."""
_SHOWN: Final = 200
"""Characters of an operation that are told."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The first thing that does not agree."""

    offset: int
    """The entry, or the checkpoint at that entry, that is to blame; everything before it agrees."""
    reason: str
    """For people."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What came out."""

    document_id: str
    entries: int
    """How many were replayed."""
    states: int
    """How many states were compared."""
    first_offset: int
    """The oldest entry that is kept; what was forgotten before it cannot be replayed."""
    head: int
    difference: Difference | None


class _Differs(Exception):
    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.difference = Difference(offset, reason)


async def verify(storage: Storage, document_id: str) -> Verified | None:
    """Replay a document's log and compare. None: there is no such document.

    Raises what reading the store raises but :class:`StoreCorrupt`, which is a difference.
    """
    info = await storage.directory.info(document_id)
    if info is None:
        return None
    check = _Check(storage, document_id, info.head.offset, info.first_offset)
    difference = None
    try:
        await check.run()
    except _Differs as differs:
        difference = differs.difference
    except StoreCorrupt as corrupt:
        difference = Difference(check.replayed + 1, f"it cannot be read: {corrupt}")
    return Verified(document_id, check.entries, check.compared, info.first_offset, info.head.offset, difference)


class _Check:
    """One document on its way through the comparison."""

    def __init__(self, storage: Storage, document_id: str, head: int, first_offset: int) -> None:
        self._store = storage.store
        self._history: History = storage.history
        self._document_id = document_id
        self._head = head
        self.replayed = first_offset - 1
        self.entries = self.compared = 0
        self._checkpoints: dict[int, Checkpoint] = {}
        self._damaged: Mapping[int, str] = {}
        self._at_once = _ENTRIES

    async def run(self) -> None:
        """Raises :class:`_Differs`."""
        await self._find_checkpoints()
        base = self._checkpoints.get(self.replayed)
        self._check_whole(self.replayed)
        if self.replayed and base is None:
            raise _Differs(self.replayed, "the state of what was forgotten is not there, so nothing after it can be replayed")
        document = await asyncio.to_thread(self._begin, base)
        while self.replayed < self._head:
            await asyncio.to_thread(self._replay, document, await self._read())
        await self._compare_opened(document)

    async def _read(self) -> Sequence[Entry]:
        """The next entries."""
        try:
            entries = await self._next()
        except StoreCorrupt:
            # One of them cannot be read: up to that one they can be replayed.
            self._at_once = 1
            entries = await self._next()
        if not entries:
            raise _Differs(self.replayed + 1, f"the log ends before it, and its head was {self._head}")
        return [entry for entry in entries if entry.offset <= self._head]

    async def _next(self) -> Sequence[Entry]:
        return await self._history.operations(self._document_id, after=self.replayed, limit=self._at_once, size=_BYTES)

    async def _find_checkpoints(self) -> None:
        """All that there are, from the newest on; those before a damaged entry are found from the base on, and those that are
        damaged themselves loading passes over in silence.
        """
        self._damaged = await self._history.damaged_checkpoints(self._document_id)
        for offset in (self._head, self.replayed):
            while offset > 0 and (checkpoint := await self._newest_checkpoint(offset)) is not None:
                self._checkpoints[checkpoint.offset] = checkpoint
                offset = checkpoint.offset - 1

    async def _newest_checkpoint(self, offset: int) -> Checkpoint | None:
        """Up to that offset."""
        try:
            stored = await self._history.load_at(self._document_id, offset)
        except (HistoryForgotten, StoreCorrupt):
            return None  # replaying finds what is wrong, and says where
        return stored.checkpoint if stored is not None else None

    def _begin(self, base: Checkpoint | None) -> LogDocument:
        try:
            return log_document(base, ())
        except (EngineFault, HostileUpdate) as error:
            raise _Differs(self.replayed, f"the state of what was forgotten cannot be read: {error}") from error

    def _replay(self, document: LogDocument, entries: Sequence[Entry]) -> None:
        for entry in entries:
            _apply(document, entry)
            self.replayed = entry.offset
            self.entries += 1
            self._check_whole(entry.offset)
            if (checkpoint := self._checkpoints.get(entry.offset)) is not None:
                if checkpoint.entry_id != entry.id:
                    raise _Differs(entry.offset, "the checkpoint here is of another log")
                _compare(document, checkpoint.state, checkpoint.roots, entry.offset, "the checkpoint here")
                self.compared += 1

    def _check_whole(self, offset: int) -> None:
        if (damage := self._damaged.get(offset)) is not None:
            raise _Differs(offset, f"the checkpoint here is damaged: {damage}")

    async def _compare_opened(self, document: LogDocument) -> None:
        """What opening the document gives: the newest checkpoint with what comes behind it."""
        stored = await self._history.load_at(self._document_id, self._head)
        assert stored is not None, "its head was read before"
        await asyncio.to_thread(self._compare_last, document, stored)

    def _compare_last(self, document: LogDocument, stored: StoredDocument) -> None:
        opened = log_document(stored.checkpoint, stored.entries)
        _compare(document, opened.encode(), opened.roots, self._head, "the document as it is opened")
        self.compared += 1


def _apply(document: LogDocument, entry: Entry) -> None:
    """Apply an entry, and compare what it does with what is stored of it. Raises :class:`_Differs`."""
    try:
        outline = outline_of_state(entry.update)
        if lacking := missing(outline, document.state):
            client, clock = lacking[0]
            raise _Differs(entry.offset, f"it builds on clock {clock} of Yjs client {client}, which is not there before it")
        change = document.commit([entry.update], [outline])
    except (EngineFault, HostileUpdate) as error:
        raise _Differs(entry.offset, f"its update cannot be applied: {error}") from error
    if change is None:
        raise _Differs(entry.offset, "its update brings nothing new")
    if tuple(change.ranges) != tuple(entry.ranges):
        raise _Differs(entry.offset, "its update brings other structs than are written down of it")
    derived = [_shape(draft) for draft in change.operations]
    if derived != (told := [_shape(operation) for operation in entry.operations]):
        raise _Differs(entry.offset, _other_operations(told, derived))


def _shape(operation: OperationDraft | ContentOperation) -> Mapping[str, object]:
    """What an operation does, as clients are told it."""
    told = {"type": operation.type.value, "position": list(operation.position), "content": operation.content}
    told |= {"length": operation.length, "attributes": dict(operation.attributes or {}) or None}
    return {name: value for name, value in told.items() if value is not None}


def _other_operations(told: Sequence[Mapping[str, object]], derived: Sequence[Mapping[str, object]]) -> str:
    """The first that is another one, and not all that they hold: the line is for people."""
    pairs = zip_longest(told, derived)
    number, (ours, theirs) = next((at, pair) for at, pair in enumerate(pairs, 1) if pair[0] != pair[1])
    return f"its operation {number} is {_short(ours)}, and its update makes {_short(theirs)}"


def _short(operation: Mapping[str, object] | None) -> str:
    if operation is None:
        return "not there"
    text = json.dumps(operation)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _compare(document: LogDocument, state: bytes, roots: Mapping[str, RootKind], offset: int, what: str) -> None:
    """Raises :class:`_Differs`."""
    try:
        theirs, ours = outline_of_state(state), outline_of_state(document.encode())
        other = LogDocument.from_state(state, roots)
    except (EngineFault, HostileUpdate) as error:
        raise _Differs(offset, f"{what} cannot be read: {error}") from error
    if dict(other.state) != dict(document.state):
        raise _Differs(offset, f"{what} holds other structs than the log up to here")
    if sorted(theirs.deletes) != sorted(ours.deletes):
        raise _Differs(offset, f"{what} holds other deletions than the log up to here")
    if dict(roots) != document.roots:
        raise _Differs(offset, f"{what} has the roots {dict(roots)}, and the log {document.roots}")
    if other.content() != document.content():
        raise _Differs(offset, f"{what} shows something else than the log up to here")
