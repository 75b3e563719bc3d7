"""One transaction of the journal: what waits in some rooms goes into the store, all of it or nothing.

For each room whose head could be locked: advance it by what other processes committed, apply its pending updates to ``log``,
hand the entries to the store. After COMMIT the rooms are settled; after a failure their logs, which are ahead of the store,
are thrown away, and what was taken waits again. A room that cannot take part (its log does not load, an update breaks the
engine) drops out by itself, and the others are committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import structlog

from cowrite.core.account import SessionAccounts
from cowrite.core.ids import Ids
from cowrite.core.journal.commit_spans import tell_held, traced
from cowrite.core.journal.derived import Derived, Group
from cowrite.core.journal.entries import EntryMaker, UpdateRefused
from cowrite.core.journal.submitted_entries import SubmissionBroken, SubmittedEntryMaker
from cowrite.core.limits import Limits
from cowrite.core.operations.session_replicas import SessionReplicas
from cowrite.core.operations.submissions import SubmissionRefused, Waiting
from cowrite.core.ports import (
    Clock,
    CommitDoubtful,
    Grant,
    HistoryForgotten,
    News,
    Storage,
    StoreCorrupt,
    StoreRefused,
    WriteTransaction,
)
from cowrite.core.ports.tracing import CommitSpan, Tracing
from cowrite.core.records import Entry, Head, Quarantined
from cowrite.core.rooms.bindings import clients_of
from cowrite.core.rooms.making import make_live, make_log
from cowrite.core.rooms.received import Received
from cowrite.core.rooms.replicas import portions
from cowrite.core.rooms.room import Room
from cowrite.core.sessions.access import AccessControl
from cowrite.crdt.errors import EngineFault, HostileUpdate
from cowrite.protocol.close_codes import CloseCode

_OPERATIONS_AT_LEAST, _OPERATION_BYTES_AT_LEAST = 100, 256 << 10
"""Submitted operations that a room may always bring into a transaction, and their bytes."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Outcome:
    """What became of the rooms of a group."""

    news: list[News] = field(default_factory=list)
    """What other processes must hear."""
    committed: list[Room] = field(default_factory=list)
    """Took part."""
    skipped: list[Room] = field(default_factory=list)
    """Somebody else holds the lock of their head."""
    unserved: list[Room] = field(default_factory=list)
    """Nothing of them fitted any more."""
    span: CommitSpan | None = None
    """What is traced of the transaction."""


