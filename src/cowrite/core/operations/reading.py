"""Reading documents as their committed log has them: operations since a cursor, and the state as JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import structlog

from cowrite.core.operations.feed import FeedEntry, encode_entry
from cowrite.core.operations.keeping import Keeping
from cowrite.core.operations.state import State
from cowrite.core.ports import History, HistoryForgotten, InvalidId, Storage, StoreCorrupt
from cowrite.core.records import Head
from cowrite.core.rooms.making import LARGE_BYTES, make_log
from cowrite.core.rooms.replicas import NOTHING, Committed
from cowrite.core.rooms.room import Room
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.state import get_state
from cowrite.crdt.values import Json

MAX_OPERATIONS: Final = 1000
"""A reader that lacks more than this, or more entries than this, gets the state instead."""
MAX_BYTES: Final = 4 << 20
"""The same for bytes of their JSON."""
_PORTION_BYTES: Final = 1 << 20
"""What is read from the store at once."""

_log = structlog.get_logger(__name__)
_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Operations:
    """What was committed behind a cursor: whole entries, in order."""

    entries: Sequence[FeedEntry]
    head: str | None
    """The id of the last operation of the log up to ``offset``: the reader's next cursor. None: there is none."""
    offset: int

    @property
    def count(self) -> int:
        """How many operations these are."""
        return sum(len(one.entry.operations) for one in self.entries)


Found: TypeAlias = Operations | State


class DocumentReader:
    """Answers readers from the rooms' feeds, and from the store what those do not hold."""

    def __init__(self, storage: Storage) -> None:
        self._store = storage.store
        self._history: History = storage.history
        self._keeping = Keeping(storage.directory)

    async def since(self, room: Room, cursor: str | None) -> Found:
        """What came behind the operation ``cursor`` (None: from the beginning); the state when that is too much, is not kept
        any more, or no operation of the document has that id.

        Never older than the cursor, wherever that was had from.
        """
        operations = await self.operations(room, cursor)
        return operations if operations is not None else await self.state(room)

    async def operations(self, room: Room, cursor: str | None) -> Operations | None:
        """As :meth:`since`, and None where that gives the state."""
        offset = await self._locate(room, cursor)
        entries = await self.entries(room, offset) if offset is not None else None
        if offset is None or entries is None:
            return None
        last = next((one.entry.operations[-1].id for one in reversed(entries) if one.entry.operations), cursor)
        return Operations(entries, last, entries[-1].offset if entries else offset)

    async def entries(self, room: Room, offset: int) -> Sequence[FeedEntry] | None:
        """The entries behind ``offset``; None when they have too many operations, are not kept or cannot be read, or when
        ``offset`` stands where a damaged document cannot be read. Never older than asked otherwise.
        """
        if room.damage is not None and offset > room.damage.readable:
            return None
        feed = room.feed()
        entries = await self._from_memory(room, offset) if feed.start <= offset <= feed.head else None
        if entries is None:
            return await self._from_store(room, offset)
        return None if _is_much(entries) else entries

    async def _from_memory(self, room: Room, offset: int) -> Sequence[FeedEntry] | None:
        feed = room.feed()
        if feed.since(offset):
            # Another process may have forgotten these, and have ended before it could tell.
            feed.forget(await self._keeping.first_offset(room.document_id) - 1)
        return feed.since(offset)

    async def last_operation(self, room: Room) -> tuple[str | None, Head]:
        """The head of the log as this process knows it, and the id of the last operation up to there."""
        head = room.replicas.head
        return await self._last_operation(room, head.offset), head

    async def state(self, room: Room, *, at_least: Head | None = None) -> State:
        """The document as it is now in the log. The same object until the next commit. ``at_least``: not older than that,
        where it can be read so far.
        """
        if (kept := _kept(room, at_least)) is not None:
            return kept
        async with room.readership.rendering:
            return _kept(room, at_least) or await self._rendered(room, at_least)

    async def _rendered(self, room: Room, at_least: Head | None) -> State:
        committed = await self.committed(room, at_least=at_least)
        if len(committed.state) > LARGE_BYTES:
            content, text = await asyncio.to_thread(_render, committed)
        else:
            content, text = _render(committed)
        state = State(committed, content, text, await self._last_operation(room, committed.head.offset))
        room.readership.state = state
        return state

    async def committed(self, room: Room, *, at_least: Head | None = None) -> Committed:
        """The document as it is now in the log, encoded. ``at_least``: not older than that, where it can be read so far."""
        committed = await room.committed()
        if committed is None or _is_behind(room, committed, at_least):
            stored = await self._store.load(room.document_id)
            if stored is None:
                return Committed(NOTHING, LogDocument.empty().encode(), {})
            log = await make_log(stored)
            committed = Committed(stored.head, log.encode(), log.roots)
        return committed

    async def _locate(self, room: Room, cursor: str | None) -> int | None:
        if cursor is None:
            return 0
        offset = room.feed().offset_of(cursor)
        if offset is not None:
            return offset
        try:
            offset = await self._history.locate(room.document_id, cursor)
        except InvalidId:
            return None
        feed = room.feed()
        if offset == feed.start and feed.before is None:
            feed.before = cursor  # so that the next one who has read so far is answered from memory
        return offset

    async def _from_store(self, room: Room, offset: int) -> Sequence[FeedEntry] | None:
        read: list[FeedEntry] = []
        try:
            while portion := await self._portion(room, offset):
                read += portion
                if _is_much(read):
                    return None
                offset = read[-1].offset
                if offset >= room.feed().head:
                    break
        except HistoryForgotten:
            return None
        except StoreCorrupt as error:
            # The room has what comes behind it from a checkpoint, or from before it was damaged.
            _log.error("entries cannot be read; their readers are given the state", reason=str(error))
            return None
        return read

    async def _portion(self, room: Room, offset: int) -> Sequence[FeedEntry]:
        limit = MAX_OPERATIONS + 1
        if room.damage is not None:
            limit = min(limit, room.damage.readable - offset)  # a page has no more entries than operations
        entries = await self._history.operations(room.document_id, after=offset, limit=limit, size=_PORTION_BYTES)
        return [FeedEntry(entry, encode_entry(entry)) for entry in entries]

    async def _last_operation(self, room: Room, offset: int) -> str | None:
        """The last operation up to this offset: most often that of the entry itself."""
        feed = room.readership.feed
        recent = feed.since(feed.start) if feed is not None else None
        for one in reversed(recent or ()):
            if one.offset <= offset and one.entry.operations:
                return one.entry.operations[-1].id
        return await self._history.last_operation(room.document_id, until=offset)


def _kept(room: Room, at_least: Head | None) -> State | None:
    """The state that was rendered last, where it is that of now."""
    kept = room.readership.state
    if kept is None or kept.committed.head != room.replicas.head or _is_behind(room, kept.committed, at_least):
        return None
    return kept


def _is_much(entries: Sequence[FeedEntry]) -> bool:
    count = sum(len(one.entry.operations) for one in entries)
    return max(count, len(entries)) > MAX_OPERATIONS or sum(len(one.operations) for one in entries) > MAX_BYTES


def _is_behind(room: Room, found: Committed, wanted: Head | None) -> bool:
    if wanted is None or not wanted.offset or room.damage is not None:  # of a damaged document there is no more
        return False
    return found.head.epoch != wanted.epoch or found.head.offset < wanted.offset


def _render(committed: Committed) -> tuple[dict[str, Json], bytes]:
    content = get_state(LogDocument.from_state(committed.state, committed.roots))
    return content, _encode(content).encode()
