"""Who is in one document: the sessions of this process, and what others have written down. Synchronous, without a clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from cowrite.core.limits import Limits
from cowrite.core.ports import PresenceNews, PresenceRecord
from cowrite.core.presence.connections import Connections
from cowrite.core.presence.crowd import Crowd
from cowrite.core.presence.notes import Ends, Note, Urgency
from cowrite.core.presence.present import Activity, Person, PresenceChange, Present, Transport
from cowrite.core.presence.refusals import crowded, full
from cowrite.core.presence.waiting import WaitingSessions
from cowrite.core.sessions.session import Session
from cowrite.protocol.strict_json import Json

_CLAIM_SECONDS: Final = 10.0
"""So long after another process has written down a session that polls here, this one does, too: it has moved."""


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
        ends: Ends = lambda until, expires_at: None,
        connections: Connections | None = None,
    ) -> None:
        """``told`` is called after each change that others see, ``note`` after each that other processes must be told of, and
        ``ends`` when :meth:`end` has something to do at a later time.
        """
        self._limits = limits if limits is not None else Limits()
        self._process = process
        self._note = note
        self._ends = ends
        self.crowd = Crowd(told, sessions=self._limits.presence_sessions, size=self._limits.presence_bytes)
        self._waiting, self._connections = WaitingSessions(), connections or Connections()
        self._until: dict[str, float] = {}
        """When those go that have none: monotonic seconds."""
        self._visits: dict[str, float] = {}
        """The same of those that poll here while another process answers for them, or none."""
        self._cut: set[str] = set()
        """Sessions of which more is written down than is shown: it does not fit in."""
        self._seen: dict[str, tuple[PresenceRecord, Present]] = {}
        """Sessions of other processes as they were read last, and what was made of that."""
        self._heard: dict[str, float] = {}
        """Sessions of other processes, and when they were last heard of; for a moment also those that have gone."""

    @property
    def persons(self) -> Sequence[Person]:
        """All that are here, in the order in which they came."""
        return self.crowd.persons

    @property
    def writable(self) -> Iterable[Present]:
        """The sessions that this process answers for, and those that no process does: what it may write down."""
        return [one for one in self.crowd if self._is_own(one) or (one.process is None and one.session_id not in self._cut)]

    # ---- sessions of this process ------------------------------------------------------------------------------------

    def connect(self, session: Session, transport: Transport, now: int) -> None:
        """A socket of the session has opened; ``now`` is in milliseconds since 1970."""
        self._connections.open(session, transport)
        self._until.pop(session.id, None)
        if not self._enter(session, transport, now):
            self._waiting.put(session, transport, now)

    def disconnect(self, session: Session) -> None:
        """A socket of the session has closed. With the last one it leaves."""
        if not self._connections.close(session):
            self.leave(session)

    def visit(self, session: Session, now: int, monotonic: float, seconds: float) -> None:
        """The session has polled; it leaves by itself after so many ``seconds``, unless it comes again before."""
        if self._connections[session.id] > 0:
            return
        known, until = self.crowd.get(session.id), monotonic + seconds
        if known is not None and (known.expires_at is not None or self._is_elsewhere(known, monotonic)):
            self._visits[session.id] = until
            return
        looks = session.access.name, session.access.colour, Transport.POLLING
        renamed = known is None or (known.name, known.colour, known.transport) != looks
        if (not renamed and self._is_own(known)) or self._enter(session, Transport.POLLING, now):
            self._visits.pop(session.id, None)
            self._until[session.id] = until
            self._ends(until, None)

    def stay(self, session: Session, now: int, milliseconds: int) -> None:
        """The session is here for so long, whatever becomes of this process; of one with a socket that says nothing.

        Raises :class:`PresenceRefused` where its user's other sessions leave it no place.
        """
        if self._connections[session.id] > 0:
            return
        if not self._enter(session, Transport.POLLING, now, process=None, expires_at=now + milliseconds):
            raise crowded(self._limits.presence_sessions)
        self._until.pop(session.id, None)
        self._ends(None, now + milliseconds)

    def tell(self, session: Session, told: Mapping[str, Json], now: int) -> None:
        """The session tells something about itself: ``state``, ``cursor``, ``data``, or some of them; the others stay.
        One that polls here while another process answers for it is this one's from now on, unless the other one objects.

        Nothing happens when it is not here. Raises :class:`PresenceRefused` where its user's other sessions leave it no place,
        and where all sessions tell too much; then what it told before stays.
        """
        known = self.crowd.get(session.id)
        if known is None:
            if self.crowd.is_full_for(session.author):
                raise crowded(self._limits.presence_sessions)
            return
        elsewhere = known.process not in (self._process, None)
        if elsewhere and session.id not in self._visits:
            return
        changed = known.telling(told, now, process=self._process)
        if not self.crowd.has_room_for(changed):
            raise full(self._limits.presence_bytes)
        if elsewhere:
            self._until[session.id] = self._visits.pop(session.id)
            self._change(changed.but(process=self._process), Urgency.SOON)
        elif changed.lasting == known.lasting:
            self._change(replace(changed, lasting=known.lasting), Urgency.LATER)
        else:
            self._change(changed, Urgency.SOON)

    def active(self, session_id: str, now: int) -> None:
        """The session has done something. Cheap; nothing happens when it is not here."""
        known = self.crowd.get(session_id)
        if known is not None and known.last_active < now:
            if known.activity is Activity.ACTIVE:
                self._change(known.seen(now), Urgency.LATER)
            else:
                self._change(known.but(activity=Activity.ACTIVE, last_active=now), Urgency.SOON)

    def leave(self, session: Session) -> None:
        """The session has gone, whatever it had open. Idempotent."""
        self._connections.forget(session)
        self._waiting.forget(session)
        known = self.crowd.get(session.id)
        if known is not None:
            self._send_away([known])

    def dismiss(self, user_id: str | None, session_id: str | None) -> None:
        """Sessions of this process, or of none, have gone: those of a user, or one; but for those with sockets."""
        about = [one for one in self.crowd if user_id in (None, one.user_id) and session_id in (None, one.session_id)]
        self._send_away([one for one in about if self._connections[one.session_id] <= 0])

    def go(self, session: Session) -> None:
        """The session says that it goes; of one with a socket that says nothing. Idempotent."""
        if self._connections[session.id] <= 0:
            self.leave(session)

    def tend(self, now: int, monotonic: float) -> None:
        """Every few seconds: those who do nothing become idle, and away, and those that poll here are this process's when no
        other one has spoken of them for a while.
        """
        self.end(now, monotonic)
        still = []
        for one in self._own():
            activity = one.activity_at(now)
            if activity is not one.activity:
                still.append(one.but(activity=activity))
        if still:
            self.crowd.change(still)
            for one in still:
                self._note(one, Urgency.SOON)
        for session_id, until in list(self._visits.items()):
            known = self.crowd.get(session_id)
            if until <= monotonic or known is None:
                del self._visits[session_id]
            elif known.expires_at is None and not self._is_elsewhere(known, monotonic):
                self._take(known)
        self._heard = {
            session_id: at
            for session_id, at in self._heard.items()
            if session_id in self.crowd or monotonic - at < _CLAIM_SECONDS
        }

    def end(self, now: int, monotonic: float) -> None:
        """Those whose time is over have gone; one that also polls here stays, with what it told."""
        over = {session_id for session_id, until in self._until.items() if until <= monotonic}
        ended = [one for one in self.crowd if one.expires_at is not None and one.expires_at <= now]
        gone = [one for one in self.crowd if one.session_id in over]
        for one in ended:
            if self._visits.get(one.session_id, monotonic) > monotonic:
                self._take(one)
            else:
                gone.append(one)
        if gone:
            self._remove(gone)

    def next_end(self) -> tuple[float | None, int | None]:
        """The times when :meth:`end` has something to do: in monotonic seconds, and in milliseconds since 1970."""
        ends = [one.expires_at for one in self.crowd if one.expires_at is not None]
        return min(self._until.values(), default=None), min(ends, default=None)

    def close(self) -> None:
        """The document is closed here: other processes are told that its sessions have left, but for those that stay."""
        self._remove(self._own())

    # ---- sessions of others ------------------------------------------------------------------------------------------

    def hear(self, news: PresenceNews, monotonic: float) -> None:
        """What another process has written down."""
        self._adopt(news.put, monotonic, news=True)
        gone = []
        for session_id in (*news.removed, *news.ended):
            known = self.crowd.get(session_id)
            self._heard[session_id] = monotonic
            if known is not None and known.process == (None if session_id in news.ended else news.process):
                gone.append(session_id)
            elif known is not None and self._is_own(known):
                self._note(known, Urgency.NOW)  # others have been told that it is gone
        self._drop(gone)

    def learn(self, records: Sequence[PresenceRecord], asked_at: float, unwritten: Container[str] = ()) -> None:
        """Some of what is written down. What was heard since ``asked_at`` is newer, and so is what is here of those who stay
        for a time and are ``unwritten`` yet.
        """
        fresh = [one for one in records if not self._is_newer_here(one.session_id, asked_at, unwritten)]
        self._adopt([one for one in fresh if one.process != self._process], asked_at, news=False)
        for record in fresh:
            ours = record.process == self._process and record.session_id not in self.crowd
            if ours and (stale := Present.read(record)) is not None:
                self._note(stale, Urgency.GONE)

    def settle(
        self, records: Sequence[PresenceRecord], asked_at: float, *, settled: bool, unwritten: Container[str] = ()
    ) -> None:
        """All that is written down, which was learned. ``settled``: what is not there is gone, else perhaps not yet there."""
        written = {one.session_id: one.process for one in records}
        for one in self._own():
            process = written.get(one.session_id, "")
            if process == "" or (process != self._process and self._connections[one.session_id] > 0):
                self._note(one, Urgency.NOW)
        if settled:
            ids = [one.session_id for one in self.crowd if not self._is_own(one) and one.session_id not in written]
            self._drop([session_id for session_id in ids if not self._is_newer_here(session_id, asked_at, unwritten)])

    def keep(self, living: frozenset[str], monotonic: float) -> None:
        """Only these processes live: the sessions of others have gone, but for those that were heard of just now."""
        known = living | {self._process, None}
        gone = [one for one in self.crowd if one.process not in known]
        lost = [one for one in gone if monotonic - self._heard.get(one.session_id, 0.0) >= _CLAIM_SECONDS]
        for one in lost:
            if self._visits.get(one.session_id, monotonic) > monotonic:
                self._take(one)
        self._drop([one.session_id for one in lost if not self._is_own(self.crowd.get(one.session_id))])

    def _adopt(self, records: Sequence[PresenceRecord], heard_at: float, *, news: bool) -> None:
        """``news``: of the process that answers for them now; else what is as it was read before says nothing."""
        put: list[Present] = []
        coming: Counter[str] = Counter()
        size = 0
        for record in records:
            known, seen = self.crowd.get(record.session_id), self._seen.get(record.session_id)
            if seen is not None and seen[1] is known and seen[0] == record and record.session_id not in self._cut:
                if news:
                    self._heard[record.session_id] = heard_at
                continue
            present = self._judge(record, known, size, coming)
            if present is not None:
                coming[present.user_id] += known is None
                size += self.crowd.growth(present)
                self._heard[record.session_id] = heard_at
                self._seen[record.session_id] = record, present
                if (until := self._until.pop(record.session_id, None)) is not None:
                    self._visits[record.session_id] = until
                put.append(present)
        self.crowd.change(put)
        for present in put:
            if present.expires_at is not None:
                self._ends(None, present.expires_at)
            written = self._seen[present.session_id][0]
            if (
                present.process is None
                and present.session_id not in self._cut
                and written.metadata.get("told_at") != list(present.told_at)
            ):
                self._note(present, Urgency.SOON)  # it was told more, and nobody answers for it

    def _judge(self, record: PresenceRecord, known: Present | None, size: int, coming: Counter[str]) -> Present | None:
        """What is to be shown of a record; None when it is not: it cannot be read, has no place, or the session is this
        process's and stays that.
        """
        present = Present.read(record)
        if present is None or (known is not None and known.user_id != present.user_id):
            return None
        connected = self._connections[record.session_id] > 0
        if known is None:
            if connected or self.crowd.is_full_for(present.user_id, coming[present.user_id]):
                return None
        elif self._is_own(known) and (connected or present.is_behind(known)):
            self._heed(known, present, connected=connected)
            return None
        else:
            present = present.heed(known)
        if self.crowd.has_room_for(present, size):
            self._cut.discard(record.session_id)
            return present
        self._cut.add(record.session_id)
        return present.but(cursor=None, data=None, told_at=(present.told_at[0], 0, 0))  # who is here is known all the same

    def _heed(self, known: Present, other: Present, *, connected: bool) -> None:
        """A session of this process has been at another one, too: what it told there counts, if that is newer."""
        heeded = known.heed(other)
        if not self.crowd.has_room_for(heeded):
            return
        if not connected:
            self._change(heeded, Urgency.NOW)  # the other process does not know what it told here
        elif heeded is not known:
            self._change(heeded, Urgency.SOON)

    def _drop(self, session_ids: Sequence[str]) -> None:
        for session_id in session_ids:
            for kept in (self._until, self._visits, self._seen):
                kept.pop(session_id, None)
            self._cut.discard(session_id)
        users = {shown.user_id for session_id in session_ids if (shown := self.crowd.get(session_id)) is not None}
        self.crowd.change(removed=session_ids)
        for user_id in users:
            self._fill(user_id)

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _is_newer_here(self, session_id: str, asked_at: float, unwritten: Container[str]) -> bool:
        known = self.crowd.get(session_id)
        stays = known is not None and known.process is None
        return (stays and session_id in unwritten) or self._heard.get(session_id, asked_at) > asked_at

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
        if known is not None and known.user_id != session.author:
            self._drop([session.id])  # somebody else wrote it down under this id
            known = None
        if known is None and self.crowd.is_full_for(session.author):
            return False
        present = Present.of(session, transport, now, process=self._process)
        if known is not None:
            present = present.but(cursor=known.cursor, data=known.data, told_at=known.told_at)
            if transport is Transport.POLLING:  # to ask is to do nothing
                present = present.but(activity=known.activity, last_active=known.last_active)
        if stays:
            present = present.but(**stays)
        if known is not None and known == present.seen(known.last_active):
            return True
        self._change(present, Urgency.NOW)
        return True

    def _take(self, known: Present) -> None:
        """A session that polls here is this process's from now on."""
        self._until[known.session_id] = self._visits.pop(known.session_id)
        self._change(known.but(process=self._process, expires_at=None, transport=Transport.POLLING), Urgency.NOW)

    def _change(self, present: Present, urgency: Urgency) -> None:
        self.crowd.change([present])
        self._note(present, urgency)

    def _send_away(self, gone: Sequence[Present]) -> None:
        mine = [one for one in gone if one.process in (self._process, None)]
        self._remove(mine)
        for one in mine:
            if one.process is None:
                self._note(one, Urgency.GONE)

    def _remove(self, gone: Sequence[Present]) -> None:
        self._drop([one.session_id for one in gone])
        for one in gone:
            if self._is_own(one):
                self._note(one, Urgency.GONE)

    def _fill(self, user_id: str) -> None:
        """A place of the user is free: for the one that has waited longest."""
        while (first := self._waiting.first(user_id)) is not None and not self.crowd.is_full_for(user_id):
            self._waiting.forget(first[0])
            self._enter(*first)
