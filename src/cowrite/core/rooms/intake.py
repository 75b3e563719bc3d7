"""The way of a peer's update into ``live``: checks, holding, and what to do when the engine breaks.

One synchronous call. Afterwards the update is applied, waits for its broadcast and is on its way to the disk; or it is held
until what it builds on is there; or it is refused, and the peer closed with a code or asked again later. Nobody else notices.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from cowrite.core.damaged import Damaged, may_write
from cowrite.core.delivery.broadcast import Broadcast
from cowrite.core.delivery.edit_spans import EditSpans
from cowrite.core.delivery.peer import Peer
from cowrite.core.errors import PeerError, RoomClosed
from cowrite.core.presence.present import Transport
from cowrite.core.rooms.bindings import Bindings
from cowrite.core.rooms.foreign import Foreign
from cowrite.core.rooms.fullness import Fullness
from cowrite.core.rooms.inspecting import NOTHING, NOTHING_OUTLINE, contradicting, hostile, inspect_from_peer
from cowrite.core.rooms.outgrown import Outgrown, size_of
from cowrite.core.rooms.pending import PendingUpdates
from cowrite.core.rooms.received import Received
from cowrite.core.rooms.replicas import Replicas
from cowrite.core.rooms.room_ports import RoomPorts
from cowrite.crdt.document import Document
from cowrite.crdt.errors import EngineFault, HostileUpdate
from cowrite.crdt.guard import SYNC_LIMITS, inspect
from cowrite.crdt.outline import ClockRange, Outline, missing
from cowrite.crdt.slices import deletion, ready_part
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.messages import PermissionDenied, SyncStep1

_NO_STATE: Mapping[int, int] = {}
_SMALL_BYTES: Final = 16 << 10
"""What is looked at on the loop although nothing of it will be taken."""


class Intake:
    """Takes updates of peers into a room's ``live`` document."""

    def __init__(
        self,
        replicas: Replicas,
        pending: PendingUpdates,
        broadcast: Broadcast,
        bindings: Bindings,
        ports: RoomPorts,
        damage: Damaged | None = None,
        *,
        rebuild: Callable[[], None],
    ) -> None:
        """``damage``: nobody may write, because of that."""
        self.fullness = Fullness(replicas, ports.clock, ports.limits)
        self._excess = ports.excess
        self._outgrown = Outgrown(self.fullness, replicas, ports.clock, ports.excess)
        self._replicas = replicas
        self._pending = pending
        self._broadcast = broadcast
        self._limits = ports.limits
        self._damage = damage
        self._bindings = bindings
        self._foreign = Foreign(bindings, pending, ports.excess)
        self._rebuild = rebuild
        self._tracing = ports.tracing
        self._holding: dict[Peer, None] = {}
        """Of whom something may be held: a flush need not look at all peers for the few, or none, that it is."""
        self._retired: frozenset[int] = frozenset()
        """The Yjs clients that wrote what was purged from this document."""
        self._refused: dict[int, tuple[int, int]] = {}
        """By Yjs client: clocks of updates that were shown and then could not be kept. Whoever was shown them must start
        again."""

    def receive(self, peer: Peer, update: bytes, *, everything: bool, outline: Outline | None) -> None:
        """An Update or SyncStep2. ``outline``: where it was inspected before. Raises :class:`PeerError` when the peer must be
        closed.
        """
        if outline is None and update == NOTHING:
            outline = NOTHING_OUTLINE
        number = peer.acknowledgements.receive(everything=everything, outline=outline)
        try:
            if may_write(peer.session, self._damage):
                peer.told_to_read = False
                if outline is None:
                    outline = inspect_from_peer(update, everything=everything, limits=self._limits)
                self._receive(Received(update, outline, peer, number, everything))
            elif everything and self._holds(update):
                peer.acknowledgements.commit(number, self._replicas.head.offset, everything=True)
            else:
                self._refuse_reader(peer, number)
        except PeerError as error:
            peer.acknowledgements.blame(number, error.code.name.lower())
            raise
        peer.acknowledge()

    def _receive(self, received: Received) -> None:
        admitted = self._admitted(received)
        if admitted is None:
            return
        state = self.live.state
        if found := self._foreign.within(admitted, state):
            self._take_without(admitted, found)
        elif not missing(admitted.outline, state):
            self._take(admitted)
        elif self.takes_part_of(admitted):
            self._take_in_part(admitted)

    def admitted(self, received: Received) -> Received | None:
        """What of an update may be taken: all, nothing, or of a SyncStep2 for which there is no room in the document, what it
        deletes. What is not taken is refused. Raises as :meth:`accepts`.
        """
        return self._admitted(received) if self._may_write(received) else None

    def _admitted(self, received: Received) -> Received | None:
        if not self._is_welcome(received):
            return None
        if self._fits(received):
            return received
        part = self._deletions_of(received) if received.everything else None
        return part if part is not None and self.fullness.admits(part.outline) else None

    def accepts(self, received: Received) -> bool:
        """Whether the peer may write, and there is room for it. Else the message is refused.

        Raises :class:`PeerError` for what belongs to a document that was purged.
        """
        return self._may_write(received) and self._is_welcome(received) and self._fits(received)

    def has_room(self, received: Received, size: int) -> bool:
        """Whether a SyncStep2 of which nothing is known but its size may be taken. Else it is refused."""
        return self.fullness.has_room(size) or self._outgrown.refuse(received, size)

    def retire(self, clients: frozenset[int]) -> Sequence[Received]:
        """These Yjs clients wrote what was purged: nothing of theirs is taken any more. Returns what waits of them."""
        self._retired = clients
        return [one for one in self._pending if self._is_retired(one)]

    def takes_part_of(self, received: Received) -> bool:
        """Something is missing: whether it is taken in part all the same, without a promise. Else it is held, whole."""
        peer = received.peer
        in_part = received.everything or self._foreign.is_below(received, self.live.state)
        if in_part:
            peer.acknowledgements.refuse(received.number)
        elif peer.outgrown:
            # What it builds on was refused, and will not come before the peer is asked for it.
            self._outgrown.refuse_more(received)
        else:
            peer.held.hold(received)
            self._holding[peer] = None
        return in_part

    def take_slice(self, received: Received, checked: Mapping[int, int]) -> None:
        """A part of an update that was found to contradict nothing up to the clocks ``checked``. Raises :class:`PeerError`."""
        state = self.live.state
        if found := self._foreign.within(received, state):
            self._take_without(received, found)
            return
        if lacking := missing(received.outline, state):
            if self._foreign.is_below(received, state):
                received.peer.acknowledgements.refuse(received.number)
                self._take_in_part(received)
                return
            reason = f"the update builds on clock {lacking[0][1]} of client {lacking[0][0]}, which is gone; reconnect and sync"
            raise PeerError(CloseCode.MISSING_DEPENDENCIES, reason)
        self._take(received, checked)

    def take_held(self) -> Iterable[tuple[Peer, PeerError]]:
        """Take what is held and can be taken now; one may be what another waits for. Yields the peers that must be closed."""
        holding = [peer for peer in self._holding if peer.held.waiting]
        self._holding = dict.fromkeys(holding)
        progress = True
        while progress and self._replicas.live is not None:
            progress = False
            for peer in holding:
                try:
                    progress |= self._take_held_of(peer)
                except PeerError as error:
                    peer.held.keep([])
                    self._excess.refused(error)
                    yield peer, error

    def refuse(self, refused: Received) -> None:
        """An update that was shown will never be committed: do not take it from anybody again."""
        for brought in refused.outline.brings:
            start, end = self._refused.get(brought.client, (brought.start, brought.end))
            self._refused[brought.client] = min(start, brought.start), max(end, brought.end)

    def welcome(self, peer: Peer, transport: Transport) -> None:
        """A peer has come: ask it for what it has. Raises as :meth:`ask`."""
        if self._tracing is not None:
            peer.acknowledgements.spans = EditSpans(self._tracing, peer.session, transport.value)
        self.ask(peer)

    def ask(self, peer: Peer) -> None:
        """Ask a peer for what is not here (SyncStep1). Raises :class:`RoomClosed` while the document is being rebuilt."""
        peer.acknowledgements.ask()
        peer.send(SyncStep1(self.live.state_vector()))

    def introduce(self, peer: Peer) -> bool:
        """A peer has said which Yjs client it is; see :meth:`Foreign.introduce`."""
        return self._damage is None and self._foreign.introduce(peer, self._replicas.live)

    def forget(self, peer: Peer) -> None:
        """A peer has gone."""
        peer.leave(one.number for one in self._pending if one.peer is peer)
        self._foreign.forget(peer, self._replicas.live)

    def ask_again(self, peers: Collection[Peer], *, shrunk: bool = False) -> None:
        """Ask peers of whom something was refused: for want of room, in the journal or in the document, once there is some;
        because it was another user's, once it is there, or that user is not.

        ``shrunk``: also those of whom it is not known how much they have, if they or others have deleted something.
        """
        if self._replicas.live is None:
            return
        for peer in self._foreign.due(self._replicas.live.state):
            self.ask(peer)
        if self._pending.accepts(self._limits.update_bytes, self._limits):
            for peer in [peer for peer in peers if peer.starved]:
                peer.starved = False
                self.ask(peer)
        if shrunk:
            self.fullness.look()
        for peer in self._outgrown.due(peers, shrunk=shrunk):
            self.ask(peer)

    @property
    def live(self) -> Document:
        """The live document. Raises :class:`RoomClosed` while it is being rebuilt."""
        if self._replicas.live is None:
            raise RoomClosed(CloseCode.DOCUMENT_REBUILT, "the document is being rebuilt; reconnect")
        return self._replicas.live

    def _may_write(self, received: Received) -> bool:
        """Whether its peer still may. Else it is refused."""
        if may_write(received.session, self._damage):
            received.peer.told_to_read = False
            return True
        self._refuse_reader(received.peer, received.number)
        return False

    def _refuse_reader(self, peer: Peer, number: int) -> None:
        """The message is dropped and counted, and the peer is told why, once."""
        peer.acknowledgements.refuse(number)
        peer.refused += 1
        if not peer.told_to_read and not peer.acknowledgements.tells_refusals:
            peer.told_to_read = True
            grant = f"the grant is {peer.session.grant}: edits are not taken"
            peer.send(PermissionDenied(grant if self._damage is None else self._damage.told))

    def _holds(self, update: bytes) -> bool:
        """Whether a reader's SyncStep2 says nothing new: then nothing of the reader is missing here. A large one may."""
        try:
            return len(update) <= _SMALL_BYTES and self.live.holds(inspect(update, SYNC_LIMITS))
        except HostileUpdate:
            return False

    def _take(self, received: Received, checked: Mapping[int, int] = _NO_STATE) -> None:
        """Apply to ``live``, and pass on what was new. Everything that it builds on is there."""
        fresh = None if received.outline.is_empty else self._admit(received, checked)
        if fresh is not None:
            self._pending.put(received)
            self._bindings.offer(received)
            self._broadcast.update(fresh, received.outline, received.peer)
        elif not received.ends:
            pass  # the last slice tells
        elif self._pending:
            # It repeats something that may not be committed yet: durable as soon as all before it is.
            self._pending.put(replace(received, update=NOTHING, outline=NOTHING_OUTLINE))
        else:
            received.acknowledge(self._replicas.head.offset)
            received.peer.acknowledge()

    def _admit(self, received: Received, checked: Mapping[int, int]) -> bytes | None:
        """Returns what was new."""
        live, update, outline = self.live, received.update, received.outline
        if self._refused:
            self._refuse_again(outline)
        if live.contradicts(update, outline, checked=checked):
            raise contradicting()
        try:
            return live.admit(update, outline)
        except HostileUpdate as error:
            raise hostile(error) from error
        except EngineFault as fault:
            self._mend_live()
            raise PeerError(CloseCode.HOSTILE_UPDATE, f"the update broke the engine: {fault}", fault="engine") from fault

    def _is_retired(self, received: Received) -> bool:
        outline = received.outline
        return any(one[0] in self._retired for one in (*outline.brings, *outline.deletes, *outline.needs))

    def _is_welcome(self, received: Received) -> bool:
        peer = received.peer
        if self._retired and self._is_retired(received):
            reason = "what this editor holds was deleted for good; start a new Doc"
            raise PeerError(CloseCode.DOCUMENT_DELETED, reason)
        if peer.starved or not self._pending.accepts(received.size, self._limits):
            # What follows a refused update builds on it; the peer is asked for all of it at once, later.
            peer.acknowledgements.refuse(received.number)
            peer.starved = True
        return not peer.starved

    def _fits(self, received: Received) -> bool:
        """Whether the document may become so large. Else the message is refused, and the peer told why."""
        if not self.fullness.admits(received.outline):
            return self._outgrown.refuse(received, size_of(received.outline, everything=received.everything))
        if received.everything:
            self._outgrown.forget(received.peer)
        return True

    def _deletions_of(self, received: Received) -> Received | None:
        """As far as they are of what is here; None: there are none."""
        known = self.live.state.get
        deletes = [
            ClockRange(client, start, min(end, known(client, 0)))
            for client, start, end in received.outline.deletes
            if start < known(client, 0)
        ]
        if not deletes:
            return None
        update = deletion(deletes)
        outline = inspect_from_peer(update, everything=True, limits=self._limits)
        return replace(received, update=update, outline=outline, everything=False)

    def _take_in_part(self, received: Received, without: Container[int] = ()) -> None:
        """A SyncStep2 that builds on something unknown: Yjs clients always send along what they themselves could not apply yet.

        What can be applied is taken; for the rest nothing is promised (the message is not acknowledged), and nobody is closed.
        """
        ready = ready_part(received.update, received.outline, self.live.state, without)
        outline = inspect_from_peer(ready, everything=True, limits=self._limits)
        if not outline.is_empty:
            self._take(replace(received, update=ready, outline=outline, everything=False, part=True))

    def _take_without(self, received: Received, found: Mapping[int, int]) -> None:
        self._foreign.refuse(received, found)
        self._take_in_part(received, found)

    def _take_held_of(self, peer: Peer) -> bool:
        held = peer.held.take()
        kept = []
        for received in held:
            live = self._replicas.live
            found = self._foreign.within(received, live.state) if live is not None else {}
            if found:
                self._take_without(received, found)
            elif live is None or missing(received.outline, live.state):
                kept.append(received)
            elif self._fits(received):
                self._take(received)
            else:
                peer.acknowledge()
        peer.held.keep(kept)
        return len(kept) < len(held)

    def _refuse_again(self, outline: Outline) -> None:
        for brought in outline.brings:
            start, end = self._refused.get(brought.client, (0, 0))
            # The log may have got something else there meanwhile, and that may be repeated.
            known = self.live.state.get(brought.client, 0)
            if max(brought.start, start, known) < min(brought.end, end):
                raise PeerError(CloseCode.EDIT_NOT_KEPT, "the update repeats an edit that could not be kept; start a new Doc")

    def _mend_live(self) -> None:
        """The engine broke on an update that the guard had passed. ``live`` is made without it, beside the event loop."""
        replicas = self._replicas
        usable = replicas.log is not None and not (replicas.holds_unseen or self._pending.leaves or self.live.resting)
        try:
            if usable:  # it is not when what live rests on has broken, and not what came new
                replicas.mend_live(self._pending)
        except EngineFault:
            usable = False
        if not usable:
            self._rebuild()
