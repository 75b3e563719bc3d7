"""Edits that the server itself makes for somebody: made in the worker's thread, committed by the journal behind what others
write meanwhile, and made anew where another such edit came first.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

from cowrite.core.account import SessionAccounts
from cowrite.core.history.errors import HistoryRefused
from cowrite.core.history.moments import Moment, Moments
from cowrite.core.history.worker import HistoryWorker
from cowrite.core.ids import Ids
from cowrite.core.limits import Limits
from cowrite.core.operations.submissions import Answer, Prepared, SubmissionRefused
from cowrite.core.operations.writing import enqueue
from cowrite.core.ports import Clock, Grant, Storage
from cowrite.core.records import Cause, DocumentInfo
from cowrite.core.rooms.registry import Registry
from cowrite.core.sessions.session import Session
from cowrite.crdt.guard import SYNC_LIMITS, inspect
from cowrite.crdt.operations import ContentOperation

_TRIES: Final = 3
"""How often something is made anew because somebody else restored, undid or imported something meanwhile."""
_NOTHING: Final = b"\x00\x00"
"""The empty update."""
_IN_THREAD_BYTES: Final = 64 << 10
"""Updates from this size on are inspected beside the event loop."""

T = TypeVar("T")
Copies: TypeAlias = Sequence[tuple[int, int, int, int, int]]
Make: TypeAlias = Callable[[Moment, Session], Awaitable[tuple[bytes | None, Copies]]]
"""Makes the update at a head; None: there is nothing to do."""


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
    """Something that is to be restored, undone or imported."""

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


class ServerEdits:
    """What restoring, undoing and importing have in common."""

    def __init__(
        self,
        storage: Storage,
        moments: Moments,
        worker: HistoryWorker,
        registry: Registry,
        accounts: SessionAccounts,
        clock: Clock,
        ids: Ids,
        limits: Limits,
    ) -> None:
        self._history = storage.history
        self._directory = storage.directory
        self._moments = moments
        self._worker = worker
        self._registry = registry
        self._accounts = accounts
        self._clock = clock
        self._ids = ids
        self._limits = limits

    async def do(self, wanted: Wanted, info: DocumentInfo, make: Make) -> Made:
        """Make it and have it committed, if it was not asked for with its id before.

        Raises :class:`HistoryRefused`, :class:`SubmissionRefused`, :class:`RoomClosed`, and what reading the store raises.
        """
        if wanted.id is not None and await self._history.locate(info.document_id, wanted.id) is not None:
            return await self.done_before(wanted, info)
        tries = 0
        while True:
            self.refuse_costly(wanted.session)
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

    async def done_before(self, wanted: Wanted, info: DocumentInfo) -> Made:
        """What became of it when it was asked for with its id. Raises as :meth:`do`."""
        return await self._submit(wanted, await self._moments.at(info, info.head.offset), _NOTHING, ())

    def refuse_costly(self, session: Session) -> None:
        """Raises :class:`SubmissionRefused` (``too_fast``) for whoever has caused too much work lately."""
        if late := self._accounts.late(session.account):
            wait = late.seconds
            reason = (
                f"what you have restored, undone and imported here took more work than one may cause; ask again in {wait:.1f} s"
            )
            raise SubmissionRefused("too_fast", reason, retry=True, seconds=wait, limit=late.limit)

    async def charged(self, session: Session, work: Callable[[], T]) -> T:
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
            self._accounts.charge(session.account, spent)

    async def _look_again(self, info: DocumentInfo) -> DocumentInfo:
        now = await self._directory.info(info.document_id)
        if now is None or now.head.epoch != info.head.epoch:
            raise HistoryRefused("history_replaced", "the document's history was replaced meanwhile; ask again")
        return now

    async def _submit(self, wanted: Wanted, head: Moment, update: bytes, copies: Copies) -> Made:
        cause = wanted.cause
        if len(update) < _IN_THREAD_BYTES:
            outline = inspect(update, SYNC_LIMITS)
        else:
            outline = await asyncio.to_thread(inspect, update, SYNC_LIMITS)
        prepared = Prepared(
            session=wanted.session,
            id=wanted.id or self._ids.new(),
            digest=wanted.digest,
            update=update,
            outline=outline,
            cause=Cause(cause.kind, cause.until, cause.after, cause.root, cause.author, tuple(copies)),
            base=head.head,
            needs=wanted.needs,
        )
        async with self._registry.open(wanted.session.document_id) as room:
            room.feed()  # from before the commit on: who polls next is answered from memory
            enqueue(room, prepared, self._clock, self._limits)
            answer: Answer = await prepared.answer
        return Made(answer.offset, answer.operations, answer.version_id)
