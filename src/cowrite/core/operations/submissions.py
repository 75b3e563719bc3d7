"""What clients without a CRDT library ask to be written, on its way to the disk.

Such a client sends JSON operations, made for the document as it was at their *base*. They are turned into updates inside the
journal's transaction, behind everything that was committed before, and nobody sees them before COMMIT; so they wait here, and
not among the updates of Yjs peers, which are shown at once.

An update that the server itself has made for somebody (:class:`Prepared`) takes the same way: nobody has seen it, and it goes
behind what others have committed.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias
from uuid import UUID, uuid5

from cowrite.core.damaged import Damaged
from cowrite.core.limits import Limits
from cowrite.core.ports import Grant
from cowrite.core.ports.tracing import EditSpan, Tracing
from cowrite.core.records import Cause, Head
from cowrite.core.rooms.pending import Backlog
from cowrite.core.sessions.session import Session
from cowrite.crdt.operations import ContentOperation, OperationDraft
from cowrite.crdt.outline import Outline

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_VERSIONS: Final = UUID("7d1c6f0e-0f0a-5a4e-9f7e-3c9b6a1d2e44")
_OVERHEAD = 2000
"""Bytes that a submission takes beside its content."""


def version_of(submission_id: str) -> str:
    """The id of the version of what was there before a prepared update, which is named again when that is asked for again."""
    return str(uuid5(_VERSIONS, submission_id))


class SubmissionRefused(Exception):
    """Nothing of the submission was or will be committed. ``code`` is stable, ``reason`` is for people.

    ``index`` is the place in the submission of the operation that is to blame, ``field`` that of its fields; ``retry``: the
    same submission may succeed later, and not before ``seconds`` have passed. ``limit``: the one that it is about, where
    that has a name of its own. ``readable``: the last offset that a damaged document can be read at.
    """

    def __init__(
        self,
        code: str,
        reason: str,
        *,
        index: int | None = None,
        field: str | None = None,
        retry: bool = False,
        seconds: float = 0.0,
        limit: str | None = None,
        readable: int | None = None,
    ) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.index = index
        self.field = field
        self.retry = retry
        self.seconds = seconds
        self.limit = limit
        self.readable = readable


def refuse_damaged(damage: Damaged | None) -> None:
    """Nothing is written to a damaged document: raises :class:`SubmissionRefused` (``document_damaged``) unless it is None."""
    if damage is not None:
        raise SubmissionRefused("document_damaged", damage.told, readable=damage.readable)


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a submission."""

    operations: tuple[ContentOperation, ...]
    """The operations as committed; fewer or more than were submitted where others have changed the place meanwhile."""
    offset: int
    """The offset of the log with all of them in it."""
    version_id: str | None = None
    """Of a prepared update: the version of what was there before; None: it has changed nothing."""


@dataclass(frozen=True, slots=True)
class SubmittedDraft:
    """One operation of a submission."""

    id: str
    draft: OperationDraft
    named: bool
    """The client gave the id: it may have been submitted before."""
    digest: str
    """See :func:`digest_of`."""


def digest_of(draft: OperationDraft) -> str:
    """What tells whether two operations with one id are the same: SHA-256 of the JSON form, keys in order.

    Raises ``RecursionError`` for what is nested too deep.
    """
    return hashlib.sha256(_encode(draft.to_json()).encode()).hexdigest()


class _Answered:
    """Somebody waits for an answer."""

    __slots__ = ()
    session: Session
    answer: asyncio.Future[Answer]

    @property
    def document_id(self) -> str:
        """The document that it is for."""
        return self.session.document_id

    def settle(self, outcome: Answer | SubmissionRefused) -> None:
        """Tell whoever waits. Harmless when nobody does any more."""
        if self.answer.done():
            return
        if isinstance(outcome, SubmissionRefused):
            self.answer.set_exception(outcome)
            self.answer.exception()  # retrieved, in case nobody waits
        else:
            self.answer.set_result(outcome)


def _future() -> asyncio.Future[Answer]:
    return asyncio.get_running_loop().create_future()


@dataclass(slots=True, eq=False)
class Submission(_Answered):
    """Operations of one session, made one after the other at one base: committed together or not at all."""

    session: Session
    drafts: Sequence[SubmittedDraft]
    base: int
    """The offset of the last entry that their maker had read; 0: the empty document."""
    epoch: str
    """The log of that offset; "" with offset 0, which is the same in all logs."""
    size: int
    """Bytes, about."""
    previous: str | None = None
    """The session's own operation on which these build, where their maker says so: without it they are refused."""
    answer: asyncio.Future[Answer] = field(default_factory=_future)
    """Set after COMMIT, or to :class:`SubmissionRefused`."""
    span: EditSpan | None = None
    """What is traced of it."""

    @property
    def count(self) -> int:
        """How many operations these are."""
        return len(self.drafts)


