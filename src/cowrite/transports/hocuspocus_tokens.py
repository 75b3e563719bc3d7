"""The token of somebody who is logged in to one document of a Hocuspocus connection: it may be shown anew, and it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from cowrite.core.ports import AccessDenied, Timer
from cowrite.core.sessions.session import Session
from cowrite.protocol.close_codes import CloseCode
from cowrite.transports.services import Services

ASK_SECONDS: Final = 60.0
"""How long before the end of a token the client is asked for another one; of a short one, half of its time."""

_log = structlog.get_logger(__name__)


def code_of(denied: AccessDenied) -> CloseCode:
    """The code for somebody who is not let in."""
    return CloseCode.FORBIDDEN if denied.known else CloseCode.UNAUTHORIZED


class TokenRenewal:
    """Takes the newer tokens of one session, and asks for one in time.

    ``ask`` asks the client; ``changed`` is told that the session has another grant, perhaps; ``refuse``, that it is over. A
    session that a session token has begun has no end of its own: the client is asked all the same, and need not answer.
    """

    def __init__(
        self,
        services: Services,
        session: Session,
        token: str | None,
        *,
        ask: Callable[[], None],
        changed: Callable[[Session], None],
        refuse: Callable[[CloseCode, str], None],
    ) -> None:
        self._services = services
        self._session = session
        self._token = token
        self._ask = ask
        self._changed = changed
        self._refuse = refuse
        self._task: asyncio.Task[None] | None = None
        self._timer: Timer | None = None
        self._await_end()

    def show(self, token: str | None) -> None:
        """The client shows a token again. The newest counts; a client that never had one has nothing new to show."""
        if token is not None or self._token is not None:
            self._cancel()
            self._task = asyncio.get_running_loop().create_task(self._renew(token))

    def stop(self) -> None:
        """It is over. Idempotent."""
        self._cancel()
        if self._timer is not None:
            self._timer.cancel()

    def _cancel(self) -> None:
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    async def _renew(self, token: str | None) -> None:
        try:
            self._admit(await self._services.bridge.enter(token, self._session.document_id))
        except AccessDenied as denied:
            self._refuse(code_of(denied), str(denied))
        except Exception as error:
            # The old token was good, and nobody knows that the new one is not.
            _log.error("token not checked", document=self._session.document_id, user=self._session.author, exc_info=error)

    def _admit(self, fresh: Session) -> None:
        session = self._session
        ended = _end_of(session)
        if fresh is not session:
            if fresh.author != session.author:
                raise AccessDenied("The token is another user's.", known=True)
            session.admit(fresh.access, self._services.clock.now())
            session.ends_at = fresh.ends_at
        self._services.access.check(session)
        self._changed(session)
        if _end_of(session) != ended:
            self._await_end()

    def _await_end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        ends_at = _end_of(self._session)
        if ends_at is not None:
            left = max(0.0, (ends_at - self._services.clock.now()) / 1000)
            wait = max(left - ASK_SECONDS, left / 2)
            self._timer = self._services.clock.call_later(wait, lambda: self._ask_in_time(left - wait))

    def _ask_in_time(self, left: float) -> None:
        self._ask()
        self._timer = self._services.clock.call_later(left, self._end)

    def _end(self) -> None:
        ends_at = self._session.ends_at
        if ends_at is not None and self._services.clock.now() >= ends_at:
            self._refuse(CloseCode.UNAUTHORIZED, "the session has ended")
        elif ends_at is not None:
            self._await_end()  # it was renewed by another way


def _end_of(session: Session) -> int | None:
    return session.ends_at if session.ends_at is not None else session.access.expires_at
