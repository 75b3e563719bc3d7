"""A document open in this process, with its peers.

Theory of operation. Everything here is synchronous: a call begins and ends in one turn of the event loop, so that no two
calls see each other's halves. What a peer sends is checked and applied to ``live`` (:class:`Intake`), and put into two lists:
the broadcast, for the other peers, and ``pending``, for the disk. A flush, at once or when the window is over, empties the
first into the peers' outboxes, as one frame for all, and tells the journal that there is something in the second. The
journal's transaction calls back: it advances the room by what other processes committed, takes the pending updates, and
settles or abandons them.

A peer goes live in the call that queues its state (:meth:`Room.synchronise`): every update is in that state or relayed later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cowrite.core.damaged import Damaged
from cowrite.core.delivery.acknowledgements import Acknowledgements
from cowrite.core.delivery.broadcast import Broadcast
from cowrite.core.delivery.dialect import Dialect
from cowrite.core.delivery.outbox import Wire
from cowrite.core.delivery.peer import Peer, PeerPorts
from cowrite.core.journal.derived import Derived
from cowrite.core.operations.feed import Feed
from cowrite.core.operations.readership import Reader, Readership
from cowrite.core.operations.submissions import SubmissionRefused, Submissions, Waiting
from cowrite.core.ports import News, Signal
from cowrite.core.presence.people import People
from cowrite.core.presence.present import Transport
from cowrite.core.records import Entry
from cowrite.core.rooms.bindings import Bindings
from cowrite.core.rooms.happenings import Happenings
from cowrite.core.rooms.intake import Intake
from cowrite.core.rooms.large_updates import LargeUpdates
from cowrite.core.rooms.pending import PendingUpdates
from cowrite.core.rooms.received import Received
from cowrite.core.rooms.replicas import Committed, Gap, Replicas, Unfit
from cowrite.core.rooms.rest import Rest
from cowrite.core.rooms.room_ports import RoomPorts
from cowrite.core.rooms.synchronising import Synchronising
from cowrite.core.rooms.turn import TransactionTurn
from cowrite.core.rooms.waking import Waking
from cowrite.core.sessions.session import Session
from cowrite.crdt.errors import EngineFault, HostileUpdate
from cowrite.crdt.outline import Outline
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.messages import AwarenessUpdate


class Room:
    """See the module's docstring. Made by the registry, never directly."""

    def __init__(self, document_id: str, replicas: Replicas, ports: RoomPorts, damage: Damaged | None = None) -> None:
        self.document_id, self.replicas = document_id, replicas
        self.damage = damage
        """How far the document can be read; None: to its end. See :class:`DamagedRoom`."""
        self.pending, self.submissions = PendingUpdates(ports.backlog), Submissions(ports.backlog, ports.tracing)
        self.peers, self.readership = set[Peer](), Readership()
        self.one_by_one = 0
        """How many updates to commit one at a time: one of them broke the engine or was refused, and it is not known which."""
        self.failed = False
        """The document cannot be read. Nothing will come of this room any more."""
        self._doubts_log = False
        """The log in the store does not look like the one that is known here."""
        self._ports, self._clock, self._limits = ports, ports.clock, ports.limits
        self._window, self._broadcast = ports.window(self._flush), Broadcast(ports.clock, ports.multicast)
        self.bindings = Bindings(lambda user_id: self.presence.crowd.has_user(user_id))
        self._intake = Intake(replicas, self.pending, self._broadcast, self.bindings, ports, damage, rebuild=self._rebuild)
        self.retire, self.fullness = self._intake.retire, self._intake.fullness
        self.large = LargeUpdates(self._intake, self.pending, self.peers, ports, wake=self._wake)
        self._turn, self._rest = TransactionTurn(), Rest()
        self.waking = Waking(document_id, replicas, ports.clock, learn=self.learn, fail=self.fail, rebuild=self._rebuild)
        self.people = People(document_id, self.peers, self._broadcast, self.readership, ports, wake=self._wake)
        self.awareness, self.presence = self.people.awareness, self.people.presence
        self._happenings = Happenings(document_id, ports.events, ports.clock)
        self._synchronising = Synchronising(self._intake, self.awareness, self._broadcast)
        self._peer_ports = PeerPorts(ports.clock, ports.limits, self._synchronising.make_good, self._intake.ask, self._give_up)

    # ---- peers -------------------------------------------------------------------------------------------------------

    def attach(
        self,
        session: Session,
        wire: Wire,
        dialect: Dialect,
        *,
        acknowledgements: Acknowledgements | None,
        transport: Transport = Transport.YJS,
    ) -> Peer:
        """A connection comes in: it is asked for what it has, and told who is here. It goes live with its first SyncStep1.

        ``acknowledgements``: how it is told what is durable. Raises :class:`RoomClosed` while the document is being rebuilt.
        """
        _ = self._intake.live  # or it raises
        peer = Peer(session, wire, dialect, self._peer_ports, acknowledgements=acknowledgements)
        self.peers.add(peer)
        self._intake.welcome(peer, transport)
        self.people.enter(peer, transport)
        return peer

    def detach(self, peer: Peer, *, clean: bool) -> None:
        """A connection is gone; ``clean``: its client said goodbye (else its awareness stays a moment). Idempotent."""
        if peer not in self.peers:
            return
        self.peers.remove(peer)
        self._intake.forget(peer)
        self.large.cancel(peer)
        peer.outbox.discard()
        self.people.leave(peer, clean=clean)
        if not self.occupied:
            self.waking.cancel()
            self._ports.emptied(self)

    def close_peers(self, code: CloseCode, reason: str) -> None:
        """Send everybody away."""
        for peer in list(self.peers):
            peer.close(code, reason)
            self.detach(peer, clean=False)

    @property
    def idle(self) -> bool:
        """Nobody is here, and nothing is on its way to the disk or to anybody."""
        return not (self.occupied or self._busy)

    @property
    def _busy(self) -> bool:
        return bool(self.pending or self.submissions or self._broadcast or self._turn.running)

    @property
    def occupied(self) -> bool:
        """Somebody is here."""
        return bool(self.peers or self.readership)

    @property
    def needs_commit(self) -> bool:
        """Something waits for the disk, or the log must be looked at, or ``live`` made again."""
        look = self._doubts_log or self.replicas.live is None
        return bool(self.pending or self.submissions) or (look and not self.failed)

    # ---- readers and writers of operations ---------------------------------------------------------------------------

    def submit(self, submission: Waiting) -> None:
        """Operations of a client without a CRDT library, or a prepared update: commit it soon. Nobody sees it before."""
        self.submissions.put(submission)
        self._wake()

    def feed(self) -> Feed:
        """The operations from now on, or from an earlier call on."""
        return self.readership.begin(self.replicas.head.offset)

    def enter(self, reader: Reader) -> None:
        """A client comes to read operations; it is told of each commit from now on."""
        self.people.notices.flush()  # it knows of them already
        self.readership.readers.add(reader)

    def leave(self, reader: Reader) -> None:
        """It goes. Idempotent."""
        self.readership.readers.discard(reader)
        if not self.occupied:
            self._ports.emptied(self)

    async def committed(self) -> Committed | None:
        """The committed state, without what is on its way; None: it has to be read from the store."""
        await self.waking.log_made()
        return await self._turn.over() if self._turn.running else self.replicas.committed()

    # ---- what peers send ---------------------------------------------------------------------------------------------

    def synchronise(self, peer: Peer, state_vector: bytes) -> None:
        """SyncStep1: queue what the peer lacks, and let it go live in the same step. Raises :class:`PeerError`."""
        self._synchronising.begin(peer, state_vector)

    def ask(self, peer: Peer) -> None:
        """Ask a peer for what it has (SyncStep1). Raises :class:`RoomClosed`."""
        self._intake.ask(peer)

    def receive(self, peer: Peer, update: bytes, *, everything: bool, outline: Outline | None = None) -> None:
        """An Update, or a SyncStep2 (``everything``): see :class:`Intake`. Raises :class:`PeerError`."""
        self._intake.receive(peer, update, everything=everything, outline=outline)
        if outline is not None and outline.is_empty and not self.pending:
            return  # all who come in say so when they are asked for what they have
        peer.active = True
        self._wake()

    def announce(self, peer: Peer, entries: Sequence[AwarenessEntry]) -> None:
        """Awareness of the peer's Yjs clients (others' are skipped). Raises :class:`PeerError` for a state that is not JSON."""
        self.people.announce(peer, entries)
        if self._intake.introduce(peer):
            self._wake()

    def query_awareness(self, peer: Peer) -> None:
        """Answer with all living states."""
        self.people.tell(peer)

    # ---- what the journal and the broker say -------------------------------------------------------------------------

    def learn(self, news: News) -> None:
        """News of another process, by the broker or from the store. Waits for the end of this process's own transaction."""
        if self._turn.hold(news) or self.waking.hold(news):
            return
        self.replicas.adopt(news.epoch)
        if not self.replicas.agree(news):
            self.look_under_lock()
        elif news.offset > self.replicas.head.offset or news.epoch != self.replicas.head.epoch:
            try:
                if news.epoch != self.replicas.head.epoch or not news.entries:
                    raise Gap
                self.advance(news.entries)
            except Gap:
                self._ports.behind(self)
            except (EngineFault, HostileUpdate):
                self.replicas.abandon()
                self._rebuild()

    def hear(self, signal: Signal) -> None:
        """What another process says of the moment."""
        self.people.hear(signal)

    def look_under_lock(self) -> None:
        """The log in the store does not look like the one known here. The next transaction with the lock decides what to do."""
        self._doubts_log = True
        self._ports.commit(self)

    def look_for_news(self) -> None:
        """Somebody knows of something that others may have committed: read the store now."""
        self._ports.behind(self)

    def advance(self, entries: Sequence[Entry]) -> None:
        """Entries that were committed: by others, or by this process in a COMMIT that was in doubt till now.

        Raises ``Gap`` and ``EngineFault`` (see :meth:`Replicas.advance`).
        """
        known, shown = self.replicas.head.offset, self.replicas.live is not None
        self.bindings.learn(entries)
        try:
            for update, outline in self.replicas.advance(entries):
                self._broadcast.update(update, outline, None)
            if shown and self.replicas.live is None:
                self._rebuild()
        finally:
            self.readership.tell([entry for entry in entries if known < entry.offset <= self.replicas.head.offset])
        self._happenings.committed(self.replicas.head.epoch, [one for one in entries if self.pending.doubts(one.group)])
        offsets = {entry.group: entry.offset for entry in entries}
        resolved = self.pending.resolve(offsets)
        self._acknowledge(resolved, dict.fromkeys(resolved, max(offsets.values(), default=0)))
        self._wake()

    def begin_transaction(self) -> None:
        """``log`` is about to run ahead of the store."""
        self._turn.begin()

    def end_transaction(self) -> None:
        """``log`` is exactly the committed prefix again, or gone. Learn what came meanwhile."""
        for one in self._turn.end(self.replicas.committed):
            self.learn(one)

    def settle(self, derived: Derived) -> None:
        """What the transaction took is committed: show what was made of operations, acknowledge, and ask the starved again."""
        self._doubts_log = False
        self.replicas.settle(derived.all_entries)
        self.bindings.settle(derived.all_entries, derived.claims)
        settled = self.pending.settle()
        self.one_by_one = max(0, self.one_by_one - len(settled) - len(self.submissions.taken))
        self.submissions.settle()
        self._show(derived)
        self._acknowledge(settled, derived.offsets)
        for submission, outcome in derived.outcomes.items():
            submission.settle(outcome)
        self.readership.tell(derived.all_entries)
        self._intake.ask_again(self.peers)

    def abandon(self, *, doubtful_group: str | None = None) -> None:
        """The transaction failed (or may have): what it took waits again, and ``log`` goes if it ran ahead."""
        if self.pending.taken or self.submissions.taken:
            self.replicas.abandon()
        self.pending.give_back(doubtful_group=doubtful_group)
        self.submissions.give_back()

    def suspect(self) -> None:
        """Something that waits cannot be committed, and it is not known what: take it one at a time, on a fresh log."""
        self.drop_out()
        self.one_by_one = self.pending.waiting + self.submissions.waiting

    def drop_out(self) -> None:
        """The running transaction goes on without this room: what it took of it waits again, on a fresh log."""
        self.replicas.abandon()
        self.pending.release()
        self.submissions.give_back()

    def condemn(self, *refused: Received, for_good: bool = True) -> None:
        """Updates that were shown go into quarantine with the transaction, everybody starts again. ``for_good``: nobody's are
        taken again.
        """
        self.drop_out()
        self.lose([Unfit(one, "it could not be kept", for_good=for_good) for one in refused])
        self.rebuild(CloseCode.DOCUMENT_REBUILT, "an update that was shown could not be kept; reconnect and sync")

    def lose(self, unfit: Sequence[Unfit]) -> None:
        """Updates that are not in the ``live`` just made: they leave with the transaction that puts them into quarantine."""
        for one in unfit:
            self.pending.put_aside(one.update)
            if one.for_good:
                self._intake.refuse(one.update)

    def rebuild(self, code: CloseCode, reason: str) -> None:
        """``live`` shows what will never be committed: send everybody away; the journal makes it again from the log."""
        self.replicas.live = None
        self._broadcast.drop_updates()
        self.close_peers(code, reason)
        self.bindings.withdraw()
        self._ports.commit(self)

    def fail(self, reason: str) -> None:
        """The document cannot be read: send everybody away, and let the registry forget this room."""
        self._end(CloseCode.STORE_UNAVAILABLE, reason, SubmissionRefused("unavailable", reason, retry=True))

    def delete(self) -> None:
        """The document was deleted: send everybody away for good, and let the registry forget this room."""
        reason = "the document was deleted"
        self._end(CloseCode.DOCUMENT_DELETED, reason, SubmissionRefused("document_deleted", reason))

    def _end(self, code: CloseCode, reason: str, refused: SubmissionRefused) -> None:
        self.failed = True
        self.replicas.live = None
        self._broadcast.drop_updates()
        self.close_peers(code, reason)
        self.readership.send_away(code, reason)
        for submission in self.submissions.withdraw_all():
            submission.settle(refused)
        self._ports.failed(self)

    # ---- time --------------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Do not wait for the window: everything into the outboxes and to the journal, now. For stopping."""
        self._window.cancel()
        self._flush()

    def tend(self, now: float) -> bool:
        """Every few seconds: remove states that nobody renews, and say something to peers that heard nothing for long. A
        document that nothing happens to for long is put to rest: returns whether it was just now.
        """
        self.people.tend(now)
        self._intake.ask_again(self.peers, shrunk=True)
        for peer in self.peers:
            if now - peer.outbox.last_sent >= self._limits.keepalive_seconds and not peer.outbox.blocked:
                peer.send(AwarenessUpdate(()))
        return self._rest.is_due(now, self.replicas.head, busy=self._busy) and self._lie_down()

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _lie_down(self) -> bool:
        self._synchronising.rest()
        self.readership.rest()
        try:
            return self.replicas.rest()
        except EngineFault:
            self.replicas.abandon()
            self._rebuild()
            return False

    def _acknowledge(self, durable: Sequence[Received], offsets: Mapping[Received, int]) -> None:
        for pending in durable:
            pending.acknowledge(offsets[pending])
        for peer in dict.fromkeys(pending.peer for pending in durable if pending.peer in self.peers):
            peer.acknowledge()

    def _show(self, derived: Derived) -> None:
        """Entries that were made of operations are new to everybody."""
        try:
            for fresh, outline in self.replicas.show(derived.submitted_entries, derived.outlines):
                self._broadcast.update(fresh, outline, None)
                self._window.wake()
        except EngineFault:
            self._rebuild()

    def _wake(self) -> None:
        if self._broadcast or self.pending.waiting or self.submissions.waiting:
            self._window.wake()

    def _flush(self) -> int:
        if self.replicas.live is not None:
            for peer, error in self._intake.take_held():
                peer.close(error.code, error.reason)
                self.detach(peer, clean=False)
        updates = self._happenings.changed(self._broadcast.send_updates())
        self.people.flush()
        self._ports.write()
        if self.pending.waiting or self.submissions.waiting:
            self._ports.commit(self)
        return updates

    def _rebuild(self) -> None:
        self.rebuild(CloseCode.DOCUMENT_REBUILT, "the document is being rebuilt; reconnect")

    def _give_up(self, peer: Peer) -> None:
        peer.close(CloseCode.MISSING_DEPENDENCIES, "an update builds on others that did not arrive; reconnect and sync")
        self.detach(peer, clean=False)
