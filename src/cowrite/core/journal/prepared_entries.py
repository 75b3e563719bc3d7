"""From updates that the server itself has made to entries of the log, inside the journal's transaction."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from cowrite.core.account import SessionAccounts
from cowrite.core.journal.derived import Derived, Group
from cowrite.core.journal.entries import EntryMaker
from cowrite.core.operations.session_replicas import StateBefore
from cowrite.core.operations.submissions import Answer, Prepared, SubmissionRefused, version_of
from cowrite.core.ports import Clock, HistoryForgotten, WriteTransaction
from cowrite.core.records import Entry, Submitted, Version, VersionKind
from cowrite.core.rooms.deletion import NO_SESSION
from cowrite.core.rooms.room import Room
from cowrite.crdt.errors import EngineFault
from cowrite.crdt.guard import outline_of_state
from cowrite.crdt.log_document import Change, LogDocument
from cowrite.crdt.outline import missing

_IN_THREAD_BYTES: Final = 64 << 10
"""Updates from this size on are applied beside the event loop."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a transaction something is committed."""

    transaction: WriteTransaction
    room: Room
    before: StateBefore
    derived: Derived
    group: Group

    @property
    def offset(self) -> int:
        """The offset of the log as it is now."""
        return self.before.offset + len(self.derived.all_entries)


class PreparedEntryMaker:
    """Applies prepared updates to a room's log, behind all that was committed since they were made."""

    def __init__(self, entries: EntryMaker, clock: Clock, accounts: SessionAccounts) -> None:
        self._entries = entries
        self._accounts = accounts
        self._clock = clock

    async def take(self, prepared: Prepared, place: Place) -> Answer:
        """One entry, if it changes anything. Raises :class:`SubmissionRefused`, and :class:`EngineFault`: the room's ``log`` is
        unusable then.
        """
        if (known := place.group.known.get(prepared.id)) is not None:
            return _answer_again(prepared, known)
        _check_access(prepared)
        if not place.room.fullness.admits(prepared.outline):
            raise SubmissionRefused("document_full", place.room.fullness.reason)
        await _refuse_outdated(prepared, place)
        before = place.offset
        entry = await self._enter(prepared, place)
        place.group.known[prepared.id] = submitted = _submitted(prepared, entry, place.offset)
        place.derived.submitted.append(submitted)
        kept = entry is not None and before > 0  # of what was empty there is nothing to keep
        if kept:
            place.derived.versions.append(self._version(prepared, before))
        return Answer(submitted.operations, place.offset, version_of(prepared.id) if kept else None)

    async def _enter(self, prepared: Prepared, place: Place) -> Entry | None:
        replicas, derived = place.room.replicas, place.derived
        assert replicas.log is not None, "it is loaded under the lock"
        replicas.holds_unseen = True
        change = await self._commit(replicas.log, prepared)
        if change is None:
            return None
        entry = self._entries.entry(
            change,
            replicas,
            offset=place.offset + 1,
            author=prepared.session.author,
            group=place.group.id,
            claims=tuple({brought.client for brought in change.ranges}),
            first_id=prepared.id,
            cause=prepared.cause,
        )
        derived.submitted_entries.append(entry)
        derived.outlines.append(prepared.outline if entry.update == prepared.update else outline_of_state(entry.update))
        return entry

    async def _commit(self, log: LogDocument, prepared: Prepared) -> Change | None:
        if len(prepared.update) < _IN_THREAD_BYTES:
            change, seconds = _timed(log, prepared, self._clock)
        else:
            # Nobody else may touch it meanwhile: it is this transaction's alone.
            change, seconds = await asyncio.to_thread(_timed, log, prepared, self._clock)
        self._accounts.charge(prepared.account, seconds)
        return change

    def _version(self, prepared: Prepared, offset: int) -> Version:
        author, document_id = prepared.session.author, prepared.document_id
        return Version(version_of(prepared.id), document_id, offset, VersionKind.RESTORE, author, self._clock.now())


def _timed(log: LogDocument, prepared: Prepared, clock: Clock) -> tuple[Change | None, float]:
    began = clock.cpu()  # of this thread
    change = log.commit([prepared.update], [prepared.outline])
    return change, clock.cpu() - began


def _answer_again(prepared: Prepared, known: Submitted) -> Answer:
    """It was asked for again, or a COMMIT in doubt has happened."""
    same = (prepared.document_id, prepared.session.author, prepared.digest)
    if (known.document_id, known.author, known.digest) != same:
        raise SubmissionRefused("operation_id_taken", "something else has this id already", field="id")
    return Answer(known.operations, known.offset, version_of(prepared.id) if known.operations and known.offset > 1 else None)


def _check_access(prepared: Prepared) -> None:
    if prepared.answer.done():
        raise SubmissionRefused("unavailable", "it was given up meanwhile", retry=True)
    if not prepared.session.may(prepared.needs):
        raise SubmissionRefused("grant_too_low", f"the grant does not allow it: it needs {prepared.needs}")


async def _refuse_outdated(prepared: Prepared, place: Place) -> None:
    base, log = prepared.base, place.room.replicas.log
    assert log is not None, "it is loaded under the lock"
    if base.epoch != place.before.epoch:
        raise SubmissionRefused("history_replaced", "the document's history was replaced; ask for it anew", retry=True)
    if await _is_behind_another(prepared, place):
        # Both would bring the same back, and it would be there twice.
        reason = "something else was restored, undone or imported meanwhile; ask for it anew"
        raise SubmissionRefused("restored_meanwhile", reason, retry=True)
    if any(log.state.get(brought.client) for brought in prepared.outline.brings):
        raise SubmissionRefused("unavailable", "its Yjs client was taken meanwhile; ask for it anew", retry=True)
    if lacking := missing(prepared.outline, log.state):
        raise EngineFault(f"a prepared update builds on {lacking[0]}, which is not in the log")


async def _is_behind_another(prepared: Prepared, place: Place) -> bool:
    behind = list(place.derived.all_entries)
    if place.before.offset > prepared.base.offset:
        try:
            behind += await place.transaction.entries(prepared.document_id, start=prepared.base.offset + 1)
        except HistoryForgotten:
            return True
    return any(entry.cause is not None for entry in behind)


def _submitted(prepared: Prepared, entry: Entry | None, offset: int) -> Submitted:
    """What to remember, so that it is found when it comes again.

    It is no session's: what whoever asked for it goes on to write is made for what they have read, and not for this as well.
    """
    return Submitted(
        id=prepared.id,
        document_id=prepared.document_id,
        author=prepared.session.author,
        session_id=NO_SESSION,
        offset=offset,
        digest=prepared.digest,
        operations=entry.operations if entry is not None else (),
        update=None,
    )
