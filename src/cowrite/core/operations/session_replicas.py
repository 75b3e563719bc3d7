"""Yjs replicas that are run for sessions without a CRDT library.

An operation is made for what its maker saw: the document at its base, with the maker's own later operations. A replica that
holds exactly that makes the update which any Yjs client would have made there; so it merges as every other one does, and
nothing is transformed. A replica costs as much memory as the document: those used last are kept, within bounds.

The same (client, clock) must never be given to two contents, or peers differ for good. So a replica has a Yjs client id of its
own; when a transaction in which it took part has failed, it is thrown away together with its id; and one that is made again
keeps the id only if it then holds everything that was ever made under it.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from cowrite.core.operations.submissions import Submission, SubmissionRefused
from cowrite.core.ports import History, HistoryForgotten, Store, StoreCorrupt, WriteTransaction
from cowrite.core.records import Entry, OwnUpdate, StoredDocument
from cowrite.core.rooms.room import Room
from cowrite.crdt.apply_operations import Replica
from cowrite.crdt.outline import Outline
from cowrite.crdt.roots import RootKind

MAX_BYTES = 64 << 20
"""What all replicas may take, about."""
MAX_AGE = 10_000
"""How many entries the base of a session without a replica may lie behind the head."""
MAX_NAMES = 10_000
"""Sessions whose Yjs client id is remembered."""
_COST = 8
"""A replica takes so many times the document's encoded size."""
_OVERHEAD = 16 << 10
_NOTHING = b"\x00\x00"
"""The empty update."""
_CLIENT_ID_BITS = 53

_Key: TypeAlias = tuple[str, str]
"""Document and session."""


@dataclass(slots=True)
class _Name:
    """A session's Yjs client id, and how far it was used."""

    client_id: int
    clock: int = 0


@dataclass(slots=True, eq=False)
class SessionReplica:
    """A session's replica of one document."""

    replica: Replica
    name: _Name
    epoch: str
    base: int
    """The log up to this offset is in it,"""
    own: int
    """and what the session itself has submitted up to this one."""
    cost: int
    made: set[int] = field(default_factory=set)
    """Offsets behind ``base`` of entries that it made itself: they need not be applied to it."""


