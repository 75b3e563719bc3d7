"""Storage without a disk: for tests, demonstrations and servers that may forget.

A :class:`MemoryDatabase` stands for the database server: it outlives what is opened on it, and several openings of one
database behave as several processes do. It keeps the ports' promises in full (a lock per document, all or nothing, exact
round trips, checksums, thinning), and it can be told to fail, so that what stands on a store can be tested against every
failure. All that is opened on one database belongs to one event loop.
"""

from __future__ import annotations

from cowrite.core.ports import Storage
from cowrite.stores.memory.access import MemoryAccessLog
from cowrite.stores.memory.database import Call, Hold, MemoryDatabase
from cowrite.stores.memory.directory import MemoryDirectory
from cowrite.stores.memory.erasure import MemoryErasure
from cowrite.stores.memory.history import MemoryHistory
from cowrite.stores.memory.store import MemoryStore
from cowrite.stores.memory.versions import MemoryVersions
from cowrite.stores.memory.webhooks import MemoryWebhookLog

__all__ = ["Call", "Hold", "MemoryDatabase", "MemoryStore", "memory_storage"]


def memory_storage(database: MemoryDatabase | None = None) -> Storage:
    """All ports of storage on a database in memory, a new one by default."""
    store = MemoryStore(database)
    connection = store.connection
    return Storage(
        store,
        MemoryHistory(connection),
        MemoryAccessLog(connection),
        MemoryDirectory(connection),
        MemoryVersions(connection),
        MemoryErasure(connection),
        webhooks=MemoryWebhookLog(connection),
        lasting=False,
    )
