"""Who is in one document: the sessions of this process, and what others have written down. Synchronous, without a clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Final

from cowrite.core.limits import Limits
from cowrite.core.ports import PresenceNews, PresenceRecord
from cowrite.core.presence.crowd import Crowd
from cowrite.core.presence.present import Activity, Person, PresenceChange, Present, Transport, activity_at
from cowrite.core.sessions.session import Session
from cowrite.protocol.strict_json import Json
from cowrite.protocol.thin import encode_value

MAX_STATE_BYTES: Final = 16 << 10
"""What one session may tell the others about itself, as JSON."""
_CLAIM_SECONDS: Final = 10.0
"""So long after another process has written down a session that polls here, this one does, too: it has moved."""
_CROWDED: Final = "the user has {} other sessions in this document, and no more are shown; close some of them"
_FULL: Final = "the states of all sessions in this document have at most {} bytes together; tell less, or later"


class Urgency(IntEnum):
    """How soon other processes must know of a change."""

    NOW = 0
    """Somebody has come."""
    SOON = 1
    """Somebody tells something: a cursor perhaps, many times a second."""
    LATER = 2
    """Somebody was active again."""
    GONE = 3
    """The session has gone: as soon as when it had come."""


class PresenceRefused(Exception):
    """What a session tells about itself is not taken. ``code`` is stable, ``reason`` is for people."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


Note = Callable[[Present, Urgency], None]
"""Told of a session of this process that has changed, or has gone."""


