"""One connection that speaks ``cowrite.v2.json``, whatever its socket is made of.

Theory of operation. The first message says who it is; while that is checked and the room opens, what follows waits. From then
on a :class:`JsonReader` sends what is committed, and a :class:`JsonWriter` puts on its way what the client writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Protocol, assert_never

import structlog

from cowrite.core.delivery.outbox import Wire
from cowrite.core.document_ids import is_document_id
from cowrite.core.errors import RoomClosed
from cowrite.core.operations.reading import Found
from cowrite.core.operations.submissions import SubmissionRefused
from cowrite.core.ports import AccessDenied, Grant, StoreError, Timer
from cowrite.core.presence.present import Transport
from cowrite.core.presence.refusals import MAX_STATE_BYTES, PresenceRefused, size_of
from cowrite.core.rooms.room import Room
from cowrite.core.sessions.session import Session
from cowrite.protocol.close_codes import CloseCode, cut_reason
from cowrite.protocol.strict_json import Json
from cowrite.protocol.thin import (
    HEARTBEAT_SECONDS,
    Heartbeat,
    Hello,
    MalformedMessage,
    MalformedState,
    Renew,
    Tell,
    Write,
    decode,
    encode,
)
from cowrite.transports import json_states
from cowrite.transports.json_reader import JsonReader
from cowrite.transports.json_states import Attached, Closed, Greeting, Opening
from cowrite.transports.json_welcome import grant_fields, welcome
from cowrite.transports.json_writer import JsonWriter
from cowrite.transports.lane import Lane, no_socket
from cowrite.transports.link import LinkMeter
from cowrite.transports.services import Services
from cowrite.transports.upgrade import Accepted

_ENVELOPE_BYTES: Final = 4096

_log = structlog.get_logger(__name__)


class MeteredWire(Wire, Protocol):
    """A wire for text messages that knows how well it works."""

    link: LinkMeter

    def ping(self) -> None:
        """Measure the round trip, where this kind of socket can."""
        ...


class JsonConnection:
    """See the module's docstring."""

    def __init__(
        self,
        wire: MeteredWire,
        upgrade: Accepted,
        services: Services,
        *,
        throttle: Callable[[bool], None] = no_socket,
    ) -> None:
        """``throttle``: see :class:`Lane`."""
        self._wire = wire
        self._id = services.ids.new()
        self._upgrade = upgrade
        self._services = services
        self._state: json_states.State = Greeting()
        self._lane = Lane(
            services.clock,
            services.limits,
            services.excess,
            services.incoming,
            services.behind,
            take=self._take,
            flood=self._flood,
            throttle=throttle,
        )
        self._user_id: str | None = None
        self._document_id: str | None = None
        self._writer: JsonWriter | None = None
        self._timer: Timer | None = None

    # ---- what the transport says -------------------------------------------------------------------------------------

    def opened(self) -> None:
        """The upgrade was answered. Call once, before anything else."""
        self._services.connections.add(self)
        self._timer = self._services.clock.call_later(self._services.limits.hello_seconds, self._greeting_is_over)

    def receive(self, frame: bytes) -> None:
        """A binary message: no client of this protocol sends one."""
        self.close(CloseCode.MALFORMED_FRAME, "a binary message; only text messages with JSON are understood")

    def receive_text(self, text: bytes) -> None:
        """One text message, as its UTF-8."""
        try:
            if len(text) > self._services.limits.update_bytes + _ENVELOPE_BYTES:
                limit = self._services.limits.update_bytes
                self.close(CloseCode.MESSAGE_TOO_LARGE, f"a message of {len(text)} bytes; at most {limit} are taken")
            else:
                self._lane.receive(text)
        except Exception as error:
            self._fail(error)

    def drained(self) -> None:
        """The socket takes more again, after it did not."""
        if isinstance(self._state, Attached):
            try:
                self._state.reader.drained()
            except Exception as error:
                self._fail(error)  # whatever it was: other sockets are waiting to be written

    def lost(self, *, goodbye: bool) -> None:
        """The socket is gone. Call exactly once."""
        if isinstance(self._state, Attached):
            _log.debug("connection lost", **self._who(), goodbye=goodbye)
        self._leave()

    # ---- what the room and the server say ----------------------------------------------------------------------------

    def close(self, code: int, reason: str) -> None:
        """Leave the room and close the socket after what was written. Idempotent."""
        if not isinstance(self._state, Closed):
            self._services.tell_closed(_log, code, self._who().get("user"), **self._who(), reason=reason)
            self._leave()
            self._wire.close(int(code), cut_reason(reason))

    def stall(self) -> bool:
        """There is no room for more of a message that is coming. False: nothing that came before is about to be taken."""
        return self._lane.stall()

    @property
    def user(self) -> str:
        """Whose messages come by it; empty: that is not known yet."""
        return self._lane.user

    @property
    def settled(self) -> bool:
        """Nothing that it has sent is on its way to the disk."""
        return self._writer is None or (self._writer.settled and not self._lane.held)

    # ---- coming in ---------------------------------------------------------------------------------------------------

    def _greeting_is_over(self) -> None:
        if isinstance(self._state, Greeting):
            self._services.excess.count("hello_seconds")
            self.close(CloseCode.IDLE, f"no hello came within {self._services.limits.hello_seconds:g} s")

    def _greet(self, hello: Hello) -> None:
        opening = self._state = Opening()
        self._lane.hold()
        opening.task = asyncio.get_running_loop().create_task(self._open(opening, hello))

    async def _open(self, state: Opening, hello: Hello) -> None:
        try:
            if hello.document_id is not None and not is_document_id(hello.document_id):
                self.close(CloseCode.BAD_DOCUMENT_ID, "a document's id is 1 to 255 characters of Unicode without U+0000")
                return
            token = hello.access_token if hello.access_token is not None else self._upgrade.token
            session = await self._services.bridge.enter(token, hello.document_id)
            self._user_id, self._document_id = session.author, session.document_id
            self._lane.user = session.author
            async with self._services.registry.open(session.document_id) as room:
                room.feed()
                resumed = await self._services.reader.since(room, hello.last_operation) if hello.resumes else None
                found = resumed if resumed is not None else await self._services.reader.state(room)
                if self._state is state:
                    self._enter(state, room, session, found)
        except Exception as error:
            self._fail(error)

    def _enter(self, state: Opening, room: Room, session: Session, found: Found) -> None:
        """One synchronous step: what is committed after what was found is sent by the reader."""
        services = self._services
        services.access.follow(session, self._grant_changed)
        reader = JsonReader(room, services.reader, self._wire, self.close)
        writer = self._writer = JsonWriter(
            room,
            session,
            reader,
            services.writer,
            services.clock,
            refuse=self._refuse,
            fail=self._fail,
            hold=self._lane.hold,
            release=self._lane.release,
        )
        self._state = Attached(room, session, reader, writer)
        _log.debug("connection opened", **self._who())
        self._wire.write(welcome(room, session, found))
        room.presence.connect(session, Transport.WEBSOCKET, services.clock.now())
        reader.start(found.offset, found.head)
        self._beat()
        self._lane.release()

    # ---- messages ----------------------------------------------------------------------------------------------------

    def _take(self, text: bytes) -> None:
        try:
            self._understand(text)
        except MalformedState as error:
            if not isinstance(self._state, Attached):
                self._fail(MalformedMessage("the first message is a hello"))
                return
            self._refuse(None, SubmissionRefused("unprocessable_entity", str(error)))
        except Exception as error:
            self._fail(error)

    def _understand(self, text: bytes) -> None:
        message = decode(text)
        match self._state, message:
            case (Closed(), _):
                pass
            case (Greeting(), Hello()):
                self._greet(message)
            case (Greeting(), _):
                raise MalformedMessage("the first message is a hello")
            case (Attached() as state, _):
                self._take_attached(state, message)
            case _:
                raise AssertionError("messages wait while the room opens")

    def _flood(self, reason: str) -> None:
        self.close(CloseCode.TOO_FAST, reason)

    def _take_attached(self, state: Attached, message: object) -> None:
        match message:
            case Write():
                state.writer.put(message)
            case Tell(told):
                self._tell(state, told)
            case Heartbeat(echo):
                state.reader.send(self._heartbeat(echo=echo))
            case Renew(token):
                self._renew(state, token)
            case _:
                raise MalformedMessage("a second hello")

    def _tell(self, state: Attached, told: Mapping[str, Json]) -> None:
        if size_of(told) > MAX_STATE_BYTES:
            detail = f"cursor and data have more than {MAX_STATE_BYTES} bytes together"
            self._refuse(None, SubmissionRefused("too_large", detail))
            return
        if not state.session.may(Grant.COMMENT):
            self._refuse(None, SubmissionRefused("grant_too_low", "the grant does not allow telling others anything"))
            return
        try:
            state.room.presence.tell(state.session, told, self._services.clock.now())
        except PresenceRefused as refused:
            self._refuse(None, SubmissionRefused(refused.code, refused.reason))

    def _renew(self, state: Attached, token: str) -> None:
        # A token that is no good takes nothing away: the connection has the one that it came with, until that ends.
        try:
            session = self._services.bridge.resume(token)
            if session is not state.session and session.id != state.session.id:
                raise AccessDenied("The token is another session's.", known=True)
        except AccessDenied as denied:
            self._refuse(None, SubmissionRefused("forbidden" if denied.known else "unauthorized", f"refresh: {denied}"))
            return
        state.reader.send(encode("refreshed", session_expires_at=session.ends_at, **grant_fields(state.room, session)))

    def _grant_changed(self, session: Session) -> None:
        if session.ended:
            self.close(CloseCode.UNAUTHORIZED, "the session has ended")
        elif session.grant is None:
            self.close(CloseCode.FORBIDDEN, "the access to this document was revoked")
        elif isinstance(self._state, Attached):
            self._send(encode("grant", **grant_fields(self._state.room, session)))

    def _refuse(self, request: Json, refused: SubmissionRefused) -> None:
        self._services.excess.count(refused.code)
        optional = {"index": refused.index, "field": refused.field, "readable_offset": refused.readable}
        told = {name: value for name, value in optional.items() if value is not None}
        frame = encode("refused", request=request, code=refused.code, detail=refused.reason, retry=refused.retry, **told)
        self._send(frame)

    # ---- time --------------------------------------------------------------------------------------------------------

    def _beat(self) -> None:
        if not isinstance(self._state, Attached):
            return
        self._timer = self._services.clock.call_later(HEARTBEAT_SECONDS, self._beat)
        self._wire.ping()
        if self._wire.writable():
            self._wire.write(self._heartbeat())

    def _heartbeat(self, **echo: Json) -> bytes:
        services = self._services
        return encode(
            "heartbeat", heartbeat=services.clock.now(), link=self._wire.link.quality, server=services.load.status, **echo
        )

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _fail(self, error: Exception) -> None:
        match error:
            case MalformedMessage():
                self.close(CloseCode.MALFORMED_FRAME, str(error))
            case RoomClosed(code=code, reason=reason):
                self.close(code, reason)
            case AccessDenied(known=known):
                self.close(CloseCode.FORBIDDEN if known else CloseCode.UNAUTHORIZED, str(error))
            case StoreError():
                _log.warning("document not read", **self._who(), reason=str(error))
                self.close(CloseCode.STORE_UNAVAILABLE, "the document cannot be read now; connect again later")
            case _:
                _log.error("connection failed", **self._who(), exc_info=error)
                self.close(CloseCode.INTERNAL_ERROR, "the server failed; connect again")

    def _send(self, frame: bytes) -> None:
        if isinstance(self._state, Attached):
            self._state.reader.send(frame)

    def _who(self) -> dict[str, str | None]:
        session = self._state.session.id if isinstance(self._state, Attached) else None
        return {"document": self._document_id, "user": self._user_id, "session": session, "connection": self._id}

    def _leave(self) -> None:
        state, self._state = self._state, Closed()
        self._services.connections.discard(self)
        self._lane.stop()
        if self._timer is not None:
            self._timer.cancel()
        match state:
            case Opening(task=task):
                if task is not None and task is not asyncio.current_task():
                    task.cancel()
            case Attached(room=room, session=session, reader=reader, writer=writer):
                self._services.access.unfollow(session, self._grant_changed)
                reader.stop()
                writer.stop()
                room.presence.disconnect(session)
            case Greeting() | Closed():
                pass
            case _:
                assert_never(state)


if TYPE_CHECKING:
    from cowrite.transports.services import Connection

    _: type[Connection] = JsonConnection
