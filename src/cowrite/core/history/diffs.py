"""What changed between two moments of a document."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
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
from cowrite.crdt.errors import EngineFault, HostileUpdate
from cowrite.crdt.history.attribution import Attribution
from cowrite.crdt.history.diff import diff
from cowrite.crdt.history.origins import Origins
from cowrite.crdt.history.restoring import RestoreFailed, edited, restore
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
            with self.kept.making(info, key) as keep:
                made, lasts = await self._make(first, second, form, root)
                if lasts:
                    keep(made, len(made) + 200)
        return made

    async def _make(self, first: Moment, second: Moment, form: DiffFormat, root: str | None) -> tuple[bytes, bool]:
        """False: it names nobody for something that may become somebody's without an entry."""
        info = second.info
        before, after = await self.moments.state(first), await self.moments.state(second)
        earlier, later = sorted((first.offset, second.offset))
        attribution = await self.authors.until(info, later, since=earlier)
        if form is DiffFormat.OPERATIONS:
            changes = partial(_operations, info.document_id, before, after, attribution.origins, root)
            return await self.worker.run(info.document_id, changes), True
        work = partial(_tree, info.document_id, before, after, attribution, form, root)
        return await self.worker.run(info.document_id, work), not attribution.unowned


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
        tree = diff(earlier.committed.state, later.committed.state, _chosen(later, root), attribution, later.offset)
    if turned:
        tree = reversed_diff(tree)
    return diff_to_html(tree).encode() if form is DiffFormat.HTML else _encode(tree["roots"]).encode()


def _operations(document_id: str, before: State, after: State, origins: Origins, root: str | None) -> bytes:
    with reading(document_id):
        drafts = _drafts(before, after, origins) if before.content != after.content else ()
    chosen: list[Json] = [draft.to_json() for draft in drafts if root in (None, draft.position[0])]
    return _encode(chosen).encode()


def _drafts(before: State, after: State, origins: Origins) -> Sequence[OperationDraft]:
    """What leads to what looks like the other moment. Where something is there again as a copy, it is not written again."""
    log, later = before.committed, after.committed
    if before.offset > after.offset:
        made = restore(later.state, log.roots, log.state, None, after.content, origins=origins)
        return _translated(before, made.update)
    drafts = _translated(before, later.state)
    if origins and drafts and RootKind.MIXED not in later.roots.values():
        with suppress(RestoreFailed, EngineFault, HostileUpdate):
            update = edited(log.state, later.roots, later.state, after.content, origins)
            drafts = min(drafts, _translated(before, update), key=_cost)
    return drafts


def _cost(drafts: Sequence[OperationDraft]) -> int:
    """About how much operations write and delete."""
    return sum(1 if draft.length is None else draft.length for draft in drafts) + sum(
        len(_encode(draft.content)) for draft in drafts if draft.content is not None
    )


def _translated(before: State, update: bytes | None) -> Sequence[OperationDraft]:
    if update is None:
        return ()
    log = LogDocument.from_state(before.committed.state, before.committed.roots)
    change = log.commit([update])
    return change.operations if change is not None else ()


def _chosen(state: State, root: str | None) -> dict[str, RootKind]:
    return {name: kind for name, kind in state.committed.roots.items() if root in (None, name)}
