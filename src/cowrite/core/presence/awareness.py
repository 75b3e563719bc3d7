"""Who points where: the ephemeral states of a room's Yjs clients. A pure value: no timers, no sockets.

Which entry is news is decided as in y-protocols (``awareness.js``). One thing is added: an entry counts only when it comes from
the connection that owns the Yjs client id. Stock clients send other people's entries as a matter of course: y-websocket sends
back every state that it learns, by the socket or from other tabs of the browser, and announces the end of ids that it thinks
stale.

Whose id it is. A Yjs client speaks of itself first, before it can have heard of others: the first message of a connection, when
it holds one living state, names the connection's *own* id. An own id belongs to its connection, also while it is not seen. An
id that is nobody's goes to whoever announces it (a tab may be seen by way of another one before its own socket is open), until
somebody comes whose own it is.

Other processes tell of their connections by the same rules. What they tell was looked at where it came in, and is believed as
far as it concerns ids that are theirs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from cowrite.core.presence.awareness_owners import Client, Connection, Owner
from cowrite.protocol.awareness import AwarenessEntry, is_valid_state

STALE_AFTER = 30.0
"""Seconds after which a state that was not renewed is removed; Yjs clients forget it then, too."""
STALE_ELSEWHERE_AFTER = 25.0
"""The same for clients of other processes, which may have been killed: with the pause between two looks it is 30 s at most."""
IDS_PER_PEER = 100
"""How many ids one connection may own. Yjs clients have one; gateways may speak for several."""
MAX_CLOCK = 2**32 - 1
"""Clients in other languages than JavaScript hold clocks in 32 bits."""
MAX_TOLD_CLOCK = 2**31
"""No client is told by way of other processes that its clock is beyond this: none must be driven to the end of clocks."""
REMEMBERED = 10_000
"""How many ids of clients that are gone a room remembers, so that late news about them stays old news."""
_MESSAGE_ENTRIES = 1000
_MESSAGE_BYTES = 256 << 10


class InvalidState(ValueError):
    """A state that is not JSON, or nested too deep: y-protocols parses states without a guard, so it would break every peer."""


@dataclass(slots=True)
class Announced:
    """What became of a peer's entries."""

    news: list[AwarenessEntry] = field(default_factory=list)
    """For everybody."""
    claims: list[int] = field(default_factory=list)
    """Living Yjs clients that were not this connection's until now: others must know soon, even when it is no news."""
    moved: bool = False
    """There is news that is more than a renewal."""
    own: int | None = None
    """The Yjs client that the connection is, where it has said so and nobody else is that."""
    stale: list[AwarenessEntry] = field(default_factory=list)
    """For the sender alone: the ends of ids that it announced with a clock which is used up, because the room holds them for
    ended at that clock or a newer one, or knows a newer state of an earlier life. A client that is told so of its own id
    announces itself again with a higher clock, and is seen at once instead of at its next heartbeat (15 s)."""


@dataclass(slots=True)
class Heard:
    """What became of another process's entries."""

    news: list[AwarenessEntry] = field(default_factory=list)
    """For everybody in this process."""
    stale: list[AwarenessEntry] = field(default_factory=list)
    """For other processes: the ends of ids that are announced there with a clock which is used up here."""
    denied: list[tuple[Hashable, AwarenessEntry]] = field(default_factory=list)
    """For one peer each: the end of its own id that is told elsewhere. As above, the client announces itself again with a
    higher clock, and whoever believed the end knows better."""


