"""The thread in which documents' pasts are looked at, beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from cowrite.core.history.errors import HistoryRefused

MAX_WAITING: Final = 32
"""Jobs that may wait for the thread: each may take a tenth of a second, and whoever asked waits for the answer."""

T = TypeVar("T")


class HistoryWorker:
    """Runs one job at a time. More threads would take more of the loop's time, and share what is remembered here."""

    def __init__(self, *, max_waiting: int = MAX_WAITING) -> None:
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="history")
        self._max_waiting = max_waiting
        self._jobs = 0

    async def run(self, job: Callable[[], T]) -> T:
        """Have a job done, and return what it gives. Raises :class:`HistoryRefused` (``overloaded``) when too many wait."""
        if self._jobs > self._max_waiting:
            raise HistoryRefused("overloaded", "too many people look at histories just now; ask again later")
        self._jobs += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, job)
        finally:
            self._jobs -= 1

    async def close(self) -> None:
        """Let the running job end, and drop those that wait."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
