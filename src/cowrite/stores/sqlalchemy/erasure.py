"""Deleting for good in a relational database: the history before an entry, or all that a document holds.

Both go through :meth:`Database.erase` and :meth:`Database.scrub`, so that the files do not keep the bytes either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, bindparam, delete, select, update

from cowrite.core.ids import Ids
from cowrite.core.ports import Clock, Erasure
from cowrite.core.records import AccessChange, Checkpoint
from cowrite.stores.encoding import PackedCheckpoint, check_change_of, check_id, pack_checkpoint
from cowrite.stores.packing import pack_id, unpack_ranges
from cowrite.stores.past import clients_of_state
from cowrite.stores.sqlalchemy.changes import add_change
from cowrite.stores.sqlalchemy.checkpoints import insert_checkpoint
from cowrite.stores.sqlalchemy.database import Database, insert_or_ignore, write
from cowrite.stores.sqlalchemy.reading import DocumentRow, lock_documents
from cowrite.stores.sqlalchemy.tables import (
    checkpoints,
    clients,
    collaboration_sessions,
    content_operations,
    documents,
    quarantined_updates,
    retired_clients,
    sessions,
    submitted,
    updates,
    versions,
)

_entry = select(updates.c.created_at, updates.c.log_bytes).where(
    updates.c.document_number == bindparam("number"),
    updates.c.entry_offset == bindparam("last"),
    updates.c.entry_id == bindparam("entry_id"),
)
_BY_NUMBER = (updates, content_operations)
_BY_NAME = (submitted, checkpoints, versions)
_up_to = [
    *(
        delete(table).where(table.c.document_number == bindparam("number"), table.c.entry_offset <= bindparam("last"))
        for table in _BY_NUMBER
    ),
    *(
        delete(table).where(table.c.document_id == bindparam("name"), table.c.entry_offset <= bindparam("last"))
        for table in _BY_NAME
    ),
]
_quarantined_before = delete(quarantined_updates).where(
    quarantined_updates.c.document_id == bindparam("name"), quarantined_updates.c.created_at < bindparam("before")
)
_all_of_number = [delete(table).where(table.c.document_number == bindparam("number")) for table in _BY_NUMBER]
_all_of_name = [
    delete(table).where(table.c.document_id == bindparam("name"))
    for table in (*_BY_NAME, clients, quarantined_updates, sessions, collaboration_sessions)
]
_document = update(documents).where(documents.c.document_id == bindparam("name"))
_ranges = select(updates.c.ranges).where(updates.c.document_number == bindparam("number"))
_claimed = select(clients.c.client_id).where(clients.c.document_id == bindparam("name"))
_oldest_state = (
    select(checkpoints.c.state)
    .where(checkpoints.c.document_id == bindparam("name"))
    .order_by(checkpoints.c.entry_offset)
    .limit(1)
)
_purgeable = (
    select(documents.c.document_id)
    .where(documents.c.deleted_at < bindparam("before"), documents.c.purged_at.is_(None))
    .order_by(documents.c.deleted_at)
    .limit(bindparam("number"))
)
_retired = select(retired_clients.c.client_id).where(retired_clients.c.document_id == bindparam("name"))


class SqlErasure:
    """The port :class:`cowrite.core.ports.Erasure` on a relational database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._new_epoch = Ids(clock).new

    async def forget(self, document_id: str, checkpoint: Checkpoint, *, scrub: bool = True) -> bool:
        check_id("The document id", document_id)
        packed = await asyncio.to_thread(pack_checkpoint, checkpoint)
        forget = partial(_forget, document_id=document_id, packed=packed, now=self._clock.now())
        return await self._erase(forget, scrub)

    async def purge(self, document_id: str, *, deleted_before: int, at: int, scrub: bool = True) -> bool:
        check_id("The document id", document_id)
        epoch = self._new_epoch()
        purge = partial(_purge, document_id=document_id, deleted_before=deleted_before, at=at, epoch=epoch)
        return await self._erase(purge, scrub)

    async def _erase(self, work: Callable[[Connection], bool], scrub: bool) -> bool:
        happened = await self._database.erase(work)
        if scrub:
            # Even if nothing happened: perhaps it did before, and this was interrupted.
            await self._database.scrub()
        return happened

    async def purgeable(self, *, deleted_before: int, limit: int) -> Sequence[str]:
        return await self._database.read(partial(_read_purgeable, before=deleted_before, limit=max(0, limit)), tuple)

    async def recreate(self, document_id: str, change: AccessChange) -> bool:
        check_change_of(document_id, change)
        epoch = self._new_epoch()
        return await write(self._database, partial(_recreate, document_id=document_id, change=change, epoch=epoch))

    async def retired_clients(self, document_id: str) -> frozenset[int]:
        check_id("The document id", document_id)
        return await self._database.read(partial(_read_retired, document_id=document_id), frozenset)


