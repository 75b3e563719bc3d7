"""One client in one room: what its messages do there, whatever socket and dialect they come by.

A large update of it is inspected in a thread, and taken in slices (:class:`LargeUpdates`); meanwhile its lane is held.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeAlias, assert_never

from cowrite.core.damaged import may_write
from cowrite.core.delivery.acknowledgements import Acknowledgements
from cowrite.core.delivery.dialect import Dialect
from cowrite.core.delivery.outbox import Wire
from cowrite.core.errors import PeerError
from cowrite.core.incoming import REASON, Share
from cowrite.core.limits import Limits
from cowrite.core.presence.present import Transport
from cowrite.core.rooms.inspecting import inspect_from_peer
from cowrite.core.rooms.large_updates import is_large
from cowrite.core.rooms.room import Room
from cowrite.core.sessions.access import Follower
from cowrite.core.sessions.session import Session
from cowrite.crdt.outline import Outline
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.messages import AwarenessUpdate, QueryAwareness, SyncStep1, SyncStep2, Update
from cowrite.transports.lane import Lane
from cowrite.transports.services import Services

_NOTHING: Final = b"\x00"
"""The state vector of who has nothing."""
INSPECT_IN_THREAD_BYTES: Final = 16 << 10
"""A struct takes two bytes or more, and inspecting one some microseconds."""
_ENVELOPE_BYTES: Final = 4096
"""What a message has around the update in it, at most."""

RoomMessage: TypeAlias = SyncStep1 | SyncStep2 | Update | AwarenessUpdate | QueryAwareness


def max_message_bytes(limits: Limits) -> int:
    """The largest message that is read: a SyncStep2 and what is around it."""
    return max(limits.sync_bytes, limits.update_bytes) + _ENVELOPE_BYTES


class Attendance:
    """See the module's docstring. ``fail`` is told what a large update has met; ``changed``, of a change of the grant."""

    __slots__ = ("_changed", "_fail", "_lane", "_left", "_services", "_task", "peer", "room", "session")

    def __init__(
        self,
        services: Services,
        lane: Lane,
        room: Room,
        session: Session,
        wire: Wire,
        dialect: Dialect,
        *,
        acknowledgements: Acknowledgements | None,
        transport: Transport,
        fail: Callable[[Exception], None],
        changed: Follower,
    ) -> None:
        """Enter the room. Raises :class:`AccessDenied` when the access was revoked, :class:`RoomClosed`."""
        self.room = room
        self.session = session
        self._services = services
        self._lane = lane
        self._fail = fail
        self._changed = changed
        self._left = False
        self._task: asyncio.Task[None] | None = None
        services.access.follow(session, changed)
        try:
            self.peer = room.attach(session, wire, dialect, acknowledgements=acknowledgements, transport=transport)
        except BaseException:
            services.access.unfollow(session, changed)
            raise

    def take(self, message: RoomMessage) -> None:
        """A message of the client. Raises :class:`PeerError` and :class:`RoomClosed`."""
        match message:
            case Update(update):
                self._take_update(update, everything=False)
            case SyncStep2(update):
                self._take_update(update, everything=True)
            case AwarenessUpdate(entries):
                self.room.announce(self.peer, entries)
            case SyncStep1(state_vector):
                self._take_question(state_vector)
            case QueryAwareness():
                self.room.query_awareness(self.peer)
            case _:
                assert_never(message)

    def leave(self, *, clean: bool) -> None:
        """Go; ``clean``: with a goodbye of the client. Idempotent."""
        self._left = True
        self._services.access.unfollow(self.session, self._changed)
        self.room.detach(self.peer, clean=clean)

    @property
    def importing(self) -> bool:
        """Something very large of the client waits for its turn, or is looked at, and nothing of it was taken yet.

        When its connection breaks then: leave. It will come back, and send all of it again.
        """
        return self.room.large.waits(self.peer)

    @property
    def settled(self) -> bool:
        """It is known what became of all that the client has sent."""
        return self.peer.acknowledgements.ended == self.peer.acknowledgements.received

    def _take_question(self, state_vector: bytes) -> None:
        if state_vector != _NOTHING and self.room.waking.needed:
            # What it lacks the engine tells, which would be given all of the document on the event loop.
            self._lane.hold()
            self._task = asyncio.get_running_loop().create_task(self._answer_awake(state_vector))
            return
        self.room.synchronise(self.peer, state_vector)
        if may_write(self.session, self.room.damage):
            self.room.waking.expect()

    async def _answer_awake(self, state_vector: bytes) -> None:
        try:
            await self.room.waking.over()
            if not self._left:
                self.room.synchronise(self.peer, state_vector)
        except Exception as error:
            self._fail(error)
        self._lane.release()

    def _take_update(self, update: bytes, *, everything: bool) -> None:
        outline = None
        writes = may_write(self.session, self.room.damage)
        if writes and len(update) <= INSPECT_IN_THREAD_BYTES:
            outline = inspect_from_peer(update, everything=everything, limits=self._services.limits)
        if not writes or (outline is not None and not is_large(outline) and not self._must_wait(outline)):
            self.room.receive(self.peer, update, everything=everything, outline=outline)
            return
        share = self._services.incoming.share(self.session.author)
        _hold(share, len(update))
        self._lane.hold()
        work = self._take_large(update, outline, share, everything=everything)
        self._task = asyncio.get_running_loop().create_task(work)

    def _must_wait(self, outline: Outline) -> bool:
        """Something of it may be new, and would have to be made on the event loop what takes long."""
        return self.room.waking.needed and not outline.is_empty

    async def _take_large(self, update: bytes, outline: Outline | None, share: Share, *, everything: bool) -> None:
        try:
            if outline is None and everything and len(update) > self._services.limits.import_bytes:
                await self._bring(update)
            else:
                await self._take_inspected(update, outline, share, everything=everything)
        except Exception as error:
            self._fail(error)  # whatever one peer's message does, the process and all others go on
        finally:
            share.release()
        self._lane.release()

    async def _bring(self, update: bytes) -> None:
        await self.room.waking.over()
        if not self._left:
            self._lane.charge(await self.room.large.bring(self.peer, update))

    async def _take_inspected(self, update: bytes, outline: Outline | None, share: Share, *, everything: bool) -> None:
        if outline is None:
            limits = self._services.limits
            outline = await asyncio.to_thread(inspect_from_peer, update, everything=everything, limits=limits)
            _hold(share, len(update) + outline.weight)
        if self._must_wait(outline):
            await self.room.waking.over()
        if self._left:
            pass
        elif is_large(outline):
            self._lane.charge(await self.room.large.receive(self.peer, update, outline, everything=everything))
        else:
            self.room.receive(self.peer, update, everything=everything, outline=outline)


def _hold(share: Share, size: int) -> None:
    if not share.hold(size):
        raise PeerError(CloseCode.TOO_FAST, REASON)
