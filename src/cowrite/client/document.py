"""A document that a program edits together with others: what :func:`cowrite.client.connect` gives."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from cowrite.client.changes import Changes
from cowrite.client.connection import Status
from cowrite.client.errors import Failure, NotConnected
from cowrite.client.live import Live
from cowrite.client.rich_text import Tree
from cowrite.client.text import Text
from cowrite.client.ways import Grant, User, Way
from cowrite.crdt.editing.collections import EditableArray, EditableMap
from cowrite.crdt.editing.positions import Edit

CONNECT_SECONDS: Final = 30.0
SAVE_SECONDS: Final = 10.0

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
        self._live = Live(name, way)
        self._roots: dict[str, object] = {}
        self.awareness = self._live.awareness
        """Who else is here, and what they are told of this program."""
        if state:
            self.awareness.set(**state)

    async def __aenter__(self) -> Self:
        """Wait until all that the server has is here. Raises :class:`Refused` and :class:`NotConnected`.

        Once: for another time, make another document (``RuntimeError``).
        """
        self._live.enter()
        try:
            async with asyncio.timeout(self._connect_seconds):
                await self._live.until(lambda: self.synced)
        except TimeoutError:
            await self._live.leave()
            failure = self._live.connection.failure
            said = "the server does not answer" if failure is None else failure.reason
            raise NotConnected(f"no connection to {self.name!r} within {self._connect_seconds:g} s: {said}") from None
        except BaseException:
            await self._live.leave()
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
            unsaved = await self._live.saved_at_last(self._save_seconds, hurry=error is not None)
        finally:
            await self._live.leave()
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
        return self._root(name, Text, "text", lambda handle: Text(self._live.document, handle, self._tell_edits(name)))

    def map(self, name: str) -> EditableMap:
        """The map of this name: see :meth:`text`."""
        return self._root(
            name,
            EditableMap,
            "map",
            lambda handle: EditableMap(self._live.document, handle, lambda keys: self._live.document.tell(name, keys=keys)),
        )

    def array(self, name: str) -> EditableArray:
        """The array of this name: see :meth:`text`."""
        return self._root(
            name,
            EditableArray,
            "array",
            lambda handle: EditableArray(self._live.document, handle, lambda: self._live.document.tell(name)),
        )

    def xml(self, name: str) -> Tree:
        """The tree of this name, of a rich text editor: Tiptap's is called ``default``, y-prosemirror's ``prosemirror``.

        See :meth:`text`.
        """
        return self._root(
            name, Tree, "xml_fragment", lambda handle: Tree(self._live.document, handle, lambda: self._live.document.tell(name))
        )

    def changes(self) -> Changes:
        """What changes from now on, in everything that was asked for by name: one's own edits, too (``change.local``).

        ::

            async for change in doc.changes():
                if not change.local:
                    print(change.name, change.edits)
        """
        self._live.check_open()
        changes = Changes(self._live.impossible)
        self._live.followers.add(changes)
        return changes

    def merge(self, update: bytes) -> None:
        """Take what a :class:`NotSaved` of before has in ``update``, or another Yjs update (v1), as edits of one's own.

        Raises ``ValueError`` when it is none, and :class:`ReadOnly`.
        """
        self._live.document.merge(update)

    def encode(self) -> bytes:
        """All of the document, as a Yjs update (v1)."""
        self._live.check_open()
        return self._live.document.encode()

    # ---- how it is ---------------------------------------------------------------------------------------------------

    @property
    def status(self) -> Status:
        """Of the connection."""
        return self._live.connection.status

    @property
    def synced(self) -> bool:
        """Connected, and all that the server had then is here."""
        return self._live.conversation.synced

    @property
    def unsaved(self) -> int:
        """So many edits are not known to be on the server's disk."""
        return self._live.conversation.unsaved

    @property
    def grant(self) -> Grant | None:
        """What the user may do, as far as is known: ``read``, ``comment``, ``write`` or ``admin``. None: no connection yet."""
        return self._live.grant

    @property
    def user(self) -> User | None:
        """Who the server takes the user for. None: there has been no connection yet."""
        return None if self._live.ticket is None else self._live.ticket.user

    async def saved(self) -> None:
        """Wait until everything that was edited before this call is on the server's disk, however long that takes.

        Raises :class:`Refused` when the server will not be asked again, and :class:`ReadOnly` when it takes no edits of this
        user any more.
        """
        await self._live.saved()

    async def refresh(self) -> None:
        """Ask the server anew what the user may do; else that is heard of within minutes, and of less with the next edit.

        Raises :class:`Refused`, and :class:`NotConnected`.
        """
        self._live.check_open()
        try:
            self._live.admitted(await self._live.way.refresh())
        except Failure as failure:
            raise (failure.error() if failure.final else NotConnected(failure.reason)) from None

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _root(self, name: str, kind: type[_T], called: str, make: Callable[[Any], _T]) -> _T:
        self._live.check_open()
        known = self._roots.get(name)
        if known is None:
            known = self._roots[name] = make(self._live.document.root(name, called))
        if not isinstance(known, kind):
            raise ValueError(f"{name!r} was asked for as a {type(known).__name__} before, and cannot be a {kind.__name__}")
        return known

    def _tell_edits(self, name: str) -> Callable[[list[Edit]], None]:
        return lambda edits: self._live.document.tell(name, edits)
