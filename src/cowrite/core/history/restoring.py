"""Bringing a document back to a moment, and taking back what somebody did, as new edits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeAlias, TypeVar

from cowrite.core.account import SessionAccounts
from cowrite.core.history.authors import Authors
from cowrite.core.history.entries import entries_between
from cowrite.core.history.errors import HistoryRefused
from cowrite.core.history.faults import reading
from cowrite.core.history.moments import Moment, Moments
from cowrite.core.history.worker import HistoryWorker
from cowrite.core.ids import Ids
from cowrite.core.limits import Limits
from cowrite.core.operations.state import State
from cowrite.core.operations.submissions import Answer, Prepared, SubmissionRefused, account_of
from cowrite.core.operations.writing import enqueue
from cowrite.core.ports import Clock, Directory, Grant, HistoryForgotten, Storage
from cowrite.core.records import Authored, Cause, CauseKind, DocumentInfo
from cowrite.core.rooms.registry import Registry
from cowrite.core.sessions.session import Session
from cowrite.crdt.guard import SYNC_LIMITS, inspect
from cowrite.crdt.history import restoring
from cowrite.crdt.history.origins import Origins
from cowrite.crdt.operations import ContentOperation
from cowrite.crdt.roots import RootKind

_TRIES: Final = 3
"""How often something is made anew because somebody else restored or undid something meanwhile."""
_PORTION: Final = 1000
"""Entries of which it is read at once who wrote them."""
_NOTHING: Final = b"\x00\x00"
"""The empty update."""

T = TypeVar("T")
Copies: TypeAlias = Sequence[tuple[int, int, int, int, int]]


@dataclass(frozen=True, slots=True)
class Made:
    """What became of it."""

    offset: int
    """The offset of the log with it; the head, when there was nothing to do."""
    operations: Sequence[ContentOperation]
    """As committed."""
    version_id: str | None
    """What was there before, marked as a version; None: there was nothing to do."""
    left: Sequence[str] = ()
    """Roots in which an undo has taken back nothing, because they are mixed."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Something that is to be restored or undone."""

    session: Session
    """Who asks."""
    cause: Cause
    """Without copies: those are found out."""
    needs: Grant
    id: str | None = None
    """Given by who asks: asked for again with it, it is not done twice."""
    words: str | None = None
    """What was asked for in the words of who asks: which moments these mean may be others when it is asked for again."""

    @property
    def digest(self) -> str:
        """Tells whether the same is asked for."""
        cause = self.cause
        meant = [cause.kind, cause.until, cause.after, cause.root, cause.author]
        asked = meant if self.words is None else [cause.kind, self.words]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


