"""A moment of the past as a new edit of today, and a person's changes taken back as one.

Theory of operation. In a scratch document at the moment A, what came after it is applied as one step of the engine's undo
manager, and undone. So what is still there stays what it is, with the carets and comments in it; only what was deleted since is
written again, under a fresh Yjs client id. The undo manager alone fails in about one of a thousand random histories: an entry
that it writes again counts in its own document, but not in those of others. Therefore what others will see is compared with
what the document showed at A, and mended where it differs. All of that happens in scratch documents. What is written meanwhile
merges with the update as with every other one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from cowrite.crdt.errors import EngineFault, HostileUpdate
from cowrite.crdt.guard import SYNC_LIMITS, GuardLimits, inspect
from cowrite.crdt.history.copies import Copy, copies_of_mended, copies_of_restore, copies_of_undo
from cowrite.crdt.history.patching import EMPTY, Unpatchable
from cowrite.crdt.history.scratch import RestoreFailed, Scratch, merge
from cowrite.crdt.outline import ClockRange, Outline, missing
from cowrite.crdt.roots import RootKind
from cowrite.crdt.values import Json

__all__ = ["RestoreFailed", "Restored", "Undone", "restore", "undo_of"]


@dataclass(frozen=True, slots=True)
class Restored:
    """How a document gets back to a moment."""

    update: bytes | None
    """Yjs update (v1); None when it is there already. It needs nothing but what the document held at its head."""
    copies: Sequence[Copy] = ()
    """What it brings that was there before, under other ids."""
    patched: bool = False
    """Whether the engine's undo manager fell short."""
    left: Sequence[str] = ()
    """Roots that stay as they are, because they are mixed: the log does not tell what was in them."""


@dataclass(frozen=True, slots=True)
class Undone:
    """How a person's changes are taken back."""

    update: bytes | None
    """As in :class:`Restored`; None when there is nothing to take back."""
    copies: Sequence[Copy] = ()
    """As in :class:`Restored`."""


def restore(
    state: bytes,
    roots: Mapping[str, RootKind],
    updates: Iterable[bytes],
    wanted: Collection[str] | None,
    target: Mapping[str, Json],
    *,
    client_id: int | None = None,
    limits: GuardLimits = SYNC_LIMITS,
) -> Restored:
    """Make the update that brings a document back to a moment A.

    ``state`` is the document at A; ``updates`` are the log's entries from there to the head, ``roots`` the kinds at the head
    (the log's own: see :class:`~cowrite.crdt.history.scratch.Scratch`); ``wanted`` are the roots to bring back, None all of
    them; ``target`` is what the document showed at A. The update is made under the Yjs ``client_id``, by default a random one;
    of one client id only one update may ever be applied. It keeps to ``limits``.

    Raises :class:`RestoreFailed`, :class:`~cowrite.crdt.errors.EngineFault`.
    """
    chosen = {name: kind for name, kind in roots.items() if wanted is None or name in wanted}
    mixed = tuple(sorted(name for name, kind in chosen.items() if kind is RootKind.MIXED))
    if wanted is not None and mixed:
        raise RestoreFailed(f"The root {mixed[0]!r} holds things that do not go together; what it was cannot be told.")
    shown = {name: kind for name, kind in chosen.items() if kind is not RootKind.MIXED}
    scratch = Scratch(state, shown, client_id=client_id)
    scratch.track()
    beginning, gone_before = scratch.state, scratch.deletions()
    scratch.apply(updates, tracked=True)
    head = scratch.state
    since = scratch.tracked()
    undone = scratch.undo()
    want = {name: target.get(name, EMPTY[kind]) for name, kind in shown.items()}
    scratch, patches = _made(scratch, want)
    update = merge([*undone, *patches])
    outline = _checked(update, head, scratch.client_id, limits)
    if update is None or outline is None:
        return Restored(None, left=mixed)
    if patches:
        return Restored(update, copies_of_mended(scratch, beginning, gone_before), True, mixed)
    return Restored(update, copies_of_restore(scratch, since, outline), False, mixed)


def undo_of(
    state: bytes,
    roots: Mapping[str, RootKind],
    updates: Iterable[tuple[bytes, bool]],
    *,
    client_id: int | None = None,
    limits: GuardLimits = SYNC_LIMITS,
) -> Undone:
    """Make the update that takes back what one person changed: what they inserted goes, what they deleted comes back.

    ``state`` is the document before the first of these changes; ``updates`` are the log's entries from there to the head, each
    with whether it is to be taken back; ``roots``, ``client_id`` and ``limits`` are as for :func:`restore`. What others have
    written stays, but for what stands inside of something that goes (their text in a paragraph that the person had inserted);
    an entry that others have written since stays theirs; mixed roots stay as they are.

    Raises :class:`RestoreFailed`, :class:`~cowrite.crdt.errors.EngineFault`.
    """
    shown = {name: kind for name, kind in roots.items() if kind is not RootKind.MIXED}
    steps = [([update for update, _ in entries], theirs) for theirs, entries in groupby(updates, key=itemgetter(1))]
    try:
        taken = _take_back(Scratch(state, shown, client_id=client_id), steps, separately=False)
    except EngineFault:
        # The engine panics at some sets of ids that begin and end within one run of values.
        taken = _take_back(Scratch(state, shown, client_id=client_id), steps, separately=True)
    scratch, head, (inserted, deleted), undone = taken
    scratch, patches = _made(scratch, scratch.content())
    update = merge([*undone, *patches])
    outline = _checked(update, head, scratch.client_id, limits)
    if update is None or outline is None:
        return Undone(None)
    return Undone(update, copies_of_undo(scratch, inserted, deleted) if outline.brings else ())


_Ids = tuple[Sequence[ClockRange], Sequence[ClockRange]]


def _take_back(
    scratch: Scratch, steps: Sequence[tuple[Sequence[bytes], bool]], *, separately: bool
) -> tuple[Scratch, Mapping[int, int], _Ids, list[bytes]]:
    """Undo some steps; returns also the state vector and what was tracked before that."""
    scratch.track(separately=separately)
    for entries, theirs in steps:
        scratch.apply(entries, tracked=theirs)
    head, tracked = scratch.state, scratch.tracked()
    return scratch, head, tracked, scratch.undo()


def _made(scratch: Scratch, want: Mapping[str, Json]) -> tuple[Scratch, list[bytes]]:
    """Look whether others will see what they should, and mend it where they will not: what differs is edited, and where that
    does not help all of the root is replaced. Returns a document that shows it, and what was done as updates.
    """
    patches: list[bytes] = []
    for mend in (Scratch.patch, Scratch.replace):
        replica = scratch.replica()
        differing = replica.differing(want)
        if not differing:
            return replica, patches
        with suppress(Unpatchable):
            patches += mend(replica, differing, want)
            scratch = replica
    replica = scratch.replica()
    if differing := replica.differing(want):
        raise RestoreFailed(f"The root {differing[0]!r} cannot be made what it was: the engine writes something else.")
    return replica, patches


def _checked(update: bytes | None, head: Mapping[int, int], client_id: int, limits: GuardLimits) -> Outline | None:
    """Look whether what came out is what it should be; None when it is nothing."""
    if update is None:
        return None
    try:
        outline = inspect(update, limits)
    except HostileUpdate as error:
        raise RestoreFailed(f"What would have to be written is too much for one update: {error.reason}.") from error
    if client_id in head or missing(outline, head) or any(client != client_id for client, _, _ in outline.brings):
        raise EngineFault("The engine made an update that cannot be merged.")
    return None if outline.is_empty else outline
