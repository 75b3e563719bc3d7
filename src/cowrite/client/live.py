"""What is behind a live document: it is told what comes over its links, and tells who waits for something."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final
from weakref import WeakSet

from cowrite.client.awareness import Awareness
from cowrite.client.changes import Changes
from cowrite.client.connection import Connection, Status
from cowrite.client.conversation import Conversation
from cowrite.client.errors import ClientError, Closed, Failure, NotSaved, ReadOnly
from cowrite.client.ways import Grant, Link, Ticket, Way, writes
from cowrite.crdt.editing.document import Change, EditableDocument
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.messages import AwarenessUpdate

_TEND_SECONDS: Final = 3.0

_log = logging.getLogger("cowrite.client")


class Live:
    """A document, its conversation with a room, and the connection that this goes over."""

    def __init__(self, name: str, way: Way) -> None:
        self.name = name
        self.way = way
        self.document = EditableDocument(self._edited, self._changed)
        self.document.may_edit = self.check_may_edit
        self.conversation = Conversation(self.document, self)
        self.connection = Connection(way, self)
        self.awareness = Awareness(self.document.client_id, time.monotonic, self.conversation.say)
        self.followers: WeakSet[Changes] = WeakSet()
        self.ticket: Ticket | None = None
        self._waiting: dict[asyncio.Future[None], Callable[[], bool]] = {}
        self._flushing: asyncio.Handle | None = None
        self._tending: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        """None before the block."""
        self._left = False

    @property
    def grant(self) -> Grant | None:
        """What the user may do; None: nothing is known yet."""
        return None if self.ticket is None else self.ticket.grant

    def enter(self) -> None:
        """The block begins. Raises ``RuntimeError`` when it has begun before."""
        if self._loop is not None:
            raise RuntimeError(f"the block of document {self.name!r} was entered before; make another one")
        self._loop = asyncio.get_running_loop()
        self.connection.start()
        self._tending = self._loop.create_task(self._tend())

    async def leave(self) -> None:
        """The block has ended. Idempotent."""
        if self._left:
            return
        self.awareness.clear()
        self._left = True
        if self._flushing is not None:
            self._flushing.cancel()
        for task in (self._tending, self._asking):
            if task is not None:
                task.cancel()
        try:
            await self.connection.end()
        finally:
            self.document.close()
            self.progressed()

    def check_open(self) -> None:
        """Raise :class:`Closed` outside of the block."""
        if self._left or self._loop is None:
            raise Closed(f"the document {self.name!r} is used outside of its block")

    def check_may_edit(self) -> None:
        """Raise what stands in the way of an edit."""
        self.check_open()
        if asyncio._get_running_loop() is not self._loop:
            where = "on its event loop only; from a thread there is call_soon_threadsafe()"
            raise RuntimeError(f"the document {self.name!r} is edited {where}")
        if not writes(self.grant):
            raise ReadOnly(f"the document {self.name!r} cannot be edited: the grant is {self.grant!r}")

    async def until(self, holds: Callable[[], bool], *, writing: bool = False) -> None:
        """Wait for something. Raises what makes it impossible."""
        while not holds():
            if (error := self.impossible(writing=writing)) is not None:
                raise error
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting[waiting] = lambda: holds() or self.impossible(writing=writing) is not None
            try:
                await waiting
            finally:
                del self._waiting[waiting]

    def impossible(self, *, writing: bool = False) -> ClientError | None:
        """Why nothing will come any more; ``writing``: of edits."""
        failure = self.connection.failure
        if self._left:
            return Closed(f"the document {self.name!r} was left")
        if self.connection.status is Status.CLOSED and failure is not None:
            return failure.error()
        if writing and not writes(self.grant):
            return ReadOnly(f"edits of {self.name!r} cannot be saved: the grant is {self.grant!r} now")
        return None

    async def saved(self) -> None:
        """Wait until all that was edited before is saved."""
        target = self.conversation.edits
        await self.until(lambda: self.conversation.saved >= target, writing=True)

    async def saved_at_last(self, seconds: float, *, hurry: bool) -> NotSaved | None:
        """What is not saved at the end. ``hurry``: nothing is waited for without a connection."""
        cause: Exception | None = None
        reason = f"nothing was heard of them within {seconds:g} s"
        if hurry and self.connection.status is not Status.CONNECTED:
            reason = "there is no connection"
        elif self.conversation.unsaved:
            try:
                async with asyncio.timeout(seconds):
                    await self.saved()
            except TimeoutError as error:
                cause = error
            except ClientError as error:
                cause, reason = error, str(error)
        if not self.conversation.unsaved:
            return None
        unsaved = NotSaved(self.conversation.unsaved, self.document.encode(), reason)
        unsaved.__cause__ = cause
        return unsaved

    # ---- Speaker and Surroundings ------------------------------------------------------------------------------------

    def admitted(self, ticket: Ticket) -> None:
        before, self.ticket = self.ticket, ticket
        if before is not None and writes(before.grant) != writes(ticket.grant):
            self.conversation.allow(writes=writes(ticket.grant))
        self.progressed()

    def linked(self, link: Link) -> None:
        self.conversation.linked(link.send, writes=writes(self.grant))

    def unlinked(self) -> None:
        self.conversation.unlinked()
        self.awareness.alone()

    def received(self, frame: bytes) -> None:
        self.conversation.received(frame)

    def changed(self) -> None:
        self.progressed()

    def progressed(self) -> None:
        for waiting, holds in list(self._waiting.items()):
            if not waiting.done() and holds():
                waiting.set_result(None)
        for follower in self.followers:
            follower.wake()

    def denied(self, reason: str) -> None:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._ask_why(reason))

    def met(self, entries: tuple[AwarenessEntry, ...]) -> None:
        self.awareness.met(entries)

    def introduction(self) -> AwarenessUpdate | None:
        return self.awareness.introduction()

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _edited(self, update: bytes) -> None:
        self.conversation.edited(update)
        if self._flushing is None:
            # What is edited without a pause goes as one: a loop over ten thousand lines is one message.
            self._flushing = asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = None
        self.conversation.flush()

    def _changed(self, change: Change) -> None:
        for follower in self.followers:
            follower.put(change)

    async def _ask_why(self, reason: str) -> None:
        """Find out whether the grant is another one. Else the server asks again once it can take what it has refused."""
        try:
            self.admitted(await self.way.refresh())
        except Failure as failure:
            reason = f"{reason}; what is granted now cannot be found out: {failure.reason}"
        if writes(self.grant):
            _log.warning("the server does not take edits of %r now: %s", self.name, reason)

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(_TEND_SECONDS)
            self.awareness.tend()
