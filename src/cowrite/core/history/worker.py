"""The thread in which documents' pasts are looked at, beside the event loop."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from cowrite.core.history.turns import MAX_WAITING, Turns

T = TypeVar("T")


class HistoryWorker:
    """Runs one job at a time: more threads would take more of the loop's time, and share what is remembered here."""

    def __init__(self, *, max_waiting: int = MAX_WAITING) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="history")
        self._turns = Turns(at_once=1, max_waiting=max_waiting)

    async def run(self, document_id: str, work: Callable[[], T]) -> T:
        """Have something done about a document, and return what it gives. Raises as :meth:`Turns.run`."""
        loop = asyncio.get_running_loop()
        return await self._turns.run(document_id, lambda: loop.run_in_executor(self._thread, _uncollected, work))

    async def close(self) -> None:
        """Let the running job end, and drop those that wait."""
        await self._turns.close()
        await asyncio.to_thread(self._thread.shutdown)


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
