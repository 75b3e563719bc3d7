"""Bringing a document back to a moment, and taking back what somebody did, as new edits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from cowrite.core.history.authors import Authors
from cowrite.core.history.entries import entries_between
from cowrite.core.history.errors import HistoryRefused
from cowrite.core.history.faults import reading
from cowrite.core.history.moments import Moment, Moments
from cowrite.core.history.server_edits import Copies, Made, ServerEdits, Wanted
from cowrite.core.operations.state import State
from cowrite.core.ports import Grant, HistoryForgotten, Storage
from cowrite.core.records import Authored, Cause, CauseKind, DocumentInfo
from cowrite.core.sessions.session import Session
from cowrite.crdt.history import restoring
from cowrite.crdt.history.origins import Origins
from cowrite.crdt.roots import RootKind

_PORTION: Final = 1000
"""Entries of which it is read at once who wrote them."""


class Restoring:
    """Makes the updates in the worker's thread, and has the journal commit them behind what others write meanwhile."""

    def __init__(self, storage: Storage, moments: Moments, authors: Authors, edits: ServerEdits) -> None:
        self._history = storage.history
        self._moments = moments
        self._authors = authors
        self._edits = edits

    async def restore(
        self,
        session: Session,
        moment: Moment,
        *,
        root: str | None = None,
        id: str | None = None,  # noqa: A002
        words: str | None = None,
    ) -> Made:
        """Bring the document, or one root of it, back to a moment. What others write meanwhile stays. With an ``id`` it is done
        once, however often the same is asked for; ``words`` is how it was asked for, where that may mean another moment later.

        Raises :class:`HistoryRefused`, :class:`SubmissionRefused`, :class:`RoomClosed`, and what reading the store raises.
        """
        cause = Cause(CauseKind.RESTORE, moment.offset, root=root)
        wanted = Wanted(session, cause, Grant.WRITE, id, words)
        return await self._edits.do(wanted, moment.info, partial(self._make_restore, moment, root))

    async def undo(
        self,
        session: Session,
        author: str,
        after: Moment,
        until: Moment,
        *,
        id: str | None = None,  # noqa: A002
        words: str | None = None,
    ) -> Made:
        """Take back what an author did behind a moment up to another one. What others did stays. Raises as :meth:`restore`."""
        if after.offset > until.offset:
            raise HistoryRefused("wrong_order", "the moment from which on to undo comes after the one up to which")
        cause = Cause(CauseKind.UNDO, until.offset, after=after.offset, author=author)
        needs = Grant.WRITE if author == session.author else Grant.ADMIN
        wanted = Wanted(session, cause, needs, id, words)
        return await self._left(
            await self._edits.do(wanted, until.info, partial(self._make_undo, author, after, until)), until.info
        )

    async def done_before(
        self,
        session: Session,
        info: DocumentInfo,
        kind: CauseKind,
        *,
        id: str | None,  # noqa: A002
        words: str,
    ) -> Made | None:
        """What became of it when the same was asked for with this id; None: it was not. The moments that were meant then may be
        gone by now. Raises as :meth:`restore`.
        """
        if id is None or await self._history.locate(info.document_id, id) is None:
            return None
        wanted = Wanted(session, Cause(kind, 0), Grant.WRITE, id, words)
        made = await self._edits.done_before(wanted, info)
        return await self._left(made, info) if kind is CauseKind.UNDO else made

    async def _left(self, made: Made, info: DocumentInfo) -> Made:
        now = await self._moments.state(await self._moments.at(info, info.head.offset))
        return replace(made, left=_mixed(now.committed.roots))

    async def _make_restore(
        self, moment: Moment, root: str | None, head: Moment, session: Session
    ) -> tuple[bytes | None, Copies]:
        then, now = await self._moments.state(moment), await self._moments.state(head)
        origins = (await self._authors.until(head.info, head.offset)).origins
        return await self._edits.charged(session, partial(_restore, head.document_id, then, now, root, origins))

    async def _make_undo(
        self, author: str, after: Moment, until: Moment, head: Moment, session: Session
    ) -> tuple[bytes | None, Copies]:
        document_id = head.document_id
        changes = []
        known = await self._others(head.info, after.offset, head.offset)
        async for entry in entries_between(self._history, head.info, after.offset, head.offset):
            in_range = entry.offset <= until.offset
            theirs = _whose(known.get(entry.offset), author) if in_range else None
            copies = _copies(known.get(entry.offset))
            changes.append(_Change(entry.update, in_range and entry.author == author, theirs, copies))
        if not any(change.theirs or any((change.clients or {}).values()) for change in changes):
            return None, ()
        then, now = await self._moments.state(after), await self._moments.state(head)
        earlier: Callable[[], Copies] = tuple
        if any(change.copies for change in changes):
            # What was brought back before may be a copy of the same as what was brought back since.
            earlier = partial((await self._authors.until(head.info, after.offset)).copies, after.offset)
        return await self._edits.charged(session, partial(_undo, document_id, then, now, changes, earlier))

    async def _others(self, info: DocumentInfo, after: int, until: int) -> Mapping[int, Authored]:
        """By their offsets the entries of these that brought what others wrote, or what had been there before."""
        found: dict[int, Authored] = {}
        while after < until:
            known = await self._history.authored(info.document_id, after=after, limit=min(_PORTION, until - after))
            if not known or known[0].offset != after + 1:
                raise HistoryForgotten(info.document_id, known[0].offset if known else until + 1)
            found.update((entry.offset, entry) for entry in known if entry.writers or entry.cause is not None)
            after = known[-1].offset
        return found