class SessionReplicas:
    """The replicas of all sessions of this process. Used inside the journal's transaction."""

    def __init__(self, store: Store, history: History, *, size: int = MAX_BYTES) -> None:
        self._store = store
        self._history = history
        self._max_bytes = size
        self._replicas: OrderedDict[_Key, SessionReplica] = OrderedDict()
        self._names: OrderedDict[_Key, _Name] = OrderedDict()
        self._bytes = 0

    async def at_base(
        self, submission: Submission, room: Room, transaction: WriteTransaction, before: StateBefore
    ) -> SessionReplica:
        """The replica as the maker of the submission had the document.

        ``before`` is the log before this transaction's own entries. Raises :class:`SubmissionRefused` when the base is not
        kept any more, and what reading the store raises but for that.
        """
        try:
            return await self._at_base(submission, room, transaction, before)
        except HistoryForgotten as error:
            raise SubmissionRefused("unknown_base", f"the document at that base is not kept any more: {error}") from error
        except StoreCorrupt as error:
            raise SubmissionRefused("unavailable", f"the document at that base cannot be read: {error}") from error

    async def _at_base(
        self, submission: Submission, room: Room, transaction: WriteTransaction, before: StateBefore
    ) -> SessionReplica:
        key = _key(submission)
        self._check_name(key, room)
        if not self.fits(submission, before.epoch):
            return await self._build_anew(submission, transaction, before)
        kept = self._replicas[key]
        self._replicas.move_to_end(key)
        try:
            updates = await self._between(room, kept, submission.base)
        except HistoryForgotten:  # some of what it lacks; the state at the base may be kept all the same
            return await self._build_anew(submission, transaction, before)
        kept.base = submission.base
        kept.made = {offset for offset in kept.made if offset > kept.base}
        known = max(kept.base, kept.own)
        # What the session has submitted on other processes meanwhile.
        own = [one.update for one in await self._own(submission, transaction, known, before)]
        kept.own = max(known, before.offset)
        self._grow(kept, sum(map(len, updates)))
        kept.replica.advance(updates, before.roots)
        kept.replica.advance_own(own)
        return kept

    def fits(self, submission: Submission, epoch: str) -> bool:
        """Whether the replica of this submission's session is here, and no further than the submission's base."""
        kept = self._replicas.get(_key(submission))
        return kept is not None and kept.epoch == epoch and kept.base <= submission.base

    def made(self, submission: Submission, outline: Outline) -> None:
        """An update was made by this submission's replica, and is on its way into the log."""
        if outline.brings:  # all by its own Yjs client
            self._replicas[_key(submission)].name.clock = outline.brings[-1].end

    def _grow(self, kept: SessionReplica, size: int) -> None:
        kept.cost += _COST * size
        self._bytes += _COST * size

    def entered(self, submission: Submission, entry: Entry) -> None:
        """What was made is this entry, if the transaction commits."""
        kept = self._replicas[_key(submission)]
        kept.made.add(entry.offset)
        self._grow(kept, len(entry.update))

    def committed(self, submission: Submission) -> None:
        """What the submission's replica made is in the log.

        No more than that is known to be in the replica: a submission that was refused or repeated has not brought it up to
        date, and the session may have submitted something on another process meanwhile.
        """
        kept = self._replicas.get(_key(submission))
        if kept is not None:
            kept.own = max(kept.own, *kept.made, 0)

    def spoil(self, submission: Submission) -> None:
        """The replica holds something that will not be committed, and that nobody has seen."""
        self._drop(_key(submission))

    def abandon(self, submission: Submission) -> None:
        """The transaction that this submission was in has failed, or may have: its Yjs client id is not used again."""
        key = _key(submission)
        self._drop(key)
        self._names.pop(key, None)

    async def _build_anew(self, submission: Submission, transaction: WriteTransaction, before: StateBefore) -> SessionReplica:
        key = _key(submission)
        self._drop(key)
        kept = await self._build(submission, transaction, before)
        self._replicas[key] = kept
        self._bytes += kept.cost
        return kept

    async def _build(self, submission: Submission, transaction: WriteTransaction, before: StateBefore) -> SessionReplica:
        document_id, base = submission.session.document_id, submission.base
        if before.offset - base > MAX_AGE:
            raise SubmissionRefused("unknown_base", f"the base is more than {MAX_AGE} entries old; read the document anew")
        if base == before.offset and before.state is not None:
            updates: Sequence[bytes] = (before.state,)
        else:
            # The empty document, too: when that is forgotten, so may be what the session has submitted since.
            updates = _updates(await self._history.load_at(document_id, base))
        own = [one.update for one in await self._own(submission, transaction, base, before)]
        name = self._names.get(_key(submission)) or _Name(fresh_client_id())
        replica = _replica(name, before.roots, updates, own)
        if replica.clock != name.clock:
            name = _Name(fresh_client_id())
            replica = _replica(name, before.roots, updates, own)
        self._remember(_key(submission), name)
        cost = _COST * sum(map(len, updates)) + _OVERHEAD
        return SessionReplica(replica, name, before.epoch, base, before.offset, cost)

    async def _own(
        self, submission: Submission, transaction: WriteTransaction, after: int, before: StateBefore
    ) -> Sequence[OwnUpdate]:
        if after >= before.offset:
            return ()
        session = submission.session
        return await transaction.own_updates(session.document_id, session.id, after=after)

    async def _between(self, room: Room, kept: SessionReplica, end: int) -> Sequence[bytes]:
        """The updates of the entries that the replica lacks up to ``end``."""
        start = kept.base
        if start == end:
            return ()
        feed = room.readership.feed
        recent = feed.since(start) if feed is not None else None
        if recent is not None:
            return [one.entry.update for one in recent if one.offset <= end and one.offset not in kept.made]
        entries = await self._store.entries(room.document_id, start=start + 1, limit=end - start)
        if not entries or entries[0].offset != start + 1:
            raise HistoryForgotten(room.document_id, entries[0].offset if entries else end + 1)
        return [entry.update for entry in entries]

    def trim(self) -> None:
        """The transaction is over: drop those that were not used for the longest time, as far as all take too much."""
        while self._bytes > self._max_bytes and len(self._replicas) > 1:
            self._drop(next(iter(self._replicas)))

    def _check_name(self, key: _Key, room: Room) -> None:
        """Somebody else may have written under this Yjs client id: everybody sees it."""
        name, log = self._names.get(key), room.replicas.log
        assert log is not None, "it is loaded under the lock"
        if name is not None and log.state.get(name.client_id, 0) != name.clock:
            self._drop(key)
            del self._names[key]

    def _drop(self, key: _Key) -> None:
        dropped = self._replicas.pop(key, None)
        if dropped is not None:
            self._bytes -= dropped.cost

    def _remember(self, key: _Key, name: _Name) -> None:
        self._names[key] = name
        self._names.move_to_end(key)
        if len(self._names) > MAX_NAMES:
            self._names.popitem(last=False)


@dataclass(frozen=True, slots=True)
class StateBefore:
    """A document's log as a transaction found it, others' entries included and its own not."""

    epoch: str
    offset: int
    roots: Mapping[str, RootKind]
    state: bytes | None
    """Encoded, where it will be needed."""


def _replica(name: _Name, roots: Mapping[str, RootKind], updates: Sequence[bytes], own: Sequence[bytes]) -> Replica:
    replica = Replica(_NOTHING, roots, name.client_id)
    replica.advance(updates)
    replica.advance_own(own)
    return replica


def _updates(stored: StoredDocument | None) -> Sequence[bytes]:
    assert stored is not None, "the base is not beyond the head"
    checkpoint = (stored.checkpoint.state,) if stored.checkpoint is not None else ()
    return (*checkpoint, *(entry.update for entry in stored.entries))


def _key(submission: Submission) -> _Key:
    return submission.session.document_id, submission.session.id


def fresh_client_id() -> int:
    """A Yjs client id that nobody else uses: never for two updates of which one may be lost."""
    return secrets.randbits(_CLIENT_ID_BITS)
