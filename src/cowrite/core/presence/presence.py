"""Who is in one document, as far as this process knows. Synchronous and without a clock of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Final

from cowrite.core.sessions.session import Session
from cowrite.crdt.values import Json
from cowrite.protocol.thin import encode

MAX_STATE_BYTES: Final = 16 << 10
"""What one session may tell the others about itself, as JSON."""


class Transport(StrEnum):
    """How a session is connected."""

    YJS = "yjs"
    HOCUSPOCUS = "hocuspocus"
    WEBSOCKET = "websocket"
    POLLING = "polling"


@dataclass(frozen=True, slots=True)
class Present:
    """One session that is here."""

    session_id: str
    user_id: str
    name: str | None
    colour: str | None
    transport: Transport
    state: Json
    """What the client tells about itself: a JSON object, or None."""
    last_active: int
    """Milliseconds since 1970."""

    def to_json(self) -> dict[str, Json]:
        """The JSON form."""
        return {
            "session_id": self.session_id,
            "user": {"id": self.user_id, "name": self.name, "colour": self.colour},
            "transport": self.transport.value,
            "state": self.state,
            "last_active": self.last_active,
        }


@dataclass(frozen=True)
class PresenceChange:
    """What has changed."""

    joined: Sequence[Present] = ()
    updated: Sequence[Present] = ()
    left: Sequence[str] = ()
    """Ids of sessions."""

    @cached_property
    def frame(self) -> bytes:
        """As a message of :mod:`cowrite.protocol.thin`, encoded once for all readers."""
        joined, updated = ([present.to_json() for present in some] for some in (self.joined, self.updated))
        return encode("presence", joined=joined, updated=updated, left=list(self.left))


class PresenceList:
    """The sessions in one document. ``told`` is called after each change that others see."""

    def __init__(self, told: Callable[[PresenceChange], None]) -> None:
        self._told = told
        self._present: dict[str, Present] = {}
        self._connections: Counter[str] = Counter()
        """Open sockets by session."""
        self._until: dict[str, float] = {}
        """When those go that have none: monotonic seconds."""
        self.version = 0
        """Grows with each change."""

    @property
    def present(self) -> Sequence[Present]:
        """All that are here, in the order in which they came."""
        return list(self._present.values())

    def connect(self, session: Session, transport: Transport, now: int) -> None:
        """A socket of the session has opened; ``now`` is in milliseconds since 1970."""
        self._connections[session.id] += 1
        self._until.pop(session.id, None)
        self._enter(session, transport, now)

    def disconnect(self, session: Session) -> None:
        """A socket of the session has closed. With the last one it leaves."""
        self._connections[session.id] -= 1
        if self._connections[session.id] <= 0:
            self.leave(session)

    def visit(self, session: Session, now: int, until: float) -> None:
        """The session has polled; it leaves by itself at ``until``, in monotonic seconds, unless it comes again before."""
        if self._connections[session.id] <= 0:
            del self._connections[session.id]
            self._until[session.id] = until
            self._enter(session, Transport.POLLING, now)

    def tell(self, session: Session, state: Json, now: int) -> None:
        """The session tells something about itself. Nothing happens when it is not here."""
        known = self._present.get(session.id)
        if known is not None and known.state != state:
            self._put(replace(known, state=state, last_active=now), known)

    def leave(self, session: Session) -> None:
        """The session has gone, whatever it had open. Idempotent."""
        self._connections.pop(session.id, None)
        self._until.pop(session.id, None)
        if self._present.pop(session.id, None) is not None:
            self._changed(PresenceChange(left=[session.id]))

    def expire(self, now: float) -> None:
        """Those whose time is over have gone; ``now`` is in monotonic seconds."""
        gone = [session_id for session_id, until in self._until.items() if until <= now]
        for session_id in gone:
            del self._until[session_id], self._present[session_id]
        if gone:
            self._changed(PresenceChange(left=gone))

    def _enter(self, session: Session, transport: Transport, now: int) -> None:
        known = self._present.get(session.id)
        access = session.access
        state = known.state if known is not None else None
        self._put(Present(session.id, access.user_id, access.name, access.colour, transport, state, now), known)

    def _put(self, present: Present, known: Present | None) -> None:
        self._present[present.session_id] = present
        if known is None:
            self._changed(PresenceChange(joined=[present]))
        elif replace(known, last_active=present.last_active) != present:
            self._changed(PresenceChange(updated=[present]))

    def _changed(self, change: PresenceChange) -> None:
        self.version += 1
        self._told(change)
