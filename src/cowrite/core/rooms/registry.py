"""The rooms that are open in this process: each document once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

import structlog

from cowrite.core.errors import RoomClosed
from cowrite.core.events import Evicted, Loaded
from cowrite.core.ports import (
    AwarenessQuery,
    Broker,
    Clock,
    Directory,
    Erasure,
    History,
    News,
    Signal,
    Store,
    StoreCorrupt,
    StoreError,
    Subscription,
    Timer,
)
from cowrite.core.rooms.damage import Damage
from cowrite.core.rooms.damaged_room import DamagedRoom
from cowrite.core.rooms.replicas import open_replicas
from cowrite.core.rooms.room import Room
from cowrite.core.rooms.room_ports import RoomPorts
from cowrite.crdt.errors import EngineFault
from cowrite.protocol.close_codes import CloseCode

_log = structlog.get_logger(__name__)

_REJOIN_AT_ONCE = 50
"""Rooms in one step of the event loop."""
_NOBODY: frozenset[int] = frozenset()


class Registry:
    """Opens rooms (each once, however many ask at a time) and lets them go.

    Opening subscribes to the broker first, then loads, then replays what came meanwhile, so that no entry falls between. A room
    goes when nobody is in it or on the way in, nothing is pending, and the grace is over: looked at and done in one step.
    """

    def __init__(
        self,
        store: Store,
        broker: Broker,
        ports: RoomPorts,
        directory: Directory | None = None,
        erasure: Erasure | None = None,
        history: History | None = None,
    ) -> None:
        """``directory`` tells which documents are deleted: those are not opened. ``erasure`` tells which Yjs clients wrote what
        was purged: nothing of theirs is taken. ``history`` finds how far a damaged document can be read.
        """
        self._damage = Damage(history)
        self._store = store
        self._erasure = erasure
        self._directory = directory
        self._broker = broker
        self._ports = ports
        self._clock: Clock = ports.clock
        self._rooms: dict[str, Room] = {}
        self._subscriptions: dict[Room, Subscription] = {}
        self._opening: dict[str, asyncio.Task[Room]] = {}
        self._pins: Counter[str] = Counter()
        """How many are on their way in, by document."""
        self._grace: dict[Room, Timer] = {}
        """When empty rooms go."""
        self._closing: set[asyncio.Task[None]] = set()
        self._rejoining: list[Room] = []
        self._doubtful: set[str] = set()
        """Documents that are being opened, and of which news may have been lost meanwhile."""

    @property
    def damaged(self) -> Mapping[str, str]:
        """The documents that were found damaged when they were to be opened, and were not opened as a whole or deleted since,
        and why.
        """
        return self._damage.documents

    def __len__(self) -> int:
        return len(self._rooms)

    @property
    def rooms(self) -> Iterable[Room]:
        """The open rooms; a copy."""
        return tuple(self._rooms.values())

    def get(self, document_id: str) -> Room | None:
        """The room of a document when it is open."""
        return self._rooms.get(document_id)

    @asynccontextmanager
    async def open(self, document_id: str) -> AsyncIterator[Room]:
        """The room of a document, opened if need be; it stays while the block runs (attach within it).

        A document that does not exist is an empty one; nothing is written. One that cannot be read to its end is opened as far
        as it can be, for reading only. Raises :class:`RoomClosed` when it cannot be loaded.
        """
        self._pins[document_id] += 1
        try:
            room = self._rooms.get(document_id)
            while room is None:
                task = self._opening.get(document_id)
                if task is None:
                    task = self._opening[document_id] = asyncio.get_running_loop().create_task(self._begin(document_id))
                    task.add_done_callback(lambda done: done.cancelled() or done.exception())
                # Shielded: an opener that leaves does not take the others' room with it.
                await asyncio.shield(task)
                room = self._rooms.get(document_id)
            yield room
        finally:
            self._pins[document_id] -= 1
            if not self._pins[document_id]:
                del self._pins[document_id]
                if (left := self._rooms.get(document_id)) is not None and not left.occupied:
                    self.emptied(left)

    async def opened(self, document_id: str) -> Room | None:
        """The room of a document that is open here, or is being opened. None: it is not, or that has failed."""
        task = self._opening.get(document_id)
        if task is not None:
            await asyncio.wait([task])
        return self._rooms.get(document_id)

    def is_known(self, document_id: str) -> bool:
        """Whether the document is open here, or being opened, or was found damaged."""
        return document_id in self._rooms or document_id in self._opening or document_id in self.damaged

    def deleted(self, document_id: str) -> None:
        """The document was deleted. Idempotent."""
        self._damage.deleted(document_id)
        if (room := self._rooms.get(document_id)) is not None:
            room.delete()

    def emptied(self, room: Room) -> None:
        """A room has no peers: let it go after the grace, unless somebody comes."""
        self._end_grace(room)
        self._grace[room] = self._clock.call_later(self._ports.limits.eviction_seconds, lambda: self._evict(room))

    async def look_again(self, room: DamagedRoom) -> None:
        """Whether what this room shows a part of can be read to its end now: then whoever opens it next has all of it, and
        those who are there are sent back to do so. Raises :class:`StoreError` when it cannot be found out.
        """
        try:
            await open_replicas(await self._store.load(room.document_id))
        except (StoreCorrupt, EngineFault):
            return
        if self._rooms.get(room.document_id) is room:
            room.mended()

    def forget(self, room: Room) -> None:
        """A room that cannot go on: whoever opens the document next loads it anew."""
        if self._rooms.get(room.document_id) is room:
            del self._rooms[room.document_id]
        self._end_grace(room)
        subscription = self._subscriptions.pop(room, None)
        if subscription is not None:
            room.people.close()
            self._ports.events.tell(Evicted(room.document_id, self._clock.now()))
            task = asyncio.get_running_loop().create_task(subscription.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def rejoin(self) -> None:
        """The broker may have lost what other processes said, and works again: ask them, and tell them. Begins now, and gives
        way to others after every few rooms.
        """
        rejoining, self._rejoining = bool(self._rejoining), list(self.rooms)
        if not rejoining:
            self._rejoin_some()

    def _rejoin_some(self) -> None:
        some, self._rejoining = self._rejoining[:_REJOIN_AT_ONCE], self._rejoining[_REJOIN_AT_ONCE:]
        for room in some:
            if self._rooms.get(room.document_id) is room:
                room.people.rejoin()
        if self._rejoining:
            asyncio.get_running_loop().call_soon(self._rejoin_some)

    def missed(self, document_id: str | None) -> None:
        """The broker may have lost news of this document, or (None) of any. Those that are being opened are read once more when
        they are open; of the others the watch over the heads takes care.
        """
        self._doubtful.update(self._opening if document_id is None else self._opening.keys() & {document_id})

    async def close(self) -> None:
        """Forget all rooms. Nothing may be pending any more."""
        for task in self._opening.values():
            task.cancel()
        for room in self.rooms:
            self.forget(room)
        while self._closing:
            await asyncio.wait(self._closing)

    def _end_grace(self, room: Room) -> None:
        timer = self._grace.pop(room, None)
        if timer is not None:
            timer.cancel()

    def _evict(self, room: Room) -> None:
        if self._rooms.get(room.document_id) is not room or room.occupied or room.document_id in self._pins:
            return
        if room.idle:
            self.forget(room)
        else:
            self.emptied(room)

    async def _begin(self, document_id: str) -> Room:
        if self._ports.tracing is None:
            return await self._load(document_id)
        with self._ports.tracing.opening(document_id):
            return await self._load(document_id)

    async def _load(self, document_id: str) -> Room:
        came: list[News | Signal] = []
        try:
            subscription = await self._broker.subscribe(document_id, lambda told: self._learn(document_id, came, told))
            try:
                # Asked now, answered while the document is loaded: whoever comes in first is told of all.
                self._ports.signal(AwarenessQuery(document_id, self._ports.process))
                room = await self._make(document_id)
            except BaseException:
                await subscription.close()
                raise
        except StoreError as error:
            _log.warning("document not opened", document=document_id, reason=str(error))
            raise RoomClosed(CloseCode.STORE_UNAVAILABLE, "the document cannot be loaded now; come back later") from error
        finally:
            del self._opening[document_id]
            doubtful = document_id in self._doubtful
            self._doubtful.discard(document_id)
        self._rooms[document_id] = room
        self._subscriptions[room] = subscription
        head = room.replicas.head
        self._ports.events.tell(Loaded(document_id, head.epoch, head.offset, self._clock.now()))
        room.people.open()
        for told in came:
            _tell(room, told)
        if doubtful:
            self._ports.behind(room)
        if document_id not in self._pins:
            self.emptied(room)  # whoever wanted it has left while it was loaded
        return room

    async def _make(self, document_id: str) -> Room:
        try:
            await self._check_deleted(document_id)
            stored = await self._store.load(document_id)
            retired = await self._retired(document_id) if stored is not None else _NOBODY
            bound = await self._store.clients(document_id) if stored is not None else {}
            room = Room(document_id, await open_replicas(stored), self._ports)
        except (StoreCorrupt, EngineFault) as error:
            damage, replicas = await self._damage.open(document_id, error)
            return DamagedRoom(document_id, replicas, self._ports, damage)
        room.retire(retired)
        room.bindings.load(bound)
        self._damage.gone(document_id)
        return room

    async def _check_deleted(self, document_id: str) -> None:
        info = await self._directory.info(document_id) if self._directory is not None else None
        if info is not None and info.deleted_at is not None:
            raise RoomClosed(CloseCode.DOCUMENT_DELETED, "the document was deleted")

    async def _retired(self, document_id: str) -> frozenset[int]:
        return await self._erasure.retired_clients(document_id) if self._erasure is not None else _NOBODY

    def _learn(self, document_id: str, came: list[News | Signal], told: News | Signal) -> None:
        room = self._rooms.get(document_id)
        if room is not None:
            _tell(room, told)
        else:
            came.append(told)


def _tell(room: Room, told: News | Signal) -> None:
    if isinstance(told, News):
        room.learn(told)
    else:
        room.hear(told)
