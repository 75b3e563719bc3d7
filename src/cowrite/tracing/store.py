"""What reading and writing a document's log in the database takes, as parts of what they are done for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from opentelemetry.trace import Span, SpanKind

from cowrite.core.ports import Store, WriteTransaction
from cowrite.core.records import Checkpoint, Entry, Head, OwnUpdate, Quarantined, StoredDocument, Submitted, Version
from cowrite.tracing.attributes import DOCUMENT, Value

if TYPE_CHECKING:
    from cowrite.tracing.spans import Spans


class TracedStore:
    """Another store, with spans for opening a document's log and for transactions."""

    def __init__(self, store: Store, spans: Spans, system: str) -> None:
        """``system``: what OpenTelemetry calls this kind of database."""
        self._store = store
        self._spans = spans
        self._system = system

    async def load(self, document_id: str) -> StoredDocument | None:
        with self._part("load", {DOCUMENT: document_id}) as span:
            stored = await self._store.load(document_id)
            if span is not None:
                span.set_attribute("db.response.returned_rows", _rows(stored))
            return stored

    async def heads(self, document_ids: Collection[str]) -> Mapping[str, Head]:
        return await self._store.heads(document_ids)

    async def entries(self, document_id: str, *, start: int, limit: int) -> Sequence[Entry]:
        return await self._store.entries(document_id, start=start, limit=limit)

    async def clients(self, document_id: str, client_ids: Collection[int] | None = None) -> Mapping[int, str]:
        return await self._store.clients(document_id, client_ids)

    @asynccontextmanager
    async def writing(self, document_ids: Collection[str], *, wait: float | None = None) -> AsyncIterator[WriteTransaction]:
        with self._part("write", {"cowrite.documents": len(document_ids)}) as span:
            async with self._store.writing(document_ids, wait=wait) as transaction:
                if span is None:
                    yield transaction
                    return
                span.add_event("locked")
                counted = CountedTransaction(transaction)
                yield counted
                span.set_attribute("cowrite.rows", counted.rows)
                span.add_event("commit")

    async def save_checkpoint(self, document_id: str, checkpoint: Checkpoint) -> None:
        await self._store.save_checkpoint(document_id, checkpoint)

    async def close(self) -> None:
        await self._store.close()

    def _part(self, operation: str, attributes: Mapping[str, Value]) -> AbstractContextManager[Span | None]:
        known = {"db.system.name": self._system, "db.operation.name": operation}
        return self._spans.part(f"{operation} {self._system}", SpanKind.CLIENT, {**known, **attributes})


class CountedTransaction:
    """Another transaction, which counts what is to be written."""

    def __init__(self, transaction: WriteTransaction) -> None:
        self._transaction = transaction
        self.rows = 0
        """Of entries, operations, what was submitted, versions, and heads that move."""

    @property
    def heads(self) -> Mapping[str, Head]:
        return self._transaction.heads

    @property
    def deleted(self) -> Collection[str]:
        return self._transaction.deleted

    @property
    def access_revision(self) -> int:
        return self._transaction.access_revision

    async def submitted(self, operation_ids: Collection[str]) -> Mapping[str, Submitted]:
        return await self._transaction.submitted(operation_ids)

    async def own_updates(self, document_id: str, session_id: str, *, after: int) -> Sequence[OwnUpdate]:
        return await self._transaction.own_updates(document_id, session_id, after=after)

    async def entries(self, document_id: str, *, start: int) -> Sequence[Entry]:
        return await self._transaction.entries(document_id, start=start)

    async def append(
        self,
        document_id: str,
        entries: Sequence[Entry],
        submitted: Sequence[Submitted] = (),
        versions: Sequence[Version] = (),
        claims: Mapping[int, str] | None = None,
    ) -> None:
        await self._transaction.append(document_id, entries, submitted, versions, claims)
        operations = sum(len(entry.operations) for entry in entries)
        self.rows += len(entries) + operations + len(submitted) + len(versions) + bool(entries)

    async def renew_epoch(self, document_id: str, epoch: str) -> None:
        await self._transaction.renew_epoch(document_id, epoch)

    async def quarantine(self, updates: Sequence[Quarantined]) -> None:
        await self._transaction.quarantine(updates)
        self.rows += len(updates)


def _rows(stored: StoredDocument | None) -> int:
    return 0 if stored is None else len(stored.entries) + (stored.checkpoint is not None)


if TYPE_CHECKING:
    _: type[Store] = TracedStore
    _transaction: type[WriteTransaction] = CountedTransaction
