"""One y-websocket connection to one document, whatever its socket is made of.

Theory of operation. A transport feeds it frames and is its wire. While the token is checked and the room opens, frames wait;
then everything is one synchronous call per frame, without tasks, as long as the connection does not fall behind. It does when
it has used its share of CPU time (:class:`CpuAccount`): then what it sends waits while others are served. And it does while a
large update of it is inspected, in a thread, and taken in slices (:class:`LargeUpdates`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias, assert_never

import structlog

from cowrite.core.cpu_account import CpuAccount
from cowrite.core.dialect import Dialect
from cowrite.core.errors import PeerError, RoomClosed
from cowrite.core.intake import inspect_from_peer
from cowrite.core.large_updates import is_large
from cowrite.core.limits import Limits
from cowrite.core.outbox import Wire
from cowrite.core.peer import Peer
from cowrite.core.ports import AccessDenied, Grant, Timer
from cowrite.core.room import Room
from cowrite.core.session import Session
from cowrite.crdt.outline import Outline
from cowrite.protocol import yjs
from cowrite.protocol.close_codes import CloseCode, cut_reason
from cowrite.protocol.messages import (
    Acknowledged,
    AwarenessUpdate,
    Message,
    PermissionDenied,
    QueryAwareness,
    SyncStep1,
    SyncStep2,
    UnknownMessage,
    Update,
)
from cowrite.transports.services import Services
from cowrite.transports.upgrade import Accepted

OPENING_QUEUE_BYTES: Final = 4 << 20
"""What a client may send before its room is open."""
BEHIND_QUEUE_BYTES: Final = 8 << 20
"""What may wait of a client that has fallen behind."""
INSPECT_IN_THREAD_BYTES: Final = 16 << 10
"""A struct takes two bytes or more, and inspecting one some microseconds."""
MAX_UNKNOWN_MESSAGES: Final = 5
_ENVELOPE_BYTES: Final = 64
"""What a message has around the update in it, at most."""
_FRAME_OVERHEAD: Final = 64
"""Bytes that a waiting frame costs beyond its own, so that many tiny ones count, too."""

_log = structlog.get_logger(__name__)


def max_message_bytes(limits: Limits) -> int:
    """The largest message that is read: a SyncStep2 and what is around it."""
    return max(limits.sync_bytes, limits.update_bytes) + _ENVELOPE_BYTES


@dataclass(slots=True)
class _Waiting:
    """Frames that wait for their turn, bounded."""

    limit: int
    frames: deque[bytes] = field(default_factory=deque)
    size: int = 0

    def add(self, frame: bytes) -> bool:
        """False: it is too much."""
        self.size += len(frame) + _FRAME_OVERHEAD
        self.frames.append(frame)
        return self.size <= self.limit

    def take(self) -> bytes:
        """The next one."""
        frame = self.frames.popleft()
        self.size -= len(frame) + _FRAME_OVERHEAD
        return frame


@dataclass(slots=True, eq=False)
class Opening:
    """The token is checked and the room opened."""

    waiting: _Waiting = field(default_factory=lambda: _Waiting(OPENING_QUEUE_BYTES))
    task: asyncio.Task[None] | None = None


@dataclass(slots=True, eq=False)
class Attached:
    """In the room."""

    room: Room
    peer: Peer


@dataclass(slots=True, eq=False)
class Behind:
    """In the room; what comes waits: until a large update is inspected, or until others have been served."""

    room: Room
    peer: Peer
    waiting: _Waiting = field(default_factory=lambda: _Waiting(BEHIND_QUEUE_BYTES))
    task: asyncio.Task[None] | None = None
    timer: Timer | None = None
    lost: bool = False
    """The socket is gone meanwhile. What had arrived before is taken all the same."""
    goodbye: bool = False


@dataclass(slots=True, eq=False)
class Closed:
    """It is over."""


_State: TypeAlias = Opening | Attached | Behind | Closed


class YjsConnection:
    """See the module's docstring. It is the wire that the room knows: closing it from there ends it here."""

    def __init__(self, wire: Wire, upgrade: Accepted, services: Services) -> None:
        self.write = wire.write  # the room's calls go straight to the transport
        self.writable = wire.writable
        self._wire = wire
        self._upgrade = upgrade
        self._services = services
        self._clock = services.clock
        self._account = CpuAccount(services.clock, services.limits)
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
        match self._state:
            case Attached() as state:
                self._serve(state, frame)
            case Opening(waiting=waiting) | Behind(waiting=waiting):
                if not waiting.add(frame):
                    self.close(CloseCode.TOO_FAST, f"more than {waiting.limit} bytes wait to be read")
            case Closed():
                pass
            case _:
                assert_never(self._state)

    def receive_text(self, text: bytes) -> None:
        """A text message: no y-websocket client sends one."""
        self.close(CloseCode.MALFORMED_FRAME, "a text message; only binary ones are understood")

    def drained(self) -> None:
        """The socket takes more again, after it did not."""
        match self._state:
            case Attached(peer=peer) | Behind(peer=peer):
                try:
                    peer.outbox.drained()
                except Exception as error:
                    self._fail(error)  # as in _serve()
            case Opening() | Closed():
                pass
            case _:
                assert_never(self._state)

    def lost(self, *, goodbye: bool) -> None:
        """The socket is gone; ``goodbye``: its client closed it. Call exactly once."""
        if isinstance(self._state, Behind):
            self._state.lost, self._state.goodbye = True, goodbye
        else:
            self._leave(clean=goodbye)

    # ---- what the room and the server say ----------------------------------------------------------------------------

    def close(self, code: int, reason: str) -> None:
        """Leave the room and close the socket after what was written. Idempotent."""
        if not isinstance(self._state, Closed):
            # Everybody's goodbye at a stop is one line of the services'.
            log = _log.debug if code == CloseCode.SERVICE_RESTART else _log.info
            log("connection closed", document=self._upgrade.document_id, user=self._user_id, code=int(code), reason=reason)
            self._end(code, reason)

    # ---- inside ------------------------------------------------------------------------------------------------------

    async def _open(self, state: Opening, document_id: str) -> None:
        try:
            session = await self._services.bridge.enter(self._upgrade.token, document_id)
            self._user_id = session.author
            async with self._services.registry.open(document_id) as room:
                self._attach(state, room, session)
        except Exception as error:
            self._fail(error)  # the host's authorizer may raise anything; see _serve()

    def _attach(self, state: Opening, room: Room, session: Session) -> None:
        if self._state is not state:
            return
        self._services.access.follow(session, self._grant_changed)
        peer = room.attach(session, self, yjs.YJS, acknowledges=self._upgrade.acknowledges)
        self._replay(room, peer, state.waiting)

    def _grant_changed(self, session: Session) -> None:
        """What may not be written any more is dropped from now on; without a grant the connection ends."""
        if session.grant is None:
            self.close(CloseCode.FORBIDDEN, "the access to this document was revoked")

    def _serve(self, state: Attached, frame: bytes) -> None:
        began = self._clock.cpu()
        try:
            self._take(state, yjs.decode(frame))
        except Exception as error:
            # Whatever one peer's message does, the process and all others go on.
            self._fail(error)
        wait = self._account.charge(self._clock.cpu() - began)
        if wait is not None and self._state is state:
            self._fall_behind(state, wait)

    def _fall_behind(self, state: Attached, seconds: float) -> None:
        """Others are served first."""
        if self._account.exhausted:
            self.close(CloseCode.TOO_FAST, "its messages take more work than one connection may cause")
            return
        behind = self._state = Behind(state.room, state.peer)
        behind.timer = self._clock.call_later(seconds, lambda: self._catch_up(behind))

    def _take(self, state: Attached, message: Message) -> None:
        match message:
            case Update(update):
                self._take_update(state, update, everything=False)
            case SyncStep2(update):
                self._take_update(state, update, everything=True)
            case AwarenessUpdate(entries):
                state.room.announce(state.peer, entries)
            case SyncStep1(state_vector):
                state.room.synchronise(state.peer, state_vector)
            case QueryAwareness():
                state.room.query_awareness(state.peer)
            case Acknowledged() | PermissionDenied():
                self._refuse_unknown(type(message).__name__)
            case _:
                assert_never(message)

    def _take_update(self, state: Attached, update: bytes, *, everything: bool) -> None:
        outline = None
        writes = state.peer.session.may(Grant.WRITE)
        if writes and len(update) <= INSPECT_IN_THREAD_BYTES:
            outline = inspect_from_peer(update, everything=everything, limits=self._services.limits)
        if not writes or (outline is not None and not is_large(outline)):
            state.room.receive(state.peer, update, everything=everything, outline=outline)
            return
        behind = self._state = Behind(state.room, state.peer)
        work = self._take_large(behind, update, outline, everything=everything)
        behind.task = asyncio.get_running_loop().create_task(work)

    async def _take_large(self, state: Behind, update: bytes, outline: Outline | None, *, everything: bool) -> None:
        try:
            if outline is None:
                limits = self._services.limits
                outline = await asyncio.to_thread(inspect_from_peer, update, everything=everything, limits=limits)
            if self._state is not state:
                return
            if is_large(outline):
                self._account.charge(await state.room.large.receive(state.peer, update, outline, everything=everything))
            else:
                state.room.receive(state.peer, update, everything=everything, outline=outline)
        except Exception as error:
            self._fail(error)  # as in _serve()
        self._catch_up(state)

    def _catch_up(self, state: Behind) -> None:
        """What waits is taken now."""
        if self._state is state:
            again = self._replay(state.room, state.peer, state.waiting)
            if again is not None:
                again.lost, again.goodbye = state.lost, state.goodbye
            elif state.lost:
                self.lost(goodbye=state.goodbye)

    def _replay(self, room: Room, peer: Peer, waiting: _Waiting) -> Behind | None:
        """Take what waits, as far as the connection does not fall behind again with it: then the rest goes on waiting."""
        attached = Attached(room, peer)
        self._state = attached
        while waiting.frames and self._now() is attached:
            self._serve(attached, waiting.take())
        behind = self._now()
        if isinstance(behind, Behind):
            waiting.limit = BEHIND_QUEUE_BYTES
            behind.waiting = waiting
            return behind
        self._account.caught_up()
        return None

    def _now(self) -> _State:
        """The state after a call that may have changed it."""
        return self._state

    def _refuse_unknown(self, kind: int | str) -> None:
        self._unknown += 1
        if self._unknown >= MAX_UNKNOWN_MESSAGES:
            self.close(CloseCode.MALFORMED_FRAME, f"{self._unknown} messages of unknown types; the last: {kind}")
        else:
            _log.info("message refused", **self._who(), kind=kind)

    def _fail(self, error: Exception) -> None:
        """One peer's message or coming in has failed."""
        match error:
            case UnknownMessage(kind=kind):
                self._refuse_unknown(kind)
            case yjs.MalformedFrame():
                self.close(CloseCode.MALFORMED_FRAME, f"a message cannot be read: {error}")
            case PeerError(code=code, reason=reason) | RoomClosed(code=code, reason=reason):
                self.close(code, reason)
            case AccessDenied(known=known):
                self.close(CloseCode.FORBIDDEN if known else CloseCode.UNAUTHORIZED, str(error))
            case _:
                _log.error("connection failed", **self._who(), exc_info=error)
                self._end(CloseCode.INTERNAL_ERROR, "the server failed; connect again")

    def _who(self) -> dict[str, str | None]:
        return {"document": self._upgrade.document_id, "user": self._user_id}

    def _end(self, code: int, reason: str) -> None:
        self._leave(clean=False)
        self._wire.close(int(code), cut_reason(reason))

    def _leave(self, *, clean: bool) -> None:
        state, self._state = self._state, Closed()
        self._services.connections.discard(self)
        match state:
            case Opening(task=task):
                if task is not None and task is not asyncio.current_task():
                    task.cancel()
            case Attached(room=room, peer=peer):
                self._services.access.unfollow(peer.session, self._grant_changed)
                room.detach(peer, clean=clean)
            case Behind(room=room, peer=peer, timer=timer):
                if timer is not None:
                    timer.cancel()
                self._services.access.unfollow(peer.session, self._grant_changed)
                room.detach(peer, clean=clean)
            case Closed():
                pass
            case _:
                assert_never(state)


if TYPE_CHECKING:
    _: Dialect = yjs.YJS
    _wire: type[Wire] = YjsConnection
