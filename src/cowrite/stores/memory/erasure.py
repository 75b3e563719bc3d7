"""Deleting for good in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from cowrite.core.ports import Erasure
from cowrite.core.records import AccessChange, Checkpoint
from cowrite.stores.encoding import PackedCheckpoint, check_change_of, pack_checkpoint
from cowrite.stores.memory.database import Connection
from cowrite.stores.memory.tables import Document, SubmittedRow
from cowrite.stores.past import clients_of_state
from cowrite.stores.telling import without_content

K = TypeVar("K")
V = TypeVar("V")

_ALL = 2**63
"""Beyond every offset."""


class MemoryErasure:
    """The port :class:`cowrite.core.ports.Erasure` on a :class:`MemoryDatabase`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._database = connection.database
        self._tables = connection.database.tables

    async def forget(self, document_id: str, checkpoint: Checkpoint, *, scrub: bool = True) -> bool:
        await self._connection.begin("forget", [document_id])
        packed = await asyncio.to_thread(pack_checkpoint, checkpoint)
        await self._database.alone()
        happened = self._forget(document_id, packed)
        self._scrub(scrub)
        return happened

    def _forget(self, document_id: str, packed: PackedCheckpoint) -> bool:
        document = self._tables.documents.get(document_id)
        if document is None or packed.offset > document.head.offset:
            return False
        if packed.offset < document.first_offset:
            return True
        row = next((row for row in document.rows if row.entry.offset == packed.offset), None)
        if row is None or row.entry.id != packed.entry_id:
            return False
        rows = [other for other in document.rows if other.entry.offset <= packed.offset]
        document.emptied = next((other.operations[-1].id for other in reversed(rows) if other.operations), document.emptied)
        self._drop_until(document_id, until=packed.offset)
        if document.emptied is not None:
            self._tables.operations[document.emptied] = document_id, packed.offset
        document.rows = [other for other in document.rows if other.entry.offset > packed.offset]
        later = [kept for kept in document.checkpoints if kept[0].offset > packed.offset]
        document.checkpoints = [(packed, row.log_bytes), *later]
        document.first_offset = packed.offset + 1
        self._tables.unscrubbed.add(document_id)
        return True

    async def purge(self, document_id: str, *, deleted_before: int, at: int, scrub: bool = True) -> bool:
        await self._connection.begin("purge", [document_id])
        await self._database.alone()
        happened = self._purge(document_id, deleted_before=deleted_before, at=at)
        self._scrub(scrub)
        return happened

    def _purge(self, document_id: str, *, deleted_before: int, at: int) -> bool:
        document = self._tables.documents.get(document_id)
        if document is None or not _purgeable(document, deleted_before):
            return False
        retired = document.retired_clients | self._clients(document_id, document)
        self._drop(document_id, until=_ALL)
        _remove(self._tables.submitted, lambda row: row.record.document_id == document_id)
        _remove(self._tables.versions, lambda version: version.document_id == document_id)
        sessions = self._tables.sessions
        for session in [session for session in sessions.values() if session.document_id == document_id]:
            del sessions[session.session_id]
        self._tables.documents[document_id] = Document(
            self._database.new_head(),
            document.created_at,
            at,
            deleted_at=document.deleted_at,
            purged_at=at,
            retired_clients=retired,
        )
        self._tables.unscrubbed.add(document_id)
        return True

    async def purgeable(self, *, deleted_before: int, limit: int) -> Sequence[str]:
        await self._connection.begin("purgeable")
        documents = sorted(self._tables.documents.items(), key=lambda item: item[1].deleted_at or 0)
        return tuple(name for name, document in documents if _purgeable(document, deleted_before))[: max(0, limit)]

    async def unfinished(self) -> Sequence[str]:
        await self._connection.begin("unfinished")
        return sorted(self._tables.unscrubbed)

    async def finish(self, document_id: str, *, scrub: bool = True) -> None:
        await self._connection.begin("finish", [document_id])
        self._scrub(scrub)

    async def recreate(self, document_id: str, change: AccessChange) -> bool:
        check_change_of(document_id, change)
        await self._connection.begin("recreate", [document_id])
        await self._database.alone()
        document = self._tables.documents.get(document_id)
        if document is None or document.purged_at is None:
            return False
        at, head = change.created_at, self._database.new_head()
        self._tables.documents[document_id] = Document(head, at, at, retired_clients=document.retired_clients)
        self._tables.add_change(change)
        return True

    async def retired_clients(self, document_id: str) -> frozenset[int]:
        await self._connection.begin("retired_clients", [document_id])
        document = self._tables.documents.get(document_id)
        return document.retired_clients if document is not None else frozenset()

    def _scrub(self, asked: bool) -> None:
        """As if there were files, so that whoever leaves it undone is found out."""
        if asked:
            self._tables.unscrubbed.clear()

    def _drop_until(self, document_id: str, *, until: int) -> None:
        tables = self._tables
        self._drop(document_id, until=until)
        # The moment itself is kept.
        _remove(tables.versions, lambda version: version.document_id == document_id and version.offset < until)
        for row in [row for row in tables.submitted.values() if row.record.document_id == document_id]:
            if row.record.offset <= until:
                tables.submitted[row.record.id] = SubmittedRow(replace(row.record, update=b""), ())

    def _drop(self, document_id: str, *, until: int) -> None:
        """Operations of the entries up to an offset, and what was quarantined or could not be told by webhooks."""
        tables = self._tables
        _remove(tables.operations, lambda place: place[0] == document_id and place[1] <= until)
        telling = tables.webhooks.tellings.get(document_id)
        if telling is not None and telling.message is not None:
            telling.message = replace(telling.message, body=without_content(telling.message.body))
        _remove(tables.webhooks.dead, lambda letter: letter.document_id == document_id)
        tables.quarantined[:] = [one for one in tables.quarantined if one.document_id != document_id]

    def _clients(self, document_id: str, document: Document) -> frozenset[int]:
        wrote = {brought.client for row in document.rows for brought in row.entry.ranges} | document.clients.keys()
        for packed, _ in reversed(document.checkpoints):
            if there := clients_of_state(document_id, packed.state):
                return frozenset(wrote | there)
        return frozenset(wrote)


def _purgeable(document: Document, deleted_before: int) -> bool:
    return document.purged_at is None and document.deleted_at is not None and document.deleted_at < deleted_before


def _remove(table: dict[K, V], gone: Callable[[V], bool]) -> None:
    for key in [key for key, value in table.items() if gone(value)]:
        del table[key]


if TYPE_CHECKING:
    _erasure: type[Erasure] = MemoryErasure
