"""From updates that the server itself has made to entries of the log, inside the journal's transaction."""

from __future__ import annotations

from cowrite.core.journal.derived import Derived, Group
from cowrite.core.journal.entries import EntryMaker
from cowrite.core.operations.session_replicas import StateBefore
from cowrite.core.operations.submissions import Answer, Prepared, SubmissionRefused
from cowrite.core.records import Entry, Submitted
from cowrite.core.rooms.deletion import NO_SESSION
from cowrite.core.rooms.replicas import Replicas
from cowrite.core.rooms.room import Room
from cowrite.crdt.errors import EngineFault
from cowrite.crdt.guard import outline_of_state
from cowrite.crdt.outline import missing


class PreparedEntryMaker:
    """Applies prepared updates to a room's log, behind all that was committed since they were made."""

    def __init__(self, entries: EntryMaker) -> None:
        self._entries = entries

    def take(self, prepared: Prepared, room: Room, derived: Derived, before: StateBefore, group: Group) -> Answer:
        """One entry, if it changes anything. Raises :class:`SubmissionRefused`, and :class:`EngineFault`: the room's ``log`` is
        unusable then.
        """
        if (known := group.known.get(prepared.id)) is not None:
            return Answer(known.operations, known.offset)  # a COMMIT in doubt has happened
        _check_access(prepared)
        offset = before.offset + len(derived.all_entries)
        entry = self._entry(prepared, room.replicas, derived, before, offset + 1, group)
        if entry is not None:
            offset = entry.offset
        group.known[prepared.id] = submitted = _submitted(prepared, entry, offset)
        derived.submitted.append(submitted)
        return Answer(submitted.operations, offset)

    def _entry(
        self, prepared: Prepared, replicas: Replicas, derived: Derived, before: StateBefore, offset: int, group: Group
    ) -> Entry | None:
        log = replicas.log
        assert log is not None, "it is loaded under the lock"
        if prepared.epoch != before.epoch:
            raise SubmissionRefused("history_replaced", "the document's history was replaced; ask for it anew", retry=True)
        if any(log.state.get(brought.client) for brought in prepared.outline.brings):
            raise SubmissionRefused("unavailable", "its Yjs client was taken meanwhile; ask for it anew", retry=True)
        if lacking := missing(prepared.outline, log.state):
            raise EngineFault(f"a prepared update builds on {lacking[0]}, which is not in the log")
        replicas.holds_unseen = True
        change = log.commit([prepared.update], [prepared.outline])
        if change is None:
            return None
        author, cause = prepared.session.author, prepared.cause
        entry = self._entries.entry(
            change, replicas, offset=offset, author=author, group=group.id, first_id=prepared.id, cause=cause
        )
        derived.submitted_entries.append(entry)
        derived.outlines.append(prepared.outline if entry.update == prepared.update else outline_of_state(entry.update))
        return entry


def _check_access(prepared: Prepared) -> None:
    if prepared.answer.done():
        raise SubmissionRefused("unavailable", "it was given up meanwhile", retry=True)
    if not prepared.session.may(prepared.needs):
        raise SubmissionRefused("grant_too_low", f"the grant does not allow it: it needs {prepared.needs}")


def _submitted(prepared: Prepared, entry: Entry | None, offset: int) -> Submitted:
    """What to remember, so that it is found when a COMMIT was in doubt.

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
