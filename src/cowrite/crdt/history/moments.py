"""The document at a moment of its log, quickly.

Theory of operation. :func:`cowrite.crdt.engine.rebuild_at` commits entry by entry, because a root's kind is inferred at the end
of the first commit that leaves anything to be seen in the root; most of its time goes into telling each entry as operations,
which nobody asks for here. So entries that cannot give a root its kind are committed together, in one transaction: those that
name no new root, while the kind of every root is known. The others are committed one by one. Behind a checkpoint there are
hardly ever others, so first all are committed as if there were none, without a look at each, which would take most of the time;
what that has brought tells whether it was right.

One thing is lost in this way: a look at what an entry put where it does not belong (text among the items of an array) and a
later one took out again. The log calls such a root mixed from then on, for ever. So a root that is not mixed at a later moment
never was, and only when one is mixed there all entries are committed one by one. A root may also look mixed when many entries
are seen as one; then they are looked at one by one, too. A room opens at the head, of which no later moment can tell: it does
not use this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from cowrite.crdt.engine import rebuild_at
from cowrite.crdt.errors import EngineFault, HostileUpdate
from cowrite.crdt.guard import outline_of_state
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.outline import Outline, missing
from cowrite.crdt.roots import RootKind


def document_at(
    state: bytes | None,
    roots: Mapping[str, RootKind],
    updates: Iterable[bytes],
    *,
    later: Mapping[str, RootKind] | None = None,
    until: Mapping[int, int] | None = None,
) -> LogDocument:
    """Make the document at a point of its log: the same as :func:`cowrite.crdt.engine.rebuild_at` makes of a checkpoint and the
    entries' updates after it, several times sooner.

    ``later`` are the kinds of the roots at some later moment, such as the head. Without them a root may be shown that the log
    calls mixed; see this module's docstring. ``until`` are the clocks that the entries reach, as the log knows them: with
    them it takes half the time. Raises :class:`~cowrite.crdt.errors.EngineFault` when that is no log.
    """
    updates = list(updates)
    if not _mixed(later or {}, roots):
        document = _at_once(state, roots, updates, until) or _in_runs(state, roots, updates)
        if not _mixed(document.roots, roots):
            return document
    return rebuild_at(state, roots, updates)


def _at_once(
    state: bytes | None, roots: Mapping[str, RootKind], updates: Sequence[bytes], until: Mapping[int, int] | None
) -> LogDocument | None:
    """None: the entries have to be looked at, be it only to say which of them is wrong."""
    if state is None or until is None:
        return None
    document = LogDocument.from_state(state, roots)
    try:
        return document if document.settled and document.replay(updates, until) else None
    except EngineFault:
        return None


def _in_runs(state: bytes | None, roots: Mapping[str, RootKind], updates: Sequence[bytes]) -> LogDocument:
    document = LogDocument.empty() if state is None else LogDocument.from_state(state, roots)
    known = dict(document.state)
    settled = document.settled
    run: list[bytes] = []
    outlines: list[Outline] = []
    for number, update in enumerate(updates, 1):
        outline = _read(update, number, known)
        names_new = outline.roots and not all(map(document.has_root, outline.roots))
        if names_new and run:
            document.commit(run, outlines)
            run, outlines = [], []
        run.append(update)
        outlines.append(outline)
        if names_new or not settled:
            document.commit(run, outlines)
            run, outlines = [], []
            settled = document.settled
    if run:
        document.commit(run, outlines)
    return document


def _mixed(kinds: Mapping[str, RootKind], before: Mapping[str, RootKind]) -> bool:
    """Whether a root has become mixed."""
    return any(kind is RootKind.MIXED and before.get(name) is not RootKind.MIXED for name, kind in kinds.items())


def _read(update: bytes, number: int, known: dict[int, int]) -> Outline:
    """Look at an entry, and note in ``known`` what it brings."""
    try:
        outline = outline_of_state(update)
    except HostileUpdate as error:
        raise EngineFault(f"entry {number} of the log cannot be read: {error}") from error
    if missing(outline, known):
        raise EngineFault(f"entry {number} of the log builds on something that is not there before it")
    for client, _, end in outline.brings:
        known[client] = max(end, known.get(client, 0))
    return outline
