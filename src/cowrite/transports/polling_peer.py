"""A polling session in a room, between its requests too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from cowrite.core.account import Account
from cowrite.core.damaged import may_write
from cowrite.core.delivery.acknowledgements import Acknowledgements
from cowrite.core.delivery.outbox import Outbox, Wire
from cowrite.core.errors import RoomClosed
from cowrite.core.operations.readership import Reader
from cowrite.core.ports import Clock, Timer
from cowrite.core.presence.present import PresenceChange, Transport
from cowrite.core.rooms.room import Room
from cowrite.core.sessions.access import AccessControl
from cowrite.core.sessions.session import Session
from cowrite.crdt.state_vector import encode_state_vector
from cowrite.protocol import yjs
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.messages import Message, SyncStep1

_SYNC_STEP_1: Final = b"\x00\x00"
"""How such a message begins."""


class PollingPeer:
    """One session in one room, between its requests too. It is the wire of its peer: of what the room writes there it keeps
    what concerns the session alone.
    """

    def __init__(
        self, room: Room, session: Session, account: Account, access: AccessControl, clock: Clock, gone: _Gone
    ) -> None:
        self.room = room
        self.session = session
        self.taking = asyncio.Lock()
        """Requests of one session are taken one after the other."""
        self.changed = asyncio.Event()
        """Set when there may be something new; then replaced."""
        self.asked = False
        """The room wants to know what the client has."""
        self.account = account
        """Of the session, or of its user's requests to this document: it outlives the peer."""
        self._announcing = False
        self._corrections: list[Message] = []
        self._access = access
        self._clock = clock
        self._gone = gone
        self._requests = 0
        self._timer: Timer | None = None
        self._closed: RoomClosed | None = None
        access.follow(session, self._grant_changed)
        try:
            self.peer = room.attach(session, self, yjs.YJS, acknowledgements=Acknowledgements(), transport=Transport.POLLING)
        except BaseException:
            access.unfollow(session, self._grant_changed)
            raise
        room.enter(self)

    @property
    def may_write(self) -> bool:
        """Whether its edits are taken."""
        return may_write(self.session, self.room.damage)

    def begin(self) -> None:
        """A request has come."""
        self._requests += 1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def end(self, *, linger: float) -> None:
        """It is answered; the peer stays for ``linger`` seconds."""
        self._requests -= 1
        if not self._requests and self._closed is None:
            if linger:
                self._timer = self._clock.call_later(linger, self.leave)
            else:
                self.leave()

    def check(self) -> None:
        """Raises :class:`RoomClosed` when the room has sent the peer away."""
        if self._closed is not None:
            raise self._closed

    def question(self) -> list[Message]:
        """SyncStep1, when the room lacks something that the client may have, or does not know what it has."""
        live, asked = self.room.replicas.live, self.asked and self.may_write
        self.asked = False
        return [SyncStep1(encode_state_vector(live.state))] if asked and live is not None else []

    def announce(self, entries: Sequence[AwarenessEntry]) -> None:
        """Awareness of the client. Raises :class:`PeerError`."""
        self._announcing = True
        try:
            self.room.announce(self.peer, entries)
        finally:
            self._announcing = False

    def corrections(self) -> list[Message]:
        """What was said about awareness that came, to its sender alone."""
        corrections, self._corrections = self._corrections, []
        return corrections

    def leave(self) -> None:
        """The client has gone for good. Idempotent."""
        self._end(CloseCode.NORMAL, "the session has ended", clean=True)

    # ---- Wire and Reader ---------------------------------------------------------------------------------------------

    def write(self, message: bytes) -> None:
        if self._announcing:
            self._corrections.append(yjs.decode(message))
        self.asked |= message.startswith(_SYNC_STEP_1)
        self._wake()

    def writable(self) -> bool:
        return True

    def close(self, code: int, reason: str) -> None:
        self._end(CloseCode(code), reason, clean=False)

    def join(self, outbox: Outbox) -> None:
        pass

    def read(self) -> None:
        self._wake()

    def people(self, change: PresenceChange) -> None:
        pass

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _end(self, code: CloseCode, reason: str, *, clean: bool) -> None:
        if self._closed is not None:
            return
        self._closed = RoomClosed(code, reason)
        if self._timer is not None:
            self._timer.cancel()
        self._access.unfollow(self.session, self._grant_changed)
        self.room.leave(self)
        self.room.detach(self.peer, clean=clean)
        self._gone(self)
        self._wake()

    def _grant_changed(self, session: Session) -> None:
        if session.grant is None:
            self.close(CloseCode.FORBIDDEN, "the access to this document was revoked")

    def _wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


_Gone: TypeAlias = Callable[[PollingPeer], None]

if TYPE_CHECKING:
    _wire: type[Wire] = PollingPeer
    _reader: type[Reader] = PollingPeer
