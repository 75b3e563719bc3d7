"""The port to where documents live."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from cowrite.core.records import Checkpoint, Entry, Head, OwnUpdate, Quarantined, StoredDocument, Submitted, Version


class StoreError(Exception):
    """Base of what a store raises. The message says what happened, to which thing, and what to do."""


class StoreUnavailable(StoreError):
    """The store cannot be reached or cannot write now (connection, disk full, I/O error). Nothing of the call has taken
    effect.
    """


class StoreBusy(StoreError):
    """Lock time-out, deadlock or serialization failure: everything was rolled back; the same call may succeed at once."""


class CommitDoubtful(StoreUnavailable):
    """The connection was lost while COMMIT was under way: it may have happened. Look the group up under the lock."""


class StoreRefused(StoreError):
    """The store will not take this data, however often it is tried (too large for a column, invalid text)."""


class InvalidId(StoreRefused, ValueError):
    """An id or author that no database can keep: empty, longer than 255 characters, with U+0000 or half of a surrogate pair."""


class StoreCorrupt(StoreError):
    """What is stored contradicts itself (a gap in the offsets, bytes that do not decode). Nothing may be written to this
    document.
    """

    def __init__(self, message: str, *, offset: int | None = None) -> None:
        super().__init__(message)
        self.offset = offset
        """The first entry that cannot be read, where that is known: what stands before it may be readable."""


class DocumentDeleted(StoreRefused):
    """The document is deleted: nothing may be appended to it."""


class HistoryForgotten(StoreError):
    """What was asked for is older than the history that is kept. ``first_offset`` is the oldest entry that there is."""

    def __init__(self, document_id: str, first_offset: int) -> None:
        super().__init__(f"The history of document {document_id!r} is kept from offset {first_offset} on; ask for a later one.")
        self.document_id = document_id
        self.first_offset = first_offset


class WriteTransaction(Protocol):
    """Inside :meth:`Store.writing`. Usable only there, by one task."""

    @property
    def heads(self) -> Mapping[str, Head]:
        """The locked documents with their heads, read after the lock. A document that somebody else holds is absent."""
        ...

    @property
    def deleted(self) -> Collection[str]:
        """Those of the locked documents that are deleted."""
        ...

    @property
    def access_revision(self) -> int:
        """The revision of the last :class:`AccessChange` as of the lock; 0: there never was one. While the transaction is open
        nobody adds another.
        """
        ...

    async def submitted(self, operation_ids: Collection[str]) -> Mapping[str, Submitted]:
        """Those of these operations that were submitted before, to whatever document, by this transaction too.

        An id that is an operation's and was never submitted comes with author, session and digest "". Raises
        :class:`InvalidId`, :class:`StoreCorrupt`.
        """
        ...

    async def own_updates(self, document_id: str, session_id: str, *, after: int) -> Sequence[OwnUpdate]:
        """The updates of what this session has submitted to this document in entries after that offset, in the order of
        offsets; at one offset that of the entry itself comes first, then those that brought nothing new to the log.
        """
        ...

    async def entries(self, document_id: str, *, start: int) -> Sequence[Entry]:
        """All entries with ``offset >= start`` in order, with their operations: what others committed before the lock was
        had. Raises :class:`HistoryForgotten` when not all of them are kept.
        """
        ...

    async def append(
        self,
        document_id: str,
        entries: Sequence[Entry],
        submitted: Sequence[Submitted] = (),
        versions: Sequence[Version] = (),
        claims: Mapping[int, str] | None = None,
    ) -> None:
        """Add entries behind the head, with their operations, and move the head. Offsets must follow the head without a gap.

        The Yjs clients that an entry claims are bound to its author, and those of ``claims`` to these users, where they are
        bound to nobody before. ``submitted``
        is remembered with them: its offsets are of the log up to these entries, and its operations are operations of these
        entries (only their ids are kept). ``versions`` are of the log up to these entries; one whose id is there already stays
        as it is. Raises :class:`DocumentDeleted`, and at the latest when the block is left
        :class:`StoreRefused` for an id that is taken.
        """
        ...

    async def renew_epoch(self, document_id: str, epoch: str) -> None:
        """Put the document's log under a new epoch (this process knew a log that is no longer there)."""
        ...

    async def quarantine(self, updates: Sequence[Quarantined]) -> None:
        """Keep updates that could not be committed, for people to look at. One whose id is there already stays as it is."""
        ...


class Store(Protocol):
    """Where documents live. The database is the truth.

    Promised: a transaction is all or nothing, and durable when :meth:`writing` has left without an exception; writers of one
    document are ordered by its head's lock; ids compare bytewise ('a', 'A', 'á' and 'a ' are four documents); text may hold
    U+0000 and is stored exactly. A document that is deleted is read and locked as ever; only nothing is appended to it. Not
    promised: fairness between writers; that a reader sees a transaction before :meth:`writing` has returned.

    Every method raises :class:`StoreUnavailable` when the store cannot be reached.
    """

    async def load(self, document_id: str) -> StoredDocument | None:
        """One consistent view of the newest checkpoint and the entries behind it (their ``operations`` are left empty);
        None for an unknown document. Writes nothing. Raises :class:`StoreCorrupt`.
        """
        ...

    async def heads(self, document_ids: Collection[str]) -> Mapping[str, Head]:
        """The heads of those documents that exist."""
        ...

    async def entries(self, document_id: str, *, start: int, limit: int) -> Sequence[Entry]:
        """At most ``limit`` entries with ``offset >= start``, in order, with their operations."""
        ...

    async def clients(self, document_id: str, client_ids: Collection[int] | None = None) -> Mapping[int, str]:
        """The users to whom these Yjs clients of a document are bound (None: all that are bound); the others are absent.

        While a document's head is locked nobody else binds one: what is read then is true until the lock is given up.
        """
        ...

    def writing(
        self, document_ids: Collection[str], *, wait: float | None = None
    ) -> AbstractAsyncContextManager[WriteTransaction]:
        """A transaction that has locked the heads of these documents (ordered by id; rows are created first, in a transaction
        of their own, with a new epoch).

        ``wait=None``: documents whose lock somebody else holds are left out of ``heads``. ``wait=seconds``: wait that long for
        them, then raise :class:`StoreBusy`. (SQLite has one lock for all: it waits 5 s, then raises ``StoreBusy``.)
        Leaving the block commits; an exception in it rolls back and is passed on. Raises :class:`StoreBusy`,
        :class:`StoreRefused`, :class:`CommitDoubtful`.
        """
        ...

    async def save_checkpoint(self, document_id: str, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint of a committed offset, and thin out older ones so that all checkpoints together stay smaller than
        half of the log (plus the newest). Ignored when the entry at that offset has another id.
        """
        ...

    async def close(self) -> None:
        """Release connections. The store is not usable afterwards."""
        ...
