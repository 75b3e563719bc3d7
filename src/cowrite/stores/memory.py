"""A store without a disk: for tests, demonstrations and servers that may forget.

A :class:`MemoryDatabase` stands for the database server: it outlives the stores that are opened on it, and several stores on
one database behave as several processes do. It keeps the port's promises in full (a lock per document, all or nothing, exact
round trips, checksums, thinning), and it can be told to fail, so that what stands on a store can be tested against every
failure. All stores of one database belong to one event loop.
"""

from __future__ import annotations

import asyncio
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import structlog

from cowrite.core.clock import SystemClock
from cowrite.core.ids import Ids
from cowrite.core.ports import (
    Clock,
    Store,
    StoreBusy,
    StoreError,
    StoreRefused,
    StoreUnavailable,
    WriteTransaction,
)
from cowrite.core.records import Checkpoint, Entry, Head, Quarantined, StoredDocument
from cowrite.stores.encoding import (
    MAX_UUID,
    OperationText,
    PackedCheckpoint,
    check_id,
    check_log,
    check_next,
    check_quarantined,
    decode_operation,
    encode_operation,
    pack_checkpoint,
    printable,
    unpack_checkpoint,
    verified,
    worth_keeping,
)

log = structlog.get_logger(__name__)

Call: TypeAlias = Literal[
    "load", "heads", "entries", "begin", "read", "append", "renew_epoch", "quarantine", "commit", "save_checkpoint"
]
"""Places of a failure or a hold: ``begin`` is the entering of ``writing``, ``commit`` its end, ``read`` its ``entries``."""


@dataclass(frozen=True, slots=True)
class _Row:
    entry: Entry
    """Without its operations: they are kept as text, so that nobody can change them from outside."""
    operations: tuple[OperationText, ...]
    checksum: int
    log_bytes: int
    """Bytes of all updates of the log up to this one."""


@dataclass(slots=True)
class _Document:
    head: Head
    rows: list[_Row] = field(default_factory=list)
    clients: dict[int, str] = field(default_factory=dict)
    checkpoints: list[tuple[PackedCheckpoint, int]] = field(default_factory=list)
    """In the order of their offsets, each with the log's bytes up to there."""


@dataclass(slots=True)
class _Failure:
    call: Call
    error: StoreError
    times: int
    document_id: str | None
    applied: bool


