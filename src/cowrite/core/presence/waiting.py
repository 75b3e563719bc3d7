"""Sessions with open sockets that find no place among those that are shown, because their user has so many."""

from __future__ import annotations

from cowrite.core.presence.present import Transport
from cowrite.core.sessions.session import Session


class WaitingSessions:
    """In the order in which they came, by user."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[str, tuple[Session, Transport, int]]] = {}

    def put(self, session: Session, transport: Transport, since: int) -> None:
        """One more; ``since`` is in milliseconds since 1970."""
        self._waiting.setdefault(session.author, {})[session.id] = session, transport, since

    def first(self, user_id: str) -> tuple[Session, Transport, int] | None:
        """The one of the user that has waited longest."""
        return next(iter(self._waiting.get(user_id, {}).values()), None)

    def forget(self, session: Session) -> None:
        """It has a place, or has gone. Idempotent."""
        waiting = self._waiting.get(session.author, {})
        if waiting.pop(session.id, None) is not None and not waiting:
            del self._waiting[session.author]
