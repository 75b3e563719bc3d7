"""The store in memory."""

from __future__ import annotations

import asyncio
import zlib
from collections import ChainMap
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from cowrite.core.ports import Store, StoreCorrupt, StoreRefused, WriteTransaction
from cowrite.core.records import Checkpoint, Entry, Head, OwnUpdate, Quarantined, StoredDocument, Submitted, Version
from cowrite.crdt.operations import ContentOperation
from cowrite.stores.encoding import (
    MAX_UUID,
    check_appendable,
    check_claims,
    check_id,
    check_kept,
    check_next,
    check_quarantined,
    check_submitted,
    decode_operation,
    encode_operation,
    pack_checkpoint,
    printable,
    update_made,
    update_to_keep,
    worth_keeping,
)
from cowrite.stores.memory.database import Call, Connection, MemoryDatabase
from cowrite.stores.memory.tables import Document, Row, SubmittedRow, read_document, read_rows, rows_between
from cowrite.stores.packing import units
from cowrite.stores.past import check_versions


class MemoryStore:
    """One process's view of a :class:`MemoryDatabase`; see the port :class:`cowrite.core.ports.Store` for what it promises."""

    def __init__(self, database: MemoryDatabase | None = None) -> None:
        self.database = database or MemoryDatabase()
        self.connection = Connection(self.database)
        """Shared with the other ports, if there are any."""

    async def load(self, document_id: str) -> StoredDocument | None:
        await self.connection.begin("load", [document_id])
        document = self._documents.get(document_id)
        return None if document is None else read_document(document_id, document)

    async def heads(self, document_ids: Collection[str]) -> Mapping[str, Head]:
        await self.connection.begin("heads", document_ids)
        documents = self._documents
        return {document_id: documents[document_id].head for document_id in document_ids if document_id in documents}

    async def entries(self, document_id: str, *, start: int, limit: int) -> Sequence[Entry]:
        await self.connection.begin("entries", [document_id])
        document = self._documents.get(document_id)
        if document is None:
            return ()
        start = max(start, document.first_offset)
        return read_rows(document_id, document.rows, start=start, end=min(document.head.offset, start + limit - 1))

    async def clients(self, document_id: str, client_ids: Collection[int] | None = None) -> Mapping[int, str]:
        await self.connection.begin("clients", [document_id])
        document = self._documents.get(document_id)
        bound = document.clients if document is not None else {}
        return {client: user for client, user in bound.items() if client_ids is None or client in client_ids}

    @asynccontextmanager
    async def writing(self, document_ids: Collection[str], *, wait: float | None = None) -> AsyncIterator[WriteTransaction]:
        ordered = sorted(set(document_ids))
        database = self.database
        await self.connection.begin("begin", ordered)
        for document_id in ordered:
            database.new_document(document_id)
        async with database.locked(ordered, wait) as locked:
            transaction = _MemoryTransaction(database, locked)
            yield transaction
            await transaction.commit()

    async def save_checkpoint(self, document_id: str, checkpoint: Checkpoint) -> None:
        await self.connection.begin("save_checkpoint", [document_id])
        packed = await asyncio.to_thread(pack_checkpoint, checkpoint)
        document = self._documents.get(document_id)
        rows = document.rows if document is not None else ()
        row = next((row for row in rows if (row.entry.offset, row.entry.id) == (checkpoint.offset, checkpoint.entry_id)), None)
        if document is None or row is None:
            return
        kept = [(other, log_bytes) for other, log_bytes in document.checkpoints if other.offset != packed.offset]
        if kept:
            newest, log_bytes = kept[-1]
            if newest.offset > packed.offset:
                return
            before = kept[-2][1] if len(kept) > 1 else 0
            base = newest.offset < document.first_offset
            if not base and not worth_keeping(size=len(newest.state), log_bytes=log_bytes, log_bytes_before=before):
                kept.pop()
        document.checkpoints = [*kept, (packed, row.log_bytes)]

    async def close(self) -> None:
        self.connection.closed = True

    @property
    def _documents(self) -> Mapping[str, Document]:
        return self.database.tables.documents