class Awareness:
    """The newest awareness entry of every Yjs client in a room."""

    def __init__(self) -> None:
        self._clients: dict[int, Client] = {}
        self._ended: OrderedDict[int, None] = OrderedDict()
        """Ids without a state, the one that ended first at the front."""
        self._connections: dict[Hashable, Connection] = {}
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
                client = Client()
            if self._may_write(connection, client, entry, first):
                self._write(connection, client, entry, announced, now)
            else:
                self.skipped += 1
        return announced

    def hear(
        self, process: str, entries: Iterable[tuple[AwarenessEntry, str | None]], now: float, *, answer: bool = False
    ) -> Heard:
        """Take what another process tells of its connections, or has told of them when it was asked (``answer``).

        With each entry comes the user whose own Yjs client it is; None for a client of which a connection only speaks. The
        rules are those of :meth:`announce`, with each entry as a connection's first message. An answer need not be the newest
        that is known: it moves no living id at an equal clock, but from a lost connection.
        """
        heard = Heard()
        for entry, user_id in entries:
            client = self._clients.get(entry.client_id)
            if client is None:
                client = Client()
            if entry.state is None:
                self._hear_end(process, client, entry, heard)
            else:
                self._hear_state(_elsewhere(process, user_id, client), client, entry, heard, now, answer=answer)
        return heard

    def lose(self, peer: Hashable) -> list[int]:
        """A peer's connection was lost, perhaps to come back: others may take its ids over. Those that have living states."""
        connection = self._connections.get(peer)
        if connection is None:
            return []
        connection.lost = True
        return sorted(client_id for client_id in connection.ids if self._clients[client_id].state is not None)

    def lose_elsewhere(self, process: str, client_ids: Iterable[int]) -> None:
        """Another process has lost the connections of these Yjs clients, perhaps to come back here or there."""
        self._lose(Connection(None, process=process, lost=True), client_ids)

    def leave_elsewhere(self, process: str) -> Hashable:
        """Another process has no connections any more. What it had is lost, and :meth:`release` takes the answer for a peer."""
        lost = Connection(None, process=process, lost=True)
        self._connections[lost] = lost
        self._lose(lost, list(self._clients))
        return lost

    def release(self, peer: Hashable) -> list[AwarenessEntry]:
        """A peer is gone for good: the entries that end what it still owns."""
        connection = self._connections.pop(peer, None)
        return self._end(sorted(connection.ids)) if connection is not None else []

    def expire(self, now: float) -> list[AwarenessEntry]:
        """The entries that end states of clients in this process which were not renewed for 30 s."""
        return self._end([n for n, c in self._clients.items() if _silent(c, now) >= STALE_AFTER])

    def expire_elsewhere(self, now: float) -> list[AwarenessEntry]:
        """The entries that end states of clients in other processes of which nothing was heard for 25 s."""
        return self._end([n for n, c in self._clients.items() if _silent(c, now, here=False) >= STALE_ELSEWHERE_AFTER])

    def attached(self, client_ids: Iterable[int] | None = None) -> list[tuple[AwarenessEntry, str | None]]:
        """What other processes must know of these Yjs clients, or (None) of all that live: the states of those with open
        sockets here, with the user whose own client it is, and the ends of those that are nobody's.
        """
        told = []
        for client_id in self._clients if client_ids is None else client_ids:
            client = self._clients.get(client_id)
            if client is None:
                continue
            owner = client.owner
            if client.state is not None and owner is not None and owner.attached:
                user_id = owner.user_id if owner.calls_own(client_id) else None
                told.append((AwarenessEntry(client_id, client.clock, client.state), user_id))
            elif client.state is None and client_ids is not None:
                told.append((AwarenessEntry(client_id, client.clock, None), None))
        return told

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

    def _meet(self, owner: Owner, entries: Sequence[AwarenessEntry], opening: bool) -> tuple[Connection, bool]:
        """The connection, and whether this is its first message."""
        connection = self._connections.get(owner.peer)
        if connection is not None:
            return connection, False
        connection = self._connections[owner.peer] = Connection(owner.user_id, owner.peer)
        if opening and len(entries) == 1 and entries[0].state is not None:
            connection.own = entries[0].client_id
        return connection, True

    def _may_write(self, connection: Connection, client: Client, entry: AwarenessEntry, first: bool) -> bool:
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
        return client.yields(entry.client_id, connection) and (first or client.is_news(entry))

    def _write(self, connection: Connection, client: Client, entry: AwarenessEntry, announced: Announced, now: float) -> None:
        own = connection.own == entry.client_id
        if own:
            announced.own = entry.client_id
        if client.is_news(entry):
            if entry.state is not None and not is_valid_state(entry.state):
                raise InvalidState(f"the awareness state of client {entry.client_id} is not JSON, or nested too deep")
            announced.moved |= entry.state != client.state
            client.clock, client.state, client.renewed_at = entry.clock, entry.state, now
            self._living = None
            announced.news.append(entry)
        elif entry.state is not None and entry.clock > 0 and (client.state is None or (own and entry.clock < client.clock)):
            announced.stale.append(AwarenessEntry(entry.client_id, client.clock, None))
        if client.state is not None and client.owner is not connection and client.clock == entry.clock:
            announced.claims.append(entry.client_id)
        self._keep(entry.client_id, client, connection if own or client.state is not None else None)

    def _hear_state(
        self, connection: Connection, client: Client, entry: AwarenessEntry, heard: Heard, now: float, *, answer: bool
    ) -> None:
        owner, news = client.owner, client.is_news(entry)
        takes = owner is None or owner is connection
        if owner is not None and not takes and connection.calls_own(entry.client_id):
            takes = client.yields(entry.client_id, connection) and (news or owner.lost or not answer)
        if not takes:
            self.skipped += 1
        elif news:
            client.clock, client.state, client.renewed_at = entry.clock, entry.state, now
            self._living = None
            heard.news.append(entry)
            self._keep(entry.client_id, client, connection)
        elif client.state is None or entry.clock < client.clock:
            if not answer and connection.calls_own(entry.client_id):
                heard.stale.append(AwarenessEntry(entry.client_id, client.clock, None))
        else:
            self._keep(entry.client_id, client, connection)

    def _hear_end(self, process: str, client: Client, entry: AwarenessEntry, heard: Heard) -> None:
        owner = client.owner
        if owner is None or owner.process == process:
            if client.is_news(entry):
                client.clock, client.state, self._living = entry.clock, None, None
                heard.news.append(entry)
                self._keep(entry.client_id, client, None)
        elif owner.attached and owner.own == entry.client_id and client.clock <= entry.clock <= MAX_TOLD_CLOCK and client.state:
            heard.denied.append((owner.peer, entry))
        else:
            self.skipped += 1

    def _lose(self, lost: Connection, client_ids: Iterable[int]) -> None:
        for client_id in client_ids:
            client = self._clients.get(client_id)
            if client is not None and client.owner is not None and client.owner.process == lost.process:
                self._keep(client_id, client, lost)

    def _end(self, client_ids: Iterable[int]) -> list[AwarenessEntry]:
        ended = []
        for client_id in client_ids:
            client = self._clients[client_id]
            if client.state is not None:
                client.state = self._living = None
                ended.append(AwarenessEntry(client_id, client.clock, None))
            self._keep(client_id, client, None)
        return ended

    def _keep(self, client_id: int, client: Client, owner: Connection | None) -> None:
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


def _elsewhere(process: str, user_id: str | None, client: Client) -> Connection:
    """The connection of a client in another process: the one that owns it, or a new one."""
    owner = client.owner
    if owner is not None and not owner.lost and (owner.process, owner.user_id) == (process, user_id):
        return owner
    return Connection(user_id, process=process)


def _silent(client: Client, now: float, *, here: bool = True) -> float:
    """For how many seconds a living client, here or elsewhere, has not renewed its state."""
    counts = client.state is not None and client.owner is not None and (client.owner.process is None) is here
    return now - client.renewed_at if counts else 0.0


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
