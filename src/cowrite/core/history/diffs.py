"""What changed between two moments of a document."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Final

from cowrite.core.history.authors import Authors
from cowrite.core.history.cache import Cache
from cowrite.core.history.faults import reading
from cowrite.core.history.moments import Moment, Moments
from cowrite.core.history.worker import HistoryWorker
from cowrite.core.operations.state import State
from cowrite.crdt.guard import outline_of_state
from cowrite.crdt.history.attribution import Attribution
from cowrite.crdt.history.diff import diff
from cowrite.crdt.history.restoring import restore
from cowrite.crdt.history.reversing import reversed_diff
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.operations import OperationDraft
from cowrite.crdt.roots import RootKind
from cowrite.crdt.values import Json
from cowrite.formats.diff_html import diff_to_html

CACHE_BYTES: Final = 16 << 20

_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode


class DiffFormat(StrEnum):
    """How a diff is told."""

    JSON = "json"
    """A merged tree: see :mod:`cowrite.crdt.history.diff`. Given as a JSON list of roots."""
    OPERATIONS = "operations"
    """What would have to be done at the first moment. Given as a JSON list of operations, to be applied one after the other."""
    HTML = "html"


def told(first: Moment, second: Moment, form: DiffFormat, changes: bytes) -> bytes:
    """The whole answer to who asked what changed, as JSON. ``changes`` are those of :meth:`Diffs.between`, not as HTML."""
    sides = {name: {"offset": one.offset, "created_at": one.created_at} for name, one in (("from", first), ("to", second))}
    name = b"roots" if form is DiffFormat.JSON else b"operations"
    return b'%s,"%s":%s}' % (_encode({"document_id": second.document_id, **sides})[:-1].encode(), name, changes)


@dataclass(frozen=True, slots=True)
class Diffs:
    """Answers what changed. Remembers what was asked for last."""

    moments: Moments
    authors: Authors
    worker: HistoryWorker
    kept: Cache[bytes]

    async def between(self, first: Moment, second: Moment, form: DiffFormat, root: str | None) -> bytes:
        """What changed from the first moment to the second, which may be the earlier one. ``root``: only in that one.

        Raises as :meth:`Moments.state`.
        """
        info, key = second.info, (first.offset, second.offset, form, root)
        made = self.kept.get(info, key)
        if made is None:
            made = await self._make(first, second, form, root)
            self.kept.put(info, key, made, len(made) + 200)
        return made

    async def _make(self, first: Moment, second: Moment, form: DiffFormat, root: str | None) -> bytes:
        info = second.info
        before, after = await self.moments.state(first), await self.moments.state(second)
        if form is DiffFormat.OPERATIONS:
            return await self.worker.run(info.document_id, partial(_operations, info.document_id, before, after, root))
        earlier, later = sorted((first.offset, second.offset))
        attribution = await self.authors.until(info, later, since=earlier)
        work = partial(_tree, info.document_id, before, after, attribution, form, root)
        return await self.worker.run(info.document_id, work)


def _tree(
    document_id: str,
    before: State,
    after: State,
    attribution: Attribution,
    form: DiffFormat,
    root: str | None,
) -> bytes:
    turned = before.offset > after.offset
    earlier, later = (after, before) if turned else (before, after)
    with reading(document_id):
        tree = diff(earlier.committed.state, later.committed.state, _chosen(later, root), attribution)
    if turned:
        tree = reversed_diff(tree)
    return diff_to_html(tree).encode() if form is DiffFormat.HTML else _encode(tree["roots"]).encode()


def _operations(document_id: str, before: State, after: State, root: str | None) -> bytes:
    with reading(document_id):
        update = after.committed.state if before.offset <= after.offset else _way_back(before, after)
        drafts = _translated(before, update)
    chosen: list[Json] = [draft.to_json() for draft in drafts if root in (None, draft.position[0])]
    return _encode(chosen).encode()


def _way_back(before: State, after: State) -> bytes | None:
    """The update that makes the later document what it was earlier; None when it looks as it did then."""
    if before.content == after.content:
        return None
    return restore(after.committed.state, before.committed.roots, before.committed.state, None, after.content).update


def _translated(before: State, update: bytes | None) -> Sequence[OperationDraft]:
    if update is None:
        return ()
    log = LogDocument.from_state(before.committed.state, before.committed.roots)
    change = log.commit([update], [outline_of_state(update)])
    return change.operations if change is not None else ()


def _chosen(state: State, root: str | None) -> dict[str, RootKind]:
    return {name: kind for name, kind in state.committed.roots.items() if root in (None, name)}
