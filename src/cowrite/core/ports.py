"""The ports: what core asks of the world. Each has a contract suite in ``cowrite.testing`` that every implementation runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from cowrite.core.records import Checkpoint, Entry, Head, Quarantined, StoredDocument


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


class WriteTransaction(Protocol):
    """Inside :meth:`Store.writing`. Usable only there, by one task."""

    @property
    def heads(self) -> Mapping[str, Head]:
        """The locked documents with their heads, read after the lock. A document that somebody else holds is absent."""
        ...

    async def entries(self, document_id: str, *, start: int) -> Sequence[Entry]:
        """All entries with ``offset >= start`` in order, with their operations: what others committed before the lock was
        had.
        """
        ...

    async def append(self, document_id: str, entries: Sequence[Entry]) -> None:
        """Add entries behind the head, with their operations, and move the head. Offsets must follow the head without a gap.

        The Yjs clients that an entry claims are recorded as its author's, where nobody has claimed them before.
        """
        ...

    async def renew_epoch(self, document_id: str, epoch: str) -> None:
        """Put the document's log under a new epoch (this process knew a log that is no longer there)."""
        ...

    async def quarantine(self, updates: Sequence[Quarantined]) -> None:
        """Keep updates that could not be committed, for people to look at."""
        ...


class Store(Protocol):
    """Where documents live. The database is the truth.

    Promised: a transaction is all or nothing, and durable when :meth:`writing` has left without an exception; writers of one
    document are ordered by its head's lock; ids compare bytewise ('a', 'A', 'á' and 'a ' are four documents); text may hold
    U+0000 and is stored exactly. Not promised: fairness between writers; that a reader sees a transaction before
    :meth:`writing` has returned.

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
        the log (plus the newest). Ignored when the entry at that offset has another id.
        """
        ...

    async def close(self) -> None:
        """Release connections. The store is not usable afterwards."""
        ...


@dataclass(frozen=True, slots=True)
class News:
    """What a process tells the others after COMMIT. ``entries`` is empty when they are too large to send: read the store."""

    document_id: str
    epoch: str
    offset: int
    """The offset of the last entry of this commit."""
    entries: tuple[Entry, ...]


class Subscription(Protocol):
    """A live subscription of one document."""

    async def close(self) -> None:
        """No call to the receiver begins after this has returned. Idempotent."""
        ...


class Broker(Protocol):
    """Carries news between processes. The broker is speed: it may lose, and never is the only place where something is.

    Promised: at most once; news of one publisher about one document in order. Not promised: delivery, order between
    publishers, and that a publisher does not hear its own news (receivers ignore what they have).
    """

    async def publish(self, news: News) -> None:
        """Hand news to the subscribers of its document. Never raises: a broker that is down loses news."""
        ...

    async def subscribe(self, document_id: str, receive: Callable[[News], None]) -> Subscription:
        """Confirmed when it returns: everything published from then on reaches ``receive`` (a plain call on the event loop)."""
        ...

    @property
    def reaches_others(self) -> bool:
        """True when news crosses processes now; decides how often heads are polled."""
        ...

    async def close(self) -> None:
        """Drop all subscriptions."""
        ...


class Grant(StrEnum):
    """What a session may do in a document; each includes the ones before it."""

    READ = "read"
    COMMENT = "comment"
    WRITE = "write"
    ADMIN = "admin"

    def allows(self, needed: Grant) -> bool:
        """True when this grant includes ``needed``."""
        return _RANKS[self] >= _RANKS[needed]


_RANKS = {grant: rank for rank, grant in enumerate(Grant)}


@dataclass(frozen=True, slots=True)
class Access:
    """The answer of an authorizer: who it is, and what they may do in this document.

    What a host's own authorizer has no token for, it leaves out: then the access was decided now, and has no end of its own.
    """

    user_id: str
    grant: Grant
    name: str | None = None
    colour: str | None = None
    issued_at: int | None = None
    """When what gives this access was made; milliseconds since 1970."""
    expires_at: int | None = None
    """When the access ends; milliseconds since 1970."""
    token_id: str | None = None
    """The id of the token that gives it, a UUID."""
    single_use: bool = False
    """The token opens one session only: whoever opens one records ``token_id``, and refuses it the next time."""


class AccessDenied(Exception):
    """Not let in. ``known`` tells a valid identity without a grant (403) from no valid identity (401)."""

    def __init__(self, reason: str, *, known: bool) -> None:
        super().__init__(reason)
        self.known = known


class Authorizer(Protocol):
    """Decides who may do what. The host application's own async function fits (``authorize=``)."""

    async def __call__(self, token: str | None, document_id: str) -> Access:
        """The access that ``token`` gives to the document; raises :class:`AccessDenied`."""
        ...


class Timer(Protocol):
    """A callback that waits for its time."""

    def cancel(self) -> None:
        """It will not be called. Idempotent; harmless after it was called."""
        ...


class Clock(Protocol):
    """All time comes from here, so that tests turn it by hand."""

    def now(self) -> int:
        """Wall clock, milliseconds since 1970. May step backwards."""
        ...

    def monotonic(self) -> float:
        """Seconds that only go forward."""
        ...

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Call back on the event loop after ``delay`` seconds (0: in the loop's next turn)."""
        ...

    async def sleep(self, delay: float) -> None:
        """Wait ``delay`` seconds."""
        ...
