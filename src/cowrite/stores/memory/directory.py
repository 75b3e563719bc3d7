"""Which documents there are in memory."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from cowrite.core.ports import Directory
from cowrite.core.records import AccessChange, DocumentInfo
from cowrite.stores.encoding import check_change_of, check_text
from cowrite.stores.memory.database import Connection
from cowrite.stores.memory.tables import Document


class MemoryDirectory:
    """The port :class:`cowrite.core.ports.Directory` on a :class:`MemoryDatabase`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._database = connection.database
        self._tables = connection.database.tables

    async def list(self, *, after: str | None, limit: int, prefix: str = "", deleted: bool = False) -> Sequence[DocumentInfo]:
        check_text("The prefix", prefix)
        check_text("The id to list from", after or "")
        await self._connection.begin("list")
        # Code points and the bytes of UTF-8 are in the same order.
        found = (
            _info(name, document)
            for name, document in sorted(self._tables.documents.items(), key=lambda item: item[0])
            if name.startswith(prefix) and (after is None or name > after) and (deleted or document.deleted_at is None)
        )
        return tuple(islice(found, max(0, limit)))

    async def info(self, document_id: str) -> DocumentInfo | None:
        await self._connection.begin("info", [document_id])
        document = self._tables.documents.get(document_id)
        return None if document is None else _info(document_id, document)

    async def create(self, document_id: str) -> bool:
        await self._connection.begin("create", [document_id])
        return self._database.new_document(document_id)

    async def delete(self, document_id: str, change: AccessChange) -> bool:
        check_change_of(document_id, change)
        await self._connection.begin("delete", [document_id])
        return await self._set_deleted(document_id, change.created_at, change)

    async def undelete(self, document_id: str, change: AccessChange) -> bool:
        check_change_of(document_id, change)
        await self._connection.begin("undelete", [document_id])
        return await self._set_deleted(document_id, None, change)

    async def _set_deleted(self, document_id: str, at: int | None, change: AccessChange) -> bool:
        await self._database.alone()
        document = self._tables.documents.get(document_id)
        purged = document is not None and document.purged_at is not None
        if document is None or purged or (document.deleted_at is None) == (at is None):
            return False
        document.deleted_at = at
        self._tables.add_change(change)
        return True


def _info(document_id: str, document: Document) -> DocumentInfo:
    return DocumentInfo(
        document_id,
        document.head,
        document.created_at,
        document.updated_at,
        document.deleted_at,
        document.log_bytes,
        document.first_offset,
        document.purged_at,
    )


if TYPE_CHECKING:
    _directory: type[Directory] = MemoryDirectory
