"""Which documents there are in a relational database."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import Connection, bindparam, select, update

from cowrite.core.ids import Ids
from cowrite.core.ports import Clock, Directory, StoreCorrupt
from cowrite.core.records import AccessChange, DocumentInfo, Head
from cowrite.stores.encoding import as_stored, check_change_of, check_id, check_text, end_of_prefix
from cowrite.stores.sqlalchemy.changes import add_change, write_change
from cowrite.stores.sqlalchemy.database import Database, write
from cowrite.stores.sqlalchemy.reading import Rows, lock_documents
from cowrite.stores.sqlalchemy.tables import documents
from cowrite.stores.sqlalchemy.writing import Writer

_infos = select(
    documents.c.document_id,
    documents.c.epoch,
    documents.c.head_offset,
    documents.c.head_entry_id,
    documents.c.created_at,
    documents.c.updated_at,
    documents.c.deleted_at,
    documents.c.log_bytes,
    documents.c.first_offset,
    documents.c.purged_at,
)
_info = _infos.where(documents.c.document_id == bindparam("document_id"))
_mark = update(documents).where(documents.c.document_id == bindparam("this_document"))


class SqlDirectory:
    """The port :class:`cowrite.core.ports.Directory` on a relational database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._new_epoch = Ids(clock).new
        self._writer = Writer(database.dialect)

    async def list(self, *, after: str | None, limit: int, prefix: str = "", deleted: bool = False) -> Sequence[DocumentInfo]:
        check_text("The prefix", prefix)
        check_text("The id to list from", after or "")
        read = partial(_read_infos, after=after, limit=max(0, limit), prefix=prefix, deleted=deleted)
        return await self._database.read(read, _decode_infos)

    async def info(self, document_id: str) -> DocumentInfo | None:
        check_id("The document id", document_id)
        found = await self._database.read(partial(_read_info, document_id=document_id), _decode_infos)
        return found[0] if found else None

    async def create(self, document_id: str) -> bool:
        check_id("The document id", document_id)
        create = partial(self._create, document_id=document_id, epoch=self._new_epoch(), now=self._clock.now())
        return await write(self._database, create)

    def _create(self, connection: Connection, document_id: str, *, epoch: str, now: int) -> bool:
        if _read_info(connection, document_id):
            return False
        rows: Rows = ()
        while not rows:
            # Again, when on a server somebody else was given the same number at the same time.
            self._writer.create_documents(connection, [(document_id, epoch)], now=now)
            rows = _read_info(connection, document_id)
        _, found, *_ = rows[0]
        return bool(found == epoch)

    async def delete(self, document_id: str, change: AccessChange) -> bool:
        check_change_of(document_id, change)
        delete = partial(_set_deleted, document_id=document_id, at=change.created_at, change=change)
        return await write_change(self._database, delete)

    async def undelete(self, document_id: str, change: AccessChange) -> bool:
        check_change_of(document_id, change)
        undelete = partial(_set_deleted, document_id=document_id, at=None, change=change)
        return await write_change(self._database, undelete)


def _read_infos(connection: Connection, *, after: str | None, limit: int, prefix: str, deleted: bool) -> Rows:
    wanted = _infos.order_by(documents.c.document_id).limit(limit)
    # A range, and not LIKE: it is bytewise on every database, and reads only these rows of the primary key.
    if prefix:
        wanted = wanted.where(documents.c.document_id >= prefix)
    end = end_of_prefix(prefix)
    if end is not None:
        wanted = wanted.where(documents.c.document_id < end)
    if after is not None:
        wanted = wanted.where(documents.c.document_id > after)
    if not deleted:
        wanted = wanted.where(documents.c.deleted_at.is_(None))
    return connection.execute(wanted).all()


def _read_info(connection: Connection, document_id: str) -> Rows:
    return connection.execute(_info, {"document_id": document_id}).all()


def _decode_infos(rows: Rows) -> tuple[DocumentInfo, ...]:
    """Raises :class:`StoreCorrupt`."""
    return tuple(
        DocumentInfo(_name(document_id), Head(epoch, offset, entry_id), *others)
        for document_id, epoch, offset, entry_id, *others in rows
    )


def _name(document_id: str) -> str:
    try:
        return as_stored(document_id)
    except ValueError as error:
        # Whoever lists goes on behind it: another name in its place could begin the list anew for ever.
        raise StoreCorrupt(f"The name of document {document_id!r} is damaged ({error}). Restore it from a backup.") from error


def _set_deleted(connection: Connection, wait: float, *, document_id: str, at: int | None, change: AccessChange) -> bool:
    document = lock_documents(connection, [document_id], skip_locked=False).get(document_id)
    if document is None or document.purged or (document.deleted_at is None) == (at is None):
        return False
    connection.execute(_mark.values(deleted_at=at), {"this_document": document_id})
    add_change(connection, wait, change=change)
    return True


if TYPE_CHECKING:
    _directory: type[Directory] = SqlDirectory
