"""What one JSON socket writes: put on its way in the order in which it came, and answered when it is committed.

Finding the base of operations may take a look at the store, so one task for the socket does it, which runs while there is
something to do. Later requests do not wait for the answers of earlier ones. When many wait for their turn no more are taken:
the socket's lane is held.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

import structlog

from cowrite.core.operations.submissions import Answer, Submission, SubmissionRefused
from cowrite.core.operations.writing import DocumentWriter, WriteRequest
from cowrite.core.ports import Clock, StoreError
from cowrite.core.rooms.room import Room
from cowrite.core.sessions.session import Session
from cowrite.protocol.strict_json import Json
from cowrite.protocol.thin import Write, encode
from cowrite.transports.json_reader import JsonReader

MAX_WAITING: Final = 200
"""Messages that wait for their turn when no more are taken, until half of them do."""
MAX_WAITING_BYTES: Final = 4 << 20

_log = structlog.get_logger(__name__)


class JsonWriter:
    """See the module's docstring.

    ``refuse`` is told the request and why; ``fail``, what nothing can go on after; ``hold`` is called when it is to be given
    nothing more, until ``release`` is.
    """

    def __init__(
        self,
        room: Room,
        session: Session,
        reader: JsonReader,
        documents: DocumentWriter,
        clock: Clock,
        *,
        refuse: Callable[[Json, SubmissionRefused], None],
        fail: Callable[[Exception], None],
        hold: Callable[[], None],
        release: Callable[[], None],
    ) -> None:
        self._room = room
        self._session = session
        self._reader = reader
        self._documents = documents
        self._clock = clock
        self._refuse = refuse
        self._fail = fail
        self._hold = hold
        self._release = release
        self._full = False
        self._writes: deque[Write] = deque()
        self._waiting_bytes = 0
        self._writing: asyncio.Task[None] | None = None
        self._submitted = 0
        """Requests that the journal has, and has not answered."""
        self._stopped = False

    def put(self, write: Write) -> None:
        """One more request of the client."""
        self._writes.append(write)
        self._waiting_bytes += write.size
        if len(self._writes) >= MAX_WAITING or self._waiting_bytes >= MAX_WAITING_BYTES:
            self._full = True
            self._hold()
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())

    def stop(self) -> None:
        """Take nothing more, and answer nothing. What the journal has goes its way. Idempotent."""
        self._stopped = True
        self._writes.clear()

    @property
    def settled(self) -> bool:
        """Nothing that it was given is on its way to the disk."""
        return self._writing is None and not self._submitted

    async def _write(self) -> None:
        try:
            while self._writes:
                write = self._writes.popleft()
                self._waiting_bytes -= write.size
                await self._submit(write)
                if self._full and 2 * len(self._writes) <= MAX_WAITING and 2 * self._waiting_bytes <= MAX_WAITING_BYTES:
                    self._full = False
                    self._release()
        except Exception as error:
            self._fail(error)
        finally:
            self._writing = None

    async def _submit(self, write: Write) -> None:
        self._room.presence.active(self._session.id, self._clock.now())
        request = WriteRequest(write.operations, write.base, write.after, write.size)
        try:
            submission = await self._documents.queue(self._session, request)
        except SubmissionRefused as refused:
            self._refuse(write.request, refused)
        except StoreError as error:
            who = {"document": self._session.document_id, "user": self._session.author}
            _log.warning("operations not taken", **who, reason=str(error))
            self._refuse(write.request, SubmissionRefused("unavailable", "the database cannot be read now", retry=True))
        else:
            self._submitted += 1
            submission.answer.add_done_callback(lambda answer: self._answered(write.request, submission, answer))

    def _answered(self, request: Json, submission: Submission, answer: asyncio.Future[Answer]) -> None:
        self._submitted -= 1
        if self._stopped or answer.cancelled():
            return
        error = answer.exception()
        if error is not None:
            assert isinstance(error, SubmissionRefused), "nothing else is set"
            self._refuse(request, error)
            return
        found = answer.result()
        operations = [operation.to_json() for operation in found.operations]
        self._reader.answer(
            found.offset,
            lambda head: encode("acknowledged", request=request, operations=operations, head=head, offset=found.offset),
        )
