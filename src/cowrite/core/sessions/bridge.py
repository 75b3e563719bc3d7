"""The session bridge: from a user of the host application to a session in a document.

``connect`` exchanges what the host gave its user (a session token, or whatever its own ``authorize`` understands) for a session
and an access token, which a client shows with each request, on whatever process it lands. A session ends when it is ended, when
its time is over, or when its access is revoked; what it may do can change while it lasts (:class:`AccessControl`).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from cowrite.core.errors import RoomClosed
from cowrite.core.excess import Excess
from cowrite.core.ids import Ids
from cowrite.core.limits import Limits
from cowrite.core.ports import (
    Access,
    AccessClaims,
    AccessDenied,
    AccessTokenMaker,
    Authorizer,
    Clock,
    Sessions,
)
from cowrite.core.records import SessionRecord
from cowrite.core.sessions.access import AccessControl
from cowrite.core.sessions.session import Session, fault_of
from cowrite.protocol.close_codes import CloseCode

SESSION_MILLISECONDS: Final = 12 * 3600 * 1000
"""How long a session lasts whose access has no end of its own."""
RENEWAL_SECONDS: Final = 24 * 3600
"""How long after its end an access token may still be renewed, while the session lasts: laptops sleep."""
_MAX_KNOWN: Final = 20_000
"""Access tokens that are remembered, so that each is decrypted once."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Admission:
    """A session, and the token that proves it. Times are milliseconds since 1970."""

    session: Session
    access_token: str
    expires_at: int
    """When the access token ends."""
    session_ends_at: int


