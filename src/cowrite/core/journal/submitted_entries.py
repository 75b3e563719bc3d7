"""From submissions and prepared updates to the entries of the log, inside the journal's transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cowrite.core.account import TURN_SECONDS, SessionAccounts
from cowrite.core.journal.derived import Derived, Group
from cowrite.core.journal.entries import EntryMaker
from cowrite.core.journal.prepared_entries import Place, PreparedEntryMaker
from cowrite.core.limits import Limits
from cowrite.core.operations.session_replicas import SessionReplicas, StateBefore
from cowrite.core.operations.submissions import Answer, Prepared, Submission, SubmissionRefused, SubmittedDraft, Waiting
from cowrite.core.ports import Clock, Grant, StoreError, WriteTransaction
from cowrite.core.records import Entry, Submitted
from cowrite.core.rooms.room import Room
from cowrite.crdt.errors import EngineFault, HostileUpdate
from cowrite.crdt.guard import inspect, outline_of_state
from cowrite.crdt.operations import ContentOperation, OperationInvalid
from cowrite.crdt.outline import Outline, missing


class SubmissionBroken(Exception):
    """The engine broke on this submission. The room's ``log`` is unusable now."""

    def __init__(self, submission: Waiting, reason: str) -> None:
        super().__init__(reason)
        self.submission = submission


class SubmittedEntryMaker:
    """Turns operations into updates that a Yjs replica makes at their base, and applies them to a room's log."""

    def __init__(self, entries: EntryMaker, replicas: SessionReplicas, clock: Clock, limits: Limits) -> None:
        self._entries = entries
        self._replicas = replicas
        self._clock = clock
        self.accounts = SessionAccounts(clock, limits)
        self._prepared = PreparedEntryMaker(entries, clock, self.accounts)

    def before(self, room: Room, submissions: Sequence[Waiting]) -> StateBefore:
        """Call before the transaction's first own entry is derived."""
        log, head = room.replicas.log, room.replicas.head
        assert log is not None, "submissions are applied to log, after it was loaded"
        at_head = [one for one in submissions if isinstance(one, Submission) and one.base == head.offset]
        needed = any(not self._replicas.fits(one, head.epoch) for one in at_head)
        return StateBefore(head.epoch, head.offset, dict(log.roots), log.encode() if needed else None)

    async def derive(
        self,
        transaction: WriteTransaction,
        room: Room,
        submissions: Sequence[Waiting],
        before: StateBefore,
        derived: Derived,
        group: Group,
    ) -> None:
        """One entry for each operation or prepared update that changes something, behind those in ``derived``.
        ``room.replicas.log`` is ahead of the store afterwards.

        Raises :class:`SubmissionBroken`, and what reading the store raises.
        """
        if named := {id_ for one in submissions for id_ in _named(one)}:
            group.known |= await transaction.submitted(named - group.known.keys())
        for submission in submissions:
            offset = before.offset + len(derived.all_entries)
            try:
                if isinstance(submission, Prepared):
                    place = Place(transaction, room, before, derived, group)
                    derived.outcomes[submission] = await self._prepared.take(submission, place)
                else:
                    work = _Work(transaction, room, submission, before, derived, offset, group, self._clock.cpu())
                    derived.outcomes[submission] = await self._submit_within_bounds(work)
            except SubmissionRefused as refused:
                derived.outcomes[submission] = refused
            except EngineFault as fault:
                raise SubmissionBroken(submission, f"the engine broke on it: {fault}") from fault
            except StoreError:
                raise
            except Exception as error:  # only this submission is to blame: the room goes on without it
                raise SubmissionBroken(submission, f"it cannot be made: {error!r}") from error

    async def _submit_within_bounds(self, work: _Work) -> Answer:
        try:
            self._refuse_costly(work.submission)
            return await self._submit(work)
        finally:
            self.accounts.charge(work.submission.session.account, self._clock.cpu() - work.began)

    def committed(self, derived: Derived) -> None:
        """The transaction is committed."""
        for submission in derived.outcomes:
            if isinstance(submission, Submission):
                self._replicas.committed(submission)
        self._replicas.trim()

    def abandoned(self, submissions: Sequence[Waiting]) -> None:
        """The transaction has failed, or may have."""
        for submission in submissions:
            if isinstance(submission, Submission):
                self._replicas.abandon(submission)

    async def _submit(self, work: _Work) -> Answer:
        """Either all of it goes into ``work.derived``, or nothing."""
        submission = work.submission
        if not submission.session.may(Grant.WRITE):
            raise SubmissionRefused("grant_too_low", "the grant does not allow writing")
        if submission.epoch not in ("", work.before.epoch) or submission.base > work.before.offset:
            raise SubmissionRefused("unknown_base", "the document's history was replaced; read it anew")
        known = work.group.known
        _check_previous(submission, known)
        repeated = _count_repeated(submission, known)
        made = await self._make(list(enumerate(submission.drafts))[repeated:], work)
        operations: list[ContentOperation] = []
        for draft in submission.drafts:
            if draft.id in made:
                self._apply(draft, made[draft.id], work)
                await self._give_way(work)
            operations += known[draft.id].operations
        return Answer(tuple(operations), work.offset)

    async def _make(self, drafts: Sequence[tuple[int, SubmittedDraft]], work: _Work) -> Mapping[str, _Made | None]:
        """The updates that a Yjs replica makes of these, one after the other."""
        if not drafts:
            return {}
        kept = await self._replicas.at_base(work.submission, work.room, work.transaction, work.before)
        made: dict[str, _Made | None] = {}
        try:
            for index, one in drafts:
                try:
                    update = kept.replica.apply([one.draft])
                    made[one.id] = _Made(update, inspect(update)) if update is not None else None
                except OperationInvalid as invalid:
                    raise SubmissionRefused(invalid.code, invalid.reason, index=index, field=invalid.field) from None
                except HostileUpdate as refused:
                    raise SubmissionRefused("unsupported", refused.reason, index=index) from None
                await self._give_way(work)
            if not work.room.fullness.admits_all([one.outline for one in made.values() if one is not None]):
                raise SubmissionRefused("document_full", work.room.fullness.reason)
        except BaseException:
            self._replicas.spoil(work.submission)
            raise
        return made

    def _refuse_costly(self, submission: Submission) -> None:
        """What was queued before the session's account was empty, and what nobody waits for any more."""
        if submission.answer.done():
            raise SubmissionRefused("unavailable", "it was given up meanwhile", retry=True)
        late = self.accounts.late(submission.session.account)
        if late is not None and late.limit == "cpu_share":  # number and size were counted when it came
            reason = f"the operations of this session {late.reason}"
            raise SubmissionRefused("too_fast", reason, retry=True, seconds=late.seconds, limit=late.limit)

    async def _give_way(self, work: _Work) -> None:
        """Others get a turn of the loop once this submission has used it for a while. ``log`` is out of their reach."""
        now = self._clock.cpu()
        self.accounts.charge(work.submission.session.account, now - work.began)
        work.turn += now - work.began
        if work.turn >= TURN_SECONDS:
            work.turn = 0.0
            await asyncio.sleep(0)
        work.began = self._clock.cpu()

    def _apply(self, one: SubmittedDraft, made: _Made | None, work: _Work) -> None:
        """Bring one operation into the log."""
        submission, derived = work.submission, work.derived
        entry = self._entry(one, made, work) if made is not None else None
        if entry is not None:
            work.offset = entry.offset
        session = submission.session
        work.group.known[one.id] = submitted = Submitted(
            id=one.id,
            document_id=session.document_id,
            author=session.author,
            session_id=session.id,
            offset=work.offset,
            digest=one.digest,
            operations=entry.operations if entry is not None else (),
            update=made.update if made is not None else None,
        )
        derived.submitted.append(submitted)

    def _entry(self, one: SubmittedDraft, made: _Made, work: _Work) -> Entry | None:
        """None when the log had all of it already."""
        replicas, derived = work.room.replicas, work.derived
        assert replicas.log is not None, "it is loaded under the lock"
        self._replicas.made(work.submission, made.outline)
        if lacking := missing(made.outline, replicas.log.state):
            raise EngineFault(f"an update of a replica builds on {lacking[0]}, which is not in the log")
        replicas.holds_unseen = True
        change = replicas.log.commit([made.update], [made.outline])
        if change is None:
            return None
        author = work.submission.session.author
        entry = self._entries.entry(
            change,
            replicas,
            offset=work.offset + 1,
            author=author,
            group=work.group.id,
            claims=tuple({brought.client for brought in change.ranges}),
            first_id=one.id,
        )
        self._replicas.entered(work.submission, entry)
        derived.submitted_entries.append(entry)
        derived.outlines.append(made.outline if entry.update == made.update else outline_of_state(entry.update))
        return entry


