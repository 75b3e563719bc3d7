"""Grants that change while people are connected.

A change is a row with a revision, and overrides every access that was decided before it; what is decided later was decided
knowing it. Of several changes that match a session the newest counts. Every process reads new rows every half second, and the
journal reads them under its lock, so that nothing of a session is committed once the call that revoked it has returned.

A session that its user ends is another matter: it is let in no more, and what it has written is committed all the same. So its
end is no change of access, and nobody's transaction waits for it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Final, TypeAlias

import structlog

from cowrite.core.errors import RoomClosed
from cowrite.core.excess import Excess
from cowrite.core.limits import Limits
from cowrite.core.outage import Outage
from cowrite.core.ports import AccessChanges, AccessDenied, AccessLog, Clock, Grant, Sessions, StoreError
from cowrite.core.records import AccessChange
from cowrite.core.sessions.session import Session
from cowrite.protocol.close_codes import CloseCode

READ_SECONDS: Final = 0.5
"""How often new changes and ends are read."""
ENDED_SECONDS: Final = 3600
"""How long an ended session is remembered: longer than its access token could be shown."""
_LOOK_BACK: Final = 60_000
"""Milliseconds from before the last look in which ends are read again: clocks of processes differ, and commits take time."""
LEEWAY: Final = 2000
"""Milliseconds by which a token may be younger than a change and still be overridden: tokens are dated in whole seconds, by the
host's clock."""

_REVISION: Final = attrgetter("revision")
_log = structlog.get_logger(__name__)

Follower: TypeAlias = Callable[[Session], None]
"""Told after a session's ``grant`` has changed, and when it has ended. Synchronous; may leave."""


