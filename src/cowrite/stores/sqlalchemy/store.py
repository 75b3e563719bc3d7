"""The store in a relational database. It knows what to read and write; ``database.py`` says how that is run."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Connection

from cowrite.core.clock import SystemClock
from cowrite.core.ids import Ids
from cowrite.core.ports import Clock, Store, StoreBusy, WriteTransaction
from cowrite.core.records import Checkpoint, Entry, Head, OwnUpdate, Quarantined, StoredDocument, Submitted, Version
from cowrite.stores.encoding import (
    MAX_UUID,
    check_appendable,
    check_claims,
    check_id,
    check_kept,
    check_next,
    check_submitted,
    pack_checkpoint,
)
from cowrite.stores.past import check_versions
from cowrite.stores.sqlalchemy.changes import share_access_revision
from cowrite.stores.sqlalchemy.checkpoints import save_checkpoint
from cowrite.stores.sqlalchemy.database import Database, Transaction, first, write
from cowrite.stores.sqlalchemy.loading import load_document
from cowrite.stores.sqlalchemy.reading import (
    DocumentRow,
    decode_entries,
    lock_documents,
    read_clients,
    read_documents,
    read_entries,
    read_range,
)
from cowrite.stores.sqlalchemy.submissions import (
    decode_own_updates,
    decode_submitted,
    read_own_updates,
    read_submitted,
    submitted_to_write,
)
from cowrite.stores.sqlalchemy.writing import Writer, Writes, entries_to_write, quarantined_to_write, version_to_write

R = TypeVar("R")
T = TypeVar("T")

_CREATE_SECONDS = 0.3
"""How long a group waits, at most, until the rows of its new documents are there."""
_CREATE_WAIT = 0.1
_CREATE_PAUSE = 0.02
"""Seconds that one try waits for the locks of others, and between tries."""
LARGE = 256 * 1024
MANY = 500
"""Bytes of updates, or number of operations, from which on they are encoded in a thread."""
PORTION = 2000
"""Rows in one call of the database at most: far from what a slow server does before a deadline."""


class SqlStore:
    """The port :class:`cowrite.core.ports.Store` on a relational database. Made by :func:`cowrite.stores.open_store`."""

    def __init__(self, database: Database, clock: Clock | None = None) -> None:
        self._database = database
        self._clock = clock or SystemClock()
        self._new_epoch = Ids(self._clock).new
        self._writer = Writer(database.dialect)

    async def load(self, document_id: str) -> StoredDocument | None:
        check_id("The document id", document_id)
        return await load_document(self._database, document_id)

    async def heads(self, document_ids: Collection[str]) -> Mapping[str, Head]:
        for document_id in document_ids:
            check_id("The document id", document_id)
        return await self._database.read(partial(read_documents, document_ids=document_ids), _heads)

    async def entries(self, document_id: str, *, start: int, limit: int) -> Sequence[Entry]:
        check_id("The document id", document_id)
        return await self._database.read(
            partial(read_entries, document_id=document_id, start=start, limit=limit), decode_entries
        )

    async def clients(self, document_id: str, client_ids: Collection[int] | None = None) -> Mapping[int, str]:
        check_id("The document id", document_id)
        read = partial(read_clients, document_id=document_id, client_ids=client_ids)
        return await self._database.read(read, dict)

    @asynccontextmanager
    async def writing(self, document_ids: Collection[str], *, wait: float | None = None) -> AsyncIterator[WriteTransaction]:
        ordered = sorted({check_id("The document id", document_id) for document_id in document_ids})
        # Who waits for the locks of others is not to keep groups from a connection, either.
        with first() if wait is None else nullcontext():
            transaction, locked = await self._begin(ordered, wait)
        with first():
            try:
                writing = _SqlTransaction(transaction, self._writer, self._clock, locked)
                yield writing
                await writing.commit()
            except BaseException:
                await transaction.rollback()
                raise

    async def _begin(self, document_ids: Sequence[str], wait: float | None) -> tuple[Transaction, Locked]:
        lock = partial(_lock, document_ids=document_ids, skip_locked=wait is None)
        until = _now() + (_CREATE_SECONDS if wait is None else wait)
        busy: StoreBusy | None = None
        while True:
            transaction, locked = await self._database.begin(lock, wait=wait)
            if not locked.absent and not locked.came:
                return transaction, locked
            if busy is not None and wait is None:
                # Somebody who does not go on makes them; the others are not to wait for that.
                return transaction, locked
            # Their rows come first, in a transaction of their own: a row that is not committed would make other writers wait
            # for this whole transaction, and its epoch would be forgotten with a rollback.
            await transaction.rollback()
            if busy is not None:
                raise busy
            busy = await self._create(locked.absent, until)

    async def _create(self, document_ids: Sequence[str], until: float) -> StoreBusy | None:
        """Make rows; those that others are making as well, or were given the same number, perhaps not.

        Returns why some could not be tried to the end before that time.
        """
        parts = [document_ids] if document_ids else []
        while parts:
            part = parts.pop(0)
            epochs = [(document_id, self._new_epoch()) for document_id in part]
            create = partial(self._writer.create_documents, epochs=epochs, now=self._clock.now())
            try:
                await write(self._database, create, wait=_CREATE_WAIT)
            except StoreBusy as error:
                # Somebody makes one of these, and has not committed; or it is one of MySQL's deadlocks.
                if _now() > until:
                    return error
                middle = (len(part) + 1) // 2
                parts += [half for half in (part[:middle], part[middle:]) if half]
                await asyncio.sleep(random.uniform(0, _CREATE_PAUSE))
        return None

    async def save_checkpoint(self, document_id: str, checkpoint: Checkpoint) -> None:
        check_id("The document id", document_id)
        packed = await asyncio.to_thread(pack_checkpoint, checkpoint)
        now = self._clock.now()
        await write(self._database, partial(save_checkpoint, document_id=document_id, packed=packed, now=now))

    async def close(self) -> None:
        await self._database.close()


@dataclass(frozen=True, slots=True)
class Locked:
    """What was found when a transaction began."""

    documents: Mapping[str, DocumentRow]
    """The documents whose rows could be locked."""
    absent: Sequence[str]
    """Those that have no row."""
    came: Sequence[str]
    """Those whose rows came after the lock, which was to wait for them."""
    access_revision: int


class _SqlTransaction:
    """Collects what is written; it goes to the database before the next reading of it, else with the COMMIT, in one go."""

    def __init__(self, transaction: Transaction, writer: Writer, clock: Clock, locked: Locked) -> None:
        self.heads = _heads(locked.documents)
        self.deleted = frozenset(name for name, row in locked.documents.items() if row.deleted_at is not None)
        self.access_revision = locked.access_revision
        self._transaction = transaction
        self._writer = writer
        self._clock = clock
        self._numbers = {document_id: row.number for document_id, row in locked.documents.items()}
        self._first_offsets = {document_id: row.first_offset for document_id, row in locked.documents.items()}
        self._log_bytes = {document_id: row.log_bytes for document_id, row in locked.documents.items()}
        self._writes = Writes()

    async def submitted(self, operation_ids: Collection[str]) -> Mapping[str, Submitted]:
        for operation_id in operation_ids:
            check_id("The operation id", operation_id, longest=MAX_UUID)
        return await self._read(partial(read_submitted, ids=frozenset(operation_ids)), decode_submitted)

    async def own_updates(self, document_id: str, session_id: str, *, after: int) -> Sequence[OwnUpdate]:
        self._head(document_id)
        check_id("The session id", session_id, longest=MAX_UUID)
        read = partial(read_own_updates, document_id=document_id, session_id=session_id, after=after)
        return await self._read(read, decode_own_updates)

    async def entries(self, document_id: str, *, start: int) -> Sequence[Entry]:
        end = self._head(document_id).offset
        check_kept(document_id, start, end=end, first_offset=self._first_offsets[document_id])
        return await self._read(partial(read_range, document_id=document_id, start=max(1, start), end=end), decode_entries)

    async def append(
        self,
        document_id: str,
        entries: Sequence[Entry],
        submitted: Sequence[Submitted] = (),
        versions: Sequence[Version] = (),
        claims: Mapping[int, str] | None = None,
    ) -> None:
        head = self._head(document_id)
        check_appendable(document_id, deleted=document_id in self.deleted)
        check_next(document_id, head, entries)
        after = Head(head.epoch, entries[-1].offset, entries[-1].id) if entries else head
        check_submitted(document_id, after, entries, submitted)
        check_versions(document_id, versions, first_offset=self._first_offsets[document_id], head=after.offset)
        if entries:
            number, log_bytes = self._numbers[document_id], self._log_bytes[document_id]
            encode = partial(entries_to_write, document_id, number, entries, log_bytes=log_bytes)
            size = sum(len(entry.update) for entry in entries)
            takes_long = size > LARGE or sum(len(entry.operations) for entry in entries) > MANY
            self._writes.add(await asyncio.to_thread(encode) if takes_long else encode())
            self._log_bytes[document_id] += size
            self._move(document_id, after)
        self._writes.submitted += submitted_to_write(submitted, entries, now=self._clock.now())
        self._writes.versions += [version_to_write(version) for version in versions]
        for client, user in check_claims(claims).items():
            self._writes.clients.setdefault((document_id, client), user)

    async def renew_epoch(self, document_id: str, epoch: str) -> None:
        self._move(document_id, replace(self._head(document_id), epoch=check_id("The epoch", epoch, longest=MAX_UUID)))

    async def quarantine(self, updates: Sequence[Quarantined]) -> None:
        self._writes.quarantined += [quarantined_to_write(update) for update in updates]

    async def commit(self) -> None:
        """Called by the store when the block is left."""
        last = await self._write_all_but_last()
        await self._transaction.commit(partial(self._writer.write, writes=last))

    async def _read(self, read: Callable[[Connection], R], decode: Callable[[R], T]) -> T:
        """Read, with what this transaction has written until now."""
        last = await self._write_all_but_last()

        def work(connection: Connection) -> R:
            self._writer.write(connection, last)
            return read(connection)

        return await self._transaction.read(work, decode)

    async def _write_all_but_last(self) -> Writes:
        """Each portion is a call of its own, which has the deadline of one; returns what the next call has to write."""
        writes, self._writes = self._writes, Writes()
        *portions, last = writes.portions(PORTION)
        for portion in portions:
            await self._transaction.run(partial(self._writer.write, writes=portion))
        return last

    def _head(self, document_id: str) -> Head:
        if document_id not in self.heads:
            raise ValueError(f"Document {document_id!r} is not locked by this transaction.")
        return self.heads[document_id]

    def _move(self, document_id: str, head: Head) -> None:
        self.heads[document_id] = head
        moved = (head.epoch, head.offset, head.entry_id, self._log_bytes[document_id], self._clock.now(), document_id)
        self._writes.heads[document_id] = moved


def _lock(connection: Connection, *, document_ids: Sequence[str], skip_locked: bool) -> Locked:
    locked = lock_documents(connection, document_ids, skip_locked=skip_locked)
    missing = [document_id for document_id in document_ids if document_id not in locked]
    existing = read_documents(connection, missing) if missing else {}
    absent = [document_id for document_id in missing if document_id not in existing]
    came = [] if skip_locked else list(existing)
    return Locked(locked, absent, came, share_access_revision(connection))


def _now() -> float:
    return asyncio.get_running_loop().time()


def _heads(rows: Mapping[str, DocumentRow]) -> dict[str, Head]:
    return {document_id: row.head for document_id, row in rows.items()}


if TYPE_CHECKING:
    _store: type[Store] = SqlStore
    _transaction: type[WriteTransaction] = _SqlTransaction
