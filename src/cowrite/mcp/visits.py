"""The documents that the assistant is in: entered with its first edit, and left some time after its last."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Self

from cowrite.client import Document, NotSaved, Status, connect
from cowrite.mcp.problems import ToolError, away, explained, quoted

IDLE_SECONDS: Final = 60.0
"""So long after its last edit people still see the assistant and its cursor."""
MOST: Final = 16
"""Documents that it is in at once."""
CONNECT_SECONDS: Final = 10.0
SAVE_SECONDS: Final = 15.0
_LEAVE_SECONDS: Final = 1.0
"""Whoever started this process may kill it 2 s after it was told to end."""
_LOOK_SECONDS: Final = 0.05

_log = logging.getLogger("cowrite.mcp")


@dataclass(eq=False)
class _Visit:
    name: str
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One call at a time."""
    document: Document | None = None
    leaving: asyncio.TimerHandle | None = None


class Visits:
    """An asynchronous context manager: at its end all documents are left."""

    def __init__(self, url: str, token: str | None, name: str, colour: str, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self._url = url
        self._token = token
        self._name = name
        self._colour = colour
        self._idle_seconds = idle_seconds
        self._visits: dict[str, _Visit] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        visits = list(self._visits.values())
        for visit in visits:
            if visit.leaving is not None:
                visit.leaving.cancel()
        await asyncio.gather(*self._tasks, *(self._leave(visit) for visit in visits))

    @asynccontextmanager
    async def to(self, name: str) -> AsyncIterator[Document]:
        """Be in the document, connected, with all that the server has. Raises ``ToolError``."""
        while True:
            visit = self._visits.get(name)
            if visit is None:
                self._make_room()
                visit = self._visits[name] = _Visit(name)
            async with visit.turn:
                if self._visits.get(name) is not visit:
                    continue  # it ended while this call waited for its turn
                async with self._inside(visit) as document:
                    yield document
                return

    @asynccontextmanager
    async def _inside(self, visit: _Visit) -> AsyncIterator[Document]:
        self._visits[visit.name] = self._visits.pop(visit.name)  # the newest one stands last
        if visit.leaving is not None:
            visit.leaving.cancel()
        try:
            with explained(visit.name):
                yield await self._entered(visit)
        finally:
            if visit.document is None:
                del self._visits[visit.name]
            else:
                visit.leaving = asyncio.get_running_loop().call_later(self._idle_seconds, self._end, visit)

    async def saved(self, document: Document) -> None:
        """Wait until what was edited is on the server's disk. Raises ``ToolError``."""
        try:
            async with asyncio.timeout(SAVE_SECONDS):
                await document.saved()
        except TimeoutError:
            raise ToolError(
                f"The edit of {quoted(document.name)} is made, but the server has not said within {SAVE_SECONDS:g} s that it "
                "is saved. As long as `cowrite mcp` runs it is sent again by itself once the server answers, so do NOT repeat "
                "it: read the document in a while, to see whether it is there, and tell the person."
            ) from None

    # ---- inside ------------------------------------------------------------------------------------------------------

    async def _entered(self, visit: _Visit) -> Document:
        if visit.document is not None and visit.document.status is Status.CLOSED:
            await self._leave(visit)
        if visit.document is None:
            document = connect(
                self._url,
                visit.name,
                token=self._token,
                name=self._name,
                colour=self._colour,
                connect_seconds=CONNECT_SECONDS,
                save_seconds=_LEAVE_SECONDS,
            )
            visit.document = await document.__aenter__()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CONNECT_SECONDS
        while not visit.document.synced:
            if visit.document.status is Status.CLOSED:
                await visit.document.saved()  # it raises why
            if loop.time() > deadline:
                raise away("the connection is lost, and is tried again")
            await asyncio.sleep(_LOOK_SECONDS)
        return visit.document

    def _make_room(self) -> None:
        if len(self._visits) < MOST:
            return
        for visit in self._visits.values():
            if not visit.turn.locked() and visit.document is not None and not visit.document.unsaved:
                self._end(visit)
                return
        raise ToolError(f"You are writing in {MOST} documents, and none of them is saved. Wait until the server answers.")

    def _end(self, visit: _Visit) -> None:
        task = asyncio.get_running_loop().create_task(self._end_in_turn(visit))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end_in_turn(self, visit: _Visit) -> None:
        if visit.turn.locked():
            return  # it is used again, and who uses it sees to the end
        async with visit.turn:
            if self._visits.get(visit.name) is not visit:
                return
            if visit.document is not None and visit.document.unsaved and visit.document.status is not Status.CLOSED:
                visit.leaving = asyncio.get_running_loop().call_later(self._idle_seconds, self._end, visit)
                return
            await self._leave(visit)
            del self._visits[visit.name]

    async def _leave(self, visit: _Visit) -> None:
        document, visit.document = visit.document, None
        if visit.leaving is not None:
            visit.leaving.cancel()
        if document is None:
            return
        try:
            await document.__aexit__(None, None, None)
        except NotSaved as left:
            _log.error("edits of %s were lost, as the assistant was told before: %s", quoted(visit.name), left)
