"""What a room tells of itself to whoever listens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cowrite.core.events import Changed, Committed, Event, VersionCreated
from cowrite.core.operations.submissions import version_of
from cowrite.core.ports import Clock, News
from cowrite.core.ports.events import Events
from cowrite.core.records import Entry, VersionKind


class Happenings:
    """Of one document."""

    def __init__(self, document_id: str, events: Events, clock: Clock) -> None:
        self._document_id = document_id
        self._events = events
        self._clock = clock

    def changed(self, updates: int) -> int:
        """The peers were shown so many updates, perhaps none. Returns the number."""
        if updates:
            self._events.tell(Changed(self._document_id, updates, self._clock.now()))
        return updates

    def committed(self, epoch: str, entries: Iterable[Entry]) -> None:
        """This process has committed these: in a COMMIT that was in doubt till now."""
        for entry in entries:
            _tell(self._events, self._document_id, epoch, entry)


def tell_news(events: Events, news: News) -> None:
    """What this process has committed."""
    for entry in news.entries:
        _tell(events, news.document_id, news.epoch, entry)


def events_of(document_id: str, epoch: str, entry: Entry) -> Sequence[Event]:
    """What is told of an entry, which has its operations: before something that the server made, a moment was marked."""
    kind, at = entry.cause.kind if entry.cause is not None else None, entry.created_at
    committed = Committed(document_id, epoch, entry.offset, entry.author, kind, at)
    if kind is None or not entry.operations:
        return (committed,)
    marked = version_of(entry.operations[0].id)
    return committed, VersionCreated(document_id, marked, entry.offset - 1, VersionKind.RESTORE, entry.author, None, at)


def _tell(events: Events, document_id: str, epoch: str, entry: Entry) -> None:
    for event in events_of(document_id, epoch, entry):
        events.tell(event)
