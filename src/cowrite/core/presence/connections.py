"""The open connections of one document in this process, by session."""

from __future__ import annotations

from collections import Counter

from cowrite.core.events import Connected, Disconnected
from cowrite.core.ports import Clock
from cowrite.core.ports.events import UNHEARD, Events
from cowrite.core.presence.present import Transport
from cowrite.core.sessions.session import Session


class Connections:
    """Counts them, and tells of each that comes or goes."""

    def __init__(self, events: Events = UNHEARD, clock: Clock | None = None) -> None:
        """``clock`` dates what is told. None: nobody is told."""
        self._count = Counter[str]()
        self._events = events
        self._clock = clock

    def __getitem__(self, session_id: str) -> int:
        return self._count[session_id]

    def open(self, session: Session, transport: Transport) -> None:
        """One more."""
        self._count[session.id] += 1
        if self._clock is not None:
            now = self._clock.now()
            self._events.tell(Connected(session.document_id, session.id, session.author, transport, now))

    def close(self, session: Session) -> bool:
        """One less. False: that was the last one."""
        self._count[session.id] -= 1
        if self._clock is not None:
            self._events.tell(Disconnected(session.document_id, session.id, session.author, self._clock.now()))
        return self._count[session.id] > 0

    def forget(self, session: Session) -> None:
        """The session has gone: those that it has left say nothing of it any more."""
        self._count.pop(session.id, None)
