"""Who is in one document, and points where: its presence and its awareness, of this process's clients and of others'."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from cowrite.core.delivery.broadcast import Broadcast
from cowrite.core.delivery.peer import Peer
from cowrite.core.delivery.stateless import relay_stateless
from cowrite.core.events import PresenceChanged
from cowrite.core.operations.readership import Readership
from cowrite.core.ports import PresenceNews, Signal, StatelessNews
from cowrite.core.presence.announcements import Announcements
from cowrite.core.presence.awareness import Awareness
from cowrite.core.presence.awareness_exchange import AwarenessExchange
from cowrite.core.presence.connections import Connections
from cowrite.core.presence.endings import Endings
from cowrite.core.presence.notices import PresenceNotices
from cowrite.core.presence.presence import PresenceList
from cowrite.core.presence.present import PresenceChange, Transport
from cowrite.core.rooms.room_ports import RoomPorts
from cowrite.protocol.awareness import AwarenessEntry


class People:
    """A room's side that is only of the moment. Synchronous; ``wake`` is called when there is something to flush."""

    def __init__(
        self,
        document_id: str,
        peers: Collection[Peer],
        broadcast: Broadcast,
        readership: Readership,
        ports: RoomPorts,
        *,
        wake: Callable[[], None],
    ) -> None:
        """``peers``: those of the room, as they come and go."""
        self.document_id = document_id
        self.awareness = Awareness()
        self.notices = PresenceNotices(ports.clock, readership.people, lambda: len(readership.readers))
        self.presence = PresenceList(
            self._tell_change,
            ports.limits,
            process=ports.process,
            note=lambda present, urgency: ports.presence.note(document_id, present, urgency),
            ends=lambda until, expires_at: self._endings.note(until, expires_at),
            connections=Connections(ports.events, ports.clock),
        )
        self._endings = Endings(ports.clock, self._end)
        self._service = ports.presence
        self._process = ports.process
        self._clock = ports.clock
        self._peers = peers
        self._readership = readership
        self._signal = ports.signal
        self._events = ports.events
        self._exchange = AwarenessExchange(document_id, ports.process, self.awareness, ports.signal)
        self._announcements = Announcements(
            self.awareness, self._exchange, broadcast, peers, ports.clock, ports.limits, wake=wake
        )

    def open(self) -> None:
        """The document is open: learn who is in it elsewhere."""
        self._service.opened(self.document_id, self.presence)

    def enter(self, peer: Peer, transport: Transport) -> None:
        """A connection has come: it is present, and told who points where."""
        self.presence.connect(peer.session, transport, self._clock.now())
        self.tell(peer)

    def leave(self, peer: Peer, *, clean: bool) -> None:
        """A connection is gone; unless it said goodbye, what it announced stays for a moment."""
        self.presence.disconnect(peer.session)
        self._announcements.lose(peer, clean=clean)

    def announce(self, peer: Peer, entries: Sequence[AwarenessEntry]) -> None:
        """What a peer says of its Yjs clients. Raises :class:`PeerError` for a state that is not JSON."""
        self._announcements.take(peer, entries)

    def tell(self, peer: Peer) -> None:
        """All living states, to one peer."""
        self._announcements.tell(peer)

    def hear(self, signal: Signal) -> None:
        """What another process says; this one's own words come back, and are ignored."""
        if signal.process == self._process:
            return
        match signal:
            case PresenceNews():
                self.presence.hear(signal, self._clock.monotonic())
            case StatelessNews(payload=payload):
                relay_stateless(payload, self._peers)
            case _:
                self._announcements.hear(signal)

    def relay(self, payload: str) -> None:
        """A stateless message of a Hocuspocus client, to all such clients in the document."""
        relay_stateless(payload, self._peers)
        self._signal(StatelessNews(self.document_id, self._process, payload))

    def flush(self) -> None:
        """Tell the peers, and other processes, what is news since the last time."""
        self._announcements.flush()

    def rejoin(self) -> None:
        """The broker has lost signals, and works again: ask the others who is there, and tell them who is here."""
        self._exchange.ask()
        self._exchange.answer()

    def close(self) -> None:
        """The document is closed here: tell the others that nobody is here any more. Idempotent."""
        self._exchange.close()
        self.presence.close()
        self.notices.close()
        self._endings.close()
        self._service.closed(self.document_id, self.presence)

    def tend(self, now: float) -> None:
        """Every few seconds: see who has done something, and remove who is gone without a word; ``now`` is monotonic."""
        for peer in self._peers:
            if peer.active:
                peer.active = False
                self.presence.active(peer.session.id, self._clock.now())
        self._announcements.expire(now)
        self.presence.tend(self._clock.now(), now)

    def _tell_change(self, change: PresenceChange) -> None:
        joined, updated = (frozenset(person.user_id for person in some) for some in (change.joined, change.updated))
        self._events.tell(PresenceChanged(self.document_id, joined, updated, frozenset(change.left), self._clock.now()))
        if self._readership.listens:
            self.notices.take(change)

    def _end(self) -> tuple[float | None, int | None]:
        self.presence.end(self._clock.now(), self._clock.monotonic())
        return self.presence.next_end()
