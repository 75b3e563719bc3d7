"""The document at a moment of its log, quickly.

Theory of operation. :func:`cowrite.crdt.engine.rebuild_at` commits entry by entry, because a root's kind is inferred at the end
of the first commit that leaves anything to be seen in the root; most of its time goes into telling each entry as operations,
which nobody asks for here. So entries that cannot give a root its kind are committed together, in one transaction: those that
name no new root, while the kind of every root is known. The others are committed one by one.

What a root *is* may still differ in one case: when an entry put something into a root that does not belong there (text among the
items of an array) and a later entry took it out again. The log calls such a root mixed for ever, because it looked in between.
Therefore a room, whose kinds are written into checkpoints, does not open a document in this way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cowrite.crdt.errors import EngineFault, HostileUpdate
from cowrite.crdt.guard import outline_of_state
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.outline import Outline, missing
from cowrite.crdt.roots import RootKind


def document_at(state: bytes | None, roots: Mapping[str, RootKind], updates: Iterable[bytes]) -> LogDocument:
    """Make the document at a point of its log, for looking at: the same as :func:`cowrite.crdt.engine.rebuild_at` makes of a
    checkpoint and the entries' updates after it, up to ten times sooner.

    The one difference is told in this module's docstring. Raises :class:`~cowrite.crdt.errors.EngineFault` when that is no log.
    """
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


def _read(update: bytes, number: int, known: dict[int, int]) -> Outline:
    """Look at an entry, and note in ``known`` what it brings."""
    try:
        outline = outline_of_state(update)
    except HostileUpdate as error:
        raise EngineFault(f"entry {number} of the log cannot be read: {error}") from error
    if missing(outline, known):
        raise EngineFault(f"entry {number} of the log builds on something that is not there before it")
    for client, _, end in outline.brings:
        if end > known.get(client, 0):
            known[client] = end
    return outline
