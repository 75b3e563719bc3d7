"""Who points where: the ephemeral states of a room's Yjs clients. A pure value: no timers, no sockets.

Which entry is news is decided as in y-protocols (``awareness.js``). One thing is added: an entry counts only when it comes from
the connection that owns the Yjs client id. Stock clients send other people's entries as a matter of course: y-websocket sends
back every state that it learns, by the socket or from other tabs of the browser, and announces the end of ids that it thinks
stale.

Whose id it is. A Yjs client speaks of itself first, before it can have heard of others: the first message of a connection, when
it holds one living state, names the connection's *own* id. An own id belongs to its connection, also while it is not seen. An
id that is nobody's goes to whoever announces it (a tab may be seen by way of another one before its own socket is open), until
somebody comes whose own it is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from cowrite.protocol.awareness import AwarenessEntry, is_valid_state

STALE_AFTER = 30.0
"""Seconds after which a state that was not renewed is removed; Yjs clients forget it then, too."""
IDS_PER_PEER = 100
"""How many ids one connection may own. Yjs clients have one; gateways may speak for several."""
MAX_CLOCK = 2**32 - 1
"""Clients in other languages than JavaScript hold clocks in 32 bits."""
REMEMBERED = 10_000
"""How many ids of clients that are gone a room remembers, so that late news about them stays old news."""
_MESSAGE_ENTRIES = 1000
_MESSAGE_BYTES = 256 << 10


class InvalidState(ValueError):
    """A state that is not JSON, or nested too deep: y-protocols parses states without a guard, so it would break every peer."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who may write an awareness entry: one connection (``peer``, by identity or as its hash says) of one user."""

    peer: Hashable
    user_id: str


@dataclass(slots=True)
class Announced:
    """What became of a peer's entries."""

    news: list[AwarenessEntry] = field(default_factory=list)
    """For everybody."""
    stale: list[AwarenessEntry] = field(default_factory=list)
    """For the sender alone: the ends of ids that it announced with a clock which is used up, because the room holds them for
    ended at that clock or a newer one, or knows a newer state of an earlier life. A client that is told so of its own id
    announces itself again with a higher clock, and is seen at once instead of at its next heartbeat (15 s)."""


@dataclass(slots=True, eq=False)
class _Connection:
    user_id: str
    own: int | None = None
    """The Yjs client id that it calls its own."""
    ids: set[int] = field(default_factory=set)
    """What it owns: its own id, and the living ones that it has announced."""
    lost: bool = False
    """The socket is gone, perhaps to come back."""


@dataclass(slots=True)
class _Client:
    clock: int = 0
    state: str | None = None
    owner: _Connection | None = None
    renewed_at: float = 0.0

    def is_news(self, entry: AwarenessEntry) -> bool:
        ends = entry.clock == self.clock and entry.state is None and self.state is not None
        return entry.clock > self.clock or ends


