"""Versions that are made by themselves: when people pause, and now and then when they do not.

Theory of operation. The journal tells what it has committed. Each document that was edited has one timer; an edit only notes
its time, and the timer, when it goes off, looks whether the pause was long enough or goes on waiting for the rest. The store
looks whether a version is due (another process may have made one), in the step that adds it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Container, Coroutine
from dataclasses import dataclass
from typing import Final

import structlog

from cowrite.core.ids import Ids
from cowrite.core.ports import Clock, DocumentDeleted, HistoryForgotten, News, StoreError, Timer, Versions
from cowrite.core.records import Version, VersionKind

LONGEST_SECONDS: Final = 3600.0
"""After so long without a pause a version is made all the same."""
MAX_TIDY: Final = 10_000
"""Documents of which it is known that they were thinned a short time ago."""
_HOUR: Final = 3_600_000
_DAY: Final = 24 * _HOUR
KEEP: Final = ((_DAY, _HOUR), (7 * _DAY, _DAY), (90 * _DAY, 7 * _DAY))
"""Milliseconds: of automatic versions all of a day are kept, of a week one for each hour, of 90 days one for each day, and of
the time before one for each week."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class VersionTimes:
    """When versions are made by themselves, and how long they are kept."""

    pause_seconds: float = 60.0
    """A version is made after so long without an edit; 0: none ever is."""
    interval_seconds: float = 600.0
    """And no more than one in so long."""
    retention_days: int = 0
    """Automatic versions are kept for so long; 0: for ever."""


@dataclass(slots=True)
class _Edited:
    """A document with edits that no version has."""

    offset: int
    author: str
    first: float
    """When the first of them was made, by the monotonic clock."""
    last: float
    """When the last one was."""
    timer: Timer


class AutomaticVersions:
    """Makes versions of what this process commits."""

    def __init__(
        self, versions: Versions, clock: Clock, ids: Ids, times: VersionTimes, *, damaged: Container[str] = ()
    ) -> None:
        """``damaged``: the documents that are only read. Of these no version is made or removed until they are mended."""
        self._damaged = damaged
        self._versions = versions
        self._clock = clock
        self._ids = ids
        self._times = times
        self._edited: dict[str, _Edited] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._tidied: OrderedDict[str, float] = OrderedDict()
        """When documents were thinned, by the monotonic clock."""

    def committed(self, news: News) -> None:
        """These entries of a document were committed by this process."""
        if not self._times.pause_seconds or not news.entries:
            return
        now, newest = self._clock.monotonic(), news.entries[-1]
        edited = self._edited.get(news.document_id)
        if edited is None:
            timer = self._wake(news.document_id, self._times.pause_seconds)
            self._edited[news.document_id] = _Edited(newest.offset, newest.author, now, now, timer)
        else:
            edited.offset, edited.author, edited.last = newest.offset, newest.author, now

    async def tidy(self, document_id: str) -> None:
        """Remove those that age has made too many of, also where nobody edits any more: before they are shown. It is looked
        once an hour.
        """
        tidied = self._tidied.get(document_id)
        due = tidied is None or self._clock.monotonic() - tidied >= LONGEST_SECONDS
        if due and document_id not in self._damaged:
            await self._thin(document_id, self._clock.now())

    async def close(self) -> None:
        """The process ends: make now what would be made later."""
        self._closing = True
        for document_id, edited in list(self._edited.items()):
            edited.timer.cancel()
            self._start(self._make(document_id, edited))
        self._edited.clear()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _wake(self, document_id: str, seconds: float) -> Timer:
        return self._clock.call_later(seconds, lambda: self._look(document_id))

    def _look(self, document_id: str) -> None:
        edited, now = self._edited[document_id], self._clock.monotonic()
        due = min(edited.last + self._times.pause_seconds, edited.first + LONGEST_SECONDS)
        if due > now:
            edited.timer = self._wake(document_id, due - now)
        else:
            del self._edited[document_id]
            self._start(self._make(document_id, edited))

    async def _make(self, document_id: str, edited: _Edited) -> None:
        if document_id in self._damaged:
            self._again(document_id, edited, self._times.pause_seconds)
            return
        now = self._clock.now()
        version = Version(self._ids.new(), document_id, edited.offset, VersionKind.AUTOMATIC, edited.author, now)
        # Nobody may edit it for long after the process has ended, and no other one knows that an edit waits.
        interval = 0 if self._closing else int(self._times.interval_seconds * 1000)
        try:
            if await self._versions.add_automatic(version, interval=interval):
                await self._thin(document_id, now)
            elif (seconds := await self._due_in(version)) is None:
                pass
            elif interval and self._closing:  # it was not yet when this began
                await self._make(document_id, edited)
            else:
                self._again(document_id, edited, seconds)
        except (DocumentDeleted, HistoryForgotten):
            return
        except StoreError as error:
            _log.warning("automatic version not made; it is tried again", document=document_id, reason=str(error))
            self._again(document_id, edited, self._times.pause_seconds)

    async def _thin(self, document_id: str, now: int) -> None:
        self._tidied[document_id] = self._clock.monotonic()
        self._tidied.move_to_end(document_id)
        if len(self._tidied) > MAX_TIDY:
            self._tidied.popitem(last=False)
        older = self._times.retention_days * _DAY or None
        try:
            await self._versions.thin(document_id, now=now, keep=KEEP, older=older)
        except StoreError as error:
            # With the next version, or when they are shown in an hour.
            _log.warning("versions not thinned", document=document_id, reason=str(error))

    async def _due_in(self, version: Version) -> float | None:
        """After how many seconds this version may be made; None: the newest one has the edit, or the document is gone."""
        newest = await self._versions.list(version.document_id, limit=1)
        if not newest or newest[0].offset >= version.offset:
            return None
        # Its clock may have been far wrong.
        since = max(0, version.created_at - newest[0].created_at) / 1000
        return max(self._times.interval_seconds - since, self._times.pause_seconds)

    def _again(self, document_id: str, edited: _Edited, seconds: float) -> None:
        if document_id not in self._edited and not self._closing:
            now = self._clock.monotonic()
            edited.first = edited.last = now + seconds - self._times.pause_seconds
            edited.timer = self._wake(document_id, seconds)
            self._edited[document_id] = edited

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
