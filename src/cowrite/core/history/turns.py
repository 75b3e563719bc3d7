"""Work about documents' pasts waits here for its turn: bounded, and documents one after the other."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from cowrite.core.history.errors import HistoryRefused

MAX_WAITING: Final = 64
"""Jobs that may wait: each may take a tenth of a second, and whoever asked waits for the answer."""
MAX_WAITING_OF_ONE: Final = 16
"""Of these, jobs about one document."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Job:
    begin: Callable[[], Awaitable[Any]]
    done: asyncio.Future[Any]


class Turns:
    """Has a number of jobs done at once, and others wait.

    Documents are served in turn, so that whoever asks much about one keeps nobody waiting who asks about another.
    """

    def __init__(self, *, at_once: int, max_waiting: int = MAX_WAITING) -> None:
        self._at_once = at_once
        self._max_waiting = max_waiting
        self._waiting: OrderedDict[str, deque[_Job]] = OrderedDict()
        self._running: set[asyncio.Future[Any]] = set()
        self._closed = False

    async def run(self, document_id: str, begin: Callable[[], Awaitable[T]]) -> T:
        """Have something done about a document, and return what it gives. It is not begun when nobody waits for it any more;
        once begun it keeps its place until it ends, though nobody waits.

        Raises :class:`HistoryRefused` (``overloaded``) when too many wait or the process ends, and what the work raises.
        """
        if self._closed:
            raise HistoryRefused("overloaded", "the server is stopping; ask again in a moment")
        self._drop_given_up()
        mine = len(self._waiting.get(document_id, ()))
        if mine >= MAX_WAITING_OF_ONE or sum(map(len, self._waiting.values())) >= self._max_waiting:
            raise HistoryRefused("overloaded", "too many people look at histories just now; ask again later")
        job = _Job(begin, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(document_id, deque()).append(job)
        self._go_on()
        result: T = await job.done
        return result

    async def close(self) -> None:
        """Drop those that wait, and let the running ones end. Nothing is begun afterwards."""
        self._closed = True
        for jobs in self._waiting.values():
            for job in jobs:
                job.done.cancel()
        self._waiting.clear()
        if self._running:
            await asyncio.wait(self._running)

    def _drop_given_up(self) -> None:
        """What nobody waits for any more takes nobody's place."""
        for document_id in list(self._waiting):
            wanted = deque(job for job in self._waiting[document_id] if not job.done.done())
            if wanted:
                self._waiting[document_id] = wanted
            else:
                del self._waiting[document_id]

    def _go_on(self) -> None:
        while len(self._running) < self._at_once and (job := self._next()) is not None:
            running = asyncio.ensure_future(job.begin())
            self._running.add(running)
            running.add_done_callback(lambda ended, job=job: self._ended(job, ended))  # type: ignore[misc]

    def _next(self) -> _Job | None:
        while self._waiting:
            document_id, jobs = self._waiting.popitem(last=False)
            job = jobs.popleft()
            if jobs:
                self._waiting[document_id] = jobs  # behind the others
            if not job.done.done():
                return job
        return None

    def _ended(self, job: _Job, ended: asyncio.Future[Any]) -> None:
        self._running.discard(ended)
        if ended.cancelled():  # the process ends
            job.done.cancel()
        elif (error := ended.exception()) is not None:
            if not job.done.done():
                job.done.set_exception(error)
        elif not job.done.done():
            job.done.set_result(ended.result())
        self._go_on()
