"""The past of documents in memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cowrite.core.ports import History, HistoryForgotten
from cowrite.core.records import ActivityGroup, Authored, Entry, StoredDocument
from cowrite.stores import past
from cowrite.stores.encoding import MAX_UUID, check_id, check_kept, check_log, check_offset, damage_of
from cowrite.stores.memory.database import Connection
from cowrite.stores.memory.tables import Row, read_document, read_rows, rows_between


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

    async def damaged_checkpoints(self, document_id: str) -> Mapping[int, str]:
        await self._connection.begin("damaged_checkpoints", [document_id])
        document = self._tables.documents.get(document_id)
        kept = [packed for packed, _ in document.checkpoints] if document is not None else []
        return {packed.offset: damage for packed in kept if (damage := damage_of(packed)) is not None}

    async def locate(self, document_id: str, operation_id: str) -> int | None:
        check_id("The operation id", operation_id, longest=MAX_UUID)
        await self._connection.begin("locate", [document_id])
        row = self._tables.submitted.get(operation_id)
        places = [self._tables.operations.get(operation_id), (row.record.document_id, row.record.offset) if row else None]
        # The last operation of what was forgotten is one of the end of that.
        return max((place[1] for place in places if place is not None and place[0] == document_id), default=None)

    async def operations(self, document_id: str, *, after: int, limit: int, size: int) -> Sequence[Entry]:
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
            size -= _size(row)
            if size < 0 and row.entry.offset > after + 1:
                end = row.entry.offset - 1
                break
            if number >= limit:
                end = row.entry.offset
                break
        return read_rows(document_id, document.rows, start=after + 1, end=end)

    async def entries(self, document_id: str, *, after: int, limit: int) -> Sequence[Entry]:
        check_offset(after)
        await self._connection.begin("entries", [document_id])
        document = self._tables.documents.get(document_id)
        if document is None:
            return ()
        head = document.head.offset
        check_kept(document_id, after + 1, end=head, first_offset=document.first_offset)
        end = min(head, after + max(0, limit))
        return read_rows(document_id, document.rows, start=after + 1, end=end, operations=False)

    async def last_operation(self, document_id: str, *, until: int) -> str | None:
        await self._connection.begin("last_operation", [document_id])
        document = self._tables.documents.get(document_id)
        if document is None:
            return None
        rows = rows_between(document.rows, document.first_offset, until)
        found = next((row.operations[-1].id for row in reversed(rows) if row.operations), None)
        boundary = document.first_offset - 1
        return document.emptied if found is None and until >= boundary else found

    async def offset_at(self, document_id: str, at: int) -> int:
        await self._connection.begin("offset_at", [document_id])
        document = self._tables.documents.get(document_id)
        if document is None:
            return 0
        check_log(document_id, [row.entry for row in document.rows], start=document.first_offset, end=document.head.offset)
        found = document.first_offset - 1 + bisect_right(document.rows, at, key=lambda row: row.entry.created_at)
        # Of an entry that was forgotten the time is not kept: that of the last change stands for the head's.
        is_head = found == document.head.offset and at >= document.updated_at
        if found < document.first_offset > 1 and not is_head:
            raise HistoryForgotten(document_id, document.first_offset)
        return found

    async def authored(self, document_id: str, *, after: int, limit: int) -> Sequence[Authored]:
        check_offset(after)
        await self._connection.begin("authored", [document_id])
        document = self._tables.documents.get(document_id)
        if document is None:
            return ()
        start = max(after + 1, document.first_offset)
        end = min(document.head.offset, start + max(0, limit) - 1)
        rows = rows_between(document.rows, start, end)
        entries = tuple([_with_clocks(document_id, row, document.clients) for row in rows])
        check_log(document_id, entries, start=start, end=end)
        return entries

    async def activity(
        self, document_id: str, *, before: int | None, pause: int, limit: int, by_author: bool = False
    ) -> Sequence[ActivityGroup]:
        await self._connection.begin("activity", [document_id])
        document = self._tables.documents.get(document_id)
        if document is None or limit <= 0:
            return ()
        end = document.head.offset if before is None else before - 1
        rows = reversed(rows_between(document.rows, max(1, end - past.ACTIVITY_ENTRIES + 1), end))
        return tuple(past.groups(map(_without_copies, rows), pause=pause, limit=limit, by_author=by_author))


def _authored(row: Row) -> Authored:
    entry = row.entry
    return Authored(entry.offset, entry.author, entry.created_at, entry.ranges, row.inserted, row.deleted, row.cause)


def _without_copies(row: Row) -> Authored:
    return replace(_authored(row), cause=row.entry.cause)


def _with_clocks(document_id: str, row: Row, claimed: Mapping[int, str]) -> Authored:
    entry = row.entry
    return replace(
        _authored(row),
        writers=past.writers(entry.ranges, entry.author, claimed, relayed=not entry.claims, carried=entry.carries),
        deletes=past.deletes(document_id, entry.offset, entry.update),
    )


def _size(row: Row) -> int:
    texts = sum(len(operation.position) + len(operation.content or "") for operation in row.operations)
    return len(row.entry.update) + texts


if TYPE_CHECKING:
    _history: type[History] = MemoryHistory
