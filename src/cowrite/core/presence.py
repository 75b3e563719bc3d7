"""Who is in one document, as far as this process knows. Synchronous and without a clock of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from cowrite.core.session import Session
from cowrite.crdt.values import Json


class Transport(StrEnum):
    """How a session is connected."""

    YJS = "yjs"
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


@dataclass(frozen=True, slots=True)
class PresenceChange:
    """What has changed."""

    joined: Sequence[Present] = ()
    updated: Sequence[Present] = ()
    left: Sequence[str] = ()
    """Ids of sessions."""


class PresenceList:
    """The sessions in one document. ``told`` is called after each change that others see."""

    def __init__(self, told: Callable[[PresenceChange], None]) -> None:
        self._told = told
        self._present: dict[str, Present] = {}
        self._until: dict[str, float] = {}
        """When those go that have no connection: monotonic seconds."""
        self.version = 0
        """Grows with each change."""

    @property
    def present(self) -> Sequence[Present]:
        """All that are here, in the order in which they came."""
        return list(self._present.values())

    def enter(
        self, session: Session, transport: Transport, now: int, *, state: Json = None, until: float | None = None
    ) -> None:
        """The session is here, or tells something new. ``until``: it goes by itself unless it comes again before."""
        known = self._present.get(session.id)
        access = session.access
        told = Present(
            session.id,
            access.user_id,
            access.name,
            access.colour,
            transport,
            known.state if known and state is None else state,
            now,
        )
        self._present[session.id] = told
        self._until.pop(session.id, None)
        if until is not None:
            self._until[session.id] = until
        if known is None:
            self._changed(PresenceChange(joined=[told]))
        elif replace(known, last_active=now) != told:
            self._changed(PresenceChange(updated=[told]))

    def leave(self, session: Session) -> None:
        """The session has gone. Idempotent."""
        self._until.pop(session.id, None)
        if self._present.pop(session.id, None) is not None:
            self._changed(PresenceChange(left=[session.id]))

    def expire(self, now: float) -> None:
        """Those whose time is over have gone."""
        gone = [session_id for session_id, until in self._until.items() if until <= now]
        for session_id in gone:
            del self._until[session_id], self._present[session_id]
        if gone:
            self._changed(PresenceChange(left=gone))

    def _changed(self, change: PresenceChange) -> None:
        self.version += 1
        self._told(change)
