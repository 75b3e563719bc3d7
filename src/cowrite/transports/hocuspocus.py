"""One Hocuspocus connection, whatever its socket is made of: many documents, each with its own token, room and end.

Theory of operation. All frames go through one lane, in their order; each begins with the address of its document, and goes to
what is there (:class:`HocuspocusDocument`). The socket's close codes are Hocuspocus' own where it has one: its clients know no
others, and come back after each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import structlog

from cowrite.core.delivery.outbox import Outbox, Wire
from cowrite.core.document_ids import is_document_id
from cowrite.core.ports import Timer
from cowrite.protocol.close_codes import CloseCode, cut_reason
from cowrite.protocol.hocuspocus import (
    PING,
    PONG,
    Addressed,
    Authenticate,
    HocuspocusDialect,
    Ping,
    Pong,
    decode,
    major_version,
)
from cowrite.protocol.lib0 import MalformedFrame
from cowrite.protocol.messages import PermissionDenied, SyncStep1, UnknownMessage
from cowrite.transports.hocuspocus_document import HocuspocusDocument
from cowrite.transports.hocuspocus_socket import Checks, Socket
from cowrite.transports.lane import Lane, no_socket
from cowrite.transports.services import Services
from cowrite.transports.upgrade import Accepted
from cowrite.transports.yjs import MAX_UNKNOWN_MESSAGES

TOO_MANY_DOCUMENTS: Final = "too_many_documents"
"""The reason of a refusal that has nothing to do with tokens."""
_KNOWS_CLOSE, _KNOWS_PING = 3, 4
"""The first versions of the provider that do."""

_log = structlog.get_logger(__name__)


class HocuspocusConnection:
    """See the module's docstring."""

    def __init__(
        self,
        wire: Wire,
        upgrade: Accepted,
        services: Services,
        *,
        throttle: Callable[[bool], None] = no_socket,
        arriving: Callable[[], bool] = lambda: False,
    ) -> None:
        """``throttle``: see :class:`Lane`. ``arriving``: whether half a message has come, where the transport can tell."""
        self.services = services
        self.write = wire.write
        self.writable = wire.writable
        self.lane = Lane(
            services.clock,
            services.limits,
            services.excess,
            services.incoming,
            services.behind,
            take=self._take,
            flood=self._flood,
            throttle=throttle,
        )
        self.checks = Checks()
        self.token = upgrade.token or None
        self.takes_close = False
        self._takes_ping = False
        self._wire = wire
        self._arriving = arriving
        self.id = services.ids.new()
        """In log lines."""
        self._clock = services.clock
        self._outbox = Outbox(wire, services.clock, settle=lambda _: None, overflow=self._overflow)
        """For what the connection says itself; each document has its own in its room."""
        self._documents: dict[str, HocuspocusDocument] = {}
        self._unanswered: dict[str, int] = {}
        """By address: SyncStep1 messages that were sent to somebody who has left."""
        self._unknown = 0
        self._closed = False
        self._heard = services.clock.monotonic()
        """When something came for somebody who is logged in, or about to be."""
        self._pinged = False
        self._timer: Timer | None = None

    # ---- what the transport says -------------------------------------------------------------------------------------

    def opened(self) -> None:
        """The upgrade was answered. Call once, before anything else."""
        self.services.connections.add(self)
        self._watch()

    def receive(self, frame: bytes) -> None:
        """One binary message."""
        if self._pinged and frame == PONG:
            self._hear()  # now, and not behind what waits; one that nobody has asked for is a message like any other
        else:
            self.lane.receive(frame)

    def receive_text(self, text: bytes) -> None:
        """A text message: no Hocuspocus client sends one."""
        self.close(CloseCode.UNAUTHORIZED, "a text message; only binary ones are understood")

    def drained(self) -> None:
        """The socket takes more again, after it did not. Each time another document is the first."""
        self._outbox.drained()
        for document in list(self._documents.values()):
            document.drained()
        first = next(iter(self._documents), None)
        if first is not None:
            self._documents[first] = self._documents.pop(first)

    def lost(self, *, goodbye: bool) -> None:
        """The socket is gone; ``goodbye``: its client closed it. Call exactly once."""
        for document in self._documents.values():
            document.lost(goodbye=goodbye)
        self.lane.when_empty(lambda: self._leave(clean=goodbye))

    # ---- what the documents and the server say -----------------------------------------------------------------------

    def send(self, frame: bytes) -> None:
        """A frame of the connection's own."""
        self._outbox.send(frame)

    def join(self, outbox: Outbox) -> None:
        """The wire may be passed over for this document's updates."""
        self._wire.join(outbox)

    def forget(self, address: str, *, unanswered: int) -> None:
        """Its client has left this document, to which so many SyncStep1 messages may be on their way."""
        self._documents.pop(address, None)
        self._unanswered.pop(address, None)
        if unanswered and len(self._unanswered) < self.services.limits.documents_per_socket:
            self._unanswered[address] = unanswered

    def refuse_unknown(self, kind: int | str) -> None:
        """A message that clients do not send: passed over, a few times."""
        self._unknown += 1
        if self._unknown >= MAX_UNKNOWN_MESSAGES:
            self.close(CloseCode.RESET_CONNECTION, f"{self._unknown} messages of unknown types; the last: {kind}")
        else:
            who = {"connection": self.id, "documents": len(self._documents)}
            self.services.excess.log.say(_log, "info", "message refused", self.user, **who, kind=kind)

    def fail(self, error: Exception) -> None:
        """Something has failed that nobody foresaw."""
        if not self._closed:
            _log.error("connection failed", connection=self.id, documents=list(self._documents), exc_info=error)
            self._end(CloseCode.INTERNAL_ERROR, "the server failed; connect again")

    def close(self, code: int, reason: str) -> None:
        """Leave all documents and close the socket after what was written. Idempotent."""
        if self._closed:
            return
        code = CloseCode.CONNECTION_TIMEOUT if code == CloseCode.IDLE else code
        who = {"connection": self.id, "documents": len(self._documents)}
        self.services.tell_closed(_log, code, self.user, **who, reason=reason)
        self._end(code, reason)

    def stall(self) -> bool:
        """There is no room for more of a message that is coming. False: nothing that came before is about to be taken."""
        return self.lane.stall()

    @property
    def user(self) -> str:
        """Whose messages come by it: those of who logged in first; empty: nobody has yet."""
        return self.lane.user

    @property
    def settled(self) -> bool:
        """Nothing that it has sent, and will be told of, is on its way to the disk."""
        return not self.lane.held and all(document.settled for document in self._documents.values())

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _take(self, frame: bytes) -> None:
        try:
            match decode(frame):
                case Addressed() as addressed:
                    self._route(addressed, frame)
                case Pong():
                    pass
                case Ping():
                    self.refuse_unknown("Ping")
        except MalformedFrame as error:
            self.close(CloseCode.UNAUTHORIZED, f"a message cannot be read: {error}")
        except UnknownMessage as unknown:
            self.refuse_unknown(unknown.kind)

    def _route(self, addressed: Addressed, frame: bytes) -> None:
        message = addressed.message
        if isinstance(message, Authenticate):
            self._meet(message)
        document = self._documents.get(addressed.address)
        if document is None:
            document = self._open(addressed) if isinstance(message, Authenticate | SyncStep1) else None
            if document is not None and isinstance(message, SyncStep1):
                document.begin_unasked()
        if document is not None:
            document.take(message, frame)
            if not document.is_out:
                self._hear()

    def _meet(self, message: Authenticate) -> None:
        """What is known of the client: 4 tells its version, 3 shows an empty token when it has none, 2 does not."""
        version = major_version(message.version)
        self.takes_close = self.takes_close or version >= _KNOWS_CLOSE or not message.token
        self._takes_ping = self._takes_ping or version >= _KNOWS_PING

    def _open(self, addressed: Addressed) -> HocuspocusDocument | None:
        document_id, address = addressed.document_id, addressed.address
        if not is_document_id(document_id):
            self.close(CloseCode.UNAUTHORIZED, "a message names no document that can exist: 1 to 255 characters")
        elif len(self._documents) >= self.services.limits.documents_per_socket:
            who = {"connection": self.id, "document": document_id}
            self.services.excess.log.say(_log, "info", "document refused", self.user, **who, reason=TOO_MANY_DOCUMENTS)
            self.services.excess.count(TOO_MANY_DOCUMENTS)
            self.send(HocuspocusDialect(address).encode(PermissionDenied(TOO_MANY_DOCUMENTS)))
        else:
            unanswered = self._unanswered.pop(address, 0)
            document = self._documents[address] = HocuspocusDocument(address, document_id, self, unanswered=unanswered)
            return document
        return None

    def _flood(self, reason: str) -> None:
        self.close(CloseCode.TOO_FAST, reason)

    def _overflow(self) -> None:
        self._flood("too many answers wait to be read; read them, or ask less")

    # ---- time --------------------------------------------------------------------------------------------------------

    def _hear(self) -> None:
        self._heard = self._clock.monotonic()
        self._pinged = False

    def _watch(self) -> None:
        """Ask a client that is silent whether it is there, where it can be asked; send away whoever is of no use."""
        idle_after = self.services.times.idle_after
        ping_after = idle_after / 2
        logged_in = any(not document.is_out for document in self._documents.values())
        if logged_in and (self.lane.held or self._arriving()):
            # Its answer may stand behind what waits here, or behind half a message: for that another limit says how long.
            self._hear()
        quiet = self._clock.monotonic() - self._heard
        # A client that has no awareness and cannot be asked is silent for as long as nobody types.
        if quiet >= idle_after and (self._takes_ping or not logged_in):
            self.close(CloseCode.CONNECTION_TIMEOUT, f"nothing was heard for {quiet:.0f} s")
            return
        if quiet >= ping_after and logged_in and self._takes_ping and not self._pinged and not self._outbox.blocked:
            self._pinged = True
            self.send(PING)
        left = [due - quiet for due in (ping_after, idle_after) if due > quiet]
        self._timer = self._clock.call_later(min(left, default=idle_after), self._watch)

    # ---- the end -----------------------------------------------------------------------------------------------------

    def _end(self, code: int, reason: str) -> None:
        self._leave(clean=False)
        self._wire.close(int(code), cut_reason(reason))

    def _leave(self, *, clean: bool) -> None:
        self._closed = True
        self.services.connections.discard(self)
        self.lane.stop()
        if self._timer is not None:
            self._timer.cancel()
        self._outbox.discard()
        documents, self._documents = self._documents, {}
        for document in documents.values():
            document.leave(clean=clean)


if TYPE_CHECKING:
    from cowrite.transports.services import Connection

    _: type[Connection] = HocuspocusConnection
    _socket: type[Socket] = HocuspocusConnection
