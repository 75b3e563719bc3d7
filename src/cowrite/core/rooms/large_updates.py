"""Updates of many structs: taken in slices, so that nobody has to wait for the whole.

Theory of operation. What an update costs on the loop, and later in the journal, grows with its structs and deleted ranges. So
a large one is cut into updates of at most ``SLICE_PARTS``, each of which needs only what the update needs and what those before
it bring, and each is taken as though its peer had sent it by itself: checked, applied, queued for the others and for the disk,
in one synchronous step. Between two of them the loop turns. What the room promises of a message it promises of each slice, but
for the acknowledgement: that comes with the last one.

What takes long and needs no document (inspecting, cutting, comparing with what the document held when it began) happens in a
thread; for a SyncStep2 that is very large (``Limits.import_bytes``), in a process of its own (:mod:`cowrite.core.imports`), one
at a time. A room takes one large update at a time, and none faster than the store takes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Final

from cowrite.core.delivery.peer import Peer
from cowrite.core.errors import PeerError
from cowrite.core.imports.line import Place
from cowrite.core.imports.process import ImportKilled, ImportProcess, ImportRefused, ImportUnavailable
from cowrite.core.imports.work import SLICE_PARTS
from cowrite.core.limits import Limits
from cowrite.core.rooms.inspecting import check_size, contradicting, inspect_from_peer
from cowrite.core.rooms.intake import Intake
from cowrite.core.rooms.pending import PendingUpdates
from cowrite.core.rooms.received import Received
from cowrite.core.rooms.room_ports import RoomPorts
from cowrite.crdt.contradiction import contradicts
from cowrite.crdt.outline import Outline, missing
from cowrite.crdt.slices import ready_part, slices
from cowrite.protocol.close_codes import CloseCode

_DUE_SECONDS = 50e-6
"""CPU time for each of them that costs the peer nothing: else a long time offline would be paid for after it."""
_NOTHING: Final = b"\x00\x00"
_NOTHING_OUTLINE: Final = Outline((), (), (), {})
_PAUSE, _PATIENCE = 0.05, 10.0
"""Seconds between two looks whether the store has taken something, and how long it may take nothing."""


def is_large(outline: Outline) -> bool:
    """Whether it is taken in slices."""
    return outline.parts > SLICE_PARTS


class LargeUpdates:
    """Takes the large updates of one room's peers; ``wake`` is called after each slice."""

    def __init__(
        self, intake: Intake, pending: PendingUpdates, peers: Container[Peer], ports: RoomPorts, *, wake: Callable[[], None]
    ) -> None:
        self._intake = intake
        self._pending = pending
        self._peers = peers
        self._clock = ports.clock
        self._limits = ports.limits
        self._wake = wake
        self._imports = ports.imports
        self._tracing = ports.tracing
        self._places: dict[Peer, Place] = {}
        self._turn = asyncio.Lock()

    async def receive(self, peer: Peer, update: bytes, outline: Outline, *, everything: bool) -> float:
        """An update of a peer that is in the room; once it has left, the rest is dropped.

        Returns by how many seconds it took more CPU time than such updates do. Raises :class:`PeerError` and
        :class:`RoomClosed`; what was taken by then stays.
        """
        number = peer.acknowledgements.receive(everything=everything, outline=outline)
        received = Received(update, outline, peer, number, everything)
        received = replace(received, part=received.carries)  # each slice of several clients' is of one
        with _blamed(peer, number):
            async with self._turn:
                admitted = self._intake.admitted(received) if peer in self._peers else None
                beyond = await self._take(admitted) if admitted is not None else 0.0
        peer.acknowledge()
        return max(0.0, beyond)

    async def bring(self, peer: Peer, update: bytes, *, waits: bool = True) -> float:
        """As :meth:`receive`, for a SyncStep2 of which nothing is known yet, with the help of a process of its own. ``waits``:
        see :meth:`Imports.enter`.
        """
        check_size(update, self._limits.sync_bytes)
        number = peer.acknowledgements.receive(everything=True)
        received = Received(_NOTHING, _NOTHING_OUTLINE, peer, number, everything=True)
        beyond = 0.0
        with _blamed(peer, number):
            place = self._places[peer] = self._imports.enter(peer.session.author, waits=waits)
            try:
                if await place.turn:
                    async with self._turn:
                        accepted = self._accepts(received) and self._intake.has_room(received, len(update))
                        beyond = await self._import(received, update, place) if accepted else 0.0
            finally:
                del self._places[peer]
                self._imports.leave(place)
        peer.acknowledge()
        return max(0.0, beyond)

    def waits(self, peer: Peer) -> bool:
        """Something very large of this peer waits or is looked at, and nothing of it was taken yet."""
        place = self._places.get(peer)
        return place is not None and not place.begun

    def cancel(self, peer: Peer) -> None:
        """The peer leaves: what waits or is looked at for it is of no use any more."""
        if (place := self._places.get(peer)) is not None:
            place.give_up()

    async def _import(self, received: Received, update: bytes, place: Place) -> float:
        process = place.process = ImportProcess(self._limits)
        try:
            with self._traced(received, len(update)):
                return await self._take_from(process, received, update, place)
        except ImportKilled:
            return 0.0
        except ImportUnavailable as error:
            reason = "the server cannot look at so large an update now; connect again later"
            raise PeerError(CloseCode.INTERNAL_ERROR, reason) from error
        except ImportRefused as error:
            self._imports.refused(error)
            if error.contradicts:
                raise contradicting() from error
            raise PeerError(CloseCode.HOSTILE_UPDATE, f"the update was refused: {error.reason}", fault=error.fault) from error
        finally:
            process.kill()
            await asyncio.to_thread(process.close)

    def _traced(self, received: Received, size: int) -> AbstractContextManager[None]:
        if self._tracing is None:
            return nullcontext()
        return self._tracing.importing(received.span, received.session.document_id, size)

    async def _take_from(self, process: ImportProcess, received: Received, update: bytes, place: Place) -> float:
        live = self._intake.live
        known = dict(live.state)
        whole, starts = await asyncio.to_thread(process.begin, update, live.state_vector())
        if not whole:
            received.peer.acknowledgements.refuse(received.number)
        if starts:
            await asyncio.to_thread(process.compare, self._intake.live.held(starts))
        cut = (self._inspected(one, replace(received, everything=whole)) for one in process.slices())
        place.begun = True
        return await self._take_slices(cut, known, received if whole else None)

    async def _take(self, received: Received) -> float:
        """Returns by how much CPU time the loop has spent more on it than such updates take."""
        ready = await self._ready(received)
        if ready is None:
            return 0.0
        known = dict(self._intake.live.state)
        await self._compare(ready)
        return await self._take_slices(self._cut(ready), known, ready)

    async def _take_slices(self, cut: Iterator[Received], known: Mapping[int, int], nothing: Received | None) -> float:
        """``nothing``: what to take when there are no slices."""
        beyond = 0.0
        piece = await asyncio.to_thread(next, cut, None)
        if piece is None and nothing is not None:
            self._intake.take_slice(nothing, known)  # nothing but holes
        while piece is not None:
            following = await asyncio.to_thread(next, cut, None)
            one = replace(piece, ends=following is None)
            if not await self._await_room(one):
                break
            began = self._clock.cpu()
            self._intake.take_slice(one, known)
            self._wake()
            beyond += self._clock.cpu() - began - _DUE_SECONDS * one.outline.parts
            piece = following
        return beyond

    def _accepts(self, received: Received) -> bool:
        return received.peer in self._peers and self._intake.accepts(received)

    async def _ready(self, received: Received) -> Received | None:
        """What of it can be taken now; None when nothing can."""
        if not missing(received.outline, self._intake.live.state):
            return received
        if not self._intake.takes_part_of(received):
            return None
        part = await asyncio.to_thread(_ready_part, received, dict(self._intake.live.state), self._limits)
        return part if not part.outline.is_empty else None

    async def _compare(self, ready: Received) -> None:
        overlap = self._intake.live.overlap(ready.outline)
        if overlap is not None and await asyncio.to_thread(contradicts, ready.update, ready.outline.layout, *overlap):
            raise contradicting()

    def _cut(self, ready: Received) -> Iterator[Received]:
        for update in slices(ready.update, ready.outline, structs=SLICE_PARTS, ranges=SLICE_PARTS):
            yield self._inspected(update, ready)

    def _inspected(self, update: bytes, of: Received) -> Received:
        return replace(of, update=update, outline=inspect_from_peer(update, everything=True, limits=self._limits))

    async def _await_room(self, one: Received) -> bool:
        """Wait until the slice may be taken; False: it will not be."""
        since, waiting = self._clock.monotonic(), self._pending.bytes
        while one.peer in self._peers and self._pending and not self._has_room(one):
            now = self._clock.monotonic()
            since = now if self._pending.bytes < waiting else since
            waiting = self._pending.bytes
            if now - since >= _PATIENCE:
                break
            await self._clock.sleep(_PAUSE)
        return self._accepts(one)

    def _has_room(self, one: Received) -> bool:
        """Half of what may wait is left to others."""
        half = self._pending.bytes + one.size <= self._limits.pending_document_bytes // 2
        return half and self._pending.accepts(one.size, self._limits)


@contextmanager
def _blamed(peer: Peer, number: int) -> Iterator[None]:
    try:
        yield
    except PeerError as error:
        peer.acknowledgements.blame(number, error.code.name.lower())
        raise


def _ready_part(received: Received, state: Mapping[int, int], limits: Limits) -> Received:
    ready = ready_part(received.update, received.outline, state)
    outline = inspect_from_peer(ready, everything=True, limits=limits)
    return replace(received, update=ready, outline=outline, everything=False, part=True)
