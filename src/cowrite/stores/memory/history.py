"""The past of documents in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cowrite.core.ports import History, HistoryForgotten
from cowrite.core.records import Entry, StoredDocument
from cowrite.stores.encoding import MAX_UUID, check_id, check_offset
from cowrite.stores.memory.database import Connection
from cowrite.stores.memory.tables import read_document, read_rows, rows_between


class MemoryHistory:
    """The port :class:`cowrite.core.ports.History` on a :class:`MemoryDatabase`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tables = connection.database.tables

    async def load_at(self, document_id: str, offset: int) -> StoredDocument | None:
        check_offset(offset)
        await self._connection.begin("load_at", [document_id])
        document = self._tables.documents.get(document_id)
        return None if document is None else read_document(document_id, document, until=offset)

    async def locate(self, document_id: str, operation_id: str) -> int | None:
        check_id("The operation id", operation_id, longest=MAX_UUID)
        await self._connection.begin("locate", [document_id])
        row = self._tables.submitted.get(operation_id)
        place = (row.record.document_id, row.record.offset) if row else self._tables.operations.get(operation_id)
        return place[1] if place is not None and place[0] == document_id else None

    async def operations(self, document_id: str, *, after: int, limit: int) -> Sequence[Entry]:
        check_offset(after)
        await self._connection.begin("operations", [document_id])
        document = self._tables.documents.get(document_id)
        if document is None or limit <= 0 or after >= document.head.offset:
            return ()
        if after + 1 < document.first_offset:
            raise HistoryForgotten(document_id, document.first_offset)
        end, number = min(document.head.offset, after + limit), 0
        for row in rows_between(document.rows, after + 1, end):
            number += len(row.operations)
            if number >= limit:
                end = row.entry.offset
                break
        return read_rows(document_id, document.rows, start=after + 1, end=end)


if TYPE_CHECKING:
    _history: type[History] = MemoryHistory
