"""Browsers with stock clients in one document, at random, on one process or on several.

The clients are y-protocols' ``Awareness`` and y-websocket's (or Hocuspocus 2's) provider, rule by rule, on wires that the test
pumps. Tabs of one browser also talk to each other, as by BroadcastChannel. A process has a real room's awareness; what it tells
the others is under way as long as the test likes, and may be lost.
"""

from __future__ import annotations

import json
import random
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

import pytest

from cowrite.core.delivery.broadcast import Broadcast
from cowrite.core.delivery.multicast import Multicast
from cowrite.core.delivery.outbox import Outbox
from cowrite.core.delivery.peer import Peer, PeerPorts
from cowrite.core.limits import Limits
from cowrite.core.ports import Access, Grant, PresenceNews, Signal, StatelessNews
from cowrite.core.presence.announcements import Announcements
from cowrite.core.presence.awareness import Awareness
from cowrite.core.presence.awareness_exchange import AwarenessExchange
from cowrite.core.sessions.session import Session
from cowrite.protocol import yjs
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.messages import AwarenessUpdate, QueryAwareness
from cowrite.testing.clock import ManualClock
from cowrite.transports.framing import WriteTurn

LIMITS = Limits()
State = dict[str, int]
Message = list[AwarenessEntry]
STEP: Message = [AwarenessEntry(0, 0, "SyncStep1 of the server, and the client's answer")]
QUERY: Message = [AwarenessEntry(0, 0, "QueryAwareness of the server: providers answer with all that they know")]


class ClientAwareness:
    """y-protocols/awareness.js, line by line; times in seconds."""

    def __init__(self, client_id: int, time: Callable[[], float], emit: Callable[[list[int], object], None]) -> None:
        self.client_id = client_id
        self.states: dict[int, State] = {}
        self.meta: dict[int, tuple[int, float]] = {}
        self._time = time
        self._emit: Callable[[list[int], object], None] = lambda changed, origin: None
        self.set_local_state({})
        self._emit = emit  # the provider listens after the constructor

    def set_local_state(self, state: State | None) -> None:
        known = self.meta.get(self.client_id)
        if state is None:
            self.states.pop(self.client_id, None)
        else:
            self.states[self.client_id] = state
        self.meta[self.client_id] = (0 if known is None else known[0] + 1, self._time())
        self._emit([self.client_id], "local")

    def tick(self) -> None:
        """Every 3 s."""
        now = self._time()
        if self.client_id in self.states and now - self.meta[self.client_id][1] >= 15:
            self.set_local_state(self.states[self.client_id])
        timed_out = [
            n for n, (_, updated) in self.meta.items() if n != self.client_id and now - updated >= 30 and n in self.states
        ]
        if timed_out:
            self.remove(timed_out, "timeout")

    def remove(self, clients: Iterable[int], origin: object) -> None:
        removed = []
        for client in clients:
            if client in self.states:
                del self.states[client]
                if client == self.client_id:
                    self.meta[client] = (self.meta[client][0] + 1, self._time())
                removed.append(client)
        if removed:
            self._emit(removed, origin)

    def encode(self, clients: Iterable[int], states: dict[int, State] | None = None) -> Message:
        known = self.states if states is None else states
        return [
            AwarenessEntry(client, self.meta[client][0], json.dumps(known[client]) if client in known else None)
            for client in clients
        ]

    def apply(self, message: Message, origin: object) -> None:
        changed = []
        for entry in message:
            client, clock, state = entry.client_id, entry.clock, None if entry.state is None else json.loads(entry.state)
            known = self.meta.get(client)
            current = 0 if known is None else known[0]
            if not (current < clock or (current == clock and state is None and client in self.states)):
                continue
            if state is not None:
                self.states[client] = state
            elif client == self.client_id and client in self.states:
                clock += 1
            else:
                self.states.pop(client, None)
            self.meta[client] = (clock, self._time())
            if known is not None or state is not None:
                changed.append(client)
        if changed:
            self._emit(changed, origin)


