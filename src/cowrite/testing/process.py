"""A server process without sockets: the core on a store, with clients in the same event loop. For tests of core and of
stores.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from functools import partial

from cowrite.core.delivery.acknowledgements import Acknowledgements
from cowrite.core.delivery.multicast import Multicast
from cowrite.core.delivery.outbox import Outbox
from cowrite.core.delivery.peer import Peer
from cowrite.core.errors import PeerError, RoomClosed
from cowrite.core.excess import Excess
from cowrite.core.ids import Ids
from cowrite.core.imports.line import Imports
from cowrite.core.journal.journal import Journal
from cowrite.core.limits import Limits
from cowrite.core.ports import Access, Broker, Clock, Grant, Presence, Storage
from cowrite.core.ports.events import UNHEARD, Events
from cowrite.core.ports.tracing import Tracing
from cowrite.core.presence.service import PresenceService
from cowrite.core.rooms.happenings import tell_news
from cowrite.core.rooms.heads import HeadWatch
from cowrite.core.rooms.misses import make_good
from cowrite.core.rooms.pending import Backlog
from cowrite.core.rooms.registry import Registry
from cowrite.core.rooms.room import Room
from cowrite.core.rooms.room_ports import RoomPorts
from cowrite.core.sessions.access import AccessControl
from cowrite.core.sessions.session import Session
from cowrite.presence.local import LocalPresence
from cowrite.protocol import yjs
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.messages import AwarenessUpdate, QueryAwareness, SyncStep1, SyncStep2, Update
from cowrite.testing.clock import ManualClock
from cowrite.testing.yjs_client import YjsClient
from cowrite.transports.framing import WriteTurn


class Connection:
    """A Yjs client attached to a room of a :class:`Process`, with a wire between them that the test may stop and cut.

    What the server writes waits in ``incoming`` until :meth:`read`; ``reading = False`` makes the socket's buffer fill up.
    """

    def __init__(self, process: Process, room: Room, client: YjsClient, user: str, grant: Grant, *, acknowledges: bool) -> None:
        self.client = client
        self.incoming: deque[bytes] = deque()
        self.closed: tuple[int, str] | None = None
        """Code and reason with which the server closed."""
        self.reading = True
        self._process = process
        self._room = room
        session = Session(process.ids.new(), room.document_id, Access(user, grant), process.clock.now())
        told = Acknowledgements() if acknowledges else None
        self.peer: Peer = room.attach(session, self, yjs.YJS, acknowledgements=told)

    # The server's side of the wire.

    def write(self, message: bytes) -> None:
        if self.closed is None:
            self.incoming.append(message)

    def writable(self) -> bool:
        return self.reading or sum(map(len, self.incoming)) < 65536

    def close(self, code: int, reason: str) -> None:
        if self.closed is None:
            self.closed = code, reason

    def join(self, outbox: Outbox) -> None:
        pass

    # The client's side.

    def send(self, frame: bytes) -> None:
        """What the client sends reaches the room at once, unless the connection is closed."""
        if self.closed is not None or self.peer not in self._room.peers:
            return
        try:
            match yjs.decode(frame):
                case SyncStep1(state_vector):
                    self._room.synchronise(self.peer, state_vector)
                case SyncStep2(update):
                    self._room.receive(self.peer, update, everything=True)
                case Update(update):
                    self._room.receive(self.peer, update, everything=False)
                case AwarenessUpdate(entries):
                    self._room.announce(self.peer, entries)
                case QueryAwareness():
                    self._room.query_awareness(self.peer)
                case _:
                    pass
        except (PeerError, RoomClosed) as error:
            self.close(int(error.code), error.reason)
            self._room.detach(self.peer, clean=False)

    def read(self) -> int:
        """Let the client read what has arrived; returns how many messages there were."""
        if not self.client.uses(self.send):
            self.incoming.clear()
        count = len(self.incoming)
        for _ in range(count):
            self.client.receive(self.incoming.popleft())
        if not self.incoming and self.closed is None:
            self.peer.outbox.drained()
        return count

    def lose(self, *, clean: bool = False) -> None:
        """The connection is gone; what was not read is lost."""
        self._cut(int(CloseCode.NORMAL), "lost")
        self._room.detach(self.peer, clean=clean)

    def cut(self) -> None:
        """The server is gone."""
        self._cut(1006, "the process is gone")

    def _cut(self, code: int, reason: str) -> None:
        self.incoming.clear()
        if self.client.uses(self.send):
            self.client.disconnect()
        self.close(code, reason)


class Process:
    """Registry, journal and head watch of one process. Time stands still unless the clock is turned."""

    def __init__(
        self,
        storage: Storage,
        broker: Broker,
        *,
        clock: Clock | None = None,
        limits: Limits | None = None,
        presence: Presence | None = None,
        shortest_window: float = 0.0,
        longest_window: float = 0.1,
        alone: bool = True,
        events: Events = UNHEARD,
        tracing: Tracing | None = None,
    ) -> None:
        """``alone``: no other process is expected on this storage."""
        self.clock = clock if clock is not None else ManualClock()
        self.ids = Ids(self.clock)
        self.limits = limits if limits is not None else Limits()
        self.storage = storage
        store = storage.store
        self.backlog = Backlog()
        self.excess = Excess(self.clock)
        self.access = AccessControl(storage.access, self.clock)
        self.journal = Journal(storage, broker, self.access, self.clock, self.ids, self.limits, tracing)
        self.journal.listen(partial(tell_news, events))
        process, turn = self.ids.new(), WriteTurn()
        self.presence = PresenceService(
            presence if presence is not None else LocalPresence(self.clock), broker, self.clock, process
        )
        self.registry = Registry(
            store,
            broker,
            RoomPorts(
                process=process,
                presence=self.presence,
                clock=self.clock,
                limits=self.limits,
                backlog=self.backlog,
                shortest_window=shortest_window,
                longest_window=longest_window,
                write=turn.flush,
                multicast=lambda: Multicast(turn),
                commit=self.journal.put,
                behind=lambda room: self.heads.behind(room),
                signal=broker.send,
                emptied=lambda room: self.registry.emptied(room),
                failed=lambda room: self.registry.forget(room),
                excess=self.excess,
                imports=Imports(self.clock, self.limits, self.excess),
                events=events,
                tracing=tracing,
            ),
            erasure=storage.erasure,
            history=storage.history,
        )
        self.heads = HeadWatch(store, broker, self.clock, self.registry, alone=alone)
        make_good(broker, self.heads, self.registry, self.presence)
        self.connections: list[Connection] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Process:
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(work()) for work in (self.journal.run, self.heads.run, self.presence.run)]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def kill(self) -> None:
        """The process is gone from one moment to the next: nothing more is committed or sent."""
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()
        for connection in self.connections:
            connection.cut()
        self.connections.clear()
        await self.registry.close()

    async def join(
        self,
        document_id: str = "doc",
        client: YjsClient | None = None,
        *,
        user: str = "ana",
        grant: Grant = Grant.WRITE,
        acknowledges: bool = True,
    ) -> Connection:
        """Connect a client (a new one by default) and let it say what it has."""
        client = client if client is not None else YjsClient()
        async with self.registry.open(document_id) as room:
            connection = Connection(self, room, client, user, grant, acknowledges=acknowledges)
        self.connections.append(connection)
        client.connect(connection.send)
        return connection

    def room(self, document_id: str = "doc") -> Room:
        """The open room of a document."""
        room = self.registry.get(document_id)
        assert room is not None, f"no open room {document_id!r}"
        return room

    async def quiet(self) -> None:
        """Let everything happen that can happen now: timers that are due, transactions, messages in both directions."""
        await quiet(self)


async def quiet(*processes: Process) -> None:
    """Let everything happen in these processes until nothing moves; clients that read, read."""
    still = 0
    while still < 12:
        for process in processes:
            if isinstance(process.clock, ManualClock):
                process.clock.advance(0)
        await asyncio.sleep(0)
        moved = sum(connection.read() for process in processes for connection in process.connections if connection.reading)
        still = 0 if moved else still + 1
