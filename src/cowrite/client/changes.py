"""What changes in a document, one after the other."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final, Self

from cowrite.client.errors import ClientError, Closed, Lagging
from cowrite.crdt.editing.document import Change

MOST_WAITING: Final = 10_000
"""Changes that wait to be read."""


class Changes(AsyncIterator[Change]):
    """Changes from when it was made. It ends when the document is left. Read it in one task."""

    def __init__(self, why_over: Callable[[], ClientError | None]) -> None:
        self._why_over = why_over
        self._waiting: deque[Change] = deque()
        self._news = asyncio.Event()
        self._lagging = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        """The next one. Raises :class:`Lagging`, and :class:`Refused` when the server will not be asked again."""
        while not self._waiting:
            if self._lagging:
                self._lagging = False
                raise Lagging(f"more than {MOST_WAITING} changes waited to be read, and were dropped; read the document anew")
            over = self._why_over()
            if isinstance(over, Closed):
                raise StopAsyncIteration
            if over is not None:
                raise over
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()

    def put(self, change: Change) -> None:
        """Something has changed."""
        if self._lagging:
            return
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.clear()
            self._lagging = True
        else:
            self._waiting.append(change)
        self._news.set()

    def wake(self) -> None:
        """It may be over."""
        self._news.set()
