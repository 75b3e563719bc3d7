"""Writing with JSON operations: from a client's request to its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cowrite.core.account import SessionAccounts
from cowrite.core.ids import Ids
from cowrite.core.limits import Limits
from cowrite.core.operations.submissions import (
    Submission,
    SubmissionRefused,
    SubmittedDraft,
    Waiting,
    digest_of,
    refuse_damaged,
)
from cowrite.core.ports import Clock, Directory, Grant, History, StoreUnavailable
from cowrite.core.rooms.registry import Registry
from cowrite.core.rooms.room import Room
from cowrite.core.sessions.access import AccessControl
from cowrite.core.sessions.session import Session
from cowrite.crdt.operations import OperationDraft, OperationInvalid, check_id
from cowrite.crdt.values import Json

MAX_OPERATIONS: Final = 500
"""Operations in one request."""


MAX_NODES: Final = 5000
"""Items, nodes and entries in the content of one request: the engine's work grows faster than their number."""


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """What a client asks to be written. Nothing of it is checked yet."""

    operations: Json
    base: Json
    """The id of the last operation that it had read; None: made for the empty document."""
    after: Json = None
    """The session's own operation on which these build, where the client says so."""
    size: int = 0
    """Bytes of the request."""


class DocumentWriter:
    """Takes requests into the rooms of their documents."""

    def __init__(
        self,
        registry: Registry,
        history: History,
        directory: Directory,
        access: AccessControl,
        accounts: SessionAccounts,
        clock: Clock,
        ids: Ids,
        limits: Limits,
    ) -> None:
        self._registry = registry
        self._accounts = accounts
        self._history = history
        self._directory = directory
        self._access = access
        self._clock = clock
        self._ids = ids
        self._limits = limits

    async def queue(self, session: Session, request: WriteRequest) -> Submission:
        """Check a request and put it on its way; what becomes of it is told by the submission's ``answer``, after 5 s at the
        latest.

        Requests of one session that build on one another are queued one after the other. Raises :class:`SubmissionRefused`,
        :class:`AccessDenied`, :class:`RoomClosed`, and what reading the store raises.
        """
        if late := self._accounts.late(session.account):
            reason = f"the operations of this session {late.reason}; send more in {late.seconds:.1f} s"
            raise SubmissionRefused("too_fast", reason, retry=True, seconds=late.seconds, limit=late.limit)
        self._accounts.charge(session.account, 0.0, messages=1, size=request.size)
        drafts = self._read(request)
        base, after = _operation_id(request.base, "base"), _operation_id(request.after, "after")
        async with self._registry.open(session.document_id) as room:
            refuse_damaged(room.damage)
            await room.waking.over()
            epoch = room.replicas.head.epoch
            offset = await self._locate(room, base)
            self._access.check(session)
            if not session.may(Grant.WRITE):
                raise SubmissionRefused("grant_too_low", "the grant does not allow writing")
            submission = Submission(session, drafts, offset, epoch if offset else "", request.size, after)
            enqueue(room, submission, self._clock, self._limits)
            return submission

    def _read(self, request: WriteRequest) -> Sequence[SubmittedDraft]:
        operations = request.operations
        if not isinstance(operations, list) or not 0 < len(operations) <= MAX_OPERATIONS:
            reason = f"it is a list of 1 to {MAX_OPERATIONS} operations"
            raise SubmissionRefused("field", reason, field="operations")
        drafts = []
        for index, value in enumerate(operations):
            try:
                drafts.append(self._read_one(value))
            except OperationInvalid as invalid:
                raise SubmissionRefused(invalid.code, invalid.reason, index=index, field=invalid.field) from None
        if sum(_nodes(one.draft.content) for one in drafts) > MAX_NODES:
            reason = f"they hold more than {MAX_NODES} items, nodes and entries; submit them in parts"
            raise SubmissionRefused("too_many_nodes", reason, field="operations")
        seen: set[str] = set()
        for index, one in enumerate(drafts):
            if one.id in seen:
                raise SubmissionRefused("field", "another operation of the request has it, too", index=index, field="id")
            seen.add(one.id)
        return drafts

    def _read_one(self, value: Json) -> SubmittedDraft:
        draft = OperationDraft.from_json(value)
        given = value.get("id")
        operation_id = check_id(given) if given is not None else self._ids.new()
        try:
            digest = digest_of(draft)
        except RecursionError:
            raise OperationInvalid("value", "it is nested too deep", field="content") from None
        return SubmittedDraft(operation_id, draft, given is not None, digest)

    async def _locate(self, room: Room, base: str | None) -> int:
        if base is None:
            return await self._before_all(room)
        feed = room.readership.feed
        offset = feed.offset_of(base) if feed is not None else None
        if offset is None:
            offset = await self._history.locate(room.document_id, base)
        if offset is None:
            raise SubmissionRefused(
                "unknown_base", "no operation of this document has that id; read the document anew", field="base"
            )
        return offset

    async def _before_all(self, room: Room) -> int:
        """Where a reader is who knows of no operation: at the beginning. It is later when what was forgotten had none, so that
        there is no id to name it by; whoever has read the document has read up to there.
        """
        if not room.replicas.head.offset:
            return 0
        try:
            info = await self._directory.info(room.document_id)
            beginning = info.first_offset - 1 if info is not None else 0
            if beginning and await self._history.last_operation(room.document_id, until=beginning) is None:
                return beginning
        except StoreUnavailable:
            pass  # it waits for the store; nearly always the beginning is the beginning
        return 0


def enqueue(room: Room, waiting: Waiting, clock: Clock, limits: Limits) -> None:
    """Put it on its way; it is answered after ``limits.submission_seconds`` at the latest.

    Raises :class:`SubmissionRefused` when too much waits already, and when the document is damaged.
    """
    refuse_damaged(room.damage)
    if not room.submissions.accepts(waiting.size, limits):
        raise SubmissionRefused("overloaded", "too much waits for the database; send it again later", retry=True)
    timer = clock.call_later(limits.submission_seconds, lambda: _give_up(room, waiting))
    waiting.answer.add_done_callback(lambda _: timer.cancel())
    room.submit(waiting)


def _nodes(content: Json) -> int:
    """How many lists, objects and values are in it, whatever they mean."""
    count, waiting = 0, [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict | list):
            count += len(value)
            waiting += value.values() if isinstance(value, dict) else value
    return count


def _operation_id(value: Json, field: str) -> str | None:
    if value is None:
        return None
    try:
        return check_id(value)
    except OperationInvalid as invalid:
        raise SubmissionRefused("field", invalid.reason, field=field) from None


def _give_up(room: Room, submission: Waiting) -> None:
    """Nobody waits any longer. One that is in a transaction may be committed all the same: sending it again tells."""
    submission.settle(SubmissionRefused("unavailable", "the database does not take it now; send it again", retry=True))
    room.submissions.withdraw(submission)