class GroupCommit:
    """Commits groups of rooms."""

    def __init__(
        self, storage: Storage, access: AccessControl, clock: Clock, ids: Ids, limits: Limits, tracing: Tracing | None = None
    ) -> None:
        self._tracing = tracing
        self._store = storage.store
        self._history = storage.history
        self._directory = storage.directory
        self._erasure = storage.erasure
        self._access = access
        self._clock = clock
        self._ids = ids
        self._limits = limits
        self._entries = EntryMaker(clock, ids)
        self._submitted = SubmittedEntryMaker(self._entries, SessionReplicas(storage.store, storage.history), clock, limits)

    @property
    def accounts(self) -> SessionAccounts:
        """What the operations of sessions have cost."""
        return self._submitted.accounts

    async def commit(self, rooms: Sequence[Room], *, wait: float | None = None) -> Outcome:
        """Commit what waits in these rooms, as far as it fits into one transaction.

        Raises what ``Store.writing`` raises: then nothing was committed, and everything waits again (after
        :class:`CommitDoubtful` perhaps it was; the next transaction finds out).
        """
        with traced(self._tracing, rooms) as span:
            outcome = await self._commit(rooms, Group(self._ids.new(), span), wait)
            if span is not None:
                span.committed(documents=len(outcome.news), entries=sum(len(news.entries) for news in outcome.news))
            return outcome

    async def _commit(self, rooms: Sequence[Room], group: Group, wait: float | None) -> Outcome:
        outcome = Outcome(span=group.span)
        derived: dict[Room, Derived] = {}
        for room in rooms:
            room.begin_transaction()
        try:
            async with self._store.writing([room.document_id for room in rooms], wait=wait) as transaction:
                await self._access.catch_up(transaction.access_revision)
                budget = _Budget(self._limits.group_updates, self._limits.group_bytes)
                for room in rooms:
                    if room.document_id not in transaction.heads:
                        outcome.skipped.append(room)
                    elif room.document_id in transaction.deleted:
                        derived[room] = await self._let_go(transaction, room)
                    elif budget.spent:
                        outcome.unserved.append(room)
                    else:
                        derived[room] = await self._derive(transaction, room, group, budget)
        except BaseException as error:
            # Cancellation included: what was applied to the logs is not in the store.
            for room in rooms:
                self._submitted.abandoned(room.submissions.taken)
                room.abandon(doubtful_group=group.id if isinstance(error, CommitDoubtful) else None)
            raise
        else:
            for room, one in derived.items():
                self._settle(room, one, outcome)
        finally:
            for room in rooms:
                room.end_transaction()
        return outcome

    def _settle(self, room: Room, derived: Derived, outcome: Outcome) -> None:
        derived.let_go_of_copies()
        before = room.replicas.head
        room.settle(derived)
        self._submitted.committed(derived)
        outcome.committed.append(room)
        if entries := derived.all_entries:
            outcome.news.append(News(room.document_id, before.epoch, entries[-1].offset, tuple(entries), before.entry_id))

    async def set_aside(self, room: Room, refused: Received | Waiting, reason: str) -> None:
        """The store will not take this: keep it for people to look at where it takes it at all, and go on without it.

        Raises what ``Store.writing`` raises but :class:`StoreRefused`; then it is still pending.
        """
        if not isinstance(refused, Received):
            # Nobody has seen it, and its maker is told.
            room.submissions.drop(refused)
            refused.settle(SubmissionRefused("not_storable", f"the database does not take it: {reason}"))
            return
        room.begin_transaction()
        try:
            room.condemn(refused)
            try:
                async with self._store.writing([room.document_id]) as transaction:
                    await self._quarantine(transaction, room, [refused], reason)
            except StoreRefused:
                _log.error("update lost: the store does not even take it into quarantine", document=room.document_id)
            room.settle(Derived())
        except BaseException:
            room.abandon()
            raise
        finally:
            room.end_transaction()

    async def _derive(self, transaction: WriteTransaction, room: Room, group: Group, budget: _Budget) -> Derived:
        """Nothing where the room drops out; what must be quarantined then is."""
        try:
            await self._catch_up_twice(transaction, room)
        except (EngineFault, HostileUpdate, StoreCorrupt) as fault:
            # Nothing may be written to a document that cannot be read.
            pending = list(room.pending)
            room.drop_out()
            room.fail("the document cannot be read; it was left as it is")
            await self._put_aside(transaction, room, pending, f"the document cannot be read: {fault}")
            return Derived()
        for session in {waiting.session for waiting in (*room.pending, *room.submissions)}:
            self._access.refresh(session)
        if revoked := [pending for pending in room.pending if not pending.session.may(Grant.WRITE)]:
            room.condemn(*revoked)
            await self._quarantine(transaction, room, revoked, "the grant of its author was taken away before it was stored")
            return Derived()
        derived = await self._derive_own(transaction, room, group, budget)
        if derived.entries or derived.submitted or derived.claims:
            entries, submitted = derived.all_entries, derived.submitted
            await transaction.append(room.document_id, entries, submitted, derived.versions, derived.claims)
        return derived

    async def _derive_own(self, transaction: WriteTransaction, room: Room, group: Group, budget: _Budget) -> Derived:
        batch = room.pending.take(updates=min(budget.updates, 1) if room.one_by_one else budget.updates, size=budget.size)
        budget.spend(len(batch), sum(len(pending.update) for pending in batch))
        submissions = self._take_submissions(room, budget, alone=bool(batch))
        if group.span is not None:
            tell_held(group.span, batch, submissions)
        before = self._submitted.before(room, submissions) if submissions else None
        if lost := await self._lost(room, batch):
            self._submitted.abandoned(room.submissions.taken)
            # Its owner may be about to bring the very same: whoever offers it now is refused gently, or has it taken.
            room.condemn(*lost, for_good=False)
            await self._quarantine(transaction, room, lost, "its Yjs client id is another user's, who was first to use it")
            return Derived()
        try:
            derived = await self._entries.derive(room.replicas, room.bindings, batch, group.id)
            if before is not None:
                await self._submitted.derive(transaction, room, submissions, before, derived, group)
        except UpdateRefused as refused:
            self._submitted.abandoned(room.submissions.taken)
            if not room.one_by_one:
                # Another try, on a fresh log and alone, before an update is blamed that was fine on ``live``.
                room.suspect()
            else:
                # Nothing may be awaited before this: the next peer must not be told that it is safe here.
                room.condemn(refused.run[0])
                await self._quarantine(transaction, room, refused.run, refused.reason)
            return Derived()
        except SubmissionBroken as broken:
            _log.error("submission refused", document=room.document_id, reason=str(broken))
            self._submitted.abandoned(room.submissions.taken)
            room.drop_out()
            room.submissions.drop(broken.submission)
            broken.submission.settle(SubmissionRefused("unsupported", str(broken)))
            return Derived()
        return derived

    async def _lost(self, room: Room, batch: Sequence[Received]) -> Sequence[Received]:
        """What was taken here while another process bound its Yjs client to somebody else: under the lock the store knows."""
        log = room.replicas.log
        assert log is not None, "it is loaded under the lock"
        if unknown := room.bindings.unknown(batch, log.state):
            await room.bindings.look_up(self._store, room.document_id, unknown)
        return room.bindings.lost(batch, log.state)

    def _take_submissions(self, room: Room, budget: _Budget, *, alone: bool) -> Sequence[Waiting]:
        if room.one_by_one:
            return () if alone else room.submissions.take(updates=1, size=0)
        # However many updates of Yjs peers there are: operations wait for an answer, and only for seconds.
        updates, size = max(budget.updates, _OPERATIONS_AT_LEAST), max(budget.size, _OPERATION_BYTES_AT_LEAST)
        taken = room.submissions.take(updates=updates, size=size)
        budget.spend(sum(one.count for one in taken), sum(one.size for one in taken))
        return taken

    async def _let_go(self, transaction: WriteTransaction, room: Room) -> Derived:
        """The document was deleted: nothing is written to it any more."""
        pending = list(room.pending)
        room.delete()
        info = await self._directory.info(room.document_id)
        if info is not None and info.purged_at is not None:
            # All of it is deleted for good: nothing of it is kept aside either.
            _drop(room, pending)
        else:
            await self._put_aside(transaction, room, pending, "the document was deleted before this was stored")
        return Derived()

    async def _catch_up_twice(self, transaction: WriteTransaction, room: Room) -> None:
        """A log that breaks may be the fault of what happened to it here: look at the one in the store before giving up."""
        try:
            await self._catch_up(transaction, room)
        except EngineFault as fault:
            _log.error("document broken here, made again from the store", document=room.document_id, reason=str(fault))
            room.replicas.abandon()
            if room.replicas.live is not None and not room.replicas.live.usable:
                # It was that which broke. What waits is tried one by one when it is made again.
                room.rebuild(CloseCode.DOCUMENT_REBUILT, "the document is being rebuilt; reconnect")
            await self._catch_up(transaction, room)

    async def _catch_up(self, transaction: WriteTransaction, room: Room) -> None:
        """Bring a room to the head that is locked, and make the documents that it lacks."""
        head = transaction.heads[room.document_id]
        replicas = room.replicas
        replicas.adopt(head.epoch)
        if replicas.head.epoch != head.epoch:
            self._start_again(room, "the document's history was replaced; reconnect and sync")
            # It may have been purged, and made again.
            _drop(room, room.retire(await self._erasure.retired_clients(room.document_id)))
            room.bindings.load(await self._store.clients(room.document_id))
        elif head != replicas.head:
            head = await self._follow(transaction, room, head)
        room.pending.doubt_no_more()
        if replicas.log is None:
            # Under the lock nobody else writes, so what is loaded is the log up to this head.
            stored = await self._store.load(room.document_id)
            log = await make_log(stored)
            if replicas.head != head:
                # Entries were passed over. Readers that came since the others were sent away begin before these.
                room.readership.send_away(CloseCode.DOCUMENT_REBUILT, "the document is loaded anew; reconnect")
            replicas.load(stored, log)
            replicas.head = head
        if replicas.live is None:
            assert replicas.log is not None, "it was made just now"
            unfit = replicas.renew_live(room.pending, await make_live(replicas.log))
            room.lose(unfit)
            for one in unfit:
                await self._quarantine(transaction, room, [one.update], one.reason)

    async def _follow(self, transaction: WriteTransaction, room: Room, head: Head) -> Head:
        """Take what was committed since; returns the head, which is of a new epoch when the log is another one."""
        known = room.replicas.head
        try:
            entries = await self._since(transaction, room.document_id, known)
        except HistoryForgotten:
            # Part of what this room has not seen was forgotten meanwhile. The log is the same one: what is there is loaded.
            reason = "the document is loaded anew; reconnect"
            room.replicas.abandon()
            room.rebuild(CloseCode.DOCUMENT_REBUILT, reason)
            room.readership.send_away(CloseCode.DOCUMENT_REBUILT, reason)
            return head
        if entries is None:
            head = replace(head, epoch=self._ids.new())
            await transaction.renew_epoch(room.document_id, head.epoch)
            self._start_again(room, "the store went back to an older copy; reconnect and sync")
            room.bindings.load(await self._store.clients(room.document_id))
            return head
        await room.bindings.look_up(self._store, room.document_id, clients_of(entries))
        for portion in portions(entries):
            room.advance(portion)
            await asyncio.sleep(0)
        return head

    async def _since(self, transaction: WriteTransaction, document_id: str, known: Head) -> Sequence[Entry] | None:
        """The entries from ``known`` on; None: it is not in the log. Raises :class:`HistoryForgotten` where some are gone."""
        try:
            entries = await transaction.entries(document_id, start=max(known.offset, 1))
        except HistoryForgotten as forgotten:
            if forgotten.first_offset != known.offset + 1:
                raise
            # Exactly what is known here was forgotten; what that ended with is known to the store.
            base = await self._history.load_at(document_id, known.offset)
            assert base is not None, "the document is there"
            goes_on = base.head.entry_id == known.entry_id
            return await transaction.entries(document_id, start=known.offset + 1) if goes_on else None
        return entries if _continues(entries, known) else None

    def _start_again(self, room: Room, reason: str) -> None:
        _log.warning("document starts again", document=room.document_id, reason=reason)
        room.replicas.abandon()
        room.rebuild(CloseCode.NEW_EPOCH, reason)
        room.readership.send_away(CloseCode.NEW_EPOCH, reason)

    async def _put_aside(self, transaction: WriteTransaction, room: Room, updates: Sequence[Received], reason: str) -> None:
        for pending in updates:
            room.pending.put_aside(pending)
        await self._quarantine(transaction, room, updates, reason)

    async def _quarantine(self, transaction: WriteTransaction, room: Room, updates: Sequence[Received], reason: str) -> None:
        """Keep updates for people to look at. They leave the room when the transaction is committed."""
        kept = []
        for pending in updates:
            at, size = self._clock.now(), len(pending.update)
            # The same id each time: when a COMMIT was in doubt and has happened, it is kept once all the same.
            id_ = room.pending.quarantine_id(pending, self._ids.new)
            kept.append(Quarantined(id_, room.document_id, pending.author, at, reason, pending.update))
            pending.peer.acknowledgements.blame(pending.number, "quarantined")
            _log.error("update quarantined", document=room.document_id, author=pending.author, bytes=size, reason=reason)
        if kept:
            await transaction.quarantine(kept)


@dataclass(slots=True)
class _Budget:
    """What still fits into the transaction."""

    updates: int
    size: int

    @property
    def spent(self) -> bool:
        return self.updates <= 0

    def spend(self, updates: int, size: int) -> None:
        self.size -= size
        self.updates = self.updates - updates if self.size > 0 else 0


def _drop(room: Room, updates: Sequence[Received]) -> None:
    for one in updates:
        room.pending.drop(one)
        one.peer.acknowledgements.blame(one.number, "purged")
    if updates:
        _log.warning(
            "updates dropped: what they belong to was deleted for good", document=room.document_id, updates=len(updates)
        )


def _continues(entries: Sequence[Entry], known: Head) -> bool:
    """Whether the log still holds what this process knew to be its end."""
    return known.offset == 0 or (bool(entries) and (entries[0].offset, entries[0].id) == (known.offset, known.entry_id))