class SessionBridge:
    """Opens, renews and ends sessions, and knows them again."""

    def __init__(
        self,
        authorize: Authorizer,
        tokens: AccessTokenMaker,
        sessions: Sessions,
        access: AccessControl,
        clock: Clock,
        ids: Ids,
        limits: Limits | None = None,
        excess: Excess | None = None,
    ) -> None:
        self._limits = limits if limits is not None else Limits()
        self._excess = excess if excess is not None else Excess()
        self._authorize = authorize
        self._tokens = tokens
        self._sessions = sessions
        self._access = access
        self._clock = clock
        self._ids = ids
        self._known: OrderedDict[str, AccessClaims] = OrderedDict()
        self._by_id: OrderedDict[str, Session] = OrderedDict()

    async def connect(
        self, session_token: str | None, document_id: str, prepare: Callable[[], Awaitable[None]] | None = None
    ) -> Admission:
        """Open a session.

        ``prepare`` is awaited once the application has agreed and before a token is used up: what fails may be tried again.
        Raises :class:`AccessDenied`, :class:`StoreError` when the session cannot be kept, and what ``prepare`` raises.
        """
        access = await self._ask(session_token, document_id)
        await self._access.catch_up()
        now = self._clock.now()
        session = Session(self._ids.new(), document_id, access, now)
        self._access.check(session)
        claims = self._claims(session)
        if prepare is not None:
            await prepare()
        await self._sessions.begin_session(_record(session, claims))
        # Used up last: a token must not be lost to a failure before this.
        if not await self._use(access):
            await self._sessions.end_session(session.id, now)
            raise AccessDenied("The token is not valid.", known=False)
        return self._admit(session, claims)

    async def refresh(self, access_token: str, session_token: str | None = None) -> Admission:
        """Renew the access token. With a new session token of the same user the session lasts as long as that, with its grant.

        Raises :class:`AccessDenied`, and :class:`StoreError`.
        """
        claims = self._tokens.verify(access_token, leeway=RENEWAL_SECONDS)
        record = await self._sessions.session(claims.session_id)
        if record is None or record.ended_at is not None:
            raise AccessDenied("The session has ended.", known=False)
        session = self._session(_claims_of(record))
        if session_token is not None:
            access = await self._ask(session_token, session.document_id)
            if access.user_id != session.author:
                raise AccessDenied("The token is another user's.", known=True)
            if not await self._use(access):
                raise AccessDenied("The token is not valid.", known=False)
            session.admit(access, self._clock.now())
        await self._access.catch_up()
        self._access.check(session)
        claims = self._claims(session) if session_token is not None else _claims_of(record)
        if session_token is not None and not await self._sessions.update_session(_record(session, claims)):
            raise AccessDenied("The session has ended.", known=False)
        return self._admit(session, claims)

    async def disconnect(self, access_token: str) -> Session:
        """End a session, on all processes. Idempotent. Raises :class:`AccessDenied`, and :class:`StoreError`."""
        claims = self._tokens.verify(access_token, leeway=RENEWAL_SECONDS)
        # Other processes take its access token no more as soon as they have read this.
        await self._sessions.end_session(claims.session_id, self._clock.now())
        session = self._session(claims)
        self._access.end(session)
        return session

    def resume(self, access_token: str) -> Session:
        """The session of an access token. Raises :class:`AccessDenied`."""
        session = self._session(self._claims_of_token(access_token))
        self._access.check(session)
        return session

    async def enter(self, token: str | None, document_id: str | None) -> Session:
        """A session for one connection to a document, by an access token or by a session token.

        ``document_id`` may be None with an access token, which is for one document. Raises :class:`AccessDenied`.
        """
        session = self._resumed(token) if token else None
        if session is None:
            return await self._begin(token, document_id)
        if document_id not in (None, session.document_id):
            raise AccessDenied("The token gives no access to this document.", known=True)
        return session

    async def _begin(self, token: str | None, document_id: str | None) -> Session:
        if document_id is None:
            raise AccessDenied("The token is not valid.", known=False)
        access = await self._ask(token, document_id)
        if access.single_use:
            raise AccessDenied("A token for a single use opens no connection; exchange it for a session.", known=True)
        # Without an end of its own: an editor that cannot renew its token is not put out in the middle of a sentence.
        session = Session(self._ids.new(), document_id, access, self._clock.now())
        self._access.check(session)
        return session

    def _resumed(self, token: str) -> Session | None:
        """None when it is no access token, or not valid: both look the same from outside."""
        try:
            self._claims_of_token(token)
        except AccessDenied:
            return None
        return self.resume(token)

    # ---- inside ------------------------------------------------------------------------------------------------------

    async def _ask(self, token: str | None, document_id: str) -> Access:
        """The authorizer's answer. It may be the host application's own: what no store can keep would fail with each edit.

        Raises :class:`AccessDenied`, and :class:`RoomClosed` when no answer comes in time.
        """
        try:
            async with asyncio.timeout(self._limits.authenticate_seconds) as deadline:
                access = await self._authorize(token, document_id)
        except TimeoutError:
            if not deadline.expired():
                raise  # the application's own
            self._excess.count("authenticate_seconds")
            reason = f"who this is was not said within {self._limits.authenticate_seconds:g} s; try again later"
            raise RoomClosed(CloseCode.STORE_UNAVAILABLE, reason) from None
        if fault := fault_of(access):
            _log.error("answer of authorize= cannot be used", document=document_id, reason=fault)
            raise AccessDenied(f"The application let you in with something that cannot be used: {fault}.", known=True)
        return access

    async def _use(self, access: Access) -> bool:
        """Use a token up, if it is good for one session only. False: it was used before."""
        if access.token_id is None or not access.single_use:
            return True
        ends_at = access.expires_at if access.expires_at is not None else self._clock.now() + SESSION_MILLISECONDS
        return await self._sessions.use_token(access.token_id, ends_at)

    def _admit(self, session: Session, claims: AccessClaims) -> Admission:
        try:
            dated = self._tokens.dated(claims)
        except ValueError:
            raise AccessDenied("The session has ended.", known=False) from None
        token = self._tokens.issue(dated)
        session.ends_at = dated.session_ends_at
        self._keep(session)
        self._remember(token, dated)
        return Admission(session, token, dated.expires_at, dated.session_ends_at)

    def _claims(self, session: Session) -> AccessClaims:
        access = session.access
        return AccessClaims(
            session_id=session.id,
            document_id=session.document_id,
            user_id=access.user_id,
            grant=access.grant,
            name=access.name,
            colour=access.colour,
            decided_at=session.decided_at,
            session_ends_at=access.expires_at if access.expires_at is not None else session.began_at + SESSION_MILLISECONDS,
        )

    def _claims_of_token(self, token: str) -> AccessClaims:
        """Decrypted once. Raises :class:`AccessDenied`."""
        claims = self._known.get(token)
        if claims is None or claims.expires_at <= self._clock.now():
            claims = self._tokens.verify(token)
            self._remember(token, claims)
        return claims

    def _session(self, claims: AccessClaims) -> Session:
        """The session of these claims: the same object for all its connections in this process."""
        session = self._by_id.get(claims.session_id)
        granted = Access(claims.user_id, claims.grant, claims.name, claims.colour, issued_at=claims.decided_at)
        if session is None:
            session = Session(claims.session_id, claims.document_id, granted, self._clock.now())
        elif session.decided_at < claims.decided_at:
            session.admit(granted, self._clock.now())  # renewed on another process
        session.ends_at = max(session.ends_at or 0, claims.session_ends_at)
        self._keep(session)
        return session

    def _keep(self, session: Session) -> None:
        self._by_id[session.id] = session
        self._by_id.move_to_end(session.id)
        if len(self._by_id) > _MAX_KNOWN:
            self._by_id.popitem(last=False)

    def _remember(self, token: str, claims: AccessClaims) -> None:
        self._known[token] = claims
        if len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)


def _record(session: Session, claims: AccessClaims) -> SessionRecord:
    return SessionRecord(
        session_id=session.id,
        document_id=session.document_id,
        user_id=claims.user_id,
        grant=claims.grant,
        issued_at=claims.decided_at,
        created_at=session.began_at,
        expires_at=claims.session_ends_at,
        name=claims.name,
        colour=claims.colour,
    )


def _claims_of(record: SessionRecord) -> AccessClaims:
    return AccessClaims(
        session_id=record.session_id,
        document_id=record.document_id,
        user_id=record.user_id,
        grant=record.grant,
        name=record.name,
        colour=record.colour,
        decided_at=record.issued_at,
        session_ends_at=record.expires_at,
    )