def _whose(entry: Authored | None, author: str) -> Mapping[int, bool] | None:
    """For each Yjs client whether what it brings is the author's; None when all of it is whose the entry is."""
    if entry is None or not entry.writers:
        return None
    return {brought.client: writer == author for brought, writer in zip(entry.ranges, entry.writers, strict=True)}


def _copies(entry: Authored | None) -> Copies:
    return entry.cause.copies if entry is not None and entry.cause is not None else ()


@dataclass(frozen=True, slots=True)
class _Change:
    """An entry on the way to an undo."""

    update: bytes
    theirs: bool
    """Whether it is to be taken back."""
    clients: Mapping[int, bool] | None
    """When it brings what several people wrote: for each Yjs client whether that is to be taken back."""
    copies: Copies
    """What it brings that had been there before."""


def _mixed(roots: Mapping[str, RootKind]) -> list[str]:
    return sorted(name for name, kind in roots.items() if kind is RootKind.MIXED)


def _restore(document_id: str, then: State, now: State, root: str | None, origins: Origins) -> tuple[bytes | None, Copies]:
    roots = now.committed.roots
    if root is not None and root not in roots and root not in then.committed.roots:
        raise HistoryRefused("root", f"the document has no root {root!r}, and had none then")
    mixed = [name for name in _mixed(roots) if root in (None, name)]
    if mixed:
        # Never left out in silence.
        reason = f"the root {mixed[0]!r} holds things that do not go together, and what it was cannot be told"
        raise HistoryRefused("root_unreadable", f"{reason}; restore the other roots by name")
    wanted = None if root is None else [root]
    with reading(document_id):
        made = restoring.restore(then.committed.state, roots, now.committed.state, wanted, then.content, origins=origins)
    return made.update, made.copies


def _undo(
    document_id: str, then: State, now: State, changes: Sequence[_Change], earlier: Callable[[], Copies]
) -> tuple[bytes | None, Copies]:
    with reading(document_id):
        updates: list[tuple[bytes, bool]] = []
        for change in changes:
            if change.clients is None:
                updates.append((change.update, change.theirs))
            else:
                updates += restoring.by_writer(change.update, change.clients, change.theirs)
        copies = [(copy, False) for copy in earlier()]
        copies += [(copy, change.theirs) for change in changes for copy in change.copies]
        made = restoring.undo_of(then.committed.state, now.committed.roots, updates, now.committed.state, copies=copies)
    return made.update, made.copies