def _locked(connection: Connection, document_id: str) -> DocumentRow | None:
    return lock_documents(connection, [document_id], skip_locked=False).get(document_id)


def _forget(connection: Connection, *, document_id: str, packed: PackedCheckpoint, now: int) -> bool:
    document = _locked(connection, document_id)
    if document is None or packed.offset > document.head.offset:
        return False
    if packed.offset < document.first_offset:
        return True
    place = {"number": document.number, "name": document_id, "last": packed.offset}
    entry = connection.execute(_entry, place | {"entry_id": pack_id(packed.entry_id)}).one_or_none()
    if entry is None:
        return False
    for statement in _up_to:
        connection.execute(statement, place)
    connection.execute(_quarantined_before, {"name": document_id, "before": entry.created_at})
    insert_checkpoint(connection, document_id, packed, log_bytes=entry.log_bytes, now=now)
    connection.execute(_document.values(first_offset=packed.offset + 1), {"name": document_id})
    return True


def _purge(connection: Connection, *, document_id: str, deleted_before: int, at: int, epoch: str) -> bool:
    document = _locked(connection, document_id)
    if document is None or document.purged or document.deleted_at is None or document.deleted_at >= deleted_before:
        return False
    place = {"number": document.number, "name": document_id}
    retired = _clients(connection, document, place)
    if retired:
        rows = [{"document_id": document_id, "client_id": client} for client in sorted(retired)]
        connection.execute(insert_or_ignore(retired_clients, connection.dialect), rows)
    for statement in (*_all_of_number, *_all_of_name):
        connection.execute(statement, place)
    emptied = {"head_offset": 0, "head_entry_id": "", "first_offset": 1, "log_bytes": 0, "updated_at": at}
    connection.execute(_document.values(epoch=epoch, purged_at=at, **emptied), {"name": document_id})
    return True


def _clients(connection: Connection, document: DocumentRow, place: dict[str, Any]) -> set[int]:
    """The Yjs clients that wrote any of it."""
    found = set(connection.execute(_claimed, place).scalars())
    for ranges in connection.execute(_ranges, place).scalars():
        found.update(_clients_of(ranges))
    if document.first_offset > 1:
        # The entries of those who wrote what was forgotten are gone; they are in what is left of it.
        state: bytes | None = connection.execute(_oldest_state, place).scalar_one_or_none()
        found |= clients_of_state(place["name"], state or b"")
    return found


def _clients_of(ranges: bytes) -> Iterable[int]:
    try:
        return {span.client for span in unpack_ranges(ranges)}
    except ValueError:
        return ()  # damaged; that is no reason to keep it


def _read_purgeable(connection: Connection, *, before: int, limit: int) -> Sequence[str]:
    return connection.execute(_purgeable, {"before": before, "number": limit}).scalars().all()


def _recreate(connection: Connection, *, document_id: str, change: AccessChange, epoch: str) -> bool:
    document = _locked(connection, document_id)
    if document is None or not document.purged:
        return False
    anew = {"created_at": change.created_at, "updated_at": change.created_at}
    connection.execute(_document.values(epoch=epoch, deleted_at=None, purged_at=None, **anew), {"name": document_id})
    add_change(connection, change)
    return True


def _read_retired(connection: Connection, document_id: str) -> Sequence[int]:
    return connection.execute(_retired, {"name": document_id}).scalars().all()


if TYPE_CHECKING:
    _erasure: type[Erasure] = SqlErasure
