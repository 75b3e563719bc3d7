"""The time in which a room's log runs ahead of the store: what comes meanwhile waits for its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from cowrite.core.ports import News
from cowrite.core.rooms.replicas import Committed


class TransactionTurn:
    """One room's part in this process's transaction."""

    def __init__(self) -> None:
        self._news: list[News] | None = None
        self._waiting: list[asyncio.Future[Committed | None]] = []

    @property
    def running(self) -> bool:
        """A transaction is under way."""
        return self._news is not None

    def begin(self) -> None:
        """``log`` is about to run ahead of the store."""
        assert self._news is None, "one transaction at a time"
        self._news = []

    def hold(self, news: News) -> bool:
        """Keep this for the end; False when nothing is under way."""
        if self._news is None:
            return False
        self._news.append(news)
        return True

    async def over(self) -> Committed | None:
        """Wait for the end, and what :meth:`end` is given."""
        waiter: asyncio.Future[Committed | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        return await waiter

    def end(self, committed: Callable[[], Committed | None]) -> Sequence[News]:
        """``log`` is exactly the committed prefix again, or gone. Returns what came meanwhile."""
        news, self._news = self._news or [], None
        waiting, self._waiting = [waiter for waiter in self._waiting if not waiter.done()], []
        if waiting:
            # Now, and not when they get their turn: the next transaction may have begun by then.
            found = committed()
            for waiter in waiting:
                waiter.set_result(found)
        return news
