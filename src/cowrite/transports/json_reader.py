"""What one JSON socket has read of its document, and what it is sent next.

It has no queue: it remembers how far it has read, and is given what the room's feed holds behind that as long as its socket
takes it. A reader that has fallen behind the feed is caught up from the store, and one that lacks too much gets the state anew.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import structlog

from cowrite.core.delivery.outbox import Wire
from cowrite.core.operations.readership import Reader
from cowrite.core.operations.reading import DocumentReader
from cowrite.core.operations.state import State
from cowrite.core.presence.present import PresenceChange
from cowrite.core.rooms.room import Room
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.thin import encode_operations, encode_with

MAX_ANSWERS: Final = 1000
"""Answers that may wait for a client that does not read."""

_log = structlog.get_logger(__name__)


class JsonReader:
    """Sends operations, presence and acknowledgements over one wire. ``leave`` closes the connection."""

    def __init__(self, room: Room, documents: DocumentReader, wire: Wire, leave: Callable[[CloseCode, str], None]) -> None:
        self._room = room
        self._documents = documents
        self._wire = wire
        self._leave = leave
        self.offset = 0
        """The log up to here has been sent."""
        self.head: str | None = None
        """The last operation that has been sent."""
        self._answers: deque[tuple[int, Callable[[str | None], bytes]]] = deque()
        """Answers that must not overtake what they acknowledge: the offset that each waits for, and how it is written."""
        self._people_due = False
        self._catching_up: asyncio.Task[None] | None = None

    def start(self, offset: int, head: str | None) -> None:
        """The client knows the log up to here: send what comes behind."""
        self.offset, self.head = offset, head
        self._room.enter(self)
        self.read()

    def stop(self) -> None:
        """Send nothing more. Idempotent."""
        self._room.leave(self)
        if self._catching_up is not None:
            self._catching_up.cancel()

    def send(self, frame: bytes) -> None:
        """A message for this client alone. It does not overtake answers."""
        self.answer(0, lambda _: frame)

    def answer(self, offset: int, write: Callable[[str | None], bytes]) -> None:
        """An answer to the client, to be sent when everything up to ``offset`` has been. ``write`` is given the id of the last
        operation.
        """
        self._answers.append((offset, write))
        self._send_answers()
        if len(self._answers) > MAX_ANSWERS:
            self._leave(CloseCode.TOO_FAST, "too many answers wait to be read; read them, or ask less")

    # ---- Reader ------------------------------------------------------------------------------------------------------

    def read(self) -> None:
        feed = self._room.feed()
        while self._catching_up is None and self.offset < feed.head and self._wire.writable():
            message = feed.message(self.offset)
            if message is None:
                self._catching_up = asyncio.get_running_loop().create_task(self._catch_up())
                return
            if message.frame is not None:
                self._wire.write(message.frame)
            self.offset, self.head = message.offset, message.head or self.head
        self._send_answers()

    def people(self, change: PresenceChange) -> None:
        if self._people_due or not self._wire.writable():
            self._people_due = True
        else:
            self._wire.write(change.frame)

    def close(self, code: CloseCode, reason: str) -> None:
        self._leave(code, reason)

    # ---- inside ------------------------------------------------------------------------------------------------------

    def drained(self) -> None:
        """The socket takes more again."""
        self.read()
        self._send_answers()
        if self._people_due and self._wire.writable():
            self._people_due = False
            self._wire.write(encode_with("presence", {"present": self._room.presence.crowd.json}))

    def _send_answers(self) -> None:
        while self._answers and self._answers[0][0] <= self.offset and self._wire.writable():
            self._wire.write(self._answers.popleft()[1](self.head))

    async def _catch_up(self) -> None:
        try:
            found = await self._documents.since(self._room, self.head)
            if isinstance(found, State):
                frame = encode_with("reset", {"state": found.json}, head=found.head, offset=found.offset)
                self.offset, self.head = found.offset, found.head
                self._wire.write(frame)
            elif found.entries:
                parts = [one.operations for one in found.entries]
                self._wire.write(encode_operations(parts, head=found.head, offset=found.offset))
                self.offset, self.head = max(self.offset, found.offset), found.head
        except Exception as error:
            _log.warning("reader not caught up", document=self._room.document_id, reason=str(error))
            self._leave(CloseCode.STORE_UNAVAILABLE, "the document cannot be read now; connect again")
            return
        self._catching_up = None
        self.read()


if TYPE_CHECKING:
    _: type[Reader] = JsonReader