class Hold:
    """A call that waits inside the database until it is released; made by :meth:`MemoryDatabase.hold_next`."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        """Set when the call has arrived and waits."""
        self._released = asyncio.Event()

    def release(self) -> None:
        """Let the call go on. Idempotent; also works before the call has arrived."""
        self._released.set()

    async def wait(self) -> None:
        """Wait for it: what the held call does."""
        self.reached.set()
        await self._released.wait()


class MemoryDatabase:
    """The documents, and the switches by which a test makes the database fail."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.unavailable = False
        """True: every call raises :class:`StoreUnavailable` and takes no effect; an open transaction fails at its next call, at
        the latest at its end. False: everything works again, with what was committed."""
        self.refuse: Callable[[str, Entry], bool] | None = None
        """Entries (of a document) for which this is true are refused by ``append`` with :class:`StoreRefused`, as a database
        refuses what is too large for a column."""
        self.commits = 0
        """How many transactions have been committed."""
        self._new_id = Ids(clock or SystemClock()).new
        self._documents: dict[str, _Document] = {}
        self._operation_ids: set[str] = set()
        self._quarantined: list[Quarantined] = []
        self._held: set[str] = set()
        self._unlocked = asyncio.Event()
        self._failures: list[_Failure] = []
        self._holds: list[tuple[Call, Hold]] = []

    def fail_next(
        self, call: Call, error: StoreError, *, times: int = 1, document_id: str | None = None, applied: bool = False
    ) -> None:
        """Let the next ``times`` calls of this kind, of any store, raise ``error``; with ``document_id`` those about it alone.

        The call takes no effect, and its transaction is rolled back. ``applied=True``, for ``commit`` alone: the transaction
        takes effect and the error is raised nevertheless, as when a connection is lost after the server has committed.
        """
        if applied and call != "commit":
            raise ValueError("Only a commit can be applied and fail.")
        self._failures.append(_Failure(call, error, times, document_id, applied))

    def hold_next(self, call: Call) -> Hold:
        """Let the next call of this kind wait until the returned hold is released, as on a slow disk."""
        hold = Hold()
        self._holds.append((call, hold))
        return hold

    def clients(self, document_id: str) -> Mapping[int, str]:
        """The authors of a document's Yjs clients."""
        return dict(self._documents[document_id].clients)

    def quarantined(self) -> Sequence[Quarantined]:
        """What was quarantined, in order."""
        return tuple(self._quarantined)

    def checkpoints(self, document_id: str) -> Mapping[int, int]:
        """Offset and stored bytes of the checkpoints that are kept, in order."""
        return {packed.offset: len(packed.state) for packed, _ in self._documents[document_id].checkpoints}

    def lose_entry(self, document_id: str, offset: int) -> None:
        """Damage: take one entry out of the log."""
        document = self._documents[document_id]
        document.rows = [row for row in document.rows if row.entry.offset != offset]

    def damage_update(self, document_id: str, offset: int) -> None:
        """Damage: change one bit of an update."""
        rows = self._documents[document_id].rows
        index = next(index for index, row in enumerate(rows) if row.entry.offset == offset)
        update = rows[index].entry.update
        rows[index] = replace(rows[index], entry=replace(rows[index].entry, update=bytes([update[0] ^ 1]) + update[1:]))

    def damage_checkpoint(self, document_id: str, offset: int) -> None:
        """Damage: change one bit of a checkpoint."""
        checkpoints = self._documents[document_id].checkpoints
        for index, (packed, log_bytes) in enumerate(checkpoints):
            if packed.offset == offset:
                state = packed.state[:-1] + bytes([packed.state[-1] ^ 1])
                checkpoints[index] = (replace(packed, state=state), log_bytes)

    async def _call(self, call: Call, document_ids: Collection[str] = ()) -> _Failure | None:
        """Every call passes here first: it gives way to the loop as a database does, waits when held, fails when told."""
        await asyncio.sleep(0)
        hold = next((pair for pair in self._holds if pair[0] == call), None)
        if hold is not None:
            self._holds.remove(hold)
            await hold[1].wait()
        if self.unavailable:
            raise StoreUnavailable("The memory database was made unavailable; nothing was read or written.")
        failure = self._take_failure(call, document_ids)
        if failure is not None and not failure.applied:
            raise failure.error
        return failure

    def _take_failure(self, call: Call, document_ids: Collection[str]) -> _Failure | None:
        for failure in self._failures:
            if failure.call == call and (failure.document_id is None or failure.document_id in document_ids):
                failure.times -= 1
                if failure.times == 0:
                    self._failures.remove(failure)
                return failure
        return None

    async def _lock(self, document_ids: Sequence[str], wait: float | None) -> list[str]:
        """Lock in this order; returns what was locked."""
        if wait is None:
            free = [document_id for document_id in document_ids if document_id not in self._held]
            self._held.update(free)
            return free
        locked: list[str] = []
        try:
            async with asyncio.timeout(wait):
                for document_id in document_ids:
                    while document_id in self._held:
                        await self._unlocked.wait()
                    self._held.add(document_id)
                    locked.append(document_id)
        except BaseException as error:
            self._unlock(locked)
            if isinstance(error, TimeoutError):
                raise StoreBusy(f"Another writer holds document {document_id!r} for over {wait} s; try again.") from None
            raise
        return locked

    def _unlock(self, document_ids: Collection[str]) -> None:
        self._held.difference_update(document_ids)
        self._unlocked.set()
        self._unlocked = asyncio.Event()


class MemoryStore:
    """One process's view of a :class:`MemoryDatabase`; see the port :class:`cowrite.core.ports.Store` for what it promises."""

    def __init__(self, database: MemoryDatabase | None = None) -> None:
        self.database = database or MemoryDatabase()
        self._closed = False

    async def load(self, document_id: str) -> StoredDocument | None:
        await self._begin("load", [document_id])
        document = self.database._documents.get(document_id)
        if document is None:
            return None
        checkpoint = _newest_valid(document_id, document)
        start = checkpoint.offset + 1 if checkpoint else 1
        entries = _read(document_id, document.rows, start=start, end=document.head.offset, operations=False)
        return StoredDocument(document.head, checkpoint, entries)

    async def heads(self, document_ids: Collection[str]) -> Mapping[str, Head]:
        await self._begin("heads", document_ids)
        documents = self.database._documents
        return {document_id: documents[document_id].head for document_id in document_ids if document_id in documents}

    async def entries(self, document_id: str, *, start: int, limit: int) -> Sequence[Entry]:
        await self._begin("entries", [document_id])
        document = self.database._documents.get(document_id)
        if document is None:
            return ()
        return _read(document_id, document.rows, start=start, end=min(document.head.offset, start + limit - 1))

    @asynccontextmanager
    async def writing(self, document_ids: Collection[str], *, wait: float | None = None) -> AsyncIterator[WriteTransaction]:
        ordered = sorted(set(document_ids))
        database = self.database
        await self._begin("begin", ordered)
        for document_id in ordered:
            database._documents.setdefault(document_id, _Document(Head(database._new_id(), 0, "")))
        locked = await database._lock(ordered, wait)
        try:
            transaction = _MemoryTransaction(database, locked)
            yield transaction
            await transaction.commit()
        finally:
            database._unlock(locked)

    async def save_checkpoint(self, document_id: str, checkpoint: Checkpoint) -> None:
        await self._begin("save_checkpoint", [document_id])
        packed = await asyncio.to_thread(pack_checkpoint, checkpoint)
        document = self.database._documents.get(document_id)
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
            if not worth_keeping(size=len(newest.state), log_bytes=log_bytes, log_bytes_before=before):
                kept.pop()
        document.checkpoints = [*kept, (packed, row.log_bytes)]

    async def close(self) -> None:
        self._closed = True

    async def _begin(self, call: Call, document_ids: Collection[str]) -> None:
        if self._closed:
            raise StoreUnavailable("The store was closed by this process.")
        for document_id in document_ids:
            check_id("The document id", document_id)
        await self.database._call(call, document_ids)


