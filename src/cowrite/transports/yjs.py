"""One y-websocket connection to one document, whatever its socket is made of.

Theory of operation. A transport feeds it frames and is its wire. While the token is checked and the room opens, the frames wait
in its lane; then they go, one after the other, to its attendance in the room.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias, assert_never

import structlog

from cowrite.core.delivery.acknowledgements import Acknowledgements
from cowrite.core.delivery.dialect import Dialect
from cowrite.core.delivery.outbox import Outbox, Wire
from cowrite.core.errors import PeerError, RoomClosed
from cowrite.core.ports import AccessDenied
from cowrite.core.presence.present import Transport
from cowrite.core.rooms.room import Room
from cowrite.core.sessions.session import Session
from cowrite.protocol import yjs
from cowrite.protocol.close_codes import CloseCode, cut_reason
from cowrite.protocol.messages import Acknowledged, PermissionDenied, UnknownMessage
from cowrite.transports.attendance import Attendance
from cowrite.transports.lane import Lane, no_socket
from cowrite.transports.services import Services
from cowrite.transports.upgrade import Accepted

OPENING_QUEUE_BYTES: Final = 4 << 20
"""What a client may send before its room is open."""
MAX_UNKNOWN_MESSAGES: Final = 5

_log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class Opening:
    """The token is checked and the room opened."""

    task: asyncio.Task[None] | None = None


@dataclass(slots=True, eq=False)
class Attached:
    """In the room."""

    attendance: Attendance


@dataclass(slots=True, eq=False)
class Closed:
    """It is over."""


_State: TypeAlias = Opening | Attached | Closed


class YjsConnection:
    """See the module's docstring. It is the wire that the room knows: closing it from there ends it here."""

    __slots__ = (
        "_enter", "_id", "_lane", "_services", "_state", "_unknown", "_upgrade", "_user_id", "_wire", "writable", "write"
    )  # fmt: skip

    def __init__(
        self,
        wire: Wire,
        upgrade: Accepted,
        services: Services,
        *,
        throttle: Callable[[bool], None] = no_socket,
        enter: Callable[[str], Awaitable[Session]] | None = None,
    ) -> None:
        """``throttle``: see :class:`Lane`. ``enter``: gives the session of who comes to this document; None: the token of the
        upgrade does.
        """
        self.write = wire.write  # the room's calls go straight to the transport
        self.writable = wire.writable
        self._wire = wire
        self._id = services.ids.new()
        self._upgrade = upgrade
        self._enter = enter if enter is not None else partial(services.bridge.enter, upgrade.token)
        self._services = services
        self._lane = Lane(
            services.clock,
            services.limits,
            services.excess,
            services.incoming,
            services.behind,
            take=self._take,
            flood=self._flood,
            throttle=throttle,
            held_bytes=OPENING_QUEUE_BYTES,
        )
        self._state: _State = Opening()
        self._user_id: str | None = None
        self._unknown = 0

    # ---- what the transport says -------------------------------------------------------------------------------------

    def opened(self) -> None:
        """The upgrade was answered. Call once, before anything else."""
        assert isinstance(self._state, Opening)
        self._services.connections.add(self)
        if self._upgrade.document_id is None:
            self.close(CloseCode.BAD_DOCUMENT_ID, "a document's id is 1 to 255 characters of UTF-8 without U+0000")
        else:
            self._state.task = asyncio.get_running_loop().create_task(self._open(self._state, self._upgrade.document_id))

    def receive(self, frame: bytes) -> None:
        """One binary message."""
        self._lane.receive(frame)

    def receive_text(self, text: bytes) -> None:
        """A text message: no y-websocket client sends one."""
        self.close(CloseCode.MALFORMED_FRAME, "a text message; only binary ones are understood")

    def drained(self) -> None:
        """The socket takes more again, after it did not."""
        if isinstance(self._state, Attached):
            try:
                self._state.attendance.peer.outbox.drained()
            except Exception as error:
                self._fail(error)  # as in _take()

    def lost(self, *, goodbye: bool) -> None:
        """The socket is gone; ``goodbye``: its client closed it. Call exactly once."""
        if isinstance(self._state, Attached):
            _log.debug("connection lost", **self._who(), goodbye=goodbye)
        if isinstance(self._state, Attached) and (goodbye or not self._state.attendance.importing):
            self._lane.when_empty(lambda: self._leave(clean=goodbye))
        else:
            self._leave(clean=goodbye)

    # ---- what the room and the server say ----------------------------------------------------------------------------

    def close(self, code: int, reason: str) -> None:
        """Leave the room and close the socket after what was written. Idempotent."""
        if not isinstance(self._state, Closed):
            self._services.tell_closed(_log, code, self._user_id or self._upgrade.document_id, **self._who(), reason=reason)
            self._end(code, reason)

    def join(self, outbox: Outbox) -> None:
        """The wire may be passed over."""
        self._wire.join(outbox)

    def stall(self) -> bool:
        """There is no room for more of a message that is coming. False: nothing that came before is about to be taken."""
        return self._lane.stall()

    @property
    def user(self) -> str:
        """Whose messages come by it; empty: that is not known yet."""
        return self._lane.user

    @property
    def settled(self) -> bool:
        """Nothing that it has sent, and will be told of, is on its way to the disk."""
        return not isinstance(self._state, Attached) or (self._state.attendance.settled and not self._lane.held)

    # ---- inside ------------------------------------------------------------------------------------------------------

    async def _open(self, state: Opening, document_id: str) -> None:
        try:
            session = await self._enter(document_id)
            self._user_id = self._lane.user = session.author
            if (known := self._services.registry.get(document_id)) is not None:
                self._attach(state, known, session)
                return
            async with self._services.registry.open(document_id) as room:
                self._attach(state, room, session)
        except Exception as error:
            self._fail(error)  # the host's authorizer may raise anything; see _take()

    def _attach(self, state: Opening, room: Room, session: Session) -> None:
        if self._state is not state:
            return
        attendance = Attendance(
            self._services,
            self._lane,
            room,
            session,
            self,
            yjs.YJS,
            acknowledgements=Acknowledgements() if self._upgrade.acknowledges else None,
            transport=Transport.YJS,
            fail=self._fail,
            changed=self._grant_changed,
        )
        self._state = Attached(attendance)
        _log.debug("connection opened", **self._who())
        self._lane.release()

    def _grant_changed(self, session: Session) -> None:
        """What may not be written any more is dropped from now on; without a grant the connection ends."""
        if session.ended:
            self.close(CloseCode.UNAUTHORIZED, "the session has ended")
        elif session.grant is None:
            self.close(CloseCode.FORBIDDEN, "the access to this document was revoked")

    def _take(self, frame: bytes) -> None:
        assert isinstance(self._state, Attached), "frames wait until then, and none is taken afterwards"
        try:
            message = yjs.decode(frame)
            if isinstance(message, Acknowledged | PermissionDenied):
                self._refuse_unknown(type(message).__name__)
            else:
                self._state.attendance.take(message)
        except Exception as error:
            # Whatever one peer's message does, the process and all others go on.
            self._fail(error)

    def _flood(self, reason: str) -> None:
        self.close(CloseCode.TOO_FAST, reason)

    def _refuse_unknown(self, kind: int | str) -> None:
        self._unknown += 1
        if self._unknown >= MAX_UNKNOWN_MESSAGES:
            self.close(CloseCode.MALFORMED_FRAME, f"{self._unknown} messages of unknown types; the last: {kind}")
        else:
            of = self._user_id or ""
            self._services.excess.log.say(_log, "info", "message refused", of, **self._who(), kind=kind)

    def _fail(self, error: Exception) -> None:
        """One peer's message or coming in has failed."""
        match error:
            case UnknownMessage(kind=kind):
                self._refuse_unknown(kind)
            case yjs.MalformedFrame():
                self.close(CloseCode.MALFORMED_FRAME, f"a message cannot be read: {error}")
            case PeerError(code=code, reason=reason) | RoomClosed(code=code, reason=reason):
                self._services.excess.refused(error)
                self.close(code, reason)
            case AccessDenied(known=known):
                self.close(CloseCode.FORBIDDEN if known else CloseCode.UNAUTHORIZED, str(error))
            case _:
                _log.error("connection failed", **self._who(), exc_info=error)
                self._end(CloseCode.INTERNAL_ERROR, "the server failed; connect again")

    def _who(self) -> dict[str, str | None]:
        session = self._state.attendance.session.id if isinstance(self._state, Attached) else None
        return {"document": self._upgrade.document_id, "user": self._user_id, "session": session, "connection": self._id}

    def _end(self, code: int, reason: str) -> None:
        self._leave(clean=False)
        self._wire.close(int(code), cut_reason(reason))

    def _leave(self, *, clean: bool) -> None:
        state, self._state = self._state, Closed()
        self._services.connections.discard(self)
        self._lane.stop()
        match state:
            case Opening(task=task):
                if task is not None and task is not asyncio.current_task():
                    task.cancel()
            case Attached(attendance=attendance):
                attendance.leave(clean=clean)
            case Closed():
                pass
            case _:
                assert_never(state)


if TYPE_CHECKING:
    _: Dialect = yjs.YJS
    _wire: type[Wire] = YjsConnection
