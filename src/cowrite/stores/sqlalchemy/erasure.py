"""Deleting for good in a relational database: the history before an entry, or all that a document holds.

Both go through :meth:`Database.erase` and :meth:`Database.scrub`, so that the files do not keep the bytes either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Connection, bindparam, delete, select, update

from cowrite.core.ids import Ids
from cowrite.core.ports import Clock, Erasure
from cowrite.core.records import AccessChange, Checkpoint, Head
from cowrite.stores.encoding import PackedCheckpoint, check_change_of, check_id, pack_checkpoint
from cowrite.stores.packing import pack_id, unpack_ranges
from cowrite.stores.past import clients_of_state
from cowrite.stores.sqlalchemy.changes import add_change, write_change
from cowrite.stores.sqlalchemy.checkpoints import insert_checkpoint
from cowrite.stores.sqlalchemy.database import Database, insert_or_ignore
from cowrite.stores.sqlalchemy.reading import DocumentRow, lock_documents, read_documents
from cowrite.stores.sqlalchemy.remains import begin_erasure, drop_remains, has_remains, keep_last_operation, read_unfinished
from cowrite.stores.sqlalchemy.remains import scrub as scrub_files
from cowrite.stores.sqlalchemy.tables import (
    checkpoints,
    clients,
    documents,
    quarantined_updates,
    retired_clients,
    updates,
    versions,
)
from cowrite.stores.sqlalchemy.webhook_tables import webhook_dead_letters, webhook_documents
from cowrite.stores.telling import without_content

_pending = select(webhook_documents.c.body).where(webhook_documents.c.document_id == bindparam("name"))
_entry = select(updates.c.log_bytes).where(
    updates.c.document_number == bindparam("number"),
    updates.c.entry_offset == bindparam("last"),
    updates.c.entry_id == bindparam("entry_id"),
)
# The end of what is forgotten stays as a moment, with its checkpoint and its versions.
_forgotten = [
    delete(versions).where(versions.c.document_id == bindparam("name"), versions.c.entry_offset < bindparam("last")),
    delete(checkpoints).where(checkpoints.c.document_id == bindparam("name"), checkpoints.c.entry_offset <= bindparam("last")),
    delete(quarantined_updates).where(quarantined_updates.c.document_id == bindparam("name")),
    delete(webhook_dead_letters).where(webhook_dead_letters.c.document_id == bindparam("name")),
]
_purged = [
    delete(table).where(table.c.document_id == bindparam("name"))
    for table in (versions, checkpoints, quarantined_updates, clients, webhook_dead_letters)
]
_document = update(documents).where(documents.c.document_id == bindparam("name"))
_ranges = select(updates.c.ranges).where(updates.c.document_number == bindparam("number"))
_claimed = select(clients.c.client_id).where(clients.c.document_id == bindparam("name"))
_states = (
    select(checkpoints.c.state)
    .where(checkpoints.c.document_id == bindparam("name"))
    .order_by(checkpoints.c.entry_offset.desc())
)
_purgeable = (
    select(documents.c.document_id)
    .where(documents.c.deleted_at < bindparam("before"), documents.c.purged_at.is_(None))
    .order_by(documents.c.deleted_at)
    .limit(bindparam("number"))
)
_retired = select(retired_clients.c.client_id).where(retired_clients.c.document_id == bindparam("name"))

T = TypeVar("T")


class SqlErasure:
    """The port :class:`cowrite.core.ports.Erasure` on a relational database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._ids = Ids(clock)

    async def forget(self, document_id: str, checkpoint: Checkpoint, *, scrub: bool = True) -> bool:
        check_id("The document id", document_id)
        packed = await asyncio.to_thread(pack_checkpoint, checkpoint)
        erasure_id, now = self._ids.new(), self._clock.now()
        begin = partial(begin_forgetting, erasure_id=erasure_id, document_id=document_id, packed=packed, now=now)
        happened = await self._database.erase(begin)
        await self.finish(document_id, scrub=scrub)
        return happened

    async def purge(self, document_id: str, *, deleted_before: int, at: int, scrub: bool = True) -> bool:
        check_id("The document id", document_id)
        purge = partial(begin_purging, erasure_id=self._ids.new(), document_id=document_id, epoch=self._ids.new())
        happened: bool | None = None
        while happened is None:
            # Outside of the transaction, because it takes long. Nobody writes to what is deleted.
            wrote = await self._database.read(partial(_read_writers, document_id=document_id), _as_it_is)
            happened = await self._database.erase(partial(purge, deleted_before=deleted_before, at=at, wrote=wrote))
        await self.finish(document_id, scrub=scrub)
        return happened

    async def unfinished(self) -> Sequence[str]:
        return await self._database.read(read_unfinished, tuple)

    async def finish(self, document_id: str, *, scrub: bool = True) -> None:
        check_id("The document id", document_id)
        await drop_remains(self._database, document_id)
        if scrub:
            # Even if nothing was left: perhaps that was dropped before, and this was interrupted.
            await scrub_files(self._database)

    async def purgeable(self, *, deleted_before: int, limit: int) -> Sequence[str]:
        return await self._database.read(partial(_read_purgeable, before=deleted_before, limit=max(0, limit)), tuple)

    async def recreate(self, document_id: str, change: AccessChange) -> bool:
        check_change_of(document_id, change)
        recreate = partial(_recreate, document_id=document_id, change=change, epoch=self._ids.new())
        while (happened := await write_change(self._database, recreate)) is None:
            await self.finish(document_id, scrub=False)
        return happened

    async def retired_clients(self, document_id: str) -> frozenset[int]:
        check_id("The document id", document_id)
        return await self._database.read(partial(_read_retired, document_id=document_id), frozenset)