class Restoring:
    """Makes the updates in the worker's thread, and has the journal commit them behind what others write meanwhile."""

    def __init__(
        self,
        storage: Storage,
        moments: Moments,
        authors: Authors,
        worker: HistoryWorker,
        registry: Registry,
        accounts: SessionAccounts,
        clock: Clock,
        ids: Ids,
        limits: Limits,
    ) -> None:
        self._history = storage.history
        self._directory: Directory = storage.directory
        self._moments = moments
        self._authors = authors
        self._worker = worker
        self._registry = registry
        self._accounts = accounts
        self._clock = clock
        self._ids = ids
        self._limits = limits

    async def restore(
        self,
        session: Session,
        moment: Moment,
        *,
        root: str | None = None,
        id: str | None = None,  # noqa: A002
        words: str | None = None,
    ) -> Made:
        """Bring the document, or one root of it, back to a moment. What others write meanwhile stays. With an ``id`` it is done
        once, however often the same is asked for; ``words`` is how it was asked for, where that may mean another moment later.

        Raises :class:`HistoryRefused`, :class:`SubmissionRefused`, :class:`RoomClosed`, and what reading the store raises.
        """
        cause = Cause(CauseKind.RESTORE, moment.offset, root=root)
        wanted = Wanted(session, cause, Grant.WRITE, id, words)
        return await self._do(wanted, moment.info, partial(self._make_restore, moment, root))

    async def undo(
        self,
        session: Session,
        author: str,
        after: Moment,
        until: Moment,
        *,
        id: str | None = None,  # noqa: A002
        words: str | None = None,
    ) -> Made:
        """Take back what an author did behind a moment up to another one. What others did stays. Raises as :meth:`restore`."""
        if after.offset > until.offset:
            raise HistoryRefused("wrong_order", "the moment from which on to undo comes after the one up to which")
        cause = Cause(CauseKind.UNDO, until.offset, after=after.offset, author=author)
        needs = Grant.WRITE if author == session.author else Grant.ADMIN
        wanted = Wanted(session, cause, needs, id, words)
        return await self._left(await self._do(wanted, until.info, partial(self._make_undo, author, after, until)), until.info)

    async def done_before(
        self,
        session: Session,
        info: DocumentInfo,
        kind: CauseKind,
        *,
        id: str | None,  # noqa: A002
        words: str,
    ) -> Made | None:
        """What became of it when the same was asked for with this id; None: it was not. The moments that were meant then may be
        gone by now. Raises as :meth:`restore`.
        """
        if id is None or await self._history.locate(info.document_id, id) is None:
            return None
        wanted = Wanted(session, Cause(kind, 0), Grant.WRITE, id, words)
        made = await self._submit(wanted, await self._moments.at(info, info.head.offset), _NOTHING, ())
        return await self._left(made, info) if kind is CauseKind.UNDO else made

    async def _left(self, made: Made, info: DocumentInfo) -> Made:
        now = await self._moments.state(await self._moments.at(info, info.head.offset))
        return replace(made, left=_mixed(now.committed.roots))

    async def _do(
        self, wanted: Wanted, info: DocumentInfo, make: Callable[[Moment, Session], Awaitable[tuple[bytes | None, Copies]]]
    ) -> Made:
        if wanted.id is not None and await self._history.locate(info.document_id, wanted.id) is not None:
            return await self._submit(wanted, await self._moments.at(info, info.head.offset), _NOTHING, ())
        tries = 0
        while True:
            self._refuse_costly(wanted.session)
            head = await self._moments.at(info, info.head.offset)
            update, copies = await make(head, wanted.session)
            if update is None:
                if wanted.id is None:
                    return Made(head.offset, (), None)
                # Asked for again after others have written, it would take away what they wrote.
                update, copies = _NOTHING, ()
            try:
                return await self._submit(wanted, head, update, copies)
            except SubmissionRefused as refused:
                tries += 1
                if refused.code != "restored_meanwhile" or tries == _TRIES:
                    raise
            info = await self._look_again(info)

    def _refuse_costly(self, session: Session) -> None:
        if late := self._accounts.late(account_of(session)):
            wait = late.seconds
            reason = f"what you have restored and undone here took more work than one may cause; ask again in {wait:.1f} s"
            raise SubmissionRefused("too_fast", reason, retry=True, seconds=wait, limit=late.limit)

    async def _charged(self, session: Session, work: Callable[[], T]) -> T:
        """Have it done in the worker's thread, at the cost of whoever asks."""
        spent = 0.0

        def timed() -> T:
            nonlocal spent
            began = self._clock.cpu()
            try:
                return work()
            finally:
                spent = self._clock.cpu() - began

        try:
            return await self._worker.run(session.document_id, timed)
        finally:
            self._accounts.charge(account_of(session), spent)

    async def _look_again(self, info: DocumentInfo) -> DocumentInfo:
        now = await self._directory.info(info.document_id)
        if now is None or now.head.epoch != info.head.epoch:
            raise HistoryRefused("history_replaced", "the document's history was replaced meanwhile; ask again")
        return now

    async def _submit(self, wanted: Wanted, head: Moment, update: bytes, copies: Copies) -> Made:
        cause = wanted.cause
        prepared = Prepared(
            session=wanted.session,
            id=wanted.id or self._ids.new(),
            digest=wanted.digest,
            update=update,
            outline=inspect(update, SYNC_LIMITS),
            cause=Cause(cause.kind, cause.until, cause.after, cause.root, cause.author, tuple(copies)),
            base=head.head,
            needs=wanted.needs,
        )
        async with self._registry.open(wanted.session.document_id) as room:
            room.feed()  # from before the commit on: who polls next is answered from memory
            enqueue(room, prepared, self._clock, self._limits)
            answer: Answer = await prepared.answer
        return Made(answer.offset, answer.operations, answer.version_id)

    async def _make_restore(
        self, moment: Moment, root: str | None, head: Moment, session: Session
    ) -> tuple[bytes | None, Copies]:
        then, now = await self._moments.state(moment), await self._moments.state(head)
        origins = (await self._authors.until(head.info, head.offset)).origins
        return await self._charged(session, partial(_restore, head.document_id, then, now, root, origins))

    async def _make_undo(
        self, author: str, after: Moment, until: Moment, head: Moment, session: Session
    ) -> tuple[bytes | None, Copies]:
        document_id = head.document_id
        changes = []
        known = await self._others(head.info, after.offset, head.offset)
        async for entry in entries_between(self._history, head.info, after.offset, head.offset):
            in_range = entry.offset <= until.offset
            theirs = _whose(known.get(entry.offset), author) if in_range else None
            copies = _copies(known.get(entry.offset))
            changes.append(_Change(entry.update, in_range and entry.author == author, theirs, copies))
        if not any(change.theirs or any((change.clients or {}).values()) for change in changes):
            return None, ()
        then, now = await self._moments.state(after), await self._moments.state(head)
        earlier: Callable[[], Copies] = tuple
        if any(change.copies for change in changes):
            # What was brought back before may be a copy of the same as what was brought back since.
            earlier = partial((await self._authors.until(head.info, after.offset)).copies, after.offset)
        return await self._charged(session, partial(_undo, document_id, then, now, changes, earlier))

    async def _others(self, info: DocumentInfo, after: int, until: int) -> Mapping[int, Authored]:
        """By their offsets the entries of these that brought what others wrote, or what had been there before."""
        found: dict[int, Authored] = {}
        while after < until:
            known = await self._history.authored(info.document_id, after=after, limit=min(_PORTION, until - after))
            if not known or known[0].offset != after + 1:
                raise HistoryForgotten(info.document_id, known[0].offset if known else until + 1)
            found.update((entry.offset, entry) for entry in known if entry.writers or entry.cause is not None)
            after = known[-1].offset
        return found


