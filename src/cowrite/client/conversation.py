"""What is said over one link at a time, for one document: y-websocket's protocol with cowrite's acknowledgements. No I/O.

A link begins with our SyncStep1. Edits wait until the server has asked for what it lacks (its SyncStep1): our answer, a
SyncStep2, carries everything that was edited so far, and from then on edits are sent as they are made. So nothing is lost with
a link, and nothing overtakes what it builds on. It is the same as that of ``@cowrite/client`` (clients/js/src/core/session.ts).

Which edits are durable: the server acknowledges the uploads (SyncStep2 and Update) of one link in the order in which they were
sent. The first is a SyncStep2 with everything that the server lacked, so each upload stands for all edits made until then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from cowrite.crdt.editing.document import NOTHING, EditableDocument, merged
from cowrite.protocol import yjs
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.messages import (
    Acknowledged,
    AwarenessUpdate,
    Message,
    PermissionDenied,
    QueryAwareness,
    SyncStep1,
    SyncStep2,
    UnknownMessage,
    Update,
)

LARGE_BYTES: Final = 1 << 20
"""A server takes an Update of 1 MiB, and a SyncStep2 of 32 MiB, unless it is set up otherwise: what is larger than this goes as
a SyncStep2. (Not more than has to: who has written a SyncStep2 is not always known.)"""
_FEW: Final = 20
"""Edits that are merged, and not written anew."""
_MANY: Final = 1 << 20
"""Entries, and bytes of a state: the bounds of what a server relays are the server's."""


class Surroundings(Protocol):
    """Whose conversation it is."""

    def progressed(self) -> None:
        """Something has become synced or saved."""
        ...

    def denied(self, reason: str) -> None:
        """The server does not take an upload, and the link stays: it is another grant, or another user's edit."""
        ...

    def met(self, entries: tuple[AwarenessEntry, ...]) -> None:
        """Awareness of somebody."""
        ...

    def introduction(self) -> AwarenessUpdate | None:
        """What is told about oneself; with a new clock, so that it is news to everybody."""
        ...


class Conversation:
    """See the module's docstring. Frames come by :meth:`received`; what is to be sent goes to the link's ``send``."""

    def __init__(self, document: EditableDocument, around: Surroundings) -> None:
        self._document = document
        self._around = around
        self._send: Callable[[bytes], None] | None = None
        """None while there is no link."""
        self._writes = True
        self._theirs: bytes | None = None
        """What the server has said that it has; None: it has not asked on this link."""
        self._fresh: list[bytes] = []
        """Edits that have not been sent, and go as one."""
        self._clock = 0
        """Of what was written here, so much was uploaded on this link."""
        self._waiting: deque[int] = deque()
        """Of each upload of this link that is not acknowledged: how many edits it stands for."""
        self._acknowledged = 0
        self.edits = 0
        """Made here, from the beginning on."""
        self.saved = 0
        """So many of them, from the first on, are on the server's disk."""
        self.synced = False
        """All that the server had has arrived on this link."""

    @property
    def unsaved(self) -> int:
        """So many edits are not known to be on the server's disk."""
        return self.edits - self.saved

    def linked(self, send: Callable[[bytes], None], *, writes: bool) -> None:
        """There is a link from now on. ``writes``: the grant allows writing; else edits stay here."""
        self.unlinked()
        self._send, self._writes = send, writes
        self._say(SyncStep1(self._document.state_vector()))
        self.introduce()

    def unlinked(self) -> None:
        """There is none. Idempotent."""
        self._send = self._theirs = None
        self._acknowledged = 0
        self._waiting.clear()
        self._fresh.clear()
        self.synced = False

    def allow(self, *, writes: bool) -> None:
        """The grant is another one, while a link is there."""
        before, self._writes = self._writes, writes
        if writes and not before and self._theirs is not None:
            # It makes up for what was refused meanwhile.
            self._upload(SyncStep2(self._document.diff(self._theirs)))

    def edited(self, update: bytes) -> None:
        """The document was edited here. Call :meth:`flush` soon."""
        self.edits += 1
        if self._theirs is not None and self._writes:
            self._fresh.append(update)

    def flush(self) -> None:
        """Send what was edited, as one upload."""
        if not self._fresh:
            return
        document = self._document
        # What is only merged stays in pieces, and a server refuses what has too many of them to join.
        update = merged(self._fresh) if len(self._fresh) <= _FEW else document.written_since(self._clock)
        self._fresh.clear()
        if len(update) > LARGE_BYTES:
            assert self._theirs is not None, "edits are kept for a server that has asked"
            self._upload(SyncStep2(document.diff(self._theirs)))
        else:
            self._upload(Update(update))

    def introduce(self) -> None:
        """Tell about oneself."""
        if self._send is not None and (introduction := self._around.introduction()) is not None:
            self._say(introduction)

    def say(self, message: AwarenessUpdate) -> None:
        """Tell the others something, if there is a link."""
        if self._send is not None:
            self._say(message)

    def received(self, frame: bytes) -> None:
        """A message of the server. Raises ``ValueError`` for one that cannot be read, and :class:`EngineFault`."""
        try:
            message = yjs.decode(frame, max_entries=_MANY, max_state_bytes=_MANY)
        except UnknownMessage:
            return  # for newer clients
        match message:
            case SyncStep1(vector):
                self._answer(vector)
            case SyncStep2(update):
                self._document.apply(update)
                self.synced = True
                self._around.progressed()
            case Update(update):
                self._document.apply(update)
            case Acknowledged(count):
                self._acknowledge(count)
            case AwarenessUpdate(entries):
                self._around.met(entries)
            case QueryAwareness():
                self.introduce()
            case PermissionDenied(reason):
                self._around.denied(reason)

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _answer(self, vector: bytes) -> None:
        self._theirs = vector
        self._fresh.clear()
        if self._writes:
            self._upload(SyncStep2(self._document.diff(vector)))
        else:
            # It is counted on the wire, and stands for no edit.
            self._waiting.append(self.saved)
            self._say(SyncStep2(NOTHING))

    def _upload(self, message: SyncStep2 | Update) -> None:
        self._waiting.append(self.edits)
        self._clock = self._document.clock
        self._say(message)

    def _acknowledge(self, count: int) -> None:
        """The first ``count`` uploads are durable. A count below an earlier one, or beyond what was sent, says no more."""
        while self._acknowledged < count and self._waiting:
            self._acknowledged += 1
            self.saved = max(self.saved, self._waiting.popleft())
        self._around.progressed()

    def _say(self, message: Message) -> None:
        assert self._send is not None, "there is a link"
        self._send(yjs.encode(message))