@dataclass(frozen=True, slots=True)
class _Made:
    update: bytes
    outline: Outline


@dataclass(slots=True)
class _Work:
    """One submission on its way through the transaction."""

    transaction: WriteTransaction
    room: Room
    submission: Submission
    before: StateBefore
    derived: Derived
    offset: int
    """Of the log as it is now."""
    group: Group
    began: float
    """CPU time up to which its work is charged."""
    turn: float = 0.0
    """What it has used in this turn of the loop."""


def _named(waiting: Waiting) -> Iterator[str]:
    """The ids in it that may be known from before."""
    if isinstance(waiting, Prepared):
        yield waiting.id
    else:
        yield from (draft.id for draft in waiting.drafts if draft.named)
        if waiting.previous is not None:
            yield waiting.previous


def _check_previous(submission: Submission, known: Mapping[str, Submitted]) -> None:
    """What the submission builds on must be there: its positions count it in."""
    if submission.previous is not None:
        before = known.get(submission.previous)
        if before is None or (before.document_id, before.session_id) != (submission.document_id, submission.session.id):
            raise SubmissionRefused("unknown_previous", "the operation before it has not arrived", field="after", retry=True)


def _count_repeated(submission: Submission, known: Mapping[str, Submitted]) -> int:
    """How many of the first operations were submitted before: the same may be sent again, in the same order.

    Raises :class:`SubmissionRefused` when an id belongs to another operation.
    """
    session = submission.session
    repeated = 0
    for index, draft in enumerate(submission.drafts):
        before = known.get(draft.id)
        if before is None:
            continue
        if (before.document_id, before.author, before.digest) != (session.document_id, session.author, draft.digest):
            raise SubmissionRefused("operation_id_taken", "another operation has this id already", index=index, field="id")
        if index != repeated:
            raise SubmissionRefused("out_of_order", "it was submitted before, and the one before it was not", index=index)
        repeated += 1
    return repeated
