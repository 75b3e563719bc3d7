"""What waits to be told of one document.

Theory of operation. What may be merged waits once: a second ``changed`` goes into the first. The others wait in order, as many
as there is room for. Entries that find none are remembered as ranges of offsets, and versions as the time of the first of them:
they are in the store, and are read again there when their turn has come. There are only so many ranges; more of them are
joined, and what lies between is then told too, though another process has committed it. So what waits is bounded, and neither
an entry nor a version is left out.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from cowrite.core.events import Changed, Committed, Event, PresenceChanged, VersionCreated
from cowrite.core.records import VersionKind

MAX_RANGES: Final = 100
"""Of one document."""


@dataclass(frozen=True, slots=True)
class Range:
    """Entries that are to be read again."""

    epoch: str
    first: int
    last: int


class Waiting:
    """Of one document. Synchronous."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._merged: dict[type[Event], Changed | PresenceChanged] = {}
        """What has been merged; where it stands among the events is its first form."""
        self._ranges: deque[Range] = deque()
        self._versions_since: int | None = None

    def __len__(self) -> int:
        return len(self._events) + len(self._ranges) + (self._versions_since is not None)

    def put(self, event: Event, *, room: bool) -> bool:
        """One more. ``room``: there is some. False: there is none, and it is left out."""
        if isinstance(event, Changed | PresenceChanged):
            return self._merge(event, room=room)
        if isinstance(event, Committed) and (self._ranges or not room):
            self._remember(event)
        elif isinstance(event, VersionCreated) and (self._behind or not room):
            # What was before a restore is told with the entry of that.
            if event.kind is not VersionKind.RESTORE and self._versions_since is None:
                self._versions_since = event.time
        elif not room:
            return False
        else:
            self._events.append(event)
        return True

    def take(self) -> Event | None:
        """What is to be told next. None: nothing, but perhaps there are :attr:`entries`, or :meth:`take_versions`."""
        if not self._events:
            return None
        event = self._events.popleft()
        return self._merged.pop(type(event), event)

    @property
    def entries(self) -> Range | None:
        """The entries that are to be read next. They wait until they are :meth:`read`: what comes meanwhile comes behind."""
        return self._ranges[0] if self._ranges else None

    def read(self, until: int) -> None:
        """Of :attr:`entries`, those up to this offset."""
        first = self._ranges[0]
        if until >= first.last:
            self._ranges.popleft()
        else:
            self._ranges[0] = replace(first, first=max(first.first, until + 1))

    def take_versions(self) -> int | None:
        """From which time on versions are to be read; None: none are. What comes from now on is told in its turn."""
        since, self._versions_since = self._versions_since, None
        return since

    def give_back_versions(self, since: int) -> None:
        """They could not be read yet."""
        self._versions_since = since

    @property
    def _behind(self) -> bool:
        return bool(self._ranges) or self._versions_since is not None

    def _merge(self, event: Changed | PresenceChanged, *, room: bool) -> bool:
        known = self._merged.get(type(event))
        if known is None:
            if not room:
                return False
            self._events.append(event)
            self._merged[type(event)] = event
        elif isinstance(known, Changed) and isinstance(event, Changed):
            self._merged[Changed] = replace(event, updates=known.updates + event.updates)
        elif isinstance(known, PresenceChanged) and isinstance(event, PresenceChanged):
            self._merged[PresenceChanged] = _both(known, event)
        return True

    def _remember(self, event: Committed) -> None:
        last = self._ranges[-1] if self._ranges else None
        if last is not None and last.epoch == event.epoch and event.offset == last.last + 1:
            self._ranges[-1] = replace(last, last=event.offset)
        else:
            self._ranges.append(Range(event.epoch, event.offset, event.offset))
            if len(self._ranges) > MAX_RANGES:
                self._join()

    def _join(self) -> None:
        """Make one of the two neighbours that have the least between them."""
        ranges = list(self._ranges)
        pairs = list(enumerate(pairwise(ranges)))
        gaps = [(right.first - left.last, at) for at, (left, right) in pairs if left.epoch == right.epoch]
        if gaps:
            _, at = min(gaps)
            ranges[at : at + 2] = [replace(ranges[at], last=ranges[at + 1].last)]
            self._ranges = deque(ranges)


def _both(before: PresenceChanged, after: PresenceChanged) -> PresenceChanged:
    """What has changed by both."""
    came_back = before.left & after.joined
    joined = (before.joined | (after.joined - came_back)) - after.left
    left = (before.left - came_back) | (after.left - before.joined)
    updated = (before.updated | after.updated | came_back) - joined - left
    return PresenceChanged(after.document_id, joined, updated, left, after.time)