def _locked(connection: Connection, document_id: str) -> DocumentRow | None:
    return lock_documents(connection, [document_id], skip_locked=False).get(document_id)


def begin_forgetting(connection: Connection, *, erasure_id: str, document_id: str, packed: PackedCheckpoint, now: int) -> bool:
    """The first step: what is forgotten is out of sight behind it. See :mod:`cowrite.stores.sqlalchemy.remains`."""
    document = _locked(connection, document_id)
    if document is None or packed.offset > document.head.offset:
        return False
    if packed.offset < document.first_offset:
        return True
    place = {"number": document.number, "name": document_id, "last": packed.offset}
    log_bytes: int | None = connection.execute(_entry, place | {"entry_id": pack_id(packed.entry_id)}).scalar_one_or_none()
    if log_bytes is None:
        return False
    for statement in _forgotten:
        connection.execute(statement, place)
    _clear_webhook(connection, document_id)
    insert_checkpoint(connection, document_id, packed, log_bytes=log_bytes, now=now)
    connection.execute(_document.values(first_offset=packed.offset + 1), {"name": document_id})
    keep_last_operation(connection, document.number, until=packed.offset)
    begin_erasure(connection, erasure_id, document_id, until=packed.offset)
    return True


@dataclass(frozen=True, slots=True)
class Writers:
    """The Yjs clients that wrote any of a document."""

    head: Head | None
    """The document's, when it was looked."""
    clients: frozenset[int]


def begin_purging(
    connection: Connection,
    *,
    erasure_id: str,
    document_id: str,
    deleted_before: int,
    at: int,
    epoch: str,
    wrote: Writers,
) -> bool | None:
    """The first step: all is out of sight behind it. None: somebody has written meanwhile, look again for who wrote."""
    document = _locked(connection, document_id)
    if document is None or document.purged or document.deleted_at is None or document.deleted_at >= deleted_before:
        return False
    if document.head != wrote.head:
        return None
    if wrote.clients:
        rows = [{"document_id": document_id, "client_id": client} for client in sorted(wrote.clients)]
        connection.execute(insert_or_ignore(retired_clients, connection.dialect), rows)
    for statement in _purged:
        connection.execute(statement, {"name": document_id})
    _clear_webhook(connection, document_id)
    emptied = {"head_offset": 0, "head_entry_id": "", "first_offset": 1, "log_bytes": 0, "updated_at": at}
    connection.execute(_document.values(epoch=epoch, purged_at=at, **emptied), {"name": document_id})
    begin_erasure(connection, erasure_id, document_id, until=document.head.offset)
    return True


def _clear_webhook(connection: Connection, document_id: str) -> None:
    """What is on its way, and may be for two days, has nothing of the document any more."""
    body: str | None = connection.execute(_pending, {"name": document_id}).scalar()
    if body is not None and (cleared := without_content(body)) != body:
        this = webhook_documents.c.document_id == document_id
        connection.execute(update(webhook_documents).where(this).values(body=cleared))


def _read_writers(connection: Connection, document_id: str) -> Writers:
    document = read_documents(connection, [document_id]).get(document_id)
    if document is None:
        return Writers(None, frozenset())
    place = {"number": document.number, "name": document_id}
    found = set(connection.execute(_claimed, place).scalars())
    for ranges in connection.execute(_ranges, place).scalars():
        found.update(_clients_of(ranges))
    # The entries of those who wrote what was forgotten are gone; they are in every state since.
    with connection.execute(_states, place) as states:
        for state in states.scalars():
            if clients_there := clients_of_state(document_id, state):
                found |= clients_there
                break
    return Writers(document.head, frozenset(found))


def _clients_of(ranges: bytes) -> Iterable[int]:
    try:
        return {span.client for span in unpack_ranges(ranges)}
    except ValueError:
        return ()  # damaged; that is no reason to keep it


def _read_purgeable(connection: Connection, *, before: int, limit: int) -> Sequence[str]:
    return connection.execute(_purgeable, {"before": before, "number": limit}).scalars().all()


def _recreate(connection: Connection, wait: float, *, document_id: str, change: AccessChange, epoch: str) -> bool | None:
    document = _locked(connection, document_id)
    if document is None or not document.purged:
        return False
    if has_remains(connection, document_id):
        return None
    anew = {"created_at": change.created_at, "updated_at": change.created_at}
    connection.execute(_document.values(epoch=epoch, deleted_at=None, purged_at=None, **anew), {"name": document_id})
    add_change(connection, wait, change=change)
    return True


def _read_retired(connection: Connection, document_id: str) -> Sequence[int]:
    return connection.execute(_retired, {"name": document_id}).scalars().all()


def _as_it_is(found: T) -> T:
    return found


if TYPE_CHECKING:
    _erasure: type[Erasure] = SqlErasure
