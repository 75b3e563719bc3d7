"""The ports to documents' past: what happened, which moments were marked, and what is to be forgotten."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from cowrite.core.records import (
    AccessChange,
    ActivityGroup,
    Authored,
    Checkpoint,
    Entry,
    StoredDocument,
    Version,
    VersionKind,
)


class History(Protocol):
    """The past of documents. Only reads.

    Promised: one consistent view for each call; what :meth:`Store.writing` has committed is seen. Every method raises
    :class:`StoreUnavailable`, and :class:`InvalidId` for ids that no database can keep.
    """

    async def load_at(self, document_id: str, offset: int) -> StoredDocument | None:
        """As :meth:`Store.load`, of the log up to ``offset``; ``head`` is the head as it was there. None: there is no such
        document, or its head is not there yet.

        Raises :class:`HistoryForgotten` for what lies before the end of what was forgotten (0, the empty document, can be had
        as long as nothing was), :class:`StoreCorrupt`, and ``ValueError`` for a negative offset.
        """
        ...

    async def damaged_checkpoints(self, document_id: str) -> Mapping[int, str]:
        """The checkpoints that are kept and are not what was stored, by offset, and why, for people. :meth:`load_at` and
        :meth:`Store.load` do without them in silence; each is read, one after the other.
        """
        ...

    async def locate(self, document_id: str, operation_id: str) -> int | None:
        """The offset of the entry that the operation is in; of one that was submitted and became none, the head at that time.
        None: not known in this document (any more). That one was submitted is known when its entry was forgotten, too.
        """
        ...

    async def operations(self, document_id: str, *, after: int, limit: int, size: int) -> Sequence[Entry]:
        """The entries behind the offset ``after``, in order and each with all its operations, until ``limit`` operations are
        reached (the last entry may go beyond), or ``limit`` entries; and no more than have ``size`` bytes together, about, as
        far as that is more than one. None at all: the log ends at ``after``.

        Raises :class:`HistoryForgotten` when not all entries behind ``after`` are kept, :class:`StoreCorrupt`.
        """
        ...

    async def entries(self, document_id: str, *, after: int, limit: int) -> Sequence[Entry]:
        """At most ``limit`` entries behind the offset ``after``, in order, without their operations: what was committed, and by
        whom. None at all: the log ends at ``after``.

        Raises :class:`HistoryForgotten` when not all entries behind ``after`` are kept, :class:`StoreCorrupt`.
        """
        ...

    async def last_operation(self, document_id: str, *, until: int) -> str | None:
        """The id of the last operation in the entries up to the offset ``until``; None: they have none, or are not kept."""
        ...

    async def offset_at(self, document_id: str, at: int) -> int:
        """The offset of the last entry made at that time or before it (milliseconds since 1970); 0: there was none yet.

        Entries are in the order of time as far as the processes' clocks agree. Where time steps back there may be several
        entries made by then whose next one was made later: it is one of those. Raises :class:`HistoryForgotten` when the oldest
        entry that is kept is younger, and is not the first one.
        """
        ...

    async def authored(self, document_id: str, *, after: int, limit: int) -> Sequence[Authored]:
        """At most ``limit`` entries behind the offset ``after``, in order, without their updates and operations. What was
        forgotten is left out. Ranges of several Yjs clients in one entry are credited to those authors who have claimed them.
        """
        ...

    async def activity(
        self, document_id: str, *, before: int | None, pause: int, limit: int, by_author: bool = False
    ) -> Sequence[ActivityGroup]:
        """At most ``limit`` groups of the entries before the offset ``before`` (None: all), newest first: neighbouring entries
        of one author are in one group when no more than ``pause`` milliseconds lie between each two. ``by_author``: also those
        between which others have written; then groups overlap. What the server made ends all.

        What was forgotten is left out. A group may be cut where looking at it takes too long, and ``by_author`` where the page
        ends; the next page goes on before the first of all offsets in this one.
        """
        ...


class Versions(Protocol):
    """Versions: pointers to moments. Each call is durable when it returns; every one raises :class:`StoreUnavailable`, and
    those that write :class:`StoreBusy`, :class:`CommitDoubtful` and :class:`StoreRefused` for texts that no database can keep.
    """

    async def add(self, version: Version) -> bool:
        """Keep a version. False, and nothing happens: there is one of this id already, or no such document, or its head is not
        there yet. Raises :class:`HistoryForgotten` for a moment that is not kept any more, :class:`DocumentDeleted`.
        """
        ...

    async def add_automatic(self, version: Version, *, interval: int) -> bool:
        """As :meth:`add`, unless the newest automatic version is younger than ``interval`` milliseconds, or any version is of
        the same offset: looked at and done in one step, whichever process asks. Versions from the future (by over a minute,
        by which clocks may differ) count as old.
        """
        ...

    async def list(
        self, document_id: str, *, kinds: Collection[VersionKind] = (), before: str | None = None, limit: int = 100
    ) -> Sequence[Version]:
        """At most ``limit`` versions of these kinds (all by default) behind the version ``before``, newest moment first: by
        offset, then by when they were made, then by id. None, when the document has no version ``before`` (any more).
        """
        ...

    async def get(self, document_id: str, version_id: str) -> Version | None:
        """One version; None: the document has none of this id."""
        ...

    async def change(self, version: Version, *, was: Version | None = None) -> bool:
        """Replace name, note and kind of the version of this id and document. False: there is none, or not any more with the
        name, the note and the kind that it ``was`` read with.
        """
        ...

    async def remove(self, document_id: str, version_id: str) -> bool:
        """Remove a version. False: there is none. The history that it points to stays."""
        ...

    async def thin(self, document_id: str, *, now: int, keep: Sequence[tuple[int, int]], older: int | None) -> int:
        """Remove automatic versions that age has made too many of; returns how many.

        ``keep``: (age, distance) in milliseconds, ages ascending: of those older than an age, one for each distance is kept,
        the last one before each multiple of it since 1970. ``older``: those of an age above that are removed, all; None: none.
        Those from the future are thinned as the oldest ones are, and not removed for their age.
        """
        ...


class Erasure(Protocol):
    """What is deleted for good. Each call raises :class:`StoreUnavailable`, :class:`StoreBusy` and :class:`CommitDoubtful`, and
    may be repeated; what it says has happened is durable.

    Forgetting and purging happen in one step, which takes the lock of the document's head: behind it what was erased can no
    longer be had. Its rows go after that, a few at a time, so that no writer waits for long, and are gone when the call
    returns. What a call that failed has left is told by :meth:`unfinished`.

    ``scrub``: when the call returns, nothing of what was deleted until then is left in the database's files either, as far as
    the database can see to that. With SQLite all of the file is written anew, and writers wait for that (about a second for
    100 MB): whoever deletes many leaves it to the last call. An error may be that of the scrubbing; the call repeated scrubs
    in any case.
    """

    async def forget(self, document_id: str, checkpoint: Checkpoint, *, scrub: bool = True) -> bool:
        """Forget what happened up to the checkpoint's offset, and keep the checkpoint, which is the document as it was there:
        that moment, and the versions of it, can still be had.

        Entries, operations and checkpoints up to there go, versions before it, and all that was quarantined. What was submitted
        is emptied: it is still known that it was, and by whom. Epoch, offsets and what comes behind stay. False: there is no
        such document, or the entry at that offset has another id. Nothing happens when that much is forgotten already.
        """
        ...

    async def purge(self, document_id: str, *, deleted_before: int, at: int, scrub: bool = True) -> bool:
        """Delete all that a softly deleted document holds; what is left is that there was one, and which Yjs clients wrote it.

        False: it was not deleted before that time (milliseconds since 1970), or is purged already. ``at``: the time to note.
        """
        ...

    async def unfinished(self) -> Sequence[str]:
        """The documents of which something that was erased is left, in the tables or in the files: an erasure is under way,
        was interrupted, or was not scrubbed yet.
        """
        ...

    async def finish(self, document_id: str, *, scrub: bool = True) -> None:
        """Delete what is left of what was erased from this document. Nothing happens where nothing is."""
        ...

    async def purgeable(self, *, deleted_before: int, limit: int) -> Sequence[str]:
        """Some of the documents that were softly deleted before that time and are not purged yet."""
        ...

    async def recreate(self, document_id: str, change: AccessChange) -> bool:
        """Make a purged document again, empty and under a new epoch, and add the change (see :meth:`Directory.delete`), when
        the rows of what it was are gone. False: there is no such document, or it is not purged.
        """
        ...

    async def retired_clients(self, document_id: str) -> frozenset[int]:
        """The Yjs clients that wrote what was purged from this document: nothing may be taken that is theirs."""
        ...