class _MemoryTransaction:
    """Collects what is written; :meth:`commit` makes it real in one synchronous step."""

    def __init__(self, database: MemoryDatabase, locked: Collection[str]) -> None:
        self._database = database
        self._tables = database.tables
        documents = {document_id: self._tables.documents[document_id] for document_id in locked}
        self.heads: dict[str, Head] = {document_id: document.head for document_id, document in documents.items()}
        self.deleted = frozenset(name for name, document in documents.items() if document.deleted_at is not None)
        self.access_revision = len(self._tables.changes)
        self._rows: dict[str, list[Row]] = {}
        self._submitted: list[SubmittedRow] = []
        self._versions: dict[str, Version] = {}
        self._quarantined: list[Quarantined] = []
        self._claims: dict[str, dict[int, str]] = {}
        """By document: Yjs clients, and to whom they are bound unless they are bound already."""

    async def submitted(self, operation_ids: Collection[str]) -> Mapping[str, Submitted]:
        for operation_id in operation_ids:
            check_id("The operation id", operation_id, longest=MAX_UUID)
        await self._database.call("submitted")
        operations = self._operations()
        rows = ChainMap({row.record.id: row for row in self._submitted}, self._tables.submitted)
        found = {}
        for id_ in operation_ids:
            if id_ in rows:
                found[id_] = self._read_submitted(rows[id_], operations)
            elif id_ in operations:
                document_id, offset = operations[id_]
                emptied = offset < self._tables.documents[document_id].first_offset
                became = () if emptied else (self._operation(id_, operations),)
                found[id_] = Submitted(id_, document_id, "", "", offset, "", became, None)
        return found

    async def own_updates(self, document_id: str, session_id: str, *, after: int) -> Sequence[OwnUpdate]:
        check_id("The session id", session_id, longest=MAX_UUID)
        await self._begin("own_updates", document_id)
        rows = [
            row
            for row in (*self._tables.submitted.values(), *self._submitted)
            if (row.record.document_id, row.record.session_id) == (document_id, session_id) and row.record.offset > after
        ]
        rows.sort(key=lambda row: (row.record.offset, row.brought_nothing, row.record.id))
        updates = ((row.record.offset, self._update(row)) for row in rows)
        return tuple(OwnUpdate(offset, update) for offset, update in updates if update is not None)

    async def entries(self, document_id: str, *, start: int) -> Sequence[Entry]:
        await self._begin("read", document_id)
        end = self.heads[document_id].offset
        check_kept(document_id, start, end=end, first_offset=self._tables.documents[document_id].first_offset)
        return read_rows(document_id, self._log(document_id), start=start, end=end)

    async def append(
        self,
        document_id: str,
        entries: Sequence[Entry],
        submitted: Sequence[Submitted] = (),
        versions: Sequence[Version] = (),
        claims: Mapping[int, str] | None = None,
    ) -> None:
        await self._begin("append", document_id)
        head = self.heads[document_id]
        check_appendable(document_id, deleted=document_id in self.deleted)
        check_next(document_id, head, entries)
        after = Head(head.epoch, entries[-1].offset, entries[-1].id) if entries else head
        check_submitted(document_id, after, entries, submitted)
        first_offset = self._tables.documents[document_id].first_offset
        check_versions(document_id, versions, first_offset=first_offset, head=after.offset)
        new = self._rows.get(document_id)
        log_bytes = new[-1].log_bytes if new else self._tables.documents[document_id].log_bytes
        rows = []
        for entry in entries:
            log_bytes += len(entry.update)
            rows.append(self._row(document_id, entry, log_bytes=log_bytes))
        self._rows.setdefault(document_id, []).extend(rows)
        self.heads[document_id] = after
        made = {entry.offset: entry.update for entry in entries}
        for one in submitted:
            record = replace(one, operations=(), update=update_to_keep(one, made))
            self._submitted.append(SubmittedRow(record, tuple(operation.id for operation in one.operations)))
        for version in versions:
            self._versions.setdefault(version.id, version)
        made_by = {client: entry.author for entry in reversed(entries) for client in reversed(entry.claims)}
        bound = self._claims.setdefault(document_id, {})
        for client, user in (*made_by.items(), *check_claims(claims).items()):
            bound.setdefault(client, user)

    def _row(self, document_id: str, entry: Entry, *, log_bytes: int) -> Row:
        if self._database.refuse is not None and self._database.refuse(document_id, entry):
            raise StoreRefused(f"The memory database was told to refuse entry {entry.id} of document {document_id!r}.")
        operations = tuple(encode_operation(operation) for operation in entry.operations)
        kept = replace(entry.without_copies(), operations=())
        return Row(kept, operations, zlib.crc32(entry.update), log_bytes, *units(entry.operations), entry.cause)

    async def renew_epoch(self, document_id: str, epoch: str) -> None:
        await self._begin("renew_epoch", document_id)
        self.heads[document_id] = replace(self.heads[document_id], epoch=check_id("The epoch", epoch, longest=MAX_UUID))

    async def quarantine(self, updates: Sequence[Quarantined]) -> None:
        await self._database.call("quarantine", [update.document_id for update in updates])
        for update in updates:
            check_quarantined(update)
        self._quarantined += [replace(update, reason=printable(update.reason)) for update in updates]

    async def commit(self) -> None:
        failure = await self._database.call("commit", self.heads)
        self._check_ids()
        self._tables.operations |= self._new_operations()
        self._tables.submitted |= {row.record.id: row for row in self._submitted}
        self._tables.versions |= self._versions | self._tables.versions
        for document_id, head in self.heads.items():
            document = self._tables.documents[document_id]
            self._move(document, head, self._rows.get(document_id, []))
            document.clients = self._claims.get(document_id, {}) | document.clients
        there = {one.id: one for one in self._tables.quarantined}
        for one in self._quarantined:
            there.setdefault(one.id, one)
        self._tables.quarantined[:] = there.values()
        self._database.commits += 1
        if failure is not None:
            raise failure.error

    def _move(self, document: Document, head: Head, rows: Sequence[Row]) -> None:
        if head != document.head:
            document.head, document.updated_at = head, self._database.clock.now()
        document.rows.extend(rows)

    def _check_ids(self) -> None:
        operations = [operation.id for rows in self._rows.values() for row in rows for operation in row.operations]
        submitted = [row.record.id for row in self._submitted]
        for ids, taken in ((operations, self._tables.operations.keys()), (submitted, self._tables.submitted.keys())):
            if len(set(ids)) < len(ids) or not taken.isdisjoint(ids):
                raise StoreRefused("The id of an operation is taken already.")

    def _new_operations(self) -> dict[str, tuple[str, int]]:
        return {
            operation.id: (document_id, row.entry.offset)
            for document_id, rows in self._rows.items()
            for row in rows
            for operation in row.operations
        }

    def _operations(self) -> Mapping[str, tuple[str, int]]:
        """Where operations are, with those of this transaction."""
        return ChainMap(self._new_operations(), self._tables.operations)

    def _operation(self, operation_id: str, places: Mapping[str, tuple[str, int]]) -> ContentOperation:
        rows = self._rows_at(*places[operation_id]) if operation_id in places else ()
        for text in (text for row in rows for text in row.operations if text.id == operation_id):
            return decode_operation(text)
        raise StoreCorrupt(f"Operation {operation_id!r}, which one that was submitted became, is missing.")

    def _read_submitted(self, row: SubmittedRow, places: Mapping[str, tuple[str, int]]) -> Submitted:
        operations = tuple(self._operation(operation_id, places) for operation_id in row.result)
        return replace(row.record, operations=operations, update=self._update(row))

    def _update(self, row: SubmittedRow) -> bytes | None:
        """The update that was made for it."""
        document_id, offset, kept = row.record.document_id, row.record.offset, row.record.update
        for found in self._rows_at(document_id, offset):
            return update_made(document_id, offset, kept, found.entry.update, found.checksum)
        return update_made(document_id, offset, kept, None, None)

    def _rows_at(self, document_id: str, offset: int) -> Sequence[Row]:
        """The row at that offset, if there is one."""
        committed = rows_between(self._tables.documents[document_id].rows, offset, offset)
        return committed or rows_between(self._rows.get(document_id, []), offset, offset)

    def _log(self, document_id: str) -> list[Row]:
        return self._tables.documents[document_id].rows + self._rows.get(document_id, [])

    async def _begin(self, call: Call, document_id: str) -> None:
        if document_id not in self.heads:
            raise ValueError(f"Document {document_id!r} is not locked by this transaction.")
        await self._database.call(call, [document_id])


if TYPE_CHECKING:
    _store: type[Store] = MemoryStore
    _transaction: type[WriteTransaction] = _MemoryTransaction
