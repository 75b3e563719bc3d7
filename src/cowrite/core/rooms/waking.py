"""Makes beside the event loop what the first edit of a large document needs: after it was opened, and after it has rested.

Who comes in is served at once, from what is encoded. Edits of Yjs peers and submissions wait until the engine has the document,
and so does news of other processes; whoever writes otherwise finds it as it is, and waits on the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from cowrite.core.ports import Clock, News, Timer
from cowrite.core.rooms.replicas import Replicas
from cowrite.crdt.errors import EngineFault, HostileUpdate

_log = structlog.get_logger(__name__)


_AFTER_SECONDS: Final = 0.05
"""How long after somebody came in: making a document beside the event loop slows down what happens on it."""


class Waking:
    """Of one room. ``learn`` is told the news that came meanwhile; ``fail``, why the document cannot be made;
    ``rebuild`` has it made of the log.
    """

    def __init__(
        self,
        document_id: str,
        replicas: Replicas,
        clock: Clock,
        *,
        learn: Callable[[News], None],
        fail: Callable[[str], None],
        rebuild: Callable[[], None],
    ) -> None:
        self._document_id = document_id
        self._replicas = replicas
        self._clock = clock
        self._learn = learn
        self._fail = fail
        self._rebuild = rebuild
        self._timer: Timer | None = None
        self._task: asyncio.Task[None] | None = None
        self._news: list[News] = []
        self._failed = False

    @property
    def needed(self) -> bool:
        """An edit should wait for :meth:`over`."""
        return self._task is not None or self._replicas.asleep

    def expect(self) -> None:
        """Somebody has been given the document and may write: begin soon. Nothing happens when all is there."""
        if self._timer is None and self._task is None and self._replicas.asleep:
            self._timer = self._clock.call_later(_AFTER_SECONDS, self.begin)

    def begin(self) -> None:
        """Begin, unless that has been done, all is there, or the document could not be made."""
        self.cancel()
        if self._task is None and self._replicas.asleep and not self._failed:
            self._task = asyncio.get_running_loop().create_task(self._wake())

    def cancel(self) -> None:
        """Nobody is expected to write any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def hold(self, news: News) -> bool:
        """Keep this for the end, and begin; False when nothing has to be made."""
        self.begin()
        if self._task is not None:
            self._news.append(news)
        return self._task is not None

    async def over(self) -> None:
        """Begin, and wait for the end."""
        self.begin()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def log_made(self) -> None:
        """Wait as long as the log is being made."""
        if self._replicas.source is not None:
            await self.over()

    async def _wake(self) -> None:
        try:
            await self._replicas.wake()
        except (EngineFault, HostileUpdate) as error:
            if self._replicas.mended:
                self._rebuild()  # by the journal, which finds out what of it the engine does not take
                return
            _log.error("document unreadable", document=self._document_id, reason=str(error))
            self._failed, self._news = True, []
            self._fail("the document cannot be read; it was left as it is")
        finally:
            self._task = None
            news, self._news = self._news, []
        for one in news:
            self._learn(one)
