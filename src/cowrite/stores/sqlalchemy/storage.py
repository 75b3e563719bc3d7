"""All ports of storage on one relational database."""

from __future__ import annotations

from collections.abc import Callable

from cowrite.core.ports import Clock, PoolUse, Storage
from cowrite.stores.sqlalchemy.access import SqlAccessLog
from cowrite.stores.sqlalchemy.database import Database
from cowrite.stores.sqlalchemy.directory import SqlDirectory
from cowrite.stores.sqlalchemy.erasure import SqlErasure
from cowrite.stores.sqlalchemy.history import SqlHistory
from cowrite.stores.sqlalchemy.presence import SqlPresence
from cowrite.stores.sqlalchemy.store import SqlStore
from cowrite.stores.sqlalchemy.versions import SqlVersions
from cowrite.stores.sqlalchemy.webhooks import SqlWebhookLog


def sql_storage(
    database: Database, clock: Clock, *, system: str = "sqlite", pool: Callable[[], PoolUse] | None = None
) -> Storage:
    """Made by :func:`cowrite.stores.open_store`."""
    return Storage(
        SqlStore(database, clock),
        SqlHistory(database),
        SqlAccessLog(database, clock),
        SqlDirectory(database, clock),
        SqlVersions(database),
        SqlErasure(database, clock),
        SqlPresence(database, clock),
        pool,
        SqlWebhookLog(database),
        system,
    )
