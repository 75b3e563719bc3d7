"""Editing documents within the application's own process: what its ``documents`` is.

It is the client of :mod:`cowrite.client`, whose messages go to the room by the same conversation that sockets have, without a
socket and without a token: whose edits they are, and what they may do, the host says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from cowrite.client.document import CONNECT_SECONDS, SAVE_SECONDS, Document
from cowrite.client.errors import Failure, broken, closed_with
from cowrite.client.ways import Grant, Link, Listener, Renewal, Ticket, User, Way
from cowrite.core.delivery.outbox import Outbox, Wire
from cowrite.core.document_ids import is_document_id
from cowrite.core.ports import Access, AccessDenied, StoreError
from cowrite.core.ports import Grant as CoreGrant
from cowrite.core.sessions.session import Session, fault_of
from cowrite.protocol.close_codes import CloseCode
from cowrite.transports.services import Services, Serving
from cowrite.transports.upgrade import ACK_PROTOCOL, Accepted
from cowrite.transports.yjs import YjsConnection


class Documents:
    """The documents of a running application. ``app.documents`` is one."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    def edit(
        self,
        document: str,
        *,
        user: str,
        name: str | None = None,
        colour: str | None = None,
        grant: Grant = "write",
        connect_seconds: float = CONNECT_SECONDS,
        save_seconds: float = SAVE_SECONDS,
    ) -> Document:
        """Edit a document, as ``user``::

            async with app.documents.edit("notes", user="bot", name="Bot") as doc:
                doc.text("body").append("Hello")
                await doc.saved()

        What it gives is what :func:`cowrite.client.connect` gives, and ``saved()`` means the same. ``user`` is the id under
        which the edits stand in the history; ``name`` and ``colour`` are what others see, and without both it is not seen. No
        token is asked for: the application vouches for the user, with this grant. One that is changed or revoked meanwhile
        (``/grants``) holds. It belongs to the event loop on which the application runs; entering the block raises
        :class:`NotConnected` when that does not run.

        Raises ``ValueError`` for an id or a name that cannot be.
        """
        access = Access(user, CoreGrant(grant), name, colour)
        if not is_document_id(document):
            raise ValueError("a document's id is 1 to 255 characters of UTF-8 without U+0000")
        if fault := fault_of(access):
            raise ValueError(f"nobody can edit as this: {fault}")
        shown = {key: value for key, value in (("name", name), ("color", colour)) if value is not None}
        return Document(
            document,
            RoomWay(self._serving, document, access),
            state={"user": shown} if shown else None,
            connect_seconds=connect_seconds,
            save_seconds=save_seconds,
        )


class RoomWay:
    """To a room in this process."""

    def __init__(self, serving: Serving, document_id: str, access: Access) -> None:
        self.renewed: Callable[[Ticket], None] = _nobody
        self._serving = serving
        self._document_id = document_id
        self._access = access
        self._session: Session | None = None

    async def admit(self, renew: Renewal) -> Ticket:
        services = self._services()
        try:
            await services.access.catch_up()
            if self._session is None:
                # Kept for all links: a grant that was changed since it began holds for each of them.
                self._session = Session(services.ids.new(), self._document_id, self._access, services.clock.now())
                self._session.client = "cowrite, in process"
            services.access.check(self._session)
        except AccessDenied as denied:
            raise Failure(CloseCode.FORBIDDEN, "forbidden", str(denied)) from None
        except StoreError as error:
            raise broken(f"the store cannot be read: {error}") from error
        return self._ticket(self._session)

    async def open(self, listener: Listener) -> Link:
        assert self._session is not None, "admitted before"
        return RoomLink(self._services(), self._document_id, self._session, listener)

    async def refresh(self) -> Ticket:
        if self._session is None:
            raise broken("there is no session")
        await self._services().access.catch_up()
        return self._ticket(self._session)

    async def leave(self) -> None:
        self._session = None

    def _services(self) -> Services:
        services = self._serving()
        if services is None:
            raise broken("the application does not run")
        return services

    def _ticket(self, session: Session) -> Ticket:
        if session.grant is None:
            raise Failure(CloseCode.FORBIDDEN, "forbidden", "the access to this document was revoked")
        access = session.access
        return Ticket(session.grant.value, User(access.user_id, access.name, access.colour))


class RoomLink:
    """A connection to a room. Each side is called in turns of the loop of its own, and never from within its own calls."""

    def __init__(self, services: Services, document_id: str, session: Session, listener: Listener) -> None:
        self._soon = asyncio.get_running_loop().call_soon
        self._wire = RoomWire(listener)

        async def enter(_: str) -> Session:
            return session

        upgrade = Accepted(document_id, None, ACK_PROTOCOL)
        self._connection = YjsConnection(self._wire, upgrade, services, enter=enter)
        self._connection.opened()

    def send(self, frame: bytes) -> None:
        if not self._wire.over:
            self._soon(self._connection.receive, frame)

    async def close(self) -> None:
        if not self._wire.over:
            self._wire.over = True
            self._soon(lambda: self._connection.lost(goodbye=True))


class RoomWire:
    """The room's side of it."""

    def __init__(self, listener: Listener) -> None:
        self._soon = asyncio.get_running_loop().call_soon
        self._listener = listener
        self.over = False
        """Nobody listens any more."""

    def write(self, message: bytes) -> None:
        self._soon(self._hear, message)

    def writable(self) -> bool:
        return True

    def close(self, code: int, reason: str) -> None:
        self._soon(self._end, code, reason)

    def join(self, outbox: Outbox) -> None:
        """Each message is written here: there is no socket to write many at once to."""

    def _hear(self, message: bytes) -> None:
        if not self.over:
            self._listener.received(message)

    def _end(self, code: int, reason: str) -> None:
        if not self.over:
            self.over = True
            self._listener.lost(closed_with(code, reason))


def _nobody(_: Ticket) -> None:
    """Nobody wants to know."""


if TYPE_CHECKING:
    _way: type[Way] = RoomWay
    _link: type[Link] = RoomLink
    _wire: type[Wire] = RoomWire
