"""What all stores say alike of documents' past: how entries make groups, which versions age takes away, who wrote."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import structlog

from cowrite.core.ports import HistoryForgotten, StoreCorrupt
from cowrite.core.records import ActivityGroup, Authored, Cause, Version, VersionKind
from cowrite.crdt.errors import HostileUpdate
from cowrite.crdt.guard import deletes_of, outline_of_state
from cowrite.crdt.outline import ClockRange
from cowrite.stores.encoding import MAX_UUID, check_id, check_offset, check_text

log = structlog.get_logger(__name__)

ACTIVITY_ENTRIES = 20_000
"""How many entries one page of activity looks at, at most."""
CLOCKS_DIFFER = 60_000
"""Milliseconds by which the clocks of processes may differ. What is further in the future than that was dated by a clock that
was far wrong: it counts as old, so that nothing waits until then."""
MAX_NOTE = 10_000
"""Longest note of a version, in characters."""


def clients_of_others(ranges: Sequence[ClockRange], *, relayed: bool) -> frozenset[int]:
    """The Yjs clients of an entry's ranges, when somebody else may have written them: when they are more than one, or its
    author has not claimed any by it (``relayed``).
    """
    clients = frozenset([known.client for known in ranges])
    return clients if relayed or len(clients) > 1 else frozenset()


def writers(
    ranges: Sequence[ClockRange], author: str, claimed: Mapping[int, str], *, relayed: bool, carried: bool
) -> tuple[str, ...]:
    """Who wrote each of an entry's ranges, as :attr:`Authored.writers` has it. ``claimed``: whose the Yjs clients are;
    ``carried``: what is nobody's is not its author's either.
    """
    if not clients_of_others(ranges, relayed=relayed or carried):
        return ()
    unbound = "" if carried else author
    names = tuple([claimed.get(known.client, unbound) for known in ranges])
    return names if any(name != author for name in names) else ()


def deletes(document_id: str, offset: int, update: bytes) -> tuple[ClockRange, ...]:
    """What an entry deleted. Raises :class:`StoreCorrupt`."""
    if not isinstance(update, bytes):
        raise StoreCorrupt(f"The entry of document {document_id!r} at offset {offset} is damaged: its update is no bytes.")
    if update.endswith(b"\0"):  # the number of clients of which something is deleted
        return ()
    try:
        return deletes_of(update)
    except HostileUpdate as error:
        raise StoreCorrupt(f"The entry of document {document_id!r} at offset {offset} is damaged ({error!r}).") from error


def groups(newest_first: Iterable[Authored], *, pause: int, limit: int, by_author: bool = False) -> Iterator[ActivityGroup]:
    """At most ``limit`` groups of entries, newest first. No more is taken of the entries than that needs.

    ``by_author``: an author's entries are in one group though others have written between.
    """
    made: list[list[Authored]] = []
    open_groups: dict[str, list[Authored]] = {}
    for entry in newest_first:
        group = open_groups.get(entry.author)
        if group is None or entry.cause is not None or group[-1].created_at - entry.created_at > pause:
            if len(made) == limit:
                break
            group = []
            made.append(group)
            if entry.cause is not None or not by_author:
                open_groups.clear()
            open_groups[entry.author] = group
        group.append(entry)
        if entry.cause is not None:
            open_groups.clear()
    return map(_group, made)


def _group(newest_first: Sequence[Authored]) -> ActivityGroup:
    last, first = newest_first[0], newest_first[-1]
    cause: Cause | None = last.cause
    return ActivityGroup(
        author=last.author,
        first_offset=first.offset,
        last_offset=last.offset,
        began_at=first.created_at,
        ended_at=last.created_at,
        inserted=sum(entry.inserted for entry in newest_first),
        deleted=sum(entry.deleted for entry in newest_first),
        cause=cause,
        entries=len(newest_first),
    )


def check_version(version: Version) -> None:
    """Raises :class:`InvalidId` when a text of it cannot be kept, ValueError for an offset that no log has."""
    check_id("The id of the version", version.id, longest=MAX_UUID)
    check_id("The document id", version.document_id)
    check_offset(version.offset)
    check_text("The author of the version", version.author)
    check_text("The name of the version", version.name or "")
    check_text("The note of the version", version.note or "", longest=MAX_NOTE)


def check_moment(document_id: str, offset: int, *, first_offset: int) -> None:
    """Raises :class:`HistoryForgotten` for a moment that can no longer be had. Of what was forgotten the end is kept."""
    if offset < first_offset - 1:
        raise HistoryForgotten(document_id, first_offset)


def check_versions(document_id: str, versions: Iterable[Version], *, first_offset: int, head: int) -> None:
    """Those that come with entries; ``head`` is that with them. Raises ValueError unless they are of this document and log,
    and as :func:`check_version` and :func:`check_moment`.
    """
    for version in versions:
        check_version(version)
        if version.document_id != document_id or version.offset > head:
            raise ValueError(
                f"Version {version.id!r} is of document {version.document_id!r} at offset {version.offset}; "
                f"it cannot stand in the log of {document_id!r}, which ends at {head}."
            )
        check_moment(document_id, version.offset, first_offset=first_offset)


def place_of_version(version: Version) -> tuple[int, int, str]:
    """Its place among the versions of a document: by this, backwards, they are listed."""
    return version.offset, version.created_at, version.id


def too_many(versions: Iterable[Version], *, now: int, keep: Sequence[tuple[int, int]], older: int | None) -> list[Version]:
    """Those that age has made too many of; see :meth:`cowrite.core.ports.Versions.thin`."""
    going: list[Version] = []
    last_of: dict[tuple[int, int], Version] = {}
    for version in sorted(versions, key=lambda one: (one.created_at, one.offset, one.id)):
        age = now - version.created_at
        if version.kind is not VersionKind.AUTOMATIC:
            continue
        if older is not None and age > older:
            going.append(version)
            continue
        # One from the future is never removed for its age: it may be this process's clock that is wrong.
        ancient = age < -CLOCKS_DIFFER
        distance = next((distance for least, distance in reversed(keep) if ancient or age > least), 0)
        if distance:
            before = last_of.get(place := (distance, version.created_at // distance))
            if before is not None:
                going.append(before)
            last_of[place] = version
    return going


def clients_of_state(document_id: str, packed: bytes) -> set[int]:
    """The Yjs clients in a checkpoint's state, as it is stored; none when it is damaged, and the log says so."""
    try:
        return {brought.client for brought in outline_of_state(zlib.decompress(packed)).brings}
    except (zlib.error, HostileUpdate) as error:
        log.error("clients of forgotten entries not known", document_id=document_id, reason=str(error))
        return set()
