"""What is stored and what travels between processes. Plain values without behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from cowrite.core.grant import Grant
from cowrite.crdt.operations import ContentOperation
from cowrite.crdt.outline import ClockRange
from cowrite.crdt.roots import RootKind


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a document's log.

    ``offset`` counts committed entries from 1; 0 is the empty document. ``epoch`` names the log itself: a new one means that
    offsets of the old one say nothing any more. ``entry_id`` is the id of the entry at ``offset`` ("" at offset 0).
    """

    epoch: str
    offset: int
    entry_id: str


class CauseKind(StrEnum):
    """Why the server itself made an entry."""

    RESTORE = "restore"
    """The document, or one root of it, was brought back to an earlier moment."""
    UNDO = "undo"
    """What one author did in some entries was undone."""
    IMPORT = "import"
    """Something from outside (Markdown, HTML, text, the JSON of ProseMirror) was written into one root."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why the server made an entry, where it was no edit of a client's. Its entry's author is who asked for it."""

    kind: CauseKind
    until: int
    """Restore: the offset that was restored. Undo: the last entry of those whose changes were undone.
    Import: the head when it was asked for."""
    after: int | None = None
    """Undo: the entry before the first one of those."""
    root: str | None = None
    """Restore: the only root that was restored; None: all. Import: the root that was written."""
    author: str | None = None
    """Undo: whose changes were undone."""
    copies: tuple[tuple[int, int, int, int, int], ...] = ()
    """What was brought back: (Yjs client, clock, length, Yjs client before, clock before); so it is still known whose it is.
    They may be many: written with the entry, only :meth:`cowrite.core.ports.History.authored` gives them."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One committed step of a document: one author's run in one flush, at one offset."""

    id: str
    """UUIDv7, made by the process that committed it."""
    group: str
    """UUIDv7 of the group commit; tells after a lost connection whether that COMMIT happened."""
    offset: int
    author: str
    created_at: int
    """Milliseconds since the epoch, by the committing process's clock."""
    update: bytes
    """Yjs update (v1) with only what was new at this offset."""
    ranges: tuple[ClockRange, ...]
    """The structs that it brought, by Yjs client."""
    operations: tuple[ContentOperation, ...] = ()
    claims: tuple[int, ...] = ()
    """Yjs clients that its author has shown to be their own by typing with them. Written, and not read back with the entry. A
    SyncStep2 claims nothing: it carries what others wrote, too."""
    cause: Cause | None = None
    """Why the server made it; None: an edit of a client's."""
    carries: bool = False
    """It came as a SyncStep2, or as an Update of several Yjs clients: whose it is only its clients tell. Written, and not read
    back with the entry."""

    def without_copies(self) -> Entry:
        """As it is read back, and told to other processes."""
        if self.cause is None or not self.cause.copies:
            return self
        return replace(self, cause=replace(self.cause, copies=()))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The encoded state at an offset: compaction that nobody sees, never history itself."""

    offset: int
    entry_id: str
    state: bytes
    """Yjs update (v1) of the whole state, uncompressed; the store compresses it."""
    roots: Mapping[str, RootKind] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """What opening a document needs: its newest checkpoint and the entries after it, up to the head, without gaps."""

    head: Head
    checkpoint: Checkpoint | None
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An update that was accepted from a peer and then could not be committed. Kept for people to look at, never applied."""

    id: str
    document_id: str
    author: str
    created_at: int
    reason: str
    update: bytes


@dataclass(frozen=True, slots=True)
class Submitted:
    """An operation that a client submitted, and what became of it. Sent again, it is answered from here."""

    id: str
    document_id: str
    author: str
    session_id: str
    offset: int
    """The entry that it made; the head at that time, when it became none."""
    digest: str
    """SHA-256 of what was submitted, in hexadecimal."""
    operations: tuple[ContentOperation, ...]
    """What it became: none, one or more operations of the entry at ``offset``."""
    update: bytes | None
    """The Yjs update that was made for it, with what turned out not to be new in the log; None when there was none."""


@dataclass(frozen=True, slots=True)
class OwnUpdate:
    """The update of something that a session has submitted, as it was made."""

    offset: int
    update: bytes


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A user's stay in a document, as it is stored. All times are milliseconds since 1970."""

    session_id: str
    document_id: str
    user_id: str
    grant: Grant
    issued_at: int
    """When the access was decided: the issue of the token. Changes of grants since then override it."""
    created_at: int
    expires_at: int
    name: str | None = None
    colour: str | None = None
    ended_at: int | None = None


@dataclass(frozen=True, slots=True)
class AccessChange:
    """A grant that was changed or revoked; it overrides every access that was decided before."""

    id: str
    """A UUID, by which a change that was sent twice is known."""
    changed_by: str
    created_at: int
    """Milliseconds since 1970."""
    document_id: str | None = None
    """None: all documents."""
    user_id: str | None = None
    """None: everybody."""
    session_id: str | None = None
    """None: all sessions."""
    grant: Grant | None = None
    """None: revoked."""
    reason: str | None = None
    revision: int = 0
    """Its place among all changes, from 1; 0 until it is stored."""
    restores: bool = False
    """What was granted at first holds again; ``grant`` says nothing then."""


@dataclass(frozen=True, slots=True)
class DocumentInfo:
    """What is known of a document without opening it. Times are milliseconds since 1970."""

    document_id: str
    head: Head
    created_at: int
    updated_at: int
    """When the head was last moved."""
    deleted_at: int | None
    log_bytes: int
    """Bytes of all updates of the log."""
    first_offset: int = 1
    """The oldest entry that is kept; above 1 once history was forgotten."""
    purged_at: int | None = None
    """When all that it held was deleted for good; then it is ``deleted`` as well."""


@dataclass(frozen=True, slots=True)
class Authored:
    """An entry without its update and operations: who made it, when, how much, and with which clocks."""

    offset: int
    author: str
    created_at: int
    """Milliseconds since 1970."""
    ranges: tuple[ClockRange, ...]
    """The structs that it brought, by Yjs client."""
    inserted: int
    """Units of its operations: one for each UTF-16 code unit of text, embedded value, item, node and entry."""
    deleted: int
    cause: Cause | None = None
    writers: tuple[str, ...] = ()
    """For each range who wrote it: the user to whom its Yjs client is bound, "" where it is carried and bound to nobody. Empty
    when its author wrote all of it."""
    deletes: tuple[ClockRange, ...] = ()
    """What it deleted, by Yjs client."""


@dataclass(frozen=True, slots=True)
class ActivityGroup:
    """Entries of one author without a pause in between. Times are milliseconds since 1970."""

    author: str
    first_offset: int
    last_offset: int
    began_at: int
    ended_at: int
    inserted: int
    deleted: int
    cause: Cause | None = None
    """What the server made stands alone."""
    entries: int = 1
    """How many entries these are; between them there may be others' where that was asked for."""


class VersionKind(StrEnum):
    """What made a version."""

    NAMED = "named"
    AUTOMATIC = "automatic"
    """A pause in editing."""
    RESTORE = "restore"
    """What was there before something was restored, undone or imported."""


@dataclass(frozen=True, slots=True)
class Version:
    """A point of a document's history that was marked: a pointer, no copy."""

    id: str
    """A UUID."""
    document_id: str
    offset: int
    """The document as it is with this entry and all before it; 0: empty."""
    kind: VersionKind
    author: str
    """Who made it; of an automatic one, the author of the entry."""
    created_at: int
    """When it was made; milliseconds since 1970."""
    name: str | None = None
    note: str | None = None
