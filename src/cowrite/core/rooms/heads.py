"""Watches the heads of open documents in the store: what the broker lost, or never carried, is found here."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from cowrite.core.outage import Outage
from cowrite.core.ports import Broker, Clock, News, Store, StoreError
from cowrite.core.records import Head
from cowrite.core.rooms.bindings import clients_of
from cowrite.core.rooms.damaged_room import DamagedRoom
from cowrite.core.rooms.registry import Registry
from cowrite.core.rooms.replicas import portions
from cowrite.core.rooms.room import Room

_log = structlog.get_logger(__name__)

_WITH_BROKER = 2.0
"""Seconds between two looks when news crosses processes by the broker: the last message may be the lost one."""
_ALONE = 1.0
"""The same of a process that is the only one, as far as it knows."""
_WITHOUT_BROKER = 0.25
"""The same when others commit, and nothing else tells of it."""
_READ_ENTRIES = 500
"""Entries read at once."""
_ASK_HEADS = 500
"""Heads asked for at once."""


class HeadWatch:
    """Compares the heads in the store with those of the open rooms, and lets rooms learn what they have not seen."""

    def __init__(self, store: Store, broker: Broker, clock: Clock, registry: Registry, *, alone: bool = True) -> None:
        """``alone``: no other process is expected on this store."""
        self._store = store
        self._broker = broker
        self._clock = clock
        self._registry = registry
        self._alone = alone
        self._overdue = False
        self._outage = Outage(_log, "heads")
        self._behind: dict[Room, None] = {}
        self._wake = asyncio.Event()

    def behind(self, room: Room) -> None:
        """This room has missed something: read it now."""
        self._behind[room] = None
        self._wake.set()

    def missed(self, document_id: str | None) -> None:
        """The broker may have lost news of this document, or (None) of all: they are read now."""
        if document_id is None:
            self._overdue = True
            self._wake.set()
        elif (room := self._registry.get(document_id)) is not None:
            self.behind(room)

    async def run(self) -> None:
        """Watch until cancelled. Rooms that are behind are read at once, all others when their time has come."""
        looked = float("-inf")
        while True:
            self._wake.clear()
            rooms, self._behind = list(self._behind), {}
            now, interval = self._clock.monotonic(), self._interval
            if self._overdue or now - looked >= interval:
                self._overdue, looked, rooms = False, now, list(self._registry.rooms)
            try:
                await self.look(rooms)
            except StoreError as error:
                self._outage.failed(error)
            else:
                if rooms:  # else nothing was read
                    self._outage.worked()
            timer = self._clock.call_later(looked + interval - now, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                timer.cancel()

    @property
    def _interval(self) -> float:
        if self._broker.reaches_others:
            return _WITH_BROKER
        return _ALONE if self._alone and not self._broker.degraded else _WITHOUT_BROKER

    async def look(self, rooms: Sequence[Room]) -> None:
        """Bring these rooms to the heads in the store. Raises :class:`StoreError` when the heads cannot be read."""
        for start in range(0, len(rooms), _ASK_HEADS):
            asked = {room.document_id: (room, room.replicas.head) for room in rooms[start : start + _ASK_HEADS]}
            for document_id, head in (await self._store.heads(asked)).items():
                room, known = asked[document_id]
                try:
                    await self._compare(room, known, head)
                except StoreError as error:
                    # One damaged document must not keep the others from their news. The lock decides what becomes of it.
                    _log.warning("entries not read", document=document_id, reason=str(error))
                    room.look_under_lock()

    async def _compare(self, room: Room, known: Head, head: Head) -> None:
        """``known`` is what the room had before the store was asked."""
        if isinstance(room, DamagedRoom):
            if head.epoch != known.epoch or room.look_is_due():
                await self._registry.look_again(room)
            return
        if head == known or room.replicas.head != known:
            return  # nothing new; or the room has moved meanwhile, and is looked at next time
        if (known.epoch and head.epoch != known.epoch) or (known.offset and head.offset <= known.offset):
            # Another log, though perhaps nothing was known of this one but its epoch; or one that went back.
            room.look_under_lock()
        elif head.offset > known.offset:
            await self._read(room, head.epoch)

    async def _read(self, room: Room, epoch: str) -> None:
        while True:
            known = room.replicas.head
            entries = await self._store.entries(room.document_id, start=max(known.offset, 1), limit=_READ_ENTRIES)
            if known.offset and (not entries or entries[0].id != known.entry_id):
                # The log is not the one that this room knows. Only the lock decides what to do about that.
                room.look_under_lock()
                return
            news = [entry for entry in entries if entry.offset > room.replicas.head.offset]
            if not news:
                return
            await room.bindings.look_up(self._store, room.document_id, clients_of(news))
            before = len(entries) - len(news)
            after = entries[before - 1].id if before else ""
            for portion in portions(news):
                room.learn(News(room.document_id, epoch, portion[-1].offset, tuple(portion), after))
                after = portion[-1].id
                await asyncio.sleep(0)
            if len(entries) < _READ_ENTRIES or room.replicas.head.offset < news[-1].offset:
                return  # all of it; or it waits for the end of this process's own transaction
