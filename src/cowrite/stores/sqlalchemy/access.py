"""Sessions, changes of access and used tokens in a relational database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from cowrite.core.grant import Grant
from cowrite.core.ports import AccessLog, Clock, StoreRefused
from cowrite.core.records import AccessChange, SessionRecord
from cowrite.stores.encoding import MAX_UUID, TOKEN_MEMORY, check_change, check_id, check_session
from cowrite.stores.sqlalchemy.changes import add_change, decode_changes, read_changes, write_change
from cowrite.stores.sqlalchemy.database import Database, write
from cowrite.stores.sqlalchemy.reading import Rows
from cowrite.stores.sqlalchemy.tables import sessions, used_tokens

_session = select(
    sessions.c.session_id,
    sessions.c.document_id,
    sessions.c.user_id,
    sessions.c.access_level,
    sessions.c.issued_at,
    sessions.c.created_at,
    sessions.c.expires_at,
    sessions.c.name,
    sessions.c.colour,
    sessions.c.ended_at,
).where(sessions.c.session_id == bindparam("session_id"))
_ended = select(sessions.c.session_id, sessions.c.ended_at).where(sessions.c.ended_at >= bindparam("since"))
_running = update(sessions).where(sessions.c.session_id == bindparam("this_session"), sessions.c.ended_at.is_(None))
_same = _running.where(sessions.c.document_id == bindparam("this_document"), sessions.c.user_id == bindparam("this_user"))
_forget_tokens = delete(used_tokens).where(used_tokens.c.expires_at < bindparam("before"))


class SqlAccessLog:
    """The port :class:`cowrite.core.ports.AccessLog` on a relational database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def begin_session(self, session: SessionRecord) -> None:
        check_session(session)
        await write(self._database, partial(_insert_session, session=session))

    async def session(self, session_id: str) -> SessionRecord | None:
        check_id("The session id", session_id, longest=MAX_UUID)
        return await self._database.read(partial(_read_session, session_id=session_id), _decode_session)

    async def update_session(self, session: SessionRecord) -> bool:
        check_session(session)
        return await write(self._database, partial(_update_session, session=session))

    async def end_session(self, session_id: str, at: int) -> None:
        check_id("The session id", session_id, longest=MAX_UUID)
        await write(self._database, partial(_end_session, session_id=session_id, at=at))

    async def ended_sessions(self, *, since: int) -> Mapping[str, int]:
        return await self._database.read(partial(_read_ended, since=since), _decode_ended)

    async def change(self, change: AccessChange) -> int:
        check_change(change)
        return await write_change(self._database, partial(add_change, change=change))

    async def changes(self, *, after: int) -> Sequence[AccessChange]:
        return await self._database.read(partial(read_changes, after=after), decode_changes)

    async def use_token(self, jti: str, expires_at: int) -> bool:
        check_id("The token's id", jti, longest=MAX_UUID)
        forget_before = self._clock.now() - TOKEN_MEMORY
        return await write(self._database, partial(_use_token, jti=jti, expires_at=expires_at, forget_before=forget_before))


def _insert_session(connection: Connection, session: SessionRecord) -> None:
    try:
        connection.execute(insert(sessions), {**_values(session), "ended_at": session.ended_at})
    except IntegrityError as error:
        raise StoreRefused(f"The id of session {session.session_id!r} is taken already.") from error


def _update_session(connection: Connection, session: SessionRecord) -> bool:
    values = _values(session)
    place = {"this_session": values.pop("session_id"), "this_document": values["document_id"], "this_user": values["user_id"]}
    return connection.execute(_same.values(values), place).rowcount > 0


def _end_session(connection: Connection, session_id: str, at: int) -> None:
    connection.execute(_running.values(ended_at=at), {"this_session": session_id})


def _read_ended(connection: Connection, *, since: int) -> Rows:
    return connection.execute(_ended, {"since": since}).all()


def _decode_ended(rows: Rows) -> Mapping[str, int]:
    return {row[0]: row[1] for row in rows}


def _values(session: SessionRecord) -> dict[str, Any]:
    """Its columns but ``ended_at``, which only :func:`_end_session` sets later."""
    return {
        "session_id": session.session_id,
        "document_id": session.document_id,
        "user_id": session.user_id,
        "name": session.name,
        "colour": session.colour,
        "access_level": session.grant.value,
        "issued_at": session.issued_at,
        "created_at": session.created_at,
        "expires_at": session.expires_at,
    }


def _read_session(connection: Connection, session_id: str) -> Rows:
    return connection.execute(_session, {"session_id": session_id}).all()


def _decode_session(rows: Rows) -> SessionRecord | None:
    for session_id, document_id, user_id, level, *others in rows:
        return SessionRecord(session_id, document_id, user_id, Grant(level), *others)
    return None


def _use_token(connection: Connection, jti: str, *, expires_at: int, forget_before: int) -> bool:
    connection.execute(_forget_tokens, {"before": forget_before})
    try:
        with connection.begin_nested():
            connection.execute(insert(used_tokens), {"jti": jti, "expires_at": expires_at})
    except IntegrityError:
        return False
    return True


if TYPE_CHECKING:
    _access: type[AccessLog] = SqlAccessLog
