"""Who is in one document, as far as this process knows. Synchronous and without a clock of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Final

from cowrite.core.limits import Limits
from cowrite.core.sessions.session import Session
from cowrite.crdt.values import Json
from cowrite.protocol.thin import encode_value, encode_with, json_list

MAX_STATE_BYTES: Final = 16 << 10
"""What one session may tell the others about itself, as JSON."""
_CROWDED: Final = "the user has {} other sessions in this document, and no more are shown; close some of them"
_FULL: Final = "the states of all sessions in this document have at most {} bytes together; tell less, or later"


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
    lasting: bytes = field(compare=False, repr=False)
    """All but ``last_active`` as JSON, without the closing brace: encoded once for all who are told and all who ask."""

    @property
    def json(self) -> bytes:
        """The JSON form, encoded."""
        return b'%s,"last_active":%d}' % (self.lasting, self.last_active)

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
        joined, updated = (json_list([present.json for present in some]) for some in (self.joined, self.updated))
        return encode_with("presence", {"joined": joined, "updated": updated}, left=list(self.left))


class PresenceRefused(Exception):
    """What a session tells about itself is not taken. ``code`` is stable, ``reason`` is for people."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class PresenceList:
    """The sessions in one document. ``told`` is called after each change that others see.

    A session that comes while its user has as many here as one user may is not shown, and neither does anybody notice it; all
    else works for it. It enters by itself when another one of its user has gone, one that polls with its next poll.
    """

    def __init__(self, told: Callable[[PresenceChange], None], limits: Limits | None = None) -> None:
        self._told = told
        self._limits = limits if limits is not None else Limits()
        self._present: dict[str, Present] = {}
        self._by_user: Counter[str] = Counter()
        """Sessions that are here, by user."""
        self._waiting: dict[str, dict[str, tuple[Session, Transport, int]]] = {}
        """Sessions with open sockets that find no place, by user and id, and since when."""
        self._sizes: dict[str, int] = {}
        """Bytes of the states that are told, by session."""
        self._state_bytes = 0
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

    @property
    def json(self) -> bytes:
        """The same as a JSON list."""
        return json_list([present.json for present in self._present.values()])

    def connect(self, session: Session, transport: Transport, now: int) -> None:
        """A socket of the session has opened; ``now`` is in milliseconds since 1970."""
        self._connections[session.id] += 1
        self._until.pop(session.id, None)
        if not self._enter(session, transport, now):
            self._waiting.setdefault(session.author, {})[session.id] = session, transport, now

    def disconnect(self, session: Session) -> None:
        """A socket of the session has closed. With the last one it leaves."""
        self._connections[session.id] -= 1
        if self._connections[session.id] <= 0:
            self.leave(session)

    def visit(self, session: Session, now: int, until: float) -> None:
        """The session has polled; it leaves by itself at ``until``, in monotonic seconds, unless it comes again before."""
        if self._connections[session.id] <= 0:
            del self._connections[session.id]
            if self._enter(session, Transport.POLLING, now):
                self._until[session.id] = until

    def tell(self, session: Session, state: Json, now: int) -> None:
        """The session tells something about itself. Nothing happens when it is not here.

        Raises :class:`PresenceRefused` where its user's other sessions leave it no place, and where the states of all are too
        much; then what it told before stays.
        """
        known = self._present.get(session.id)
        if known is None and self._by_user[session.author] >= self._limits.presence_sessions:
            raise PresenceRefused("too_many_sessions", _CROWDED.format(self._limits.presence_sessions))
        if known is not None and known.state != state:
            self._weigh(session, state)
            self._put(_written(replace(known, state=state, last_active=now)), known)

    def leave(self, session: Session) -> None:
        """The session has gone, whatever it had open. Idempotent."""
        self._connections.pop(session.id, None)
        self._until.pop(session.id, None)
        self._forget_waiting(session)
        if session.id in self._present:
            self._remove([session.id])

    def expire(self, now: float) -> None:
        """Those whose time is over have gone; ``now`` is in monotonic seconds."""
        gone = [session_id for session_id, until in self._until.items() if until <= now]
        for session_id in gone:
            del self._until[session_id]
        if gone:
            self._remove(gone)

    def _enter(self, session: Session, transport: Transport, now: int) -> bool:
        """False: there is no place for it."""
        known = self._present.get(session.id)
        if known is None and self._by_user[session.author] >= self._limits.presence_sessions:
            return False
        access = session.access
        state = known.state if known is not None else None
        present = Present(session.id, access.user_id, access.name, access.colour, transport, state, now, b"")
        if known is not None and replace(known, last_active=now) == present:
            self._present[session.id] = replace(known, last_active=now)
        else:
            self._put(_written(present), known)
        return True

    def _weigh(self, session: Session, state: Json) -> None:
        size = len(encode_value(state)) if state is not None else 0
        total = self._state_bytes - self._sizes.get(session.id, 0) + size
        if size and total > self._limits.presence_bytes:
            raise PresenceRefused("presence_full", _FULL.format(self._limits.presence_bytes))
        self._state_bytes, self._sizes[session.id] = total, size

    def _put(self, present: Present, known: Present | None) -> None:
        self._present[present.session_id] = present
        if known is None:
            self._by_user[present.user_id] += 1
            self._changed(PresenceChange(joined=[present]))
        else:
            self._changed(PresenceChange(updated=[present]))

    def _remove(self, session_ids: Sequence[str]) -> None:
        users = []
        for session_id in session_ids:
            users.append(self._present.pop(session_id).user_id)
            self._state_bytes -= self._sizes.pop(session_id, 0)
        self._changed(PresenceChange(left=session_ids))
        for user_id in users:
            self._by_user[user_id] -= 1
            if not self._by_user[user_id]:
                del self._by_user[user_id]
            self._fill(user_id)

    def _fill(self, user_id: str) -> None:
        """A place of the user is free: for the one that has waited longest."""
        waiting = self._waiting.get(user_id)
        if waiting:
            session, transport, since = waiting[next(iter(waiting))]
            self._forget_waiting(session)
            self._enter(session, transport, since)

    def _forget_waiting(self, session: Session) -> None:
        waiting = self._waiting.get(session.author, {})
        if waiting.pop(session.id, None) is not None and not waiting:
            del self._waiting[session.author]

    def _changed(self, change: PresenceChange) -> None:
        self.version += 1
        self._told(change)


def _written(present: Present) -> Present:
    lasting = present.to_json()
    del lasting["last_active"]
    return replace(present, lasting=encode_value(lasting)[:-1])
