"""The thread in which documents' pasts are looked at, beside the event loop."""

from __future__ import annotations

import asyncio
import gc
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from cowrite.core.history.errors import HistoryRefused

MAX_WAITING: Final = 64
"""Jobs that may wait for the thread: each may take a tenth of a second, and whoever asked waits for the answer."""
MAX_WAITING_OF_ONE: Final = 16
"""Of these, jobs about one document."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Job:
    work: Callable[[], Any]
    done: asyncio.Future[Any]


class HistoryWorker:
    """Runs one job at a time: more threads would take more of the loop's time, and share what is remembered here.

    Documents are served in turn, so that whoever asks much about one keeps nobody waiting who asks about another.
    """

    def __init__(self, *, max_waiting: int = MAX_WAITING) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="history")
        self._max_waiting = max_waiting
        self._waiting: OrderedDict[str, deque[_Job]] = OrderedDict()
        self._busy = False

    async def run(self, document_id: str, work: Callable[[], T]) -> T:
        """Have something done about a document, and return what it gives. It is not begun when nobody waits for it any more.

        Raises :class:`HistoryRefused` (``overloaded``) when too many wait, and what the work raises.
        """
        self._drop_given_up()
        mine = len(self._waiting.get(document_id, ()))
        if mine >= MAX_WAITING_OF_ONE or sum(map(len, self._waiting.values())) >= self._max_waiting:
            raise HistoryRefused("overloaded", "too many people look at histories just now; ask again later")
        job = _Job(work, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(document_id, deque()).append(job)
        self._go_on()
        result: T = await job.done
        return result

    async def close(self) -> None:
        """Let the running job end, and drop those that wait."""
        for jobs in self._waiting.values():
            for job in jobs:
                job.done.cancel()
        self._waiting.clear()
        await asyncio.to_thread(self._thread.shutdown)

    def _drop_given_up(self) -> None:
        """What nobody waits for any more takes nobody's place."""
        for document_id in list(self._waiting):
            wanted = deque(job for job in self._waiting[document_id] if not job.done.done())
            if wanted:
                self._waiting[document_id] = wanted
            else:
                del self._waiting[document_id]

    def _go_on(self) -> None:
        if self._busy or (job := self._next()) is None:
            return
        self._busy = True
        running = asyncio.get_running_loop().run_in_executor(self._thread, _uncollected, job.work)
        running.add_done_callback(lambda ended: self._ended(job, ended))

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
        self._busy = False
        error = ended.exception()
        if not job.done.done():
            if error is not None:
                job.done.set_exception(error)
            else:
                job.done.set_result(ended.result())
        self._go_on()


def _uncollected(work: Callable[[], T]) -> T:
    """Do it without the collector of cycles: a job makes up to millions of objects, hardly any of them in cycles. Looking at
    those of a large document again and again takes up to a quarter of its time, and up to 90 ms at once, in which the event
    loop is not served either. The collector looks at what is left after each job.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        return work()
    finally:
        if collects:
            gc.enable()