class PresenceList:
    """The sessions in one document.

    A session that comes while its user has as many here as one user may is not shown, and neither does anybody notice it; all
    else works for it. It enters by itself when another one of its user has gone, one that polls with its next poll.
    """

    def __init__(
        self,
        told: Callable[[PresenceChange], None],
        limits: Limits | None = None,
        *,
        process: str = "",
        note: Note = lambda present, urgency: None,
    ) -> None:
        """``told`` is called after each change that others see, ``note`` after each that other processes must be told of."""
        self._limits = limits if limits is not None else Limits()
        self._process = process
        self._note = note
        self.crowd = Crowd(told, sessions=self._limits.presence_sessions, size=self._limits.presence_bytes)
        self._waiting: dict[str, dict[str, tuple[Session, Transport, int]]] = {}
        """Sessions with open sockets that find no place, by user and id, and since when."""
        self._connections: Counter[str] = Counter()
        """Open sockets by session."""
        self._until: dict[str, float] = {}
        """When those go that have none: monotonic seconds."""
        self._told: dict[str, Activity] = {}
        """What sessions say of themselves; it holds until they do something."""
        self._heard: dict[str, float] = {}
        """Sessions of other processes, and when they were last heard of; for a moment also those that have gone."""

    @property
    def persons(self) -> Sequence[Person]:
        """All that are here, in the order in which they came."""
        return self.crowd.persons

    @property
    def writable(self) -> Iterable[Present]:
        """The sessions that this process answers for, and those that no process does: what it may write down."""
        return [one for one in self.crowd if one.process in (self._process, None)]

    # ---- sessions of this process ------------------------------------------------------------------------------------

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

    def visit(self, session: Session, now: int, monotonic: float, seconds: float) -> None:
        """The session has polled; it leaves by itself after so many ``seconds``, unless it comes again before."""
        if self._connections[session.id] > 0:
            return
        known = self.crowd.get(session.id)
        if known is not None and (known.expires_at is not None or self._is_elsewhere(known, monotonic)):
            return
        renamed = known is None or (known.name, known.colour) != (session.access.name, session.access.colour)
        if (not renamed and self._is_own(known)) or self._enter(session, Transport.POLLING, now):
            self._until[session.id] = monotonic + seconds

    def stay(self, session: Session, now: int, milliseconds: int) -> None:
        """The session is here for so long, whatever becomes of this process; of one with a socket that says nothing.

        Raises :class:`PresenceRefused` where its user's other sessions leave it no place.
        """
        if self._connections[session.id] > 0:
            return
        if not self._enter(session, Transport.POLLING, now, process=None, expires_at=now + milliseconds):
            raise self._crowded()
        self._until.pop(session.id, None)

    def tell(self, session: Session, told: Mapping[str, Json], now: int) -> None:
        """The session tells something about itself: ``state``, ``cursor``, ``data``, or some of them; the others stay.

        Nothing happens when it is not here. Raises :class:`PresenceRefused` where its user's other sessions leave it no place,
        and where all sessions tell too much; then what it told before stays.
        """
        known = self.crowd.get(session.id)
        if known is None:
            if self.crowd.is_full_for(session.author):
                raise self._crowded()
            return
        changes = {name: value for name, value in told.items() if name in ("cursor", "data")}
        activity = Activity(told["state"]) if told.get("state") is not None else Activity.ACTIVE
        changed = known.but(**changes, activity=activity, last_active=now if activity is Activity.ACTIVE else known.last_active)
        if not self.crowd.has_room_for(changed):
            raise PresenceRefused("presence_full", _FULL.format(self._limits.presence_bytes))
        if activity is Activity.ACTIVE:
            self._told.pop(session.id, None)
        else:
            self._told[session.id] = activity
        if changed.lasting == known.lasting:
            self._change(known.seen(changed.last_active), Urgency.LATER)
        else:
            self._change(changed, Urgency.SOON)

    def active(self, session_id: str, now: int) -> None:
        """The session has done something. Cheap; nothing happens when it is not here."""
        known = self.crowd.get(session_id)
        if known is not None and known.last_active < now:
            self._told.pop(session_id, None)
            if known.activity is Activity.ACTIVE:
                self._change(known.seen(now), Urgency.LATER)
            else:
                self._change(known.but(activity=Activity.ACTIVE, last_active=now), Urgency.SOON)

    def leave(self, session: Session) -> None:
        """The session has gone, whatever it had open. Idempotent."""
        self._connections.pop(session.id, None)
        self._forget_waiting(session)
        known = self.crowd.get(session.id)
        if known is not None and known.process in (self._process, None):
            self._remove([known])
            if known.process is None:
                self._note(known, Urgency.GONE)

    def tend(self, now: int, monotonic: float) -> None:
        """Every few seconds: those whose time is over have gone, and those who do nothing become idle, and away."""
        over = {session_id for session_id, until in self._until.items() if until <= monotonic}
        gone = [one for one in self.crowd if one.session_id in over or (one.expires_at is not None and one.expires_at <= now)]
        if gone:
            self._remove(gone)
        still = []
        for one in self._own():
            activity = self._told.get(one.session_id) or activity_at(now, one.last_active)
            if activity is not one.activity:
                still.append(one.but(activity=activity))
        if still:
            self.crowd.change(still)
            for one in still:
                self._note(one, Urgency.SOON)
        self._heard = {
            session_id: at
            for session_id, at in self._heard.items()
            if session_id in self.crowd or monotonic - at < _CLAIM_SECONDS
        }

    def close(self) -> None:
        """The document is closed here: other processes are told that its sessions have left, but for those that stay."""
        self._remove(self._own())

    # ---- sessions of others ------------------------------------------------------------------------------------------

    def hear(self, news: PresenceNews, monotonic: float) -> None:
        """What another process has written down."""
        self._adopt(news.put, monotonic)
        gone = []
        for session_id in news.removed:
            known = self.crowd.get(session_id)
            self._heard[session_id] = monotonic
            if known is not None and known.process in (news.process, None):
                gone.append(session_id)
            elif known is not None and self._is_own(known):
                self._note(known, Urgency.NOW)  # others have been told that it is gone
        self._drop(gone)

    def compare(self, records: Sequence[PresenceRecord], asked_at: float, *, settled: bool) -> None:
        """Everything that is written down of this document, as it was at ``asked_at`` (monotonic) or a little later.

        What was heard since then is newer. ``settled``: what is not there is gone; else it may not be written down yet.
        """
        fresh = [one for one in records if self._heard.get(one.session_id, asked_at) <= asked_at]
        self._adopt([one for one in fresh if one.process != self._process], asked_at)
        written = {one.session_id: one for one in records}
        for record in fresh:
            if record.process == self._process and record.session_id not in self.crowd:
                stale = Present.read(record)
                if stale is not None:
                    self._note(stale, Urgency.GONE)
        for one in self._own():
            known = written.get(one.session_id)
            if known is None or (known.process != self._process and self._connections[one.session_id] > 0):
                self._note(one, Urgency.NOW)
        if settled:
            unknown = [one for one in self.crowd if not self._is_own(one) and one.session_id not in written]
            self._drop([one.session_id for one in unknown if self._heard.get(one.session_id, asked_at) <= asked_at])

    def keep(self, living: frozenset[str], monotonic: float) -> None:
        """Only these processes live: the sessions of others have gone, but for those that were heard of just now."""
        known = living | {self._process, None}
        gone = [one.session_id for one in self.crowd if one.process not in known]
        self._drop([session_id for session_id in gone if monotonic - self._heard.get(session_id, 0.0) >= _CLAIM_SECONDS])

    def _adopt(self, records: Sequence[PresenceRecord], heard_at: float) -> None:
        put = []
        coming: Counter[str] = Counter()
        for record in records:
            present = Present.read(record)
            if present is None or self._connections[record.session_id] > 0:
                continue
            known, user_id = self.crowd.get(record.session_id), present.user_id
            has_place = known.user_id == user_id if known is not None else not self.crowd.is_full_for(user_id, coming[user_id])
            if has_place and self.crowd.has_room_for(present):
                coming[user_id] += known is None
                self._until.pop(record.session_id, None)
                self._heard[record.session_id] = heard_at
                put.append(present)
        self.crowd.change(put)

    def _drop(self, session_ids: Sequence[str]) -> None:
        users = {shown.user_id for session_id in session_ids if (shown := self.crowd.get(session_id)) is not None}
        self.crowd.change(removed=session_ids)
        for user_id in users:
            self._fill(user_id)

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _own(self) -> Sequence[Present]:
        return [one for one in self.crowd if self._is_own(one)]

    def _is_own(self, present: Present | None) -> bool:
        return present is not None and present.process == self._process

    def _is_elsewhere(self, present: Present, monotonic: float) -> bool:
        """Another process answers for it, and has said so not long ago."""
        return not self._is_own(present) and monotonic - self._heard.get(present.session_id, monotonic) < _CLAIM_SECONDS

    def _enter(self, session: Session, transport: Transport, now: int, **stays: Json) -> bool:
        """False: there is no place for it."""
        known = self.crowd.get(session.id)
        if known is None and self.crowd.is_full_for(session.author):
            return False
        present = Present.of(session, transport, now, process=self._process)
        if known is not None:
            present = present.but(cursor=known.cursor, data=known.data)
        if stays:
            present = present.but(**stays)
        if known == present.seen(known.last_active if known is not None else now):
            return True
        self._change(present, Urgency.NOW)
        return True

    def _change(self, present: Present, urgency: Urgency) -> None:
        self.crowd.change([present])
        self._note(present, urgency)

    def _remove(self, gone: Sequence[Present]) -> None:
        for one in gone:
            self._until.pop(one.session_id, None)
            self._told.pop(one.session_id, None)
        self._drop([one.session_id for one in gone])
        for one in gone:
            if self._is_own(one):
                self._note(one, Urgency.GONE)

    def _fill(self, user_id: str) -> None:
        """A place of the user is free: for the one that has waited longest."""
        waiting = self._waiting.get(user_id)
        while waiting and not self.crowd.is_full_for(user_id):
            session, transport, since = waiting[next(iter(waiting))]
            self._forget_waiting(session)
            self._enter(session, transport, since)

    def _forget_waiting(self, session: Session) -> None:
        waiting = self._waiting.get(session.author, {})
        if waiting.pop(session.id, None) is not None and not waiting:
            del self._waiting[session.author]

    def _crowded(self) -> PresenceRefused:
        return PresenceRefused("too_many_sessions", _CROWDED.format(self._limits.presence_sessions))


def size_of(told: Mapping[str, Json]) -> int:
    """Bytes of what a session tells, as JSON."""
    return sum(len(encode_value(told[name])) for name in ("cursor", "data") if told.get(name) is not None)