class AccessControl:
    """What the sessions of this process may do now."""

    def __init__(self, log: AccessLog, clock: Clock, limits: Limits | None = None, excess: Excess | None = None) -> None:
        self._limits = limits if limits is not None else Limits()
        self._excess = excess if excess is not None else Excess()
        self._of_user: Counter[str] = Counter()
        """How many follow sessions of each user."""
        self._changes: AccessChanges = log
        self._sessions: Sessions = log
        self._clock = clock
        self._known: dict[tuple[str | None, str | None], AccessChange] = {}
        """Those that are about more than one session: of each document and user, either of which may be any, the newest."""
        self._of_session: dict[str, AccessChange] = {}
        """Of those about one session, the newest of each."""
        self._ended: dict[str, int] = {}
        """Sessions that their users have ended, and when."""
        self._looked_at: int | None = None
        """Up to when ends are known here."""
        self._followers: dict[Session, list[Follower]] = {}
        self._listeners: list[Callable[[AccessChange], None]] = []
        self._end_listeners: list[Callable[[str], None]] = []
        self._reading = asyncio.Lock()
        self._outage = Outage(_log, "changed grants and ended sessions")
        self.revision = 0
        """The changes up to this one are known here."""

    @property
    def failing(self) -> bool:
        """The store could not be read the last times, whether or not there is anything to write."""
        return self._outage.failing

    def check(self, session: Session) -> None:
        """Bring a session's grant up to what is known here. Raises :class:`AccessDenied` when it has ended or was revoked.

        Call it in the synchronous step that lets the session in.
        """
        self.refresh(session)
        if session.ended or session.id in self._ended:
            session.ended = True
            raise AccessDenied("The session has ended.", known=False)
        if session.grant is None:
            raise AccessDenied("The access to this document was revoked.", known=True)

    def refresh(self, session: Session) -> None:
        """Bring a session's grant up to what is known here."""
        if session.revision != self.revision:
            session.revision = self.revision
            session.grant = self._grant(session)

    def change_of(self, document_id: str, user_id: str) -> AccessChange | None:
        """The newest change of what this user may do in this document, in whatever session. None: there was none, or it gave
        back what the tokens say. What was decided after it is not overridden by it.
        """
        found = max(self._about(document_id, user_id), key=_REVISION, default=None)
        return None if found is None or found.restores else found

    def follow(self, session: Session, told: Follower) -> None:
        """Keep the session's grant up to date, and tell when it changes, until :meth:`unfollow`.

        Raises as :meth:`check`, and :class:`RoomClosed` when too many follow this session, or sessions of its user.
        """
        self.check(session)
        self._make_room(session)
        self._followers.setdefault(session, []).append(told)

    def unfollow(self, session: Session, told: Follower) -> None:
        """Whoever that is needs no news any more. Idempotent."""
        followers = self._followers.get(session, [])
        if told in followers:
            followers.remove(told)
            self._of_user[session.author] -= 1
            if not self._of_user[session.author]:
                del self._of_user[session.author]
        if not followers:
            self._followers.pop(session, None)

    def _make_room(self, session: Session) -> None:
        """Count one more who follows the session. Raises :class:`RoomClosed`."""
        of_session, of_user = len(self._followers.get(session, ())), self._of_user[session.author]
        for limit, there, most in (
            ("session_sockets", of_session, self._limits.session_sockets),
            ("user_sockets", of_user, self._limits.user_sockets),
        ):
            if there >= most:
                self._excess.count(limit)
                raise RoomClosed(CloseCode.TOO_FAST, f"{there} connections of this {limit.partition('_')[0]} are open already")
        self._of_user[session.author] += 1

    def tell(self, session: Session) -> None:
        """Something about the session has changed: tell those who follow it."""
        for told in list(self._followers.get(session, ())):
            told(session)

    def end(self, session: Session) -> None:
        """Its user has ended it: it is let in no more, and those who follow it are told. Idempotent."""
        self._learn_ends({session.id: self._clock.now()})
        if not session.ended:
            session.ended = True
            self.tell(session)

    async def look_for_ends(self) -> None:
        """Read which sessions have been ended, on whatever process. Raises :class:`StoreError`."""
        now = self._clock.now()
        since = now - ENDED_SECONDS * 1000 if self._looked_at is None else self._looked_at - _LOOK_BACK
        ended = await self._sessions.ended_sessions(since=since)
        self._looked_at = now
        self._learn_ends(ended)
        for session in [one for one in self._followers if one.id in ended] if ended else ():
            self.end(session)

    def tend(self, now: int) -> None:
        """Every few seconds: tell those whose sessions are over; ``now`` is in milliseconds since 1970."""
        self._ended = {session_id: at for session_id, at in self._ended.items() if at > now - ENDED_SECONDS * 1000}
        for session in list(self._followers):
            if session.ends_at is not None and session.ends_at <= now and not session.ended:
                session.ended = True
                self.tell(session)

    def listen(self, told: Callable[[AccessChange], None]) -> None:
        """Be told of every change that is learned from now on, after the sessions."""
        self._listeners.append(told)

    def listen_for_ends(self, told: Callable[[str], None]) -> None:
        """Be told of every session that is found to have been ended from now on, also of those that nobody follows."""
        self._end_listeners.append(told)

    async def catch_up(self, revision: int | None = None) -> None:
        """Read what is new, unless ``revision`` is known already. Raises :class:`StoreError`."""
        if revision is not None and revision <= self.revision:
            return
        async with self._reading:
            if revision is None or revision > self.revision:
                self._learn(await self._changes.changes(after=self.revision))

    async def run(self) -> None:
        """Read what is new every half second, until cancelled."""
        while True:
            try:
                await self.catch_up()
                await self.look_for_ends()
            except StoreError as error:
                self._outage.failed(error)
            else:
                self._outage.worked()
            await self._clock.sleep(READ_SECONDS)

    def _learn_ends(self, ended: Mapping[str, int]) -> None:
        news = [session_id for session_id in ended if session_id not in self._ended]
        self._ended = {**ended, **self._ended}
        for session_id in news:
            for told in self._end_listeners:
                told(session_id)

    def _learn(self, changes: Sequence[AccessChange]) -> None:
        for change in changes:
            if change.session_id is None:
                self._known[change.document_id, change.user_id] = change
            else:
                self._of_session[change.session_id] = change
            self.revision = change.revision
            _log.info(
                "access changed",
                document=change.document_id,
                user=change.user_id,
                session=change.session_id,
                grant=change.grant,
                by=change.changed_by,
            )
            for session in [one for one in self._followers if _concerns(change, one)]:
                before = session.grant
                self.refresh(session)
                if session.grant is not before:
                    self.tell(session)
            for listener in self._listeners:
                listener(change)

    def _grant(self, session: Session) -> Grant | None:
        known = self._about(session.document_id, session.author)
        if (of_session := self._of_session.get(session.id)) is not None:
            known.append(of_session)
        found = max((one for one in known if _overrides(one, session)), key=_REVISION, default=None)
        return session.access.grant if found is None or found.restores else found.grant

    def _about(self, document: str, user: str) -> list[AccessChange]:
        known = (self._known.get(about) for about in ((document, user), (document, None), (None, user), (None, None)))
        return [one for one in known if one is not None]


def _overrides(change: AccessChange, session: Session) -> bool:
    return change.created_at + LEEWAY >= session.decided_at and _concerns(change, session)


def _concerns(change: AccessChange, session: Session) -> bool:
    return (
        change.document_id in (None, session.document_id)
        and change.user_id in (None, session.author)
        and change.session_id in (None, session.id)
    )