class Socket:
    """A connection, with what is under way in both directions. It is the wire of its peer."""

    def __init__(self, user: str, server: Server) -> None:
        self.user = user
        self.server = server
        self.up: deque[Message] = deque()
        self.down: deque[Message] = deque()
        self.dead = False
        """The client has left it, and the server has not noticed."""
        self.peer = Peer(
            Session(user, "doc", Access(user, Grant.WRITE), 0),
            self,
            yjs.YJS,
            PeerPorts(
                server.clock, LIMITS, settle=lambda peer, arrears: None, ask=lambda peer: None, give_up=lambda peer: None
            ),
            acknowledgements=None,
        )

    def write(self, message: bytes) -> None:
        told = yjs.decode(message)
        if isinstance(told, QueryAwareness):
            self.down.append(QUERY)
            return
        assert isinstance(told, AwarenessUpdate)
        self.down.append(list(told.entries))

    def writable(self) -> bool:
        return True

    def close(self, code: int, reason: str) -> None:
        raise AssertionError(reason)

    def join(self, outbox: Outbox) -> None:
        pass


class Server:
    """A process: what a room does with its awareness."""

    def __init__(self, name: str, clock: ManualClock, signal: Callable[[Signal], None]) -> None:
        self.name = name
        self.clock = clock
        self.sockets: dict[Peer, Socket] = {}
        self.awareness = Awareness()
        broadcast = Broadcast(ManualClock(), lambda: Multicast(WriteTurn()))
        self.exchange = AwarenessExchange("doc", name, self.awareness, signal)
        self.announcements = Announcements(
            self.awareness,
            self.exchange,
            broadcast,
            self.sockets.keys(),
            clock,
            LIMITS,
            wake=lambda: self.announcements.flush(),
        )

    def attach(self, socket: Socket) -> None:
        self.sockets[socket.peer] = socket
        socket.down.append(STEP)
        self.announcements.tell(socket.peer)

    def detach(self, socket: Socket, *, clean: bool) -> None:
        if self.sockets.pop(socket.peer, None) is not None:
            self.announcements.lose(socket.peer, clean=clean)

    def take(self, socket: Socket) -> None:
        message = socket.up.popleft()
        if message is STEP:
            socket.peer.acknowledgements.receive()
        else:
            self.announcements.take(socket.peer, message)

    def tend(self) -> None:
        self.announcements.expire(self.clock.monotonic())

    def shown(self) -> dict[int, State]:
        return {entry.client_id: json.loads(entry.state or "null") for entry in self.awareness.entries()}


