"""The database in memory, and the switches by which a test makes it fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from cowrite.core.clock import SystemClock
from cowrite.core.ids import Ids
from cowrite.core.ports import Clock, StoreBusy, StoreError, StoreUnavailable
from cowrite.core.records import Entry, Head, Quarantined
from cowrite.stores.encoding import check_id
from cowrite.stores.memory.tables import Document, Tables

Call: TypeAlias = Literal[
    # Store
    "load", "heads", "entries", "begin", "read", "submitted", "own_updates", "append", "renew_epoch", "quarantine", "commit",
    "save_checkpoint", "clients",
    # History
    "load_at",
    "damaged_checkpoints", "locate", "operations", "last_operation", "offset_at", "authored", "activity",
    # Versions
    "add_version", "list_versions", "version", "change_version", "remove_version", "thin",
    # Erasure
    "forget", "purge", "purgeable", "unfinished", "finish", "recreate", "retired_clients",
    # AccessLog
    "begin_session", "session", "update_session", "end_session", "ended_sessions", "use_token", "change", "changes",
    # Directory
    "list", "info", "create", "delete", "undelete",
    # WebhookLog
    "begin_webhooks", "waiting", "claim", "claim_dead", "sent", "failed", "dead", "dead_letter", "count_dead", "retry", "drop",
]  # fmt: skip
"""Places of a failure or a hold: ``begin`` is the entering of ``writing``, ``commit`` its end, ``read`` its ``entries``."""

_PATIENCE = 5.0
"""Seconds that a change of access waits for writers."""


@dataclass(slots=True)
class Failure:
    """How a call is to fail."""

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
        self.tables = Tables()
        """What is committed."""
        self.clock = clock or SystemClock()
        self._new_id = Ids(self.clock).new
        self._locked: set[str] = set()
        self._transactions = 0
        """How many are open: they have their locks, and have read what the revision of access is."""
        self._unlocked = asyncio.Event()
        self._failures: list[Failure] = []
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
        self._failures.append(Failure(call, error, times, document_id, applied))

    def hold_next(self, call: Call) -> Hold:
        """Let the next call of this kind wait until the returned hold is released, as on a slow disk."""
        hold = Hold()
        self._holds.append((call, hold))
        return hold

    def clients(self, document_id: str) -> Mapping[int, str]:
        """The authors of a document's Yjs clients."""
        return dict(self.tables.documents[document_id].clients)

    def quarantined(self) -> Sequence[Quarantined]:
        """What was quarantined, in order."""
        return tuple(self.tables.quarantined)

    def checkpoints(self, document_id: str) -> Mapping[int, int]:
        """Offset and stored bytes of the checkpoints that are kept, in order."""
        return {packed.offset: len(packed.state) for packed, _ in self.tables.documents[document_id].checkpoints}

    def lose_entry(self, document_id: str, offset: int) -> None:
        """Damage: take one entry out of the log."""
        document = self.tables.documents[document_id]
        document.rows = [row for row in document.rows if row.entry.offset != offset]

    def damage_update(self, document_id: str, offset: int) -> None:
        """Damage: change one bit of an update."""
        rows = self.tables.documents[document_id].rows
        index = next(index for index, row in enumerate(rows) if row.entry.offset == offset)
        update = rows[index].entry.update
        rows[index] = replace(rows[index], entry=replace(rows[index].entry, update=bytes([update[0] ^ 1]) + update[1:]))

    def damage_checkpoint(self, document_id: str, offset: int) -> None:
        """Damage: change one bit of a checkpoint."""
        checkpoints = self.tables.documents[document_id].checkpoints
        for index, (packed, log_bytes) in enumerate(checkpoints):
            if packed.offset == offset:
                state = packed.state[:-1] + bytes([packed.state[-1] ^ 1])
                checkpoints[index] = (replace(packed, state=state), log_bytes)

    def forget_history(self, document_id: str, first_offset: int) -> None:
        """Forget all entries before that offset, and what was submitted with them."""
        document = self.tables.documents[document_id]
        document.first_offset = first_offset
        document.rows = [row for row in document.rows if row.entry.offset >= first_offset]
        tables = self.tables
        for id_, place in list(tables.operations.items()):
            if place[0] == document_id and place[1] < first_offset:
                del tables.operations[id_]
        for id_, row in list(tables.submitted.items()):
            if row.record.document_id == document_id and row.record.offset < first_offset:
                del tables.submitted[id_]

    def new_document(self, document_id: str) -> bool:
        """Make a document's head, unless it is there."""
        if document_id in self.tables.documents:
            return False
        now = self.clock.now()
        self.tables.documents[document_id] = Document(self.new_head(), now, now)
        return True

    def new_head(self) -> Head:
        """The head of a log that is empty, and new."""
        return Head(self._new_id(), 0, "")

    async def call(self, call: Call, document_ids: Collection[str] = ()) -> Failure | None:
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

    def _take_failure(self, call: Call, document_ids: Collection[str]) -> Failure | None:
        for failure in self._failures:
            if failure.call == call and (failure.document_id is None or failure.document_id in document_ids):
                failure.times -= 1
                if failure.times == 0:
                    self._failures.remove(failure)
                return failure
        return None

    @asynccontextmanager
    async def locked(self, document_ids: Sequence[str], wait: float | None) -> AsyncIterator[Sequence[str]]:
        """A transaction's time, in which nobody else locks these documents and no access is changed; gives those that could be
        locked.
        """
        locked = await self._lock(document_ids, wait)
        self._transactions += 1
        try:
            yield locked
        finally:
            self._transactions -= 1
            self._unlock(locked)

    async def alone(self) -> None:
        """Wait until no transaction is open: then, until something is awaited, the caller may change all that there is."""
        try:
            async with asyncio.timeout(_PATIENCE):
                while self._transactions:
                    await self._unlocked.wait()
        except TimeoutError:
            raise StoreBusy(f"Writers hold the memory database for over {_PATIENCE:g} s; try again.") from None

    async def _lock(self, document_ids: Sequence[str], wait: float | None) -> list[str]:
        """Lock in this order; returns what was locked."""
        if wait is None:
            free = [document_id for document_id in document_ids if document_id not in self._locked]
            self._locked.update(free)
            return free
        locked: list[str] = []
        try:
            async with asyncio.timeout(wait):
                for document_id in document_ids:
                    while document_id in self._locked:
                        await self._unlocked.wait()
                    self._locked.add(document_id)
                    locked.append(document_id)
        except BaseException as error:
            self._unlock(locked)
            if isinstance(error, TimeoutError):
                raise StoreBusy(f"Another writer holds document {document_id!r} for over {wait} s; try again.") from None
            raise
        return locked

    def _unlock(self, document_ids: Collection[str]) -> None:
        self._locked.difference_update(document_ids)
        self._unlocked.set()
        self._unlocked = asyncio.Event()


class Connection:
    """One process's connection to a database; its ports share it."""

    def __init__(self, database: MemoryDatabase) -> None:
        self.database = database
        self.closed = False

    async def begin(self, call: Call, document_ids: Collection[str] = ()) -> Failure | None:
        """Every call of a port begins here. Raises :class:`InvalidId` for such documents, and what the call is to fail with."""
        if self.closed:
            raise StoreUnavailable("The store was closed by this process.")
        for document_id in document_ids:
            check_id("The document id", document_id)
        return await self.database.call(call, document_ids)
