"""What the HTTP interface works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

from cowrite.core.history.past import Past
from cowrite.core.ids import Ids
from cowrite.core.incoming import Incoming
from cowrite.core.leaving import Leaving
from cowrite.core.limits import Limits
from cowrite.core.operations.reading import DocumentReader
from cowrite.core.operations.writing import DocumentWriter
from cowrite.core.ports import AccessLog, Clock, Directory, History
from cowrite.core.ports.webhooks import WebhookLog
from cowrite.core.presence.service import PresenceService
from cowrite.core.records import AccessChange
from cowrite.core.rooms.deletion import Deletion
from cowrite.core.rooms.registry import Registry
from cowrite.core.sessions.access import AccessControl
from cowrite.core.sessions.bridge import SessionBridge
from cowrite.core.sessions.session import Session
from cowrite.http.refusals import unavailable
from cowrite.http.renderings import Renderings

PRESENT_SECONDS: Final = 30.0
"""How long somebody who polls counts as present after the last request."""


class Load(Protocol):
    """How much the process has to do."""

    @property
    def status(self) -> Literal["ok", "degraded", "draining"]:
        """What clients are told."""
        ...

    @property
    def accepts(self) -> bool:
        """Whether one more session may come."""
        ...

    @property
    def crowded(self) -> bool:
        """There are so many sockets that those who can poll had better do so."""
        ...


class BinaryPolling(Protocol):
    """Yjs messages without a socket. Messages are length-prefixed (:mod:`cowrite.protocol.envelope`); answers come with the
    cursor for the next poll. Every method raises ``PeerError``, ``RoomClosed``, ``AccessDenied`` and ``StoreError``.
    """

    async def exchange(self, session: Session, body: bytes, *, lasting: bool) -> tuple[bytes, str]:
        """Take messages, wait until they are durable, and answer them. Raises ``SubmissionRefused`` when they are not in time.

        ``lasting``: the session makes further requests.
        """
        ...

    async def poll(self, session: Session, cursor: str | None, *, wait: float, lasting: bool) -> tuple[bytes, str]:
        """What came behind the cursor; wait that many seconds for it when there is nothing."""
        ...

    def absent(self, cursor: str | None) -> tuple[bytes, str]:
        """What a poll is answered of a document that is not there. Raises nothing."""
        ...

    def leave(self, session: Session) -> None:
        """The session makes no further requests. Idempotent."""
        ...


@dataclass(slots=True)
class Backend:
    """One application's parts, as its HTTP routes use them."""

    registry: Registry
    bridge: SessionBridge
    access: AccessControl
    access_log: AccessLog
    directory: Directory
    deletion: Deletion
    history: History
    past: Past
    presence: PresenceService
    reader: DocumentReader
    writer: DocumentWriter
    binary: BinaryPolling
    load: Load
    clock: Clock
    ids: Ids
    limits: Limits
    incoming: Incoming
    leaving: Leaving
    renderings: Renderings
    address_of: AddressOf
    webhooks: WebhookLog | None = None
    """None: it is not kept how far webhooks have told."""
    draining: bool = False
    """The server is stopping: nobody is kept waiting."""

    def drain(self) -> None:
        """Let those go who wait for something."""
        self.draining = True
        self._wake(None)

    def access_changed(self, change: AccessChange) -> None:
        """A change was learned: those who wait look again whether they still may, and rooms whether they are deleted."""
        self._wake(change.document_id)
        self.deletion.heard(change)

    def _wake(self, document_id: str | None) -> None:
        for room in self.registry.rooms:
            feed = room.readership.feed
            if feed is not None and document_id in (None, room.document_id):
                feed.wake()


AddressOf: TypeAlias = Callable[[str | None, str | None], str | None]
"""The address that counts of a client, by the socket's other end and by ``X-Forwarded-For``; None: it is not counted."""
Serving: TypeAlias = Callable[[], Backend | None]
"""The parts; None while the application is starting or shutting down, when nobody may come in."""


def backend_of(serving: Serving) -> Callable[[], Backend]:
    """Gives the parts. Raises 503 ``draining``."""

    def backend() -> Backend:
        found = serving()
        if found is None:
            raise unavailable("The server is starting or stopping; try again in a moment.", code="draining")
        return found

    return backend
