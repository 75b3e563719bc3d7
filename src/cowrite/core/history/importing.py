"""Writing what comes from outside into a document, as one new edit."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Final

from cowrite.core.history.faults import reading
from cowrite.core.history.moments import Moment, Moments
from cowrite.core.history.server_edits import Copies, ServerEdits, Wanted
from cowrite.core.limits import Limits
from cowrite.core.operations.session_replicas import fresh_client_id
from cowrite.core.operations.state import State
from cowrite.core.operations.submissions import SubmissionRefused, refuse_damaged
from cowrite.core.ports import DocumentDeleted, Grant, Storage
from cowrite.core.records import Cause, CauseKind, DocumentInfo
from cowrite.core.rooms.registry import Registry
from cowrite.core.sessions.session import Session
from cowrite.crdt.apply_operations import apply_operations
from cowrite.crdt.operations import OperationDraft, OperationInvalid, OperationType
from cowrite.crdt.text_index import utf16_length
from cowrite.crdt.values import Json
from cowrite.formats.shapes import ROOTS, Shape, Source
from cowrite.formats.sources.invalid import SourceInvalid, SourceLimits

if TYPE_CHECKING:
    from cowrite.formats.shaping import Shaped

_NOT_EMPTY: Final = "say with the mode append or replace what is to become of it; its history stays either way"


class Mode(StrEnum):
    """What becomes of what is there."""

    EMPTY = "empty"
    """Nothing may be there."""
    APPEND = "append"
    """It stays, and the new content comes behind it."""
    REPLACE = "replace"
    """It goes; its history stays, and so does what others write meanwhile."""


@dataclass(frozen=True, slots=True)
class Brought:
    """Something from outside that is to be written into a document."""

    content: bytes
    source: Source
    shape: Shape = Shape.TIPTAP
    root: str | None = None
    """None: that of the shape."""
    mode: Mode = Mode.EMPTY
    id: str | None = None
    """Given by who asks: asked for again with it, it is not done twice."""

    @property
    def into(self) -> str:
        """The root."""
        return ROOTS[self.shape] if self.root is None else self.root

    @property
    def words(self) -> str:
        """What is asked for, to know it again."""
        asked = "\0".join((self.source, self.shape, self.into, self.mode)).encode(errors="surrogatepass")
        return hashlib.sha256(asked + b"\0" + self.content).hexdigest()


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of it."""

    offset: int
    """The offset of the log with it; the head, when there was nothing to write."""
    root: str
    left_out: Sequence[str]
    """Names of what the shape has nothing for; its text is there."""
    version_id: str | None
    """What was there before, marked as a version; None: there was nothing, or nothing was to be done."""


class Importing:
    """Reads in the worker's thread, and has the journal commit what it makes behind what others write meanwhile."""

    def __init__(self, storage: Storage, moments: Moments, registry: Registry, edits: ServerEdits, limits: Limits) -> None:
        self._directory = storage.directory
        self._registry = registry
        self._moments = moments
        self._edits = edits
        self._limits = SourceLimits(limits.source_bytes, limits.source_nodes)

    async def bring(self, session: Session, brought: Brought) -> Imported:
        """Write it into the session's document, which is made if there is none.

        Raises :class:`SubmissionRefused` (``not_empty``, the codes of :class:`SourceInvalid` and those of operations),
        :class:`HistoryRefused`, :class:`RoomClosed`, and what reading and writing the store raises.
        """
        self._edits.refuse_costly(session)
        content = await self._edits.charged(session, partial(_shaped, brought, self._limits))
        info = await self._info(session.document_id)  # only now: what cannot be read makes no document
        cause = Cause(CauseKind.IMPORT, info.head.offset, root=brought.into)
        wanted = Wanted(session, cause, Grant.WRITE, brought.id, brought.words)
        made = await self._edits.do(wanted, info, partial(self._make, content, brought))
        return Imported(made.offset, brought.into, content.left_out, made.version_id)

    async def _info(self, document_id: str) -> DocumentInfo:
        async with self._registry.open(document_id) as room:
            refuse_damaged(room.damage)
        await self._directory.create(document_id)
        info = await self._directory.info(document_id)
        assert info is not None, "it was made, and what is deleted is still told of"
        if info.deleted_at is not None:
            raise DocumentDeleted(document_id)
        return info

    async def _make(self, content: Shaped, brought: Brought, head: Moment, session: Session) -> tuple[bytes | None, Copies]:
        now = await self._moments.state(head)
        return await self._edits.charged(session, partial(_update, head.document_id, now, content, brought)), ()


def _shaped(brought: Brought, limits: SourceLimits) -> Shaped:
    from cowrite.formats.shaping import shaped  # its reader of Markdown would delay the start of every server

    try:
        return shaped(brought.content, brought.source, brought.shape, limits)
    except SourceInvalid as invalid:
        raise SubmissionRefused(invalid.code, invalid.reason) from None


def _update(document_id: str, now: State, content: Shaped, brought: Brought) -> bytes | None:
    """The update that writes it; None when there is nothing to write."""
    root, roots = brought.into, now.committed.roots
    size = _size(now.content.get(root))
    if size and brought.mode is Mode.EMPTY:
        raise SubmissionRefused("not_empty", f"there is something in the root {root!r}; {_NOT_EMPTY}")
    drafts: list[OperationDraft] = []
    start = size
    if size and brought.mode is Mode.REPLACE:
        drafts.append(OperationDraft(OperationType.DELETE, (root, 0), length=size))
        start = 0
    drafts += _inserts(root, start, content)
    if not drafts:
        return None
    try:
        with reading(document_id):
            return apply_operations(now.committed.state, roots, drafts, client_id=fresh_client_id())
    except OperationInvalid as invalid:
        raise SubmissionRefused(invalid.code, f"it cannot be written into the root {root!r}: {invalid.reason}") from None


def _size(value: Json) -> int:
    """How many nodes or UTF-16 code units are in a root: of what is neither tree nor text none, as it takes neither."""
    if value is None:
        return 0
    if "$xml" in value:
        return len(value["children"])
    return sum(utf16_length(piece["insert"]) if "insert" in piece else 1 for piece in value.get("$text", ()))


def _inserts(root: str, start: int, content: Shaped) -> list[OperationDraft]:
    if content.nodes is not None:
        return [OperationDraft(OperationType.INSERT, (root, start), content=list(content.nodes))] if content.nodes else []
    drafts = []
    for piece in content.delta or ():
        made = piece["insert"] if "insert" in piece else {"embed": piece["embed"]}
        drafts.append(OperationDraft(OperationType.INSERT, (root, start), made, attributes=piece.get("attributes", {})))
        start += utf16_length(made) if isinstance(made, str) else 1
    return drafts