class Awareness:
    """The newest awareness entry of every Yjs client in a room."""

    def __init__(self) -> None:
        self._clients: dict[int, _Client] = {}
        self._ended: OrderedDict[int, None] = OrderedDict()
        """Ids without a state, the one that ended first at the front."""
        self._connections: dict[Hashable, _Connection] = {}
        self._living: list[AwarenessEntry] | None = None
        """What :meth:`entries` answers; None: something has changed."""
        self.skipped = 0
        """Entries that came from connections that do not own their ids, or have too many. Normal with stock clients."""

    def announce(self, owner: Owner, entries: Sequence[AwarenessEntry], now: float, *, opening: bool = True) -> Announced:
        """Take a peer's entries. ``now`` is monotonic, in seconds.

        ``opening``: the peer has not answered the server's SyncStep1 yet, so it speaks of itself. Its first message after that
        may be the echo of what the server said.

        An entry is news when its clock is newer than the known one (0 for an unknown client), or when it ends a state at the
        same clock. An id with an owner is taken over only by a connection that calls it its own, with a living state: while
        it has none, and from a connection that does not call it its own, that was lost, or that is the same user's. After its
        first message it needs news for that.

        Raises :class:`InvalidState`: close that peer. What came before it in the message is taken; releasing the peer ends it.
        """
        announced = Announced()
        if not entries:
            return announced
        connection, first = self._meet(owner, entries, opening)
        for entry in entries:
            client = self._clients.get(entry.client_id)
            if client is None:
                client = _Client()
            if self._may_write(connection, client, entry, first):
                self._write(connection, client, entry, announced, now)
            else:
                self.skipped += 1
        return announced

    def lose(self, peer: Hashable) -> bool:
        """A peer's connection was lost, perhaps to come back: others may take its ids over. True when it had living states."""
        connection = self._connections.get(peer)
        if connection is None:
            return False
        connection.lost = True
        return any(self._clients[client_id].state is not None for client_id in connection.ids)

    def release(self, peer: Hashable) -> list[AwarenessEntry]:
        """A peer is gone for good: the entries that end what it still owns."""
        connection = self._connections.pop(peer, None)
        return self._end(sorted(connection.ids)) if connection is not None else []

    def expire(self, now: float) -> list[AwarenessEntry]:
        """The entries that end states which were not renewed for 30 s."""
        return self._end([n for n, c in self._clients.items() if c.state is not None and now - c.renewed_at >= STALE_AFTER])

    def entries(self, client_ids: Iterable[int] | None = None) -> list[AwarenessEntry]:
        """The living states (the same object until one of them changes; leave it as it is); or the newest entries of the given
        ids, ended ones included.
        """
        if client_ids is None:
            if self._living is None:
                self._living = [AwarenessEntry(n, c.clock, c.state) for n, c in self._clients.items() if c.state is not None]
            return self._living
        known = ((number, self._clients.get(number)) for number in client_ids)
        return [AwarenessEntry(number, client.clock, client.state) for number, client in known if client is not None]

    def _meet(self, owner: Owner, entries: Sequence[AwarenessEntry], opening: bool) -> tuple[_Connection, bool]:
        """The connection, and whether this is its first message."""
        connection = self._connections.get(owner.peer)
        if connection is not None:
            return connection, False
        connection = self._connections[owner.peer] = _Connection(owner.user_id)
        if opening and len(entries) == 1 and entries[0].state is not None:
            connection.own = entries[0].client_id
        return connection, True

    def _may_write(self, connection: _Connection, client: _Client, entry: AwarenessEntry, first: bool) -> bool:
        if entry.clock > MAX_CLOCK:
            return False
        owner = client.owner
        if owner is connection:
            return True
        if owner is None:
            return len(connection.ids) < IDS_PER_PEER
        # The end of an id that is somebody else's is never believed.
        if entry.state is None or connection.own != entry.client_id:
            return False
        yields = client.state is None or owner.own != entry.client_id or owner.lost or owner.user_id == connection.user_id
        return yields and (first or client.is_news(entry))

    def _write(self, connection: _Connection, client: _Client, entry: AwarenessEntry, announced: Announced, now: float) -> None:
        own = connection.own == entry.client_id
        if client.is_news(entry):
            if entry.state is not None and not is_valid_state(entry.state):
                raise InvalidState(f"the awareness state of client {entry.client_id} is not JSON, or nested too deep")
            client.clock, client.state, client.renewed_at = entry.clock, entry.state, now
            self._living = None
            announced.news.append(entry)
        elif entry.state is not None and entry.clock > 0 and (client.state is None or (own and entry.clock < client.clock)):
            announced.stale.append(AwarenessEntry(entry.client_id, client.clock, None))
        self._keep(entry.client_id, client, connection if own or client.state is not None else None)

    def _end(self, client_ids: Iterable[int]) -> list[AwarenessEntry]:
        ended = []
        for client_id in client_ids:
            client = self._clients[client_id]
            if client.state is not None:
                client.state = self._living = None
                ended.append(AwarenessEntry(client_id, client.clock, None))
            self._keep(client_id, client, None)
        return ended

    def _keep(self, client_id: int, client: _Client, owner: _Connection | None) -> None:
        """Remember a client with its owner, and forget the one that has been gone longest when there are too many."""
        if client.owner is not owner:
            if client.owner is not None:
                client.owner.ids.discard(client_id)
            if owner is not None:
                owner.ids.add(client_id)
            client.owner = owner
        if client.clock == 0 and owner is None:
            # Nobody has seen it, and nobody claims it.
            self._clients.pop(client_id, None)
            self._ended.pop(client_id, None)
            return
        self._clients[client_id] = client
        if client.state is not None:
            self._ended.pop(client_id, None)
            return
        self._ended[client_id] = None
        if len(self._ended) > REMEMBERED:
            forgotten, _ = self._ended.popitem(last=False)
            if (former := self._clients.pop(forgotten).owner) is not None:
                former.ids.discard(forgotten)


def in_messages(entries: Sequence[AwarenessEntry]) -> Iterator[tuple[AwarenessEntry, ...]]:
    """Entries in portions for one message each; none for no entries.

    Clients send back in one message what they were told in one, and must not be refused for its size.
    """
    portion: list[AwarenessEntry] = []
    size = 0
    for entry in entries:
        length = len(entry.state or "")
        if portion and (len(portion) == _MESSAGE_ENTRIES or size + length > _MESSAGE_BYTES):
            yield tuple(portion)
            portion, size = [], 0
        portion.append(entry)
        size += length
    if portion:
        yield tuple(portion)
