"""One document on a Hocuspocus connection: whoever is at one address of one socket.

Theory of operation. Clients do not wait for the answer to their token: what follows it is kept while the token is checked and
the room opens, and then played in order, as though it had just come. A goodbye (CLOSE) ends a check, with what was kept for it:
the same address may be used again in the same burst, by somebody else. What comes for an address at which nobody is logged in
(any more) is dropped without a word: clients go on sending for a while, and others share the socket.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias, assert_never

import structlog

from cowrite.core.damaged import may_write
from cowrite.core.delivery.outbox import Outbox, Wire
from cowrite.core.delivery.sync_statuses import SyncStatuses
from cowrite.core.errors import PeerError, RoomClosed
from cowrite.core.ports import AccessDenied, Grant
from cowrite.core.presence.present import Transport
from cowrite.core.rooms.room import Room
from cowrite.core.sessions.session import Session
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.hocuspocus import (
    Authenticate,
    Authenticated,
    Close,
    Message,
    Scope,
    Stateless,
    SyncStatus,
    TokenRequest,
)
from cowrite.protocol.messages import (
    AwarenessUpdate,
    PermissionDenied,
    QueryAwareness,
    SyncStep1,
    SyncStep2,
    Update,
)
from cowrite.transports.attendance import Attendance
from cowrite.transports.hocuspocus_socket import Socket
from cowrite.transports.hocuspocus_tokens import TokenRenewal, code_of

MAX_STATELESS_BYTES: Final = 64 << 10
"""A text between applications."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 15.0
"""Seconds between two attempts to open a document that cannot be opened now."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class Checking:
    """The token is checked and the room opened; what comes is kept."""

    shown: bool
    """The client has shown a token, if an empty one; else it began to synchronise without a word (2.x without a token)."""
    kept: list[bytes] = field(default_factory=list)
    task: asyncio.Task[None] | None = None


@dataclass(slots=True, eq=False)
class Attached:
    """In the room."""

    attendance: Attendance
    statuses: SyncStatuses
    shown: bool
    scope: Scope
    renewal: TokenRenewal
    invited: bool = True
    """The room has asked for what the client has, and that stands for the answer to its first SyncStep1."""


@dataclass(slots=True, eq=False)
class Out:
    """Nobody is logged in: not yet, or refused, or sent away."""


_State: TypeAlias = Checking | Attached | Out


class HocuspocusDocument:
    """See the module's docstring. It is the wire that the room knows: closing it from there ends it here."""

    def __init__(self, address: str, document_id: str, socket: Socket, *, unanswered: int = 0) -> None:
        self.write = socket.write  # the room's calls go straight to the transport
        self.writable = socket.writable
        self.address = address
        self.document_id = document_id
        self._socket = socket
        self._services = socket.services
        self._dialect = socket.services.dialect_at(address)
        self._state: _State = Out()
        self._user_id: str | None = None
        self._unanswered = unanswered
        """SyncStep1 messages that somebody was sent here who is gone: whoever is here now may get them, and answer."""

    @property
    def is_out(self) -> bool:
        """Nobody is logged in, or about to be."""
        return isinstance(self._state, Out)

    @property
    def settled(self) -> bool:
        """The client has been told what became of all that it has sent here."""
        return not isinstance(self._state, Attached) or self._state.attendance.settled

    # ---- what the connection says ------------------------------------------------------------------------------------

    def take(self, message: Message, frame: bytes) -> None:
        """A message for this address, which came as ``frame``. Never raises."""
        try:
            self._take(message, frame)
        except Exception as error:
            self._fail(error)

    def begin_unasked(self) -> None:
        """The client is about to synchronise without having shown a token."""
        self._check(self._socket.token, shown=False)

    def drained(self) -> None:
        """The socket takes more again."""
        if isinstance(self._state, Attached):
            try:
                self._state.attendance.peer.outbox.drained()
            except Exception as error:
                self._fail(error)

    def lost(self, *, goodbye: bool) -> None:
        """The socket is gone. What it has sent before may have to be taken still: :meth:`leave` is called when it has been.

        Not where nobody is in yet, and not by a client that did not say goodbye while what it sent is looked at for long.
        """
        match self._state:
            case Attached(attendance=attendance):
                _log.debug("connection lost", **self._who(), goodbye=goodbye)
                if attendance.importing and not goodbye:
                    self.leave(clean=False)
            case Checking():
                self.leave(clean=goodbye)
            case Out():
                pass
            case state:
                assert_never(state)

    def leave(self, *, clean: bool) -> None:
        """The client has gone from here. Idempotent."""
        state, self._state = self._state, Out()
        match state:
            case Checking(task=task, kept=kept):
                self._socket.checks.end(kept)
                if task is not None and task is not asyncio.current_task():
                    task.cancel()
            case Attached(attendance=attendance, renewal=renewal, statuses=statuses):
                renewal.stop()
                attendance.leave(clean=clean)
                self._unanswered = statuses.unanswered
            case Out():
                pass
            case _:
                assert_never(state)

    # ---- what the room says ------------------------------------------------------------------------------------------

    def close(self, code: int, reason: str) -> None:
        """End it. Idempotent.

        A client comes back only with a new socket. So where it should, the socket is closed; where coming back would change
        nothing, the others on the socket stay.
        """
        if self.is_out:
            return
        if CloseCode(code).reconnect:
            self._socket.close(code, reason)
            return
        of = f"{code} {self._user_id or self.document_id}"
        self._services.excess.log.say(_log, "info", "document closed", of, **self._who(), code=int(code), reason=reason)
        self._services.excess.closed(code)
        self.leave(clean=False)
        name = CloseCode(code).name.lower()
        self._say(Close(name) if self._socket.takes_close else PermissionDenied(name))

    def join(self, outbox: Outbox) -> None:
        """The wire may be passed over."""
        self._socket.join(outbox)

    # ---- coming in ---------------------------------------------------------------------------------------------------

    def _take(self, message: Message, frame: bytes) -> None:
        match message:
            case Close():
                if isinstance(self._state, Attached):
                    _log.debug("document left", **self._who())
                self.leave(clean=True)
                self._socket.forget(self.address, unanswered=self._unanswered)
            case Authenticate(token=token):
                self._authenticate(token or self._socket.token, frame)
            case _:
                match self._state:
                    case Attached() as state:
                        self._serve(state, message)
                    case Checking() as state:
                        self._keep(state, frame)
                    case Out():
                        pass
                    case _:
                        assert_never(self._state)

    def _authenticate(self, token: str | None, frame: bytes) -> None:
        match self._state:
            case Attached(shown=True, renewal=renewal):
                renewal.show(token)
            case Checking(shown=True) as state:
                self._keep(state, frame)
            case _:
                # Nobody is logged in, or without a token until now: it may be somebody else.
                self.leave(clean=False)
                self._check(token, shown=True)

    def _check(self, token: str | None, *, shown: bool) -> None:
        state = self._state = Checking(shown)
        state.task = asyncio.get_running_loop().create_task(self._log_in(state, token))

    def _keep(self, state: Checking, frame: bytes) -> None:
        state.kept.append(frame)
        self._socket.checks.keep(frame)
        self._bound()

    def _bound(self) -> None:
        if self._socket.checks.exceeded:
            self._socket.close(CloseCode.RESET_CONNECTION, "too much waits for tokens to be checked")

    async def _log_in(self, state: Checking, token: str | None) -> None:
        try:
            session = await self._services.bridge.enter(token, self.document_id)
            self._user_id = session.author
            self._socket.lane.user = self._socket.lane.user or session.author
            await self._enter(state, session, token)
        except AccessDenied as denied:
            self._refuse(state, code_of(denied))
        except RoomClosed as closed:
            self._refuse(state, closed.code)
        except Exception as error:
            if self._state is state:
                self._fail(error)  # the host's authorizer may raise anything

    async def _enter(self, state: Checking, session: Session, token: str | None) -> None:
        """Open the room, as soon as it can be opened: a document that cannot be read must not cost the others their socket."""
        pause = _FIRST_PAUSE
        while self._state is state:
            try:
                async with self._services.registry.open(self.document_id) as room:
                    self._attach(state, room, session, token)
                return
            except RoomClosed as closed:
                if (
                    not closed.code.reconnect or closed.code is CloseCode.TOO_FAST
                ):  # the user has too many: told, not waited for
                    raise
            await self._services.clock.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _attach(self, state: Checking, room: Room, session: Session, token: str | None) -> None:
        if self._state is not state:
            return
        self._services.access.check(session)
        scope = _scope_of(session, room)
        if state.shown:
            self._say(Authenticated(scope))
        encode = self._dialect.encode
        stored, refused = encode(SyncStatus(True)), encode(SyncStatus(False))
        statuses = SyncStatuses(stored, refused, asked=self._unanswered)
        attendance = Attendance(
            self._services,
            self._socket.lane,
            room,
            session,
            self,
            self._dialect,
            acknowledgements=statuses,
            transport=Transport.HOCUSPOCUS,
            fail=self._fail,
            changed=self._grant_changed,
        )
        renewal = TokenRenewal(
            self._services,
            session,
            token,
            ask=lambda: self._say(TokenRequest()),
            changed=self._grant_changed,
            refuse=self.close,
        )
        self._state = Attached(attendance, statuses, state.shown, scope, renewal)
        _log.debug("connection opened", **self._who())
        self._play(state)

    def _refuse(self, state: Checking, code: CloseCode) -> None:
        if self._state is not state:
            return
        self._state = Out()
        of = f"{int(code)} {self._user_id or self.document_id}"
        self._services.excess.log.say(_log, "info", "document refused", of, **self._who(), code=int(code))
        self._services.excess.closed(code)
        if state.shown:
            self._say(PermissionDenied(code.name.lower()))
        self._play(state)  # the client may have tried again meanwhile

    def _play(self, state: Checking) -> None:
        """The check is over: what was kept comes now."""
        self._socket.checks.end(state.kept)
        self._socket.lane.put_first(state.kept)

    # ---- in the room -------------------------------------------------------------------------------------------------

    def _serve(self, state: Attached, message: Message) -> None:
        match message:
            case SyncStep1():
                if state.invited:
                    state.invited = False
                else:
                    state.attendance.room.ask(state.attendance.peer)
                state.attendance.take(message)
            case Update(update) if len(update) > self._services.limits.update_bytes:
                # Coming back helps: the SyncStep2 with which a provider begins may be much larger.
                reason = f"an update of {len(update)} bytes; at most {self._services.limits.update_bytes} are taken"
                self._socket.close(CloseCode.MESSAGE_TOO_LARGE, reason)
            case SyncStep2() | Update() | AwarenessUpdate() | QueryAwareness():
                state.attendance.take(message)
            case Stateless():
                self._relay(state.attendance, message)
            case _:
                self._socket.refuse_unknown(type(message).__name__)

    def _relay(self, attendance: Attendance, message: Stateless) -> None:
        """To everybody in the document who speaks this protocol, its sender included, here and in other processes."""
        if not attendance.session.may(Grant.COMMENT):
            return
        if len(message.payload.encode()) > MAX_STATELESS_BYTES:
            raise PeerError(CloseCode.MESSAGE_TOO_LARGE, f"a stateless message of more than {MAX_STATELESS_BYTES} bytes")
        attendance.room.people.relay(message.payload)

    def _grant_changed(self, session: Session) -> None:
        if session.ended:
            self.close(CloseCode.UNAUTHORIZED, "the session has ended")
            return
        if session.grant is None:
            self.close(CloseCode.FORBIDDEN, "the access to this document was revoked")
            return
        state = self._state
        if isinstance(state, Attached) and state.scope is not (scope := _scope_of(session, state.attendance.room)):
            state.scope = scope
            self._say(Authenticated(scope))
            if scope is Scope.READ_WRITE:
                # It may have written something that was refused.
                state.attendance.room.ask(state.attendance.peer)

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _fail(self, error: Exception) -> None:
        match error:
            case PeerError(code=code, reason=reason) | RoomClosed(code=code, reason=reason):
                self._services.excess.refused(error)
                self.close(code, reason)
            case _:
                self._socket.fail(error)

    def _say(self, message: Message) -> None:
        """Behind what waits for this document already."""
        send = self._state.attendance.peer.outbox.send if isinstance(self._state, Attached) else self._socket.send
        send(self._dialect.encode(message))

    def _who(self) -> dict[str, str | None]:
        session = self._state.attendance.session.id if isinstance(self._state, Attached) else None
        return {"document": self.document_id, "user": self._user_id, "session": session, "connection": self._socket.id}


def _scope_of(session: Session, room: Room) -> Scope:
    return Scope.READ_WRITE if may_write(session, room.damage) else Scope.READ_ONLY


if TYPE_CHECKING:
    _: type[Wire] = HocuspocusDocument