@dataclass(slots=True, eq=False)
class Prepared(_Answered):
    """An update that the server itself has made for somebody, a restore perhaps: it becomes one entry, or none.

    It builds on nothing but the log as it was when it was made, under that epoch, and brings structs of a Yjs client that
    nobody else uses. It stays the same bytes however often it is tried: what was once shown is never made differently.
    """

    session: Session
    """Who asked for it: the entry's author."""
    id: str
    """A UUID, by which it is found when it is tried or asked for again: the id of the entry's first operation."""
    digest: str
    """What tells whether the same was asked for: SHA-256 in hexadecimal."""
    update: bytes
    """Yjs update (v1) that was inspected."""
    outline: Outline
    cause: Cause
    base: Head
    """The log that it was made for: nothing that the server made may have come behind that."""
    needs: Grant = Grant.WRITE
    """What the session must still be allowed to do when it is committed."""
    answer: asyncio.Future[Answer] = field(default_factory=_future)
    """Set after COMMIT, or to :class:`SubmissionRefused`."""
    span: EditSpan | None = None
    """What is traced of it."""

    @property
    def account(self) -> str:
        """Whose CPU time it takes: the person's in this document, because a request may be a session of its own."""
        return self.session.account

    @property
    def size(self) -> int:
        """Bytes, about."""
        return len(self.update) + self.outline.weight

    @property
    def count(self) -> int:
        """It counts as one update."""
        return 1


Waiting: TypeAlias = Submission | Prepared
"""What waits for a transaction of the journal, and whose maker waits for an answer."""


class Submissions:
    """The submissions of one document, in the order in which they came. Bounded together with the updates of Yjs peers."""

    def __init__(self, backlog: Backlog, tracing: Tracing | None = None) -> None:
        self._tracing = tracing
        self._waiting: list[Waiting] = []
        self._taken: list[Waiting] = []
        """In the running transaction."""
        self._backlog = backlog
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._waiting or self._taken)

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._taken + self._waiting)

    @property
    def waiting(self) -> int:
        """How many no transaction has taken."""
        return len(self._waiting)

    @property
    def taken(self) -> Sequence[Waiting]:
        """Those in the running transaction."""
        return self._taken

    def accepts(self, size: int, limits: Limits) -> bool:
        """Whether one more of this size may wait; the bounds are those of :class:`PendingUpdates`, for each by itself."""
        count = len(self._taken) + len(self._waiting)
        document = self._bytes + size <= limits.pending_document_bytes and count < limits.pending_document_updates
        backlog = self._backlog
        process = backlog.bytes + size <= limits.pending_process_bytes and backlog.updates < limits.pending_process_updates
        return (document and process) or not count

    def put(self, submission: Waiting) -> None:
        """One more."""
        self._waiting.append(submission)
        self._count(submission, 1)
        if self._tracing is not None:
            _trace(submission, self._tracing)

    def take(self, *, updates: int, size: int) -> Sequence[Waiting]:
        """The first ones for a transaction: at most so many operations and bytes, unless one alone has more."""
        for submission in list(self._waiting):
            updates -= submission.count
            size -= submission.size
            if self._taken and (updates < 0 or size < 0):
                break
            self._taken.append(self._waiting.pop(0))
        return self._taken

    def settle(self) -> None:
        """The transaction is committed: forget what it took."""
        for submission in self._taken:
            self._count(submission, -1)
        self._taken = []

    def give_back(self) -> None:
        """The transaction failed, or does without them: they wait again. What nobody waits for any more is withdrawn."""
        self._waiting, self._taken = self._taken + self._waiting, []
        for submission in [one for one in self._waiting if one.answer.done()]:
            self.drop(submission)

    def withdraw(self, submission: Waiting) -> bool:
        """Whoever waited gives up. False: it is in a transaction, and may be committed; it is not taken again after that."""
        if submission in self._waiting:
            self.drop(submission)
        return submission not in self._taken

    def withdraw_all(self) -> Sequence[Waiting]:
        """Nothing will come of any; returns them."""
        withdrawn = list(self)
        for submission in withdrawn:
            self.drop(submission)
        return withdrawn

    def drop(self, submission: Waiting) -> None:
        """This one leaves, for whatever reason."""
        for submissions in (self._taken, self._waiting):
            if submission in submissions:
                submissions.remove(submission)
                self._count(submission, -1)

    def _count(self, submission: Waiting, sign: int) -> None:
        size = sign * (submission.size + _OVERHEAD)
        self._bytes += size
        self._backlog.bytes += size
        self._backlog.updates += sign * submission.count


def _trace(submission: Waiting, tracing: Tracing) -> None:
    """Its span ends with its answer. ``dialect``: operations of a client, or what the server has made, by its kind."""
    dialect = "json" if isinstance(submission, Submission) else submission.cause.kind.value
    span = submission.span = tracing.edit(submission.document_id, submission.session.id, dialect)

    def answered(answer: asyncio.Future[Answer]) -> None:
        if answer.cancelled():
            span.refused("withdrawn")
        elif (error := answer.exception()) is not None:
            assert isinstance(error, SubmissionRefused), "nothing else is set"
            span.refused(error.code)
        else:
            span.durable(answer.result().offset)

    submission.answer.add_done_callback(answered)
