"""Changes of access: rows with revisions that have no gaps and appear in order.

Whoever adds one has a lock of its own until COMMIT; every transaction that commits edits shares that lock. So a change waits
for the edits that are being committed, and edits that come after it know it. The lock is the row of ``access_head``, and on
PostgreSQL an advisory one: there new sharers of a row overtake whoever waits for it alone, for ever.

Who waits for the lock is not overtaken; so while a change waits for one process that is frozen, nobody could commit. A change
gives up soon, lets the others pass, and tries again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Select, bindparam, insert, select, update

from cowrite.core.grant import Grant
from cowrite.core.ports import StoreBusy
from cowrite.core.records import AccessChange
from cowrite.stores.sqlalchemy import postgresql_locks
from cowrite.stores.sqlalchemy.database import Database, write
from cowrite.stores.sqlalchemy.reading import Rows
from cowrite.stores.sqlalchemy.tables import access_changes, access_head

T = TypeVar("T")

_FIRST_WAIT: Final = 0.1
_LONGEST_WAIT: Final = 0.8
"""Seconds that a change waits for the lock in one go, and nobody else gets it."""
_PATIENCE: Final = 10.0
"""Seconds after which a change is not tried again: longer than a server lets a process that is frozen have its locks."""

_revision = select(access_head.c.revision).where(access_head.c.id == 1)
_revision_shared = _revision.with_for_update(read=True)
_revision_locked = _revision.with_for_update()
_LOCKED_REVISION: Final = "SELECT revision FROM access_head WHERE id = 1 FOR UPDATE"
"""The same as text."""
_known = select(access_changes.c.revision).where(access_changes.c.id == bindparam("id"))
_changes = (
    select(
        access_changes.c.id,
        access_changes.c.changed_by,
        access_changes.c.created_at,
        access_changes.c.document_id,
        access_changes.c.user_id,
        access_changes.c.session_id,
        access_changes.c.access_level,
        access_changes.c.reason,
        access_changes.c.revision,
        access_changes.c.restores,
    )
    .where(access_changes.c.revision > bindparam("after"))
    .order_by(access_changes.c.revision)
)
_move = update(access_head).where(access_head.c.id == 1)
_insert = insert(access_changes)


def share_access_revision(connection: Connection) -> int:
    """The revision of the last change; until the transaction's end there will be no other."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock_shared({postgresql_locks.CHANGES})")
        # In a statement of its own: the view of that one is from before it had the lock.
        return _read(connection, _revision)
    return _read(connection, _revision_shared)


def lock_access_revision(connection: Connection, wait: float) -> int:
    """The same; until the transaction's end nobody adds one, and nobody commits edits. Waits so many seconds at most."""
    match connection.dialect.name:
        case "postgresql":
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {round(wait * 1000)}")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({postgresql_locks.CHANGES})")
            return _read(connection, _revision)
        case "mariadb":
            # Its time-out for locks counts in whole seconds.
            statement = f"SET STATEMENT max_statement_time = {wait} FOR {_LOCKED_REVISION}"
            revision: int = connection.exec_driver_sql(statement).scalar_one()
            return revision
        case _:
            return _read(connection, _revision_locked)


def _read(connection: Connection, statement: Select[Any]) -> int:
    revision: int = connection.execute(statement).scalar_one()
    return revision


async def write_change(database: Database, work: Callable[[Connection, float], T]) -> T:
    """Run work that adds a change, in a writing transaction of its own.

    It is told how long it may wait for the lock, and called again when that was not enough. Raises :class:`StoreBusy`.
    """
    wait = _FIRST_WAIT
    if database.dialect.name == "sqlite":
        return await write(database, partial(_with_wait, work, wait))
    # MySQL does not know a limit for one statement that locks.
    all_locks = _LONGEST_WAIT if database.dialect.name == "mysql" else None
    until = asyncio.get_running_loop().time() + _PATIENCE
    while True:
        try:
            return await write(database, partial(_with_wait, work, wait), wait=all_locks)
        except StoreBusy:
            # A frozen process, or transactions that take longer than this change waits.
            if asyncio.get_running_loop().time() > until:
                raise
        await asyncio.sleep(random.uniform(wait / 2, wait))
        wait = min(2 * wait, _LONGEST_WAIT)


def _with_wait(work: Callable[[Connection, float], T], wait: float, connection: Connection) -> T:
    return work(connection, wait)


def add_change(connection: Connection, wait: float, *, change: AccessChange) -> int:
    """Write a change, unless one with its id is there, and return the revision.

    Waits so many seconds for the lock, at most, on servers; see :func:`write_change`.
    """
    newest = lock_access_revision(connection, wait)
    known: int | None = connection.execute(_known, {"id": change.id}).scalar_one_or_none()
    if known is not None:
        return known
    values = {
        "revision": newest + 1,
        "id": change.id,
        "document_id": change.document_id,
        "user_id": change.user_id,
        "session_id": change.session_id,
        "access_level": None if change.grant is None else change.grant.value,
        "restores": change.restores,
        "reason": change.reason,
        "changed_by": change.changed_by,
        "created_at": change.created_at,
    }
    connection.execute(_insert, values)
    connection.execute(_move, {"revision": newest + 1})
    return newest + 1


def read_changes(connection: Connection, *, after: int) -> Rows:
    """The rows of the changes behind that revision."""
    return connection.execute(_changes, {"after": after}).all()


def decode_changes(rows: Rows) -> tuple[AccessChange, ...]:
    """In the order of revisions."""
    return tuple(
        AccessChange(id_, author, at, document_id, user_id, session_id, None if level is None else Grant(level), *others)
        for id_, author, at, document_id, user_id, session_id, level, *others in rows
    )