class _MemoryTransaction:
    """Collects what is written; :meth:`commit` makes it real in one synchronous step."""

    def __init__(self, database: MemoryDatabase, locked: Collection[str]) -> None:
        self._database = database
        self.heads: dict[str, Head] = {document_id: database._documents[document_id].head for document_id in locked}
        self._rows: dict[str, list[_Row]] = {}
        self._quarantined: list[Quarantined] = []

    async def entries(self, document_id: str, *, start: int) -> Sequence[Entry]:
        await self._begin("read", document_id)
        rows = self._database._documents[document_id].rows + self._rows.get(document_id, [])
        return _read(document_id, rows, start=start, end=self.heads[document_id].offset)

    async def append(self, document_id: str, entries: Sequence[Entry]) -> None:
        await self._begin("append", document_id)
        head = self.heads[document_id]
        check_next(document_id, head, entries)
        staged = self._rows.get(document_id, [])
        last = (staged or self._database._documents[document_id].rows)[-1:]
        log_bytes = last[0].log_bytes if last else 0
        rows = []
        for entry in entries:
            log_bytes += len(entry.update)
            rows.append(self._row(document_id, entry, log_bytes=log_bytes))
        self._rows[document_id] = staged + rows
        if entries:
            self.heads[document_id] = Head(head.epoch, entries[-1].offset, entries[-1].id)

    def _row(self, document_id: str, entry: Entry, *, log_bytes: int) -> _Row:
        if self._database.refuse is not None and self._database.refuse(document_id, entry):
            raise StoreRefused(f"The memory database was told to refuse entry {entry.id} of document {document_id!r}.")
        operations = tuple(encode_operation(operation) for operation in entry.operations)
        return _Row(replace(entry, operations=()), operations, zlib.crc32(entry.update), log_bytes)

    async def renew_epoch(self, document_id: str, epoch: str) -> None:
        await self._begin("renew_epoch", document_id)
        self.heads[document_id] = replace(self.heads[document_id], epoch=check_id("The epoch", epoch, longest=MAX_UUID))

    async def quarantine(self, updates: Sequence[Quarantined]) -> None:
        await self._database._call("quarantine", [update.document_id for update in updates])
        for update in updates:
            check_quarantined(update)
        self._quarantined += [replace(update, reason=printable(update.reason)) for update in updates]

    async def commit(self) -> None:
        failure = await self._database._call("commit", self.heads)
        self._take_operation_ids()
        for document_id, head in self.heads.items():
            document = self._database._documents[document_id]
            document.head = head
            for row in self._rows.get(document_id, []):
                document.rows.append(row)
                for client in row.entry.claims:
                    document.clients.setdefault(client, row.entry.author)
        self._database._quarantined += self._quarantined
        self._database.commits += 1
        if failure is not None:
            raise failure.error

    def _take_operation_ids(self) -> None:
        ids = [operation.id for rows in self._rows.values() for row in rows for operation in row.operations]
        taken = self._database._operation_ids
        if len(set(ids)) < len(ids) or not taken.isdisjoint(ids):
            raise StoreRefused("The id of an operation is taken already.")
        taken.update(ids)

    async def _begin(self, call: Call, document_id: str) -> None:
        if document_id not in self.heads:
            raise ValueError(f"Document {document_id!r} is not locked by this transaction.")
        await self._database._call(call, [document_id])


def _read(document_id: str, rows: Sequence[_Row], *, start: int, end: int, operations: bool = True) -> tuple[Entry, ...]:
    start = max(1, start)
    first, last = bisect_left(rows, start, key=_offset), bisect_right(rows, end, key=_offset)
    entries = tuple(_entry(document_id, row, operations=operations) for row in rows[first:last])
    check_log(document_id, entries, start=start, end=end)
    return entries


def _offset(row: _Row) -> int:
    return row.entry.offset


def _entry(document_id: str, row: _Row, *, operations: bool) -> Entry:
    verified(document_id, row.entry.offset, row.entry.update, row.checksum)
    return replace(row.entry, operations=tuple(map(decode_operation, row.operations))) if operations else row.entry


def _newest_valid(document_id: str, document: _Document) -> Checkpoint | None:
    for packed, _ in reversed(document.checkpoints):
        try:
            return unpack_checkpoint(packed)
        except ValueError as error:
            log.error("checkpoint ignored", document_id=document_id, offset=packed.offset, reason=str(error))
    return None


if TYPE_CHECKING:
    _store: type[Store] = MemoryStore
    _transaction: type[WriteTransaction] = _MemoryTransaction
