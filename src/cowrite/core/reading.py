"""Reading documents as their committed log has them: operations since a cursor, and the state as JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from cowrite.core.feed import FeedEntry, encode_entry
from cowrite.core.ports import History, HistoryForgotten, InvalidId, Storage
from cowrite.core.replicas import NOTHING, Committed, log_document
from cowrite.core.room import Room
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.state import get_state
from cowrite.crdt.values import Json

MAX_OPERATIONS: Final = 1000
"""A reader that lacks more than this gets the state instead."""
_IN_THREAD_BYTES: Final = 256 << 10
"""States from this size on are written as JSON beside the event loop."""
_LOOK_BACK: Final = 50
"""Entries that are read at once to find the last operation."""

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


@dataclass(frozen=True, slots=True)
class State:
    """A whole document as it is in the log up to ``head``."""

    committed: Committed
    content: dict[str, Json]
    """See :func:`cowrite.crdt.state.get_state`."""
    json: bytes
    """The content as JSON text."""
    head: str | None
    """The id of the last operation up to there."""

    @property
    def offset(self) -> int:
        """Where in the log it stands."""
        return self.committed.head.offset


Found: TypeAlias = Operations | State


class DocumentReader:
    """Answers readers from the rooms' feeds, and from the store what those do not hold."""

    def __init__(self, storage: Storage) -> None:
        self._store = storage.store
        self._history: History = storage.history

    async def since(self, room: Room, cursor: str | None) -> Found:
        """What came behind the operation ``cursor`` (None: from the beginning); the state when that is too much, is not kept
        any more, or no operation of the document has that id.

        Never older than the cursor, wherever that was had from.
        """
        offset = await self._locate(room, cursor)
        if offset is None:
            return await self.state(room)
        feed = room.feed()
        entries = feed.since(offset) if offset <= feed.head else None
        if entries is None:
            entries = await self._from_store(room, offset)
        if entries is None or sum(len(one.entry.operations) for one in entries) > MAX_OPERATIONS:
            return await self.state(room)
        last = next((one.entry.operations[-1].id for one in reversed(entries) if one.entry.operations), cursor)
        return Operations(entries, last, entries[-1].offset if entries else offset)

    async def state(self, room: Room) -> State:
        """The document as it is now in the log. The same object until the next commit."""
        kept = room.readership.state
        if isinstance(kept, State) and kept.committed.head == room.replicas.head:
            return kept
        committed = await self.committed(room)
        if len(committed.state) >= _IN_THREAD_BYTES:
            content, text = await asyncio.to_thread(_render, committed)
        else:
            content, text = _render(committed)
        state = State(committed, content, text, await self._last_operation(room, committed.head.offset))
        room.readership.state = state
        return state

    async def committed(self, room: Room) -> Committed:
        """The document as it is now in the log, encoded."""
        committed = await room.committed()
        if committed is None:
            stored = await self._store.load(room.document_id)
            if stored is None:
                return Committed(NOTHING, LogDocument.empty().encode(), {})
            log = log_document(stored.checkpoint, stored.entries)
            committed = Committed(stored.head, log.encode(), log.roots)
        return committed

    async def _locate(self, room: Room, cursor: str | None) -> int | None:
        if cursor is None:
            return 0
        offset = room.feed().offset_of(cursor)
        if offset is not None:
            return offset
        try:
            return await self._history.locate(room.document_id, cursor)
        except InvalidId:
            return None

    async def _from_store(self, room: Room, offset: int) -> Sequence[FeedEntry] | None:
        try:
            entries = await self._history.operations(room.document_id, after=offset, limit=MAX_OPERATIONS + 1)
        except HistoryForgotten:
            return None
        return [FeedEntry(entry, encode_entry(entry)) for entry in entries]

    async def _last_operation(self, room: Room, offset: int) -> str | None:
        """The last operation up to this offset: most often that of the entry itself."""
        feed = room.readership.feed
        recent = feed.since(feed.start) if feed is not None else None
        for one in reversed(recent or ()):
            if one.offset <= offset and one.entry.operations:
                return one.entry.operations[-1].id
        end = min(offset, feed.start) if feed is not None else offset
        while end > 0:
            start = max(1, end - _LOOK_BACK + 1)
            for entry in reversed(await self._store.entries(room.document_id, start=start, limit=end - start + 1)):
                if entry.operations:
                    return entry.operations[-1].id
            end = start - 1
        return None


def _render(committed: Committed) -> tuple[dict[str, Json], bytes]:
    content = get_state(LogDocument.from_state(committed.state, committed.roots))
    return content, _encode(content).encode()