def _whose(entry: Authored | None, author: str) -> Mapping[int, bool] | None:
    """For each Yjs client whether what it brings is the author's; None when all of it is whose the entry is."""
    if entry is None or not entry.writers:
        return None
    return {brought.client: writer == author for brought, writer in zip(entry.ranges, entry.writers, strict=True)}


def _copies(entry: Authored | None) -> Copies:
    return entry.cause.copies if entry is not None and entry.cause is not None else ()


@dataclass(frozen=True, slots=True)
class _Change:
    """An entry on the way to an undo."""

    update: bytes
    theirs: bool
    """Whether it is to be taken back."""
    clients: Mapping[int, bool] | None
    """When it brings what several people wrote: for each Yjs client whether that is to be taken back."""
    copies: Copies
    """What it brings that had been there before."""


def _mixed(roots: Mapping[str, RootKind]) -> list[str]:
    return sorted(name for name, kind in roots.items() if kind is RootKind.MIXED)


def _restore(document_id: str, then: State, now: State, root: str | None, origins: Origins) -> tuple[bytes | None, Copies]:
    roots = now.committed.roots
    if root is not None and root not in roots and root not in then.committed.roots:
        raise HistoryRefused("root", f"the document has no root {root!r}, and had none then")
    mixed = [name for name in _mixed(roots) if root in (None, name)]
    if mixed:
        # Never left out in silence.
        reason = f"the root {mixed[0]!r} holds things that do not go together, and what it was cannot be told"
        raise HistoryRefused("root_unreadable", f"{reason}; restore the other roots by name")
    wanted = None if root is None else [root]
    with reading(document_id):
        made = restoring.restore(then.committed.state, roots, now.committed.state, wanted, then.content, origins=origins)
    return made.update, made.copies


def _undo(
    document_id: str, then: State, now: State, changes: Sequence[_Change], earlier: Callable[[], Copies]
) -> tuple[bytes | None, Copies]:
    with reading(document_id):
        updates: list[tuple[bytes, bool]] = []
        for change in changes:
            if change.clients is None:
                updates.append((change.update, change.theirs))
            else:
                updates += restoring.by_writer(change.update, change.clients, change.theirs)
        copies = [(copy, False) for copy in earlier()]
        copies += [(copy, change.theirs) for change in changes for copy in change.copies]
        made = restoring.undo_of(then.committed.state, now.committed.roots, updates, now.committed.state, copies=copies)
    return made.update, made.copies
