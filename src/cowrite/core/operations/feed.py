"""The newest committed entries of a room, as clients without a CRDT library read them: JSON operations in the order of the log.

A room keeps a feed only once somebody reads it: it begins with the first reader, at the head of that moment, and what is older
is read from the store. It is bounded in entries and bytes, and what readers have long read goes sooner. Each entry is encoded
once, however many readers there are, and nothing waits in it for anybody: whoever reads remembers the offset up to which it
has read.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from cowrite.core.records import Entry
from cowrite.protocol.thin import encode_operations

MAX_ENTRIES = 2000
"""Entries that are kept for readers."""
MAX_BYTES = 4 << 20
"""Bytes of their updates and their operations' JSON."""
_KEPT_MS = 20_000
"""So long before the newest entry another is kept in any case. A socket and a long poll are at the newest; who polls now and
then reads the store, which costs little now and then. Entries are 2 KB each: thousands for each document that has a reader
would be most of a process's memory.
"""
_KEPT_ENTRIES = 100
"""So many are kept however old they are."""
_OVERHEAD = 1000
"""Bytes that an entry takes beside."""

_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """An entry as readers get it."""

    entry: Entry
    operations: bytes
    """Its operations as JSON objects with commas between them, without brackets around; empty when it has none."""

    @property
    def offset(self) -> int:
        """The entry's offset."""
        return self.entry.offset


@dataclass(frozen=True, slots=True)
class OperationsMessage:
    """What came behind an offset."""

    frame: bytes | None
    """In the form of :mod:`cowrite.protocol.thin`; None when there are no operations in it."""
    head: str | None
    """The id of the last operation in it."""
    offset: int
    """The offset of the log with all of it."""


class Feed:
    """The entries of one document from behind ``start`` to ``head``, under one epoch. Synchronous but for :meth:`wait`."""

    def __init__(self, head: int, *, entries: int = MAX_ENTRIES, size: int = MAX_BYTES, kept: int = _KEPT_ENTRIES) -> None:
        self.start = head
        """Entries behind this offset are here."""
        self.head = head
        self.before: str | None = None
        """An operation of the entry at ``start``, where that is known: most readers have read up to there."""
        self.last_operation: str | None = None
        """The id of the last operation that was appended; None: none was."""
        self._max_entries = entries
        self._max_bytes = size
        self._kept_entries = kept
        self._entries: deque[FeedEntry] = deque()
        self._bytes = 0
        self._offsets: dict[str, int] = {}
        """By operation, the offset of its entry."""
        self._changed = asyncio.Event()
        self._message: tuple[int, OperationsMessage] | None = None
        """The last message, and the offset behind which it begins."""

    def append(self, entries: Sequence[Entry]) -> None:
        """Entries were committed. Those at or before the head are ignored; the others must follow it without a gap."""
        for entry in entries:
            if entry.offset <= self.head:
                continue
            assert entry.offset == self.head + 1, "the room advances without gaps"
            self._add(FeedEntry(entry, encode_entry(entry)))
        self.wake()

    def since(self, offset: int) -> Sequence[FeedEntry] | None:
        """The entries behind ``offset``, in order; None when they are not all here."""
        if offset < self.start:
            return None
        return list(islice(self._entries, max(0, offset - self.start), None))

    def message(self, offset: int) -> OperationsMessage | None:
        """What came behind ``offset`` as one message for a socket, encoded once for all readers that are so far. None when it
        is not all here.
        """
        if self._message is not None and self._message[0] == offset and self._message[1].offset == self.head:
            return self._message[1]
        entries = self.since(offset)
        if entries is None:
            return None
        last = next((one.entry.operations[-1].id for one in reversed(entries) if one.entry.operations), None)
        frame = (
            encode_operations([one.operations for one in entries], head=last, offset=self.head) if last is not None else None
        )
        message = OperationsMessage(frame, last, max(offset, self.head))
        self._message = offset, message
        return message

    def offset_of(self, operation_id: str) -> int | None:
        """The offset of the entry that holds this operation; None when it is not here."""
        if operation_id == self.before:
            return self.start
        return self._offsets.get(operation_id)

    def forget(self, offset: int) -> None:
        """The entries up to this offset are erased: nobody is given them any more."""
        while self._entries and self._entries[0].offset <= offset:
            self._drop()
        self._message = None

    def rest(self) -> None:
        """Keep no entries, only where they end: whoever has not read them yet gets them from the store."""
        if self._entries:
            while self._entries:
                self._drop()
            self.before = self.last_operation
        self._message = None

    async def wait(self, offset: int) -> None:
        """Wait until there is something behind ``offset``, or :meth:`wake` is called."""
        if self.head <= offset:
            await self._changed.wait()

    def wake(self) -> None:
        """Let everybody who waits look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _add(self, added: FeedEntry) -> None:
        entry = added.entry
        self.head = entry.offset
        self._entries.append(added)
        self._bytes += _cost(added)
        for operation in entry.operations:
            self._offsets[operation.id] = entry.offset
            self.last_operation = operation.id
        while self._has_too_much(entry.created_at):
            self._drop()

    def _has_too_much(self, now: int) -> bool:
        count = len(self._entries)
        return (
            count > self._max_entries
            or (self._bytes > self._max_bytes and count > 1)
            or (count > self._kept_entries and self._entries[0].entry.created_at < now - _KEPT_MS)
        )

    def _drop(self) -> None:
        dropped = self._entries.popleft()
        self.start, self.before = dropped.offset, None
        self._bytes -= _cost(dropped)
        for operation in dropped.entry.operations:
            del self._offsets[operation.id]


def encode_entry(entry: Entry) -> bytes:
    """The operations of an entry as :class:`FeedEntry` has them. Half surrogate pairs and U+0000 are escaped."""
    return ",".join(_encode(operation.to_json()) for operation in entry.operations).encode()


def _cost(added: FeedEntry) -> int:
    return len(added.operations) + len(added.entry.update) + _OVERHEAD
