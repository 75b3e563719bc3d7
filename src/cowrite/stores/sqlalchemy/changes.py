"""Changes of access: rows with revisions that have no gaps and appear in order.

Whoever adds one locks the row of ``access_head`` until COMMIT; every transaction that commits edits shares that row. So a
change waits for the edits that are being committed, and edits that come after it know it.
"""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, insert, select, update

from cowrite.core.grant import Grant
from cowrite.core.records import AccessChange
from cowrite.stores.sqlalchemy.reading import Rows
from cowrite.stores.sqlalchemy.tables import access_changes, access_head

_revision = select(access_head.c.revision).where(access_head.c.id == 1)
_revision_shared = _revision.with_for_update(read=True)
_revision_locked = _revision.with_for_update()
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
    revision: int = connection.execute(_revision_shared).scalar_one()
    return revision


def add_change(connection: Connection, change: AccessChange) -> int:
    """Write a change, unless one with its id is there, and return the revision."""
    newest: int = connection.execute(_revision_locked).scalar_one()
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