class Tab:
    """A tab with a provider. ``queues``: as Hocuspocus 2, it sends after a reconnect what it would have sent meanwhile."""

    def __init__(self, world: World, browser: int, user: str, client_id: int, *, queues: bool) -> None:
        self.world = world
        self.browser = browser
        self.user = user
        self.queues = queues
        self.socket: Socket | None = None
        self.wants_socket = True
        self.asleep_until = 0.0
        self.from_tabs: deque[Message] = deque()
        self._queued: list[Message] = []
        self.awareness = ClientAwareness(client_id, lambda: world.now, self._changed)

    @property
    def seen(self) -> dict[int, State]:
        """Everybody whom it sees."""
        return self.awareness.states

    @property
    def hears_tabs(self) -> bool:
        return self.wants_socket and not self.queues

    def connect(self, server: Server | None = None) -> None:
        """``onopen``; the tab may have another name each time when nobody signed in."""
        own = self.awareness.client_id
        if server is None:
            server = self.world.rng.choice(self.world.servers) if len(self.world.servers) > 1 else self.world.servers[0]
        self.socket = Socket(self.user if self.user else f"anonymous {self.world.rng.random()}", server)
        server.attach(self.socket)
        if own in self.seen:
            self.socket.up.append(self.awareness.encode([own]))
        self.socket.up.extend(self._queued)
        self._queued.clear()

    def lose(self, *, noticed: bool) -> None:
        """The socket breaks, with what is under way; the server notices at once, or much later."""
        if self.socket is None:
            return
        self.world.lost.append((self.world.now + (0 if noticed else self.world.rng.uniform(1, 40)), self.socket))
        self.drop()

    def drop(self) -> None:
        """The socket is gone."""
        if self.socket is not None:
            self.socket.dead = True
            self.socket = None
            self.awareness.remove([client for client in self.seen if client != self.awareness.client_id], self)

    def leave(self) -> None:
        """``disconnect()``: says goodbye with an unchanged clock."""
        self._publish(self.awareness.encode([self.awareness.client_id], {}))
        self.wants_socket = False
        self.from_tabs.clear()
        if self.socket is not None:
            socket, self.socket = self.socket, None
            while socket.up:
                socket.server.take(socket)
            socket.server.detach(socket, clean=self.world.rng.random() < 0.5)
            self.awareness.remove([client for client in self.seen if client != self.awareness.client_id], self)

    def renew(self) -> None:
        """The page makes document, awareness or provider anew, and the Yjs client id stays."""
        self.awareness.set_local_state(None)
        self.leave()
        self.awareness = ClientAwareness(self.awareness.client_id, lambda: self.world.now, self._changed)
        self.wants_socket = True

    def take(self, arrived: deque[Message]) -> None:
        message = arrived.popleft()
        if message is STEP:
            if self.socket is not None:
                self.socket.up.append(STEP)
        elif message is QUERY:
            if self.socket is not None:
                self.socket.up.append(self.awareness.encode(list(self.seen)))
        else:
            self.awareness.apply(message, self)

    def _changed(self, changed: list[int], origin: object) -> None:
        self._publish(self.awareness.encode(changed))

    def _publish(self, message: Message) -> None:
        if self.socket is not None:
            self.socket.up.append(message)
        elif self.queues:
            self._queued.append(message)
        for tab in self.world.tabs:
            if tab is not self and tab.browser == self.browser and tab.hears_tabs and self.hears_tabs:
                tab.from_tabs.append(message)


