"""The journal: brings what rooms have pending to the disk, in groups, with one transaction at a time.

Theory of operation. One task per process. While a transaction runs, whatever comes waits; the next one takes all of it, so
the more comes, the larger the groups and the less each edit costs. The task never gives up: when the store cannot be reached
it backs off and tries again, rooms go on in memory within bounds, and nothing is acknowledged meanwhile. A document whose
head is locked elsewhere (by a process that hangs, perhaps) is left out of the group; after three times it is committed alone,
beside the groups, so that it delays nobody else.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from itertools import islice

import structlog

from cowrite.core.commit import GroupCommit, Outcome
from cowrite.core.ids import Ids
from cowrite.core.limits import Limits
from cowrite.core.ports import Broker, Clock, Store, StoreBusy, StoreError, StoreRefused
from cowrite.core.records import Checkpoint
from cowrite.core.room import Room

_log = structlog.get_logger(__name__)

_GROUP_ROOMS = 500
"""Rooms in one transaction at most, so that a lock statement stays small."""
_NEWS_BYTES = 64 << 10
"""Entries over this size are announced without their content; others read the store."""
_SKIPS = 3
"""How often a room may be skipped before it is committed alone."""
_ALONE_WAIT = 2.0
"""Seconds that a lone commit waits for its lock."""
_FIRST_RETRY, _LAST_RETRY = 0.05, 2.0
"""Seconds between attempts while the store cannot be reached; doubled each time, with jitter."""
_SKIP_PAUSE = 0.01
"""Seconds to wait when nothing but skipped rooms is left."""


class Journal:
    """Group-commits the updates of all rooms. Start :meth:`run` as one task; never cancel it: call :meth:`close`."""

    def __init__(self, store: Store, broker: Broker, clock: Clock, ids: Ids, limits: Limits) -> None:
        self._store = store
        self._broker = broker
        self._clock = clock
        self._groups = GroupCommit(store, clock, ids, limits)
        self._due: dict[Room, None] = {}
        """Rooms with something to commit, in the order in which they came."""
        self._skips: Counter[Room] = Counter()
        self._beside: set[asyncio.Task[None]] = set()
        """Lone commits and checkpoints."""
        self._alone: set[Room] = set()
        self._checkpointing: set[Room] = set()
        self._work = asyncio.Event()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._closing = False
        self.failing_since: float | None = None
        """Monotonic time since when the store could not be written; None: it can."""
        self.failure: str | None = None
        """What it said."""

    def put(self, room: Room) -> None:
        """This room has something to commit. Cheap, idempotent."""
        self._due[room] = None
        self._quiet.clear()
        if room not in self._alone:
            self._work.set()

    async def run(self) -> None:
        """Commit until :meth:`close`."""
        retry = _FIRST_RETRY
        while not self._closing:
            await self._work.wait()
            rooms = self._take()
            try:
                await self._commit(rooms)
            except StoreBusy as busy:
                _log.info("transaction repeated", reason=str(busy))
                await self._clock.sleep(random.uniform(0, _FIRST_RETRY))
            except Exception as error:
                # Whatever it was, edits wait in memory and the journal must go on: nothing else will bring them to the disk.
                self._fails(error)
                await self._clock.sleep(retry * random.uniform(0.5, 1))
                retry = min(2 * retry, _LAST_RETRY)
            else:
                retry = _FIRST_RETRY
            self._rest(rooms)

    async def drained(self) -> None:
        """Wait until nothing is pending anywhere. Waits for ever while the store cannot be written."""
        await self._quiet.wait()

    async def close(self) -> None:
        """Stop after the transaction that is under way; what is still pending is not committed. Call :meth:`drained` before."""
        self._closing = True
        self._work.set()
        if self._beside:
            await asyncio.wait(self._beside)

    # ---- one round ---------------------------------------------------------------------------------------------------

    def _take(self) -> list[Room]:
        """The rooms of the next group: those that have waited longest."""
        rooms = list(islice((room for room in self._due if room not in self._alone), _GROUP_ROOMS))
        for room in rooms:
            del self._due[room]
        return rooms

    async def _commit(self, rooms: Sequence[Room]) -> None:
        if not rooms:
            return
        try:
            outcome = await self._groups.commit(rooms)
        except StoreRefused as refused:
            await self._find_refused(rooms, refused)
            return
        self._works()
        await self._publish(outcome)
        for room in rooms:
            self._checkpoint(room)
        for room in outcome.skipped:
            self._skips[room] += 1
            if self._skips[room] >= _SKIPS:
                self._start(self._commit_alone(room))
        for room in set(rooms).difference(outcome.skipped):
            self._skips.pop(room, None)
        if len(outcome.skipped) == len(rooms):
            await self._clock.sleep(_SKIP_PAUSE)

    async def _find_refused(self, rooms: Sequence[Room], refused: StoreRefused) -> None:
        """The store will not take something in this group: try each document, then each update, and set aside what it is."""
        if len(rooms) > 1:
            for room in rooms:
                await self._commit([room])
            return
        (room,) = rooms
        if not room.one_by_one:
            room.one_by_one = True
            await self._commit(rooms)
            return
        culprit = next(iter(room.pending), None)
        if culprit is None:
            raise refused
        room.replicas.abandon()
        await self._groups.set_aside(room, culprit, str(refused))

    async def _commit_alone(self, room: Room) -> None:
        """Wait for one document's lock beside the groups, so that whoever holds it delays this document only."""
        self._alone.add(room)
        try:
            outcome = await self._groups.commit([room], wait=_ALONE_WAIT)
            await self._publish(outcome)
            self._skips.pop(room, None)
        except StoreBusy as busy:
            _log.warning("document locked elsewhere", document=room.document_id, reason=str(busy))
        except StoreError as error:
            self._fails(error)
        finally:
            self._alone.discard(room)
            self._rest([room])

    def _rest(self, rooms: Sequence[Room]) -> None:
        """After a round: what is not done goes to the end of the line."""
        for room in rooms:
            if room.needs_commit:
                self.put(room)
        if not self._due.keys() - self._alone:
            self._work.clear()
        else:
            self._work.set()
        if not self._due and not self._alone:
            self._quiet.set()

    # ---- around it ---------------------------------------------------------------------------------------------------

    async def _publish(self, outcome: Outcome) -> None:
        for news in outcome.news:
            large = sum(len(entry.update) for entry in news.entries) > _NEWS_BYTES
            await self._broker.publish(replace(news, entries=()) if large else news)

    def _checkpoint(self, room: Room) -> None:
        if room not in self._checkpointing and (checkpoint := room.replicas.checkpoint()) is not None:
            self._checkpointing.add(room)
            self._start(self._save_checkpoint(room, checkpoint))

    async def _save_checkpoint(self, room: Room, checkpoint: Checkpoint) -> None:
        try:
            await self._store.save_checkpoint(room.document_id, checkpoint)
        except StoreError as error:
            # Nothing is lost by it: opening the document replays a longer tail until the next one is saved.
            _log.warning("checkpoint not saved", document=room.document_id, offset=checkpoint.offset, reason=str(error))
        finally:
            self._checkpointing.discard(room)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    def _fails(self, error: Exception) -> None:
        self.failure = str(error)
        if self.failing_since is None:
            self.failing_since = self._clock.monotonic()
            _log.error(
                "store cannot be written; edits are kept in memory and are not acknowledged",
                reason=self.failure,
                exc_info=None if isinstance(error, StoreError) else error,
            )

    def _works(self) -> None:
        if self.failing_since is not None:
            _log.info("store can be written again", after=round(self._clock.monotonic() - self.failing_since, 3))
            self.failing_since = self.failure = None
