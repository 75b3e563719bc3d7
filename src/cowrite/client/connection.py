"""One link at a time, and when to try again.

A connection that is lost is tried again after any time from 0 to 0.5 s, 1 s, 2 s … 10 s, or after the time for which the server
asked; one that has lasted 10 s makes the waits short again. A final close code ends it, but for a session that the server does
not know any more: that is asked for anew, three times in a row at most.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from enum import StrEnum
from typing import Final, Protocol

from cowrite.client.errors import Failure, broken, described
from cowrite.client.ways import Link, Listener, Renewal, Ticket, Way
from cowrite.crdt.errors import EngineFault
from cowrite.protocol.close_codes import CloseCode

FIRST_RETRY_SECONDS: Final = 0.5
LONGEST_RETRY_SECONDS: Final = 10.0
SETTLED_SECONDS: Final = 10.0
MOST_RENEWALS: Final = 3

_log = logging.getLogger("cowrite.client")


class Status(StrEnum):
    """Of a document's connection."""

    CONNECTING = "connecting"
    """For the first time, or again."""
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    """It was lost, and is tried again in a moment."""
    CLOSED = "closed"
    """It is over."""


class Speaker(Protocol):
    """Who speaks over the links."""

    def admitted(self, ticket: Ticket) -> None:
        """With this, from now on."""
        ...

    def linked(self, link: Link) -> None:
        """A link takes messages from now on."""
        ...

    def unlinked(self) -> None:
        """It does not any more. Not called without a link before."""
        ...

    def received(self, frame: bytes) -> None:
        """Raises ``ValueError`` for what cannot be read, and :class:`EngineFault`."""
        ...

    def changed(self) -> None:
        """Status or failure are others."""
        ...


class Connection:
    """Keeps a document connected, from :meth:`start` to :meth:`end`."""

    def __init__(self, way: Way, speaker: Speaker, *, jitter: Callable[[], float] = random.random) -> None:
        self._way = way
        self._speaker = speaker
        self._jitter = jitter
        self._task: asyncio.Task[None] | None = None
        self._link: Link | None = None
        way.renewed = speaker.admitted
        self.status = Status.CONNECTING
        self.failure: Failure | None = None
        """How the last attempt ended, or the last connection."""

    def start(self) -> None:
        """Connect, and again after every loss."""
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(self._ended)

    async def end(self) -> None:
        """Leave. Idempotent."""
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.wait((task,))
        await self._drop()
        await self._way.leave()
        self._tell(Status.CLOSED, self.failure)

    # ---- inside ------------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        attempts = renewals = 0
        renew: Renewal = "nothing"
        while True:
            self._tell(Status.CONNECTING, self.failure)
            admitted, began = False, loop.time()
            try:
                ticket = await self._way.admit(renew)
                admitted = True
                self._speaker.admitted(ticket)
                failure = await self._converse()
            except Failure as happened:
                failure = happened
            finally:
                await self._drop()
            if self.status is Status.CONNECTED and loop.time() - began > SETTLED_SECONDS:
                attempts = renewals = 0
            # What was refused while admitting was refused to a fresh token.
            renew = "session" if admitted and failure.code == CloseCode.UNAUTHORIZED else "nothing"
            renewals += renew == "session"
            if failure.final and (renew == "nothing" or renewals > MOST_RENEWALS):
                self._tell(Status.CLOSED, failure)
                return
            self._tell(Status.DISCONNECTED, failure)
            if not (renew == "session" and renewals == 1):
                longest = min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** min(attempts, 10))
                await asyncio.sleep(failure.rest or longest * self._jitter())
                attempts += 1

    def _ended(self, task: asyncio.Task[None]) -> None:
        """What nobody thought of ends it, too: who waits must not wait for ever."""
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("the client has failed", exc_info=error)
            self._tell(Status.CLOSED, Failure(CloseCode.INTERNAL_ERROR, "client_failed", described(error), own=True))

    async def _converse(self) -> Failure:
        """Until the link is lost; how it was."""
        ended: asyncio.Future[Failure] = asyncio.get_running_loop().create_future()

        def lost(failure: Failure) -> None:
            if not ended.done():
                ended.set_result(failure)

        def received(frame: bytes) -> None:
            if ended.done():
                return
            try:
                self._speaker.received(frame)
            except ValueError as error:
                lost(broken(f"a message cannot be read: {error}"))
            except EngineFault as error:
                lost(Failure(CloseCode.EDIT_NOT_KEPT, "engine_fault", str(error), own=True))

        # Messages may come before open() has returned.
        early: list[bytes] = []
        receive: Callable[[bytes], None] = early.append
        link = self._link = await self._way.open(Listener(lambda frame: receive(frame), lost))
        self._speaker.linked(link)
        self._tell(Status.CONNECTED, None)
        receive = received
        for frame in early:
            received(frame)
        return await ended

    async def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            self._speaker.unlinked()
            await link.close()

    def _tell(self, status: Status, failure: Failure | None) -> None:
        self.status, self.failure = status, failure
        self._speaker.changed()
