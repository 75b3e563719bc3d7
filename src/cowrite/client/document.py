"""A document that a program edits together with others: what :func:`cowrite.client.connect` gives."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from weakref import WeakSet

from cowrite.client.awareness import Awareness
from cowrite.client.changes import Changes
from cowrite.client.connection import Connection, Status
from cowrite.client.conversation import Conversation
from cowrite.client.errors import ClientError, Closed, Failure, NotConnected, NotSaved, ReadOnly
from cowrite.client.rich_text import Tree
from cowrite.client.text import Text
from cowrite.client.ways import Grant, Link, Ticket, User, Way, writes
from cowrite.crdt.editing.collections import EditableArray, EditableMap
from cowrite.crdt.editing.document import Change, EditableDocument
from cowrite.crdt.editing.positions import Edit
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.messages import AwarenessUpdate

CONNECT_SECONDS: Final = 30.0
SAVE_SECONDS: Final = 10.0
_TEND_SECONDS: Final = 3.0

_T = TypeVar("_T")

_log = logging.getLogger("cowrite.client")


class Document:
    """A live document: an asynchronous context manager. Inside of its block it is connected, and again after every loss.

    All that is read of it is there at once, as it is now; edits are there at once, too, and sent by themselves. Others' edits
    come in only while the program awaits something: between two lines without ``await`` nothing changes. It belongs to one
    event loop.
    """

    def __init__(
        self,
        name: str,
        way: Way,
        *,
        state: dict[str, object] | None = None,
        connect_seconds: float = CONNECT_SECONDS,
        save_seconds: float = SAVE_SECONDS,
    ) -> None:
        """Made by :func:`cowrite.client.connect`, and by an application's ``documents.edit``."""
        self.name = name
        """The document's id."""
        self._connect_seconds = connect_seconds
        self._save_seconds = save_seconds
        self._document = EditableDocument(self._edited, self._changed)
        self._document.may_edit = self._check_may_edit
        self._conversation = Conversation(self._document, self)
        self._way = way
        self._connection = Connection(way, self)
        self._ticket: Ticket | None = None
        self._waiting: dict[asyncio.Future[None], Callable[[], bool]] = {}
        self._roots: dict[str, object] = {}
        self._followers: WeakSet[Changes] = WeakSet()
        self._flushing: asyncio.Handle | None = None
        self._tending: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        """None before the block."""
        self._left = False
        self.awareness = Awareness(self._document.client_id, time.monotonic, self._conversation.say)
        """Who else is here, and what they are told of this program."""
        if state:
            self.awareness.set(**state)

    async def __aenter__(self) -> Self:
        """Wait until all that the server has is here. Raises :class:`Refused` and :class:`NotConnected`.

        Once: for another time, make another document (``RuntimeError``).
        """
        if self._loop is not None:
            raise RuntimeError(f"the block of document {self.name!r} was entered before; make another one")
        self._loop = asyncio.get_running_loop()
        self._connection.start()
        self._tending = asyncio.get_running_loop().create_task(self._tend())
        try:
            async with asyncio.timeout(self._connect_seconds):
                await self._until(lambda: self.synced)
        except TimeoutError:
            await self._leave()
            failure = self._connection.failure
            said = "the server does not answer" if failure is None else failure.reason
            raise NotConnected(f"no connection to {self.name!r} within {self._connect_seconds:g} s: {said}") from None
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until all edits are saved, at most ``save_seconds``, and leave.

        Raises :class:`NotSaved` with what is not. Where the block has raised something, that goes on, with a note instead; and
        nothing is waited for without a connection.
        """
        try:
            unsaved = await self._saved_at_last(hurry=error is not None)
        finally:
            await self._leave()
        if unsaved is None:
            return
        _log.warning("document %r is left with unsaved edits: %s", self.name, unsaved)
        if error is None:
            raise unsaved
        error.add_note(f"cowrite: when the block of document {self.name!r} ended, {unsaved}")

    # ---- what is in it -----------------------------------------------------------------------------------------------

    def text(self, name: str) -> Text:
        """The text of this name: the same object each time. A name is one kind of thing, for all clients.

        Raises ``ValueError`` when it was asked for as another one.
        """
        return self._root(name, Text, "text", lambda handle: Text(self._document, handle, self._tell_edits(name)))

    def map(self, name: str) -> EditableMap:
        """The map of this name: see :meth:`text`."""
        return self._root(
            name,
            EditableMap,
            "map",
            lambda handle: EditableMap(self._document, handle, lambda keys: self._document.tell(name, keys=keys)),
        )

    def array(self, name: str) -> EditableArray:
        """The array of this name: see :meth:`text`."""
        return self._root(
            name,
            EditableArray,
            "array",
            lambda handle: EditableArray(self._document, handle, lambda: self._document.tell(name)),
        )

    def xml(self, name: str) -> Tree:
        """The tree of this name, of a rich text editor: Tiptap's is called ``default``, y-prosemirror's ``prosemirror``.

        See :meth:`text`.
        """
        return self._root(
            name, Tree, "xml_fragment", lambda handle: Tree(self._document, handle, lambda: self._document.tell(name))
        )

    def changes(self) -> Changes:
        """What changes from now on, in everything that was asked for by name: one's own edits, too (``change.local``).

        ::

            async for change in doc.changes():
                if not change.local:
                    print(change.name, change.edits)
        """
        self._check_open()
        changes = Changes(lambda: self._impossible(writing=False))
        self._followers.add(changes)
        return changes

    def merge(self, update: bytes) -> None:
        """Take what a :class:`NotSaved` of before has in ``update``, or another Yjs update (v1), as edits of one's own.

        Raises ``ValueError`` when it is none, and :class:`ReadOnly`.
        """
        self._document.merge(update)

    def encode(self) -> bytes:
        """All of the document, as a Yjs update (v1)."""
        self._check_open()
        return self._document.encode()

    # ---- how it is ---------------------------------------------------------------------------------------------------

    @property
    def status(self) -> Status:
        """Of the connection."""
        return self._connection.status

    @property
    def synced(self) -> bool:
        """Connected, and all that the server had then is here."""
        return self._conversation.synced

    @property
    def unsaved(self) -> int:
        """So many edits are not known to be on the server's disk."""
        return self._conversation.unsaved

    @property
    def grant(self) -> Grant | None:
        """What the user may do, as far as is known: ``read``, ``comment``, ``write`` or ``admin``. None: no connection yet."""
        return None if self._ticket is None else self._ticket.grant

    @property
    def user(self) -> User | None:
        """Who the server takes the user for. None: there has been no connection yet."""
        return None if self._ticket is None else self._ticket.user

    async def saved(self) -> None:
        """Wait until everything that was edited before this call is on the server's disk, however long that takes.

        Raises :class:`Refused` when the server will not be asked again, and :class:`ReadOnly` when it takes no edits of this
        user any more.
        """
        target = self._conversation.edits
        await self._until(lambda: self._conversation.saved >= target, writing=True)

    async def refresh(self) -> None:
        """Ask the server anew what the user may do; else that is heard of within minutes, and of less with the next edit.

        Raises :class:`Refused`, and :class:`NotConnected`.
        """
        self._check_open()
        try:
            self.admitted(await self._way.refresh())
        except Failure as failure:
            raise (failure.error() if failure.final else NotConnected(failure.reason)) from None

    # ---- Speaker and Surroundings ------------------------------------------------------------------------------------

    def admitted(self, ticket: Ticket) -> None:
        before, self._ticket = self._ticket, ticket
        if before is not None and writes(before.grant) != writes(ticket.grant):
            self._conversation.allow(writes=writes(ticket.grant))
        self.progressed()

    def linked(self, link: Link) -> None:
        self._conversation.linked(link.send, writes=writes(self.grant))

    def unlinked(self) -> None:
        self._conversation.unlinked()
        self.awareness.alone()

    def received(self, frame: bytes) -> None:
        self._conversation.received(frame)

    def changed(self) -> None:
        self.progressed()

    def progressed(self) -> None:
        for waiting, holds in list(self._waiting.items()):
            if not waiting.done() and holds():
                waiting.set_result(None)
        for follower in self._followers:
            follower.wake()

    def denied(self, reason: str) -> None:
        if self._ticket is not None and writes(self._ticket.grant):
            self._ticket = Ticket("read", self._ticket.user)
        self.progressed()

    def met(self, entries: tuple[AwarenessEntry, ...]) -> None:
        self.awareness.met(entries)

    def introduction(self) -> AwarenessUpdate | None:
        return self.awareness.introduction()

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _edited(self, update: bytes) -> None:
        self._conversation.edited(update)
        if self._flushing is None:
            # What is edited without a pause goes as one: a loop over ten thousand lines is one message.
            self._flushing = asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = None
        self._conversation.flush()

    def _changed(self, change: Change) -> None:
        for follower in self._followers:
            follower.put(change)

    def _root(self, name: str, kind: type[_T], called: str, make: Callable[[Any], _T]) -> _T:
        self._check_open()
        known = self._roots.get(name)
        if known is None:
            known = self._roots[name] = make(self._document.root(name, called))
        if not isinstance(known, kind):
            raise ValueError(f"{name!r} was asked for as a {type(known).__name__} before, and cannot be a {kind.__name__}")
        return known

    def _tell_edits(self, name: str) -> Callable[[list[Edit]], None]:
        return lambda edits: self._document.tell(name, edits)

    def _check_open(self) -> None:
        if self._left or self._loop is None:
            raise Closed(f"the document {self.name!r} is used outside of its block")

    def _check_may_edit(self) -> None:
        self._check_open()
        if asyncio._get_running_loop() is not self._loop:
            raise RuntimeError(
                f"the document {self.name!r} is edited on its event loop only: from a thread, call_soon_threadsafe()"
            )
        if not writes(self.grant):
            raise ReadOnly(f"the document {self.name!r} cannot be edited: the grant is {self.grant!r}")

    async def _until(self, holds: Callable[[], bool], *, writing: bool = False) -> None:
        """Raises what makes it impossible."""
        while not holds():
            if (error := self._impossible(writing=writing)) is not None:
                raise error
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting[waiting] = lambda: holds() or self._impossible(writing=writing) is not None
            try:
                await waiting
            finally:
                del self._waiting[waiting]

    def _impossible(self, *, writing: bool) -> ClientError | None:
        failure: Failure | None = self._connection.failure
        if self._left:
            return Closed(f"the document {self.name!r} was left")
        if self.status is Status.CLOSED and failure is not None:
            return failure.error()
        if writing and not writes(self.grant):
            return ReadOnly(f"edits of {self.name!r} cannot be saved: the grant is {self.grant!r} now")
        return None

    async def _saved_at_last(self, *, hurry: bool) -> NotSaved | None:
        """``hurry``: nothing is waited for without a connection."""
        cause: Exception | None = None
        reason = f"nothing was heard of them within {self._save_seconds:g} s"
        if hurry and self.status is not Status.CONNECTED:
            reason = "there is no connection"
        elif self.unsaved:
            try:
                async with asyncio.timeout(self._save_seconds):
                    await self.saved()
            except TimeoutError as error:
                cause = error
            except ClientError as error:
                cause, reason = error, str(error)
        if not self.unsaved:
            return None
        unsaved = NotSaved(self.unsaved, self._document.encode(), reason)
        unsaved.__cause__ = cause
        return unsaved

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(_TEND_SECONDS)
            self.awareness.tend()

    async def _leave(self) -> None:
        if self._left:
            return
        self.awareness.clear()
        self._left = True
        if self._flushing is not None:
            self._flushing.cancel()
        if self._tending is not None:
            self._tending.cancel()
        try:
            await self._connection.end()
        finally:
            self._document.close()
            self.progressed()
