"""The journal: brings what rooms have pending to the disk, in groups.

Theory of operation. One task per process runs one group transaction after the other. While one runs, whatever comes waits; the
next one takes all of it, so the more comes, the larger the groups and the less each edit costs. The task never gives up: when
the store cannot be reached it backs off and tries again, rooms go on in memory within bounds, and nothing is acknowledged
meanwhile.

What goes wrong with one document delays only that one. A document whose head is locked elsewhere (by a process that hangs,
perhaps) is left out of the group; after three times it is committed alone, beside the groups. When a group fails for any other
reason than the store as a whole, its documents are tried one by one, and the one to blame is set apart for a while. A store
that seems to be away for one document only (what that brings takes it too long, perhaps) is found out in the same way.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import islice

import structlog

from cowrite.core.account import SessionAccounts
from cowrite.core.ids import Ids
from cowrite.core.journal.commit import GroupCommit, Outcome
from cowrite.core.journal.recent import RecentCommits
from cowrite.core.limits import Limits
from cowrite.core.ports import Broker, Clock, News, Storage, StoreBusy, StoreError, StoreRefused, StoreUnavailable, Timer
from cowrite.core.ports.tracing import Tracing
from cowrite.core.records import Checkpoint
from cowrite.core.rooms.room import Room
from cowrite.core.sessions.access import AccessControl

_log = structlog.get_logger(__name__)

_GROUP_ROOMS = 500
"""Rooms in one transaction at most, so that a lock statement stays small."""
_NEWS_BYTES = 64 << 10
"""Entries over this size are announced without their content; others read the store."""
_SKIPS = 3
"""How often a room may be skipped before it is committed alone."""
_ALONE_AT_ONCE = 2
"""Rooms that are committed alone at a time: each takes a connection. Others stay with the groups, which skip them."""
_ALONE_WAIT = 2.0
"""Seconds that a lone commit waits for its lock."""
_FIRST_RETRY, _LAST_RETRY = 0.05, 2.0
"""Seconds between attempts while the store cannot be reached; doubled each time, with jitter."""
_LAST_REST = 30.0
"""Seconds that a document rests at most whose own commit fails again and again."""
_BUSY_SECONDS = 5.0
"""A store whose lock others hold for so long counts as failing."""
_IN_VAIN = 2
"""Failures of the store in a row after which it is asked whether it is that of one document."""
_SKIP_PAUSE = 0.01
"""Seconds to wait when nothing but skipped rooms is left."""
_PAUSE = 2.0
"""While more waits already, the journal pauses so many times as long as the loop has worked since the group began: most of
what a group costs it costs for each document, author and statement, whatever they have typed."""
_LONGEST_PAUSE = 0.02
"""Seconds."""


class Journal:
    """Group-commits the updates of all rooms. Start :meth:`run` as one task; never cancel it: call :meth:`close`."""

    def __init__(
        self,
        storage: Storage,
        broker: Broker,
        access: AccessControl,
        clock: Clock,
        ids: Ids,
        limits: Limits,
        tracing: Tracing | None = None,
    ) -> None:
        self._store = storage.store
        self._broker = broker
        self._clock = clock
        self._groups = GroupCommit(storage, access, clock, ids, limits, tracing)
        self._due: dict[Room, None] = {}
        """Rooms with something to commit, in the order in which they came."""
        self._apart: set[Room] = set()
        """Rooms that no group takes: they are committed alone just now, or rest after a failure of their own."""
        self._resting: dict[Room, Timer] = {}
        """The latter, and when they are taken back."""
        self._hapless: set[Room] = set()
        """Those of the former that the store is away for while it takes others: they are only tried beside the groups."""
        self._in_vain = 0
        """How often in a row the store could not be written."""
        self._running: Sequence[Room] = ()
        """Rooms of the round that is under way."""
        self._skips: Counter[Room] = Counter()
        self._failures: Counter[Room] = Counter()
        """How often in a row a room's own commit has failed."""
        self.failing_documents: dict[str, str] = {}
        """Documents that cannot be committed although the store can be written, and why; they are tried again and again."""
        self._beside: set[asyncio.Task[None]] = set()
        """Lone commits and checkpoints."""
        self._alone = 0
        """Lone commits that are under way."""
        self._checkpointing: set[Room] = set()
        self._work = asyncio.Event()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._hurrying = False
        self._closing = False
        self._was_full = False
        """The last transaction had no room for some: the next one need not wait to become fuller."""
        self._listeners: list[Callable[[News], None]] = []
        self._busy_since: float | None = None
        self.groups = 0
        """Transactions that have brought something into the log."""
        self.entries = 0
        """Entries that these have brought."""
        self.recent = RecentCommits(clock)
        """What of them was in the last minute."""
        self.failing_since: float | None = None
        """Monotonic time since when the store could not be written; None: it can."""
        self.failure: str | None = None
        """What it said."""

    @property
    def accounts(self) -> SessionAccounts:
        """What the operations of sessions have cost."""
        return self._groups.accounts

    def listen(self, told: Callable[[News], None]) -> None:
        """Be told of what this process commits, after it is committed."""
        self._listeners.append(told)

    def put(self, room: Room) -> None:
        """This room has something to commit. Cheap, idempotent."""
        self._due[room] = None
        self._quiet.clear()
        if room not in self._apart:
            self._work.set()

    async def run(self) -> None:
        """Commit until :meth:`close`."""
        retry = _FIRST_RETRY
        while not self._closing:
            await self._work.wait()
            rooms = self._running = self._take()
            groups, began = self.groups, self._clock.cpu()
            try:
                await self._commit(rooms)
                retry = _FIRST_RETRY
                if self.groups > groups:
                    await self._pause(self._clock.cpu() - began)
            except StoreBusy as busy:
                self._is_busy(busy)
                await self._clock.sleep(random.uniform(0, _FIRST_RETRY))
            except StoreUnavailable as error:
                self._fails(error)
                await self._clock.sleep(retry * random.uniform(0.5, 1))
                retry = min(2 * retry, _LAST_RETRY)
            finally:
                self._running = ()
                self._rest(rooms)

    def hurry(self) -> None:
        """The process ends soon: no document rests for longer than a moment any more, those that do now included."""
        self._hurrying = True
        for room in list(self._resting):
            self._take_back(room)

    async def drained(self) -> None:
        """Wait until nothing is pending anywhere. Waits for ever while the store cannot be written."""
        await self._quiet.wait()

    async def close(self) -> None:
        """Stop after the transaction that is under way; what is still pending is not committed. Call :meth:`drained` before."""
        self._closing = True
        self._work.set()
        if self._beside:
            await asyncio.wait(self._beside)

    async def _pause(self, worked: float) -> None:
        """After a group in which the loop has worked for so long: let the next one become fuller, if it would begin at once."""
        full = self._was_full or len(self._due) >= _GROUP_ROOMS
        if worked > 0 and self._due and not (full or self._hurrying or self._closing):
            await self._clock.sleep(min(_LONGEST_PAUSE, _PAUSE * worked))

    # ---- one round ---------------------------------------------------------------------------------------------------

    def _take(self) -> list[Room]:
        """The rooms of the next group: those that have waited longest."""
        rooms = list(islice((room for room in self._due if room not in self._apart), _GROUP_ROOMS))
        for room in rooms:
            del self._due[room]
        return rooms

    async def _commit(self, rooms: Sequence[Room]) -> None:
        """Commit these; what is wrong with one of them delays only that one. Raises when the store as a whole cannot be
        written.
        """
        if not rooms and self.failing_since is None:
            return
        try:
            outcome = await self._write(rooms)
        except StoreBusy:
            raise
        except StoreUnavailable as error:
            self._in_vain += 1
            if len(rooms) < 2 or self._in_vain < _IN_VAIN:
                raise
            await self._try_each(rooms, error)
            return
        except Exception as error:
            # Whatever it was, the journal must go on: nothing else will bring the others' edits to the disk.
            await self._find_fault(rooms, error)
            return
        self._works()
        await self._finish(outcome)
        for room in outcome.skipped:
            self._skips[room] += 1
            if self._skips[room] >= _SKIPS and self._alone < _ALONE_AT_ONCE:
                self._apart.add(room)
                self._start_alone(room)
        if rooms and len(outcome.skipped) == len(rooms):
            await self._clock.sleep(_SKIP_PAUSE)

    async def _write(self, rooms: Sequence[Room], *, wait: float | None = None) -> Outcome:
        began = self._clock.monotonic()
        outcome = await self._groups.commit(rooms, wait=wait)
        if outcome.news:
            self.recent.took(self._clock.monotonic() - began)
        return outcome

    async def _try_each(self, rooms: Sequence[Room], error: StoreUnavailable) -> None:
        """Set apart those for which the store is away though it takes others. Raises when it takes none of them."""
        failures: dict[Room, StoreUnavailable] = {}
        await self._groups.commit(())  # else everybody would wait here for each of its time-outs
        # What brings least comes first: the others may take until a deadline each.
        for room in sorted(rooms, key=lambda room: room.pending.bytes):
            try:
                await self._commit([room])
            except StoreUnavailable as unavailable:
                await self._groups.commit(())
                failures[room] = unavailable
        if len(failures) == len(rooms):
            raise error
        for room, failure in failures.items():
            self._hapless.add(room)
            self._set_apart(room, failure)

    async def _find_fault(self, rooms: Sequence[Room], error: Exception) -> None:
        """Something in this group cannot be committed: try each document, then each update, and set aside what it is."""
        if len(rooms) > 1:
            for room in rooms:
                await self._commit([room])
            return
        (room,) = rooms
        culprit = next(iter((*room.pending, *room.submissions)), None)
        if not isinstance(error, StoreRefused) or culprit is None:
            self._set_apart(room, error)
        elif not room.one_by_one:
            room.suspect()
            await self._commit(rooms)
        else:
            await self._groups.set_aside(room, culprit, str(error))

    def _start_alone(self, room: Room) -> None:
        self._alone += 1
        self._start(self._commit_alone(room))

    async def _commit_alone(self, room: Room) -> None:
        """Wait for one document's lock beside the groups, so that whoever holds it delays this document only."""
        try:
            await self._finish(await self._write([room], wait=_ALONE_WAIT))
        except Exception as error:
            if room in self._hapless and isinstance(error, StoreBusy | StoreUnavailable):
                self._set_apart(room, error)
                return
            # The next group meets it again, and deals with it.
            what = "document locked elsewhere" if isinstance(error, StoreBusy) else "document not committed"
            _log.warning(what, document=room.document_id, reason=str(error))
        finally:
            self._alone -= 1
            self._skips.pop(room, None)  # others have their turn first
        self._hapless.discard(room)
        self._apart.discard(room)
        self._rest([room])

    def _set_apart(self, room: Room, error: Exception) -> None:
        """This document alone cannot be committed: let it rest, longer each time."""
        self._failures[room] += 1
        delay = _FIRST_RETRY if self._hurrying else min(_FIRST_RETRY * 2 ** min(self._failures[room], 10), _LAST_REST)
        if self._failures[room] == 1:
            _log.error("document cannot be committed; it is tried again", document=room.document_id, exc_info=error)
        self.failing_documents[room.document_id] = str(error)
        self._apart.add(room)
        self._resting[room] = self._clock.call_later(delay, lambda: self._take_back(room))

    def _take_back(self, room: Room) -> None:
        self._resting.pop(room).cancel()
        if room in self._hapless:
            self._start_alone(room)
            return
        self._apart.discard(room)
        self._rest([room])

    def _rest(self, rooms: Sequence[Room]) -> None:
        """After a round: what is not done waits again, behind what has come meanwhile."""
        for room in rooms:
            if room.needs_commit:
                self.put(room)
            elif room not in self._apart:
                self._forgive(room)
        # While the store fails it is tried although nothing waits (what did was withdrawn): somebody has to notice its return.
        if self._due.keys() - self._apart or self.failing_since is not None:
            self._work.set()
        else:
            self._work.clear()
        if not self._due and not self._apart and not self._running:
            self._quiet.set()

    def _forgive(self, room: Room) -> None:
        """Nothing is held against this room any more, and nothing of it is kept here."""
        self._skips.pop(room, None)
        self._failures.pop(room, None)
        self.failing_documents.pop(room.document_id, None)

    # ---- around it ---------------------------------------------------------------------------------------------------

    async def _finish(self, outcome: Outcome) -> None:
        """After COMMIT."""
        for room in outcome.committed:
            self._forgive(room)
            self._checkpoint(room)
        self._was_full = bool(outcome.unserved)
        for room in reversed(outcome.unserved):
            # Before the others: whoever filled this transaction must not fill the next one, too.
            self._due = {room: None} | self._due
            self._quiet.clear()
        self.groups += bool(outcome.news)
        for news in outcome.news:
            self.entries += len(news.entries)
            self.recent.count(news.document_id, len(news.entries))
            for told in self._listeners:
                told(news)
            large = sum(len(entry.update) for entry in news.entries) > _NEWS_BYTES
            with outcome.span.current() if outcome.span is not None else nullcontext():
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

    def _fails(self, error: StoreError) -> None:
        self.failure = str(error)
        if self.failing_since is None:
            self.failing_since = self._clock.monotonic()
            _log.error("store cannot be written; edits are kept in memory and are not acknowledged", reason=self.failure)

    def _is_busy(self, busy: StoreBusy) -> None:
        """Normal for a moment; for longer it is a store that cannot be written."""
        now = self._clock.monotonic()
        if self._busy_since is None:
            self._busy_since = now
            _log.info("transaction repeated", reason=str(busy))
        elif now - self._busy_since >= _BUSY_SECONDS:
            self._fails(busy)

    def _works(self) -> None:
        self._busy_since = None
        self._in_vain = 0
        if self.failing_since is not None:
            _log.info("store can be written again", after=round(self._clock.monotonic() - self.failing_since, 3))
            self.failing_since = self.failure = None
            for room in self._hapless & self._resting.keys():
                self._take_back(room)
