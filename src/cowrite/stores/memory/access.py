"""Sessions, changes of access and used tokens in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cowrite.core.ports import AccessLog, StoreRefused
from cowrite.core.records import AccessChange, SessionRecord
from cowrite.stores.encoding import MAX_UUID, TOKEN_MEMORY, check_change, check_id, check_session
from cowrite.stores.memory.database import Connection


class MemoryAccessLog:
    """The port :class:`cowrite.core.ports.AccessLog` on a :class:`MemoryDatabase`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._database = connection.database
        self._tables = connection.database.tables

    async def begin_session(self, session: SessionRecord) -> None:
        check_session(session)
        await self._connection.begin("begin_session", [session.document_id])
        if session.session_id in self._tables.sessions:
            raise StoreRefused(f"The id of session {session.session_id!r} is taken already.")
        self._tables.sessions[session.session_id] = session

    async def session(self, session_id: str) -> SessionRecord | None:
        check_id("The session id", session_id, longest=MAX_UUID)
        await self._connection.begin("session")
        return self._tables.sessions.get(session_id)

    async def update_session(self, session: SessionRecord) -> bool:
        check_session(session)
        await self._connection.begin("update_session", [session.document_id])
        known = self._tables.sessions.get(session.session_id)
        if (
            known is None
            or known.ended_at is not None
            or (known.document_id, known.user_id) != (session.document_id, session.user_id)
        ):
            return False
        self._tables.sessions[session.session_id] = replace(session, ended_at=None)
        return True

    async def end_session(self, session_id: str, at: int) -> None:
        check_id("The session id", session_id, longest=MAX_UUID)
        await self._connection.begin("end_session")
        known = self._tables.sessions.get(session_id)
        if known is not None and known.ended_at is None:
            self._tables.sessions[session_id] = replace(known, ended_at=at)

    async def ended_sessions(self, *, since: int) -> Mapping[str, int]:
        await self._connection.begin("ended_sessions")
        ends = ((known.session_id, known.ended_at) for known in self._tables.sessions.values())
        return {session_id: at for session_id, at in ends if at is not None and at >= since}

    async def change(self, change: AccessChange) -> int:
        check_change(change)
        await self._connection.begin("change", () if change.document_id is None else [change.document_id])
        await self._database.alone()
        return self._tables.add_change(change)

    async def changes(self, *, after: int) -> Sequence[AccessChange]:
        await self._connection.begin("changes")
        return tuple(self._tables.changes[max(0, after) :])

    async def use_token(self, jti: str, expires_at: int) -> bool:
        check_id("The token's id", jti, longest=MAX_UUID)
        await self._connection.begin("use_token")
        used, forget_before = self._tables.used_tokens, self._database.clock.now() - TOKEN_MEMORY
        for known in [known for known, expired_at in used.items() if expired_at < forget_before]:
            del used[known]
        if jti in used:
            return False
        used[jti] = expires_at
        return True


if TYPE_CHECKING:
    _access: type[AccessLog] = MemoryAccessLog