class World:
    """Everything, with one clock."""

    viewers = True
    """Tabs may have no state when they connect. Another tab's word of them may come before their own then, and count."""

    renews = True
    """Pages make their awareness anew under the same id, at clock 0: it helps when a process knows the old clock."""

    def __init__(self, seed: int, *, processes: int = 1) -> None:
        self.rng = random.Random(seed)
        self.clock = ManualClock()
        self.servers: list[Server] = []
        self.signals: dict[tuple[str, str], deque[Signal]] = {}
        """Under way, by process that tells and process that hears; in order, as a broker delivers."""
        self.losses = 0.0
        """How likely it is that a signal is lost."""
        self.signals_lost = 0
        self.started = 0
        """Processes that ever were."""
        for _ in range(processes):
            self.start()
        self.tabs: list[Tab] = []
        self.browsers: dict[int, int] = {}
        """Of all tabs that ever were, by client id."""
        self.lost: list[tuple[float, Socket]] = []
        self._ticked = 0.0
        for _ in range(self.rng.randint(2, 5)):
            self.open()

    @property
    def now(self) -> float:
        return self.clock.monotonic()

    def start(self) -> None:
        """A process starts, and asks the others who is connected to them."""
        self.started += 1
        name = f"process {self.started}"
        server = Server(name, self.clock, lambda signal: self.send(name, signal))
        self.servers.append(server)
        server.exchange.ask()

    def stop(self, server: Server, *, killed: bool) -> None:
        """A process ends, and with it all its connections; one that is ``killed`` says nothing any more."""
        self.servers.remove(server)
        for socket in list(server.sockets.values()):
            for tab in self.tabs:
                if tab.socket is socket:
                    tab.drop()
            if not killed:
                server.detach(socket, clean=False)
        if not killed:
            server.exchange.close()
        for way in [way for way in self.signals if way[1] == server.name]:
            del self.signals[way]

    def send(self, name: str, signal: Signal) -> None:
        for other in self.servers:
            if other.name != name:
                if self.rng.random() < self.losses:
                    self.signals_lost += 1
                else:
                    self.signals.setdefault((name, other.name), deque()).append(signal)

    def hear(self, way: tuple[str, str]) -> None:
        """One signal arrives."""
        signal = self.signals[way].popleft()
        assert not isinstance(signal, PresenceNews | StatelessNews)
        for server in self.servers:
            if server.name == way[1]:
                server.announcements.hear(signal)

    def open(self) -> None:
        """Three browsers; in one of them nobody signs in, in one the tabs have two users."""
        browser = self.rng.randrange(3)
        user = ["ana", self.rng.choice(["ben", "cleo"]), ""][browser]
        client_id = len(self.browsers) + 1
        self.browsers[client_id] = browser
        self.tabs.append(Tab(self, browser, user, client_id, queues=self.rng.random() < 0.2))

    def step(self) -> None:
        tab = self.rng.choice(self.tabs)
        action = self.rng.random()
        if action < 0.5:
            self.pump()
        elif action < 0.62:
            tab.awareness.set_local_state({"at": self.rng.randrange(1000)})
        elif action < 0.65 and (tab.queues or self.viewers):
            tab.awareness.set_local_state(None)
        elif action < 0.72:
            tab.lose(noticed=self.rng.random() < 0.7)
        elif action < 0.75:
            tab.leave()
        elif action < 0.78 and tab.queues and self.renews:
            # Where tabs talk to each other they would remember a clock that the server never saw: nobody can help them.
            tab.renew()
        elif action < 0.8:
            tab.asleep_until = self.now + self.rng.choice([5, 50])
        elif action < 0.82 and len(self.tabs) < 7:
            self.open()
        elif action < 0.84 and len(self.tabs) > 1:
            tab.lose(noticed=self.rng.random() < 0.5)
            self.tabs.remove(tab)
        elif action < 0.9:
            tab.wants_socket = True
        else:
            self.advance(self.rng.choice([0.1, 1.0, 3.0, 10.0]))

    def pump(self) -> bool:
        """One message somewhere arrives; False when there is none."""
        awake = [tab for tab in self.tabs if tab.asleep_until <= self.now]
        sockets = [socket for server in self.servers for socket in server.sockets.values()]
        waiting = [partial(socket.server.take, socket) for socket in sockets if socket.up and not socket.dead]
        waiting += [partial(self.hear, way) for way, signals in self.signals.items() if signals]
        for tab in awake:
            if tab.socket is not None and tab.socket.down:
                waiting.append(partial(tab.take, tab.socket.down))
            if tab.from_tabs:
                waiting.append(partial(tab.take, tab.from_tabs))
            if tab.socket is None and tab.wants_socket:
                waiting.append(partial(tab.connect))
        if waiting:
            self.rng.choice(waiting)()
        return bool(waiting)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        for _, socket in [gone for gone in self.lost if gone[0] <= self.now]:
            if socket.server in self.servers:
                socket.server.detach(socket, clean=False)
        self.lost = [gone for gone in self.lost if gone[0] > self.now]
        for server in self.servers:
            server.tend()
        if self.now - self._ticked >= 3:
            self._ticked = self.now
            for tab in self.tabs:
                if tab.asleep_until <= self.now:
                    tab.awareness.tick()

    def settle(self, seconds: float) -> None:
        """Nothing happens any more but messages and time."""
        for tab in self.tabs:
            tab.wants_socket = True
        until = self.now + seconds
        while self.now < until:
            self.advance(1)
            self.deliver()

    def catch_up(self) -> None:
        """Nobody sleeps, losses are noticed, and all messages arrive."""
        for tab in self.tabs:
            tab.asleep_until = self.now
        self.lost = [(self.now, socket) for _, socket in self.lost]
        self.advance(0)
        self.deliver()

    def deliver(self) -> None:
        for _ in range(100_000):
            if not self.pump():
                return
        pytest.fail("messages go round for ever")

    def present(self) -> dict[int, State]:
        own = [(tab.awareness.client_id, tab.seen.get(tab.awareness.client_id)) for tab in self.tabs]
        return {client: state for client, state in own if state is not None}
