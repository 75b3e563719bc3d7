"""A moment of the past as a new edit of today, and a person's changes taken back as one.

Theory of operation. In a scratch document at the moment A, the document of today is applied as one step of the engine's undo
manager, and undone. So what is still there stays what it is, with the carets and comments in it; only what was deleted since is
written again, under a fresh Yjs client id. (Applying the log's entries one by one instead, the undo manager writes entries that
count in its own document, but not in those of others, in three of a hundred random histories.) The engine may panic at it, and
others may see something else. Therefore the update is tried on a copy of the log (:mod:`cowrite.crdt.history.proof`), and
mended where what it shows differs from what the document showed at A. Where the undo would take away copies, which an earlier
restore brought, another way is tried as well: to edit today's document past all that A shows too, be it as a copy. What is
written meanwhile merges with the update as with every other one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain, groupby, starmap
from operator import itemgetter

from cowrite.crdt.errors import EngineFault, HostileUpdate
from cowrite.crdt.guard import SYNC_LIMITS, GuardLimits, outline_of_state
from cowrite.crdt.history.alignment import Alignment
from cowrite.crdt.history.copies import Copy, copies_of_mended, copies_of_restore, copies_of_undo
from cowrite.crdt.history.living import Spans, standing_in, written_again
from cowrite.crdt.history.origins import Origins
from cowrite.crdt.history.pairing import Paired
from cowrite.crdt.history.patching import EMPTY, Along, Unpatchable
from cowrite.crdt.history.proof import Proof
from cowrite.crdt.history.scratch import RestoreFailed, Scratch, merge
from cowrite.crdt.history.sides import Sides
from cowrite.crdt.outline import ClockRange, Outline
from cowrite.crdt.roots import RootKind
from cowrite.crdt.slices import deletion, slices
from cowrite.crdt.values import Json

__all__ = ["RestoreFailed", "Restored", "Undone", "by_writer", "edited", "restore", "undo_of"]


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
    """As in :class:`Restored`; None when there is nothing to take back, or when restores and undos are
    taken back and nothing would look different."""
    copies: Sequence[Copy] = ()
    """As in :class:`Restored`."""


def restore(
    state: bytes,
    roots: Mapping[str, RootKind],
    head: bytes,
    wanted: Collection[str] | None,
    target: Mapping[str, Json],
    *,
    origins: Origins | None = None,
    client_id: int | None = None,
    limits: GuardLimits = SYNC_LIMITS,
) -> Restored:
    """Make the update that brings a document back to a moment A.

    ``state`` is the document at A and ``head`` the document now, as updates; ``roots`` are the kinds of all roots now (the
    log's own: see :class:`~cowrite.crdt.history.scratch.Scratch`); ``wanted`` are the roots to bring back, None all of them;
    ``target`` is what the document showed at A; with the ``origins`` of all copies in the log, a copy that stands where the
    original stood at A stays. The update is made under the Yjs ``client_id``, by default a random one; of one
    client id only one update may ever be applied. It keeps to ``limits``.

    Raises :class:`RestoreFailed`, :class:`~cowrite.crdt.errors.EngineFault`.
    """
    chosen = {name: kind for name, kind in roots.items() if wanted is None or name in wanted}
    mixed = tuple(sorted(name for name, kind in chosen.items() if kind is RootKind.MIXED))
    if wanted is not None and mixed:
        raise RestoreFailed(f"The root {mixed[0]!r} holds things that do not go together; what it was cannot be told.")
    shown = {name: kind for name, kind in chosen.items() if kind is not RootKind.MIXED}
    want = {name: target.get(name, EMPTY[kind]) for name, kind in shown.items()}
    proof = Proof(head, roots, limits)
    if not proof.differing(None, want):
        return Restored(None, left=mixed)
    undone = _undone(state, shown, head, want, proof, client_id)
    if origins and undone.outline.brings and any(starmap(origins.copied, undone.outline.deletes)):
        # The undo manager takes away what an earlier restore has brought back, to bring it back again.
        with suppress(RestoreFailed, EngineFault, HostileUpdate):
            along = _along(state, shown, head, want, proof, client_id, origins)
            undone = min(undone, along, key=_cost)
    return Restored(undone.update, undone.copies(), undone.patched, mixed)


def edited(
    state: bytes, roots: Mapping[str, RootKind], later: bytes, target: Mapping[str, Json], origins: Origins
) -> bytes | None:
    """Make an update after which the document at a moment shows what it shows later, and that leaves alone what is there at
    both, be it as a copy.

    ``roots`` are the kinds later, none of them mixed; ``target`` is what is shown then. Returns None when nothing differs.
    Raises :class:`RestoreFailed`, :class:`~cowrite.crdt.errors.EngineFault`.
    """
    want = {name: target.get(name, EMPTY[kind]) for name, kind in roots.items()}
    proof = Proof(state, roots, SYNC_LIMITS)
    paired = Paired(Sides(state, later), origins)
    along = partial(Alignment.of_root, paired, back=False)
    return _made(Scratch(state, roots), [], want, proof, along)[1]


def undo_of(
    state: bytes,
    roots: Mapping[str, RootKind],
    updates: Iterable[tuple[bytes, bool]],
    head: bytes,
    *,
    copies: Sequence[tuple[Copy, bool]] = (),
    client_id: int | None = None,
    limits: GuardLimits = SYNC_LIMITS,
) -> Undone:
    """Make the update that takes back what one person changed: what they inserted goes, what they deleted comes back.

    ``state`` is the document before the first of these changes; ``updates`` are the log's entries from there to the head, each
    with whether it is to be taken back; ``roots``, ``head``, ``client_id`` and ``limits`` are as for :func:`restore`. What
    others have written stays, but for what stands inside of something that goes (their text in a paragraph that the person had
    inserted); an entry that others have written since stays theirs; mixed roots stay as they are. ``copies`` are all that the
    log has brought up to the head, in order, each with whether its entry is to be taken back: what is there again as a copy is
    not brought back another time, and what is there again of what the person wrote goes, too, whoever has brought it back.

    Raises :class:`RestoreFailed`, :class:`~cowrite.crdt.errors.EngineFault`.
    """
    shown = {name: kind for name, kind in roots.items() if kind is not RootKind.MIXED}
    again: list[ClockRange] = []
    brought_back = any(theirs for _, theirs in copies)
    if copies:
        updates = list(updates)
        copies, again = written_again(copies, _brought_by_them(updates))
        updates = _without_what_is_back(updates, head, copies, Spans(again))
    steps = [([update for update, _ in entries], theirs) for theirs, entries in groupby(updates, key=itemgetter(1))]
    try:
        taken = _take_back(Scratch(state, shown, client_id=client_id), steps, separately=False)
    except EngineFault:
        # The engine panics at some sets of ids that begin and end within one run of values.
        taken = _take_back(Scratch(state, shown, client_id=client_id), steps, separately=True)
    scratch, (inserted, deleted), undone = taken
    if left := _without(again, Spans(outline_of_state(head).deletes)):
        undone = [deletion(left), *undone]
    proof = Proof(head, roots, limits)
    want = scratch.content()
    if brought_back and not proof.differing(None, want):
        # What is taken back are restores and undos: what stands there already would only be written again.
        return Undone(None)
    scratch, update, _ = _made(scratch, undone, want, proof)
    if update is None or (outline := _checked(update, proof, scratch.client_id)).is_empty:
        return Undone(None)
    return Undone(update, copies_of_undo(scratch, inserted, deleted) if outline.brings else ())


def by_writer(update: bytes, theirs: Mapping[int, bool], deletions: bool) -> list[tuple[bytes, bool]]:
    """Cut an entry that brings what several people wrote, for :func:`undo_of`.

    ``theirs`` tells of each Yjs client in it whether its structs are to be taken back, ``deletions`` whether what it deletes
    is. Raises :class:`~cowrite.crdt.errors.HostileUpdate`.
    """
    parts = []
    for part in slices(update, outline_of_state(update), structs=_ALL, ranges=_ALL):
        brought = outline_of_state(part).brings
        parts.append((part, theirs[brought[0].client] if brought else deletions))
    return parts


def _brought_by_them(updates: Sequence[tuple[bytes, bool]]) -> list[ClockRange]:
    return [brought for update, theirs in updates if theirs for brought in outline_of_state(update).brings]


def _without(ranges: Iterable[ClockRange], known: Spans) -> list[ClockRange]:
    return [
        ClockRange(client, first, last)
        for client, start, end in ranges
        for first, last, inside in known.parts(client, start, end)
        if not inside
    ]


def _without_what_is_back(
    updates: Sequence[tuple[bytes, bool]], head: bytes, copies: Sequence[tuple[Copy, bool]], again: Spans
) -> Iterator[tuple[bytes, bool]]:
    """Delete what is there as a copy before the person does: so it is not they who did, and it stays deleted. And delete the
    copies of what they wrote as soon as these are there: nobody brings them back.
    """
    deletes = [outline_of_state(update).deletes if theirs else () for update, theirs in updates]
    back = Spans(chain.from_iterable(deletes))
    found = standing_in(copies, Spans(outline_of_state(head).deletes), back)
    for (update, theirs), deleted in zip(updates, deletes, strict=True):
        if known := found.common(deleted):
            yield deletion(known), False
        yield update, theirs
        if not theirs and (copied := again.common(outline_of_state(update).brings)):
            yield deletion(copied), False


@dataclass(frozen=True, slots=True)
class _Way:
    """One way back to a moment."""

    update: bytes
    outline: Outline
    patched: bool
    copies: Callable[[], Sequence[Copy]]


def _undone(
    state: bytes,
    roots: Mapping[str, RootKind],
    head: bytes,
    want: Mapping[str, Json],
    proof: Proof,
    client_id: int | None,
) -> _Way:
    """Undo what came after the moment, and mend what that leaves."""
    scratch, since, undone = _brought_back(state, roots, head, client_id)
    scratch, update, patched = _made(scratch, undone, want, proof)
    assert update is not None, "something differed, and does no longer"
    outline = _checked(update, proof, scratch.client_id)
    copies = partial(copies_of_mended, scratch, state) if patched else partial(copies_of_restore, scratch, since, outline)
    return _Way(update, outline, patched, copies)


def _along(
    state: bytes,
    roots: Mapping[str, RootKind],
    head: bytes,
    want: Mapping[str, Json],
    proof: Proof,
    client_id: int | None,
    origins: Origins,
) -> _Way:
    """Edit what differs, past all that is there, be it as a copy."""
    scratch = Scratch(state, roots, client_id=client_id)
    scratch.apply([head], tracked=False)
    paired = Paired(Sides(state, head), origins)
    scratch, update, _ = _made(scratch, [], want, proof, partial(Alignment.of_root, paired, back=True))
    assert update is not None, "something differed, and does no longer"
    return _Way(update, _checked(update, proof, scratch.client_id), True, partial(copies_of_mended, scratch, state))


def _cost(way: _Way) -> int:
    """How many clocks it writes and deletes."""
    return sum(end - start for _, start, end in chain(way.outline.brings, way.outline.deletes))


_ALL = 2**53
_Ids = tuple[Sequence[ClockRange], Sequence[ClockRange]]


def _brought_back(
    state: bytes, roots: Mapping[str, RootKind], head: bytes, client_id: int | None
) -> tuple[Scratch, _Ids, list[bytes]]:
    """Undo what came after a moment; returns also what that was. Where the engine panics nothing is undone: all is left to
    mending.
    """
    scratch = Scratch(state, roots, client_id=client_id)
    try:
        return _take_back(scratch, [([head], True)], separately=False)
    except EngineFault:
        scratch = Scratch(state, roots, client_id=client_id)
        scratch.apply([head], tracked=False)
        return scratch, ((), ()), []


def _take_back(
    scratch: Scratch, steps: Sequence[tuple[Sequence[bytes], bool]], *, separately: bool
) -> tuple[Scratch, _Ids, list[bytes]]:
    """Undo some steps; returns also what was tracked before that."""
    scratch.track(separately=separately)
    for entries, theirs in steps:
        scratch.apply(entries, tracked=theirs)
    tracked = scratch.tracked()
    return scratch, tracked, scratch.undo()


def _made(
    scratch: Scratch,
    undone: Sequence[bytes],
    want: Mapping[str, Json],
    proof: Proof,
    along: Callable[[str], Along | None] | None = None,
) -> tuple[Scratch, bytes | None, bool]:
    """Look whether others will see what they should, and mend it where they will not: what differs is edited, and where that
    does not help all of the root is replaced. Returns a document in which all of it was done, the update, and whether
    anything was mended.
    """
    done = list(undone)
    update = merge(done)
    differing = proof.differing(update, want)
    patch = Scratch.patch if along is None else partial(Scratch.patch, along=along)
    for mend in (patch, Scratch.replace):
        if not differing:
            break
        # Others see something else than this document because of how the undo manager has written it.
        replica = scratch.replica()
        with suppress(Unpatchable):
            done += mend(replica, differing, want)
            scratch, update = replica, merge(done)
            differing = proof.differing(update, want)
    if differing:
        raise RestoreFailed(f"The root {differing[0]!r} cannot be made what it was: the engine writes something else.")
    return scratch, update, len(done) > len(undone)


def _checked(update: bytes, proof: Proof, client_id: int) -> Outline:
    """Look whether what came out is what it should be."""
    outline = proof.inspect(update)
    if client_id in proof.state or any(client != client_id for client, _, _ in outline.brings):
        raise EngineFault("The engine made an update that cannot be merged.")
    return outline
