"""Presence in one storage, and in another one while the first does not work: Redis, and the database.

A circuit breaker. While the circuit is *closed* the primary serves. One failed call *opens* it: the fallback serves, and only a
probe asks the primary from then on. Whenever the storage changes, ``generation`` grows, and the caller writes all of its own
records again.

**Nobody is doubled, and nobody stays.** What a process wrote before a change must not count afterwards: a Redis that was frozen
still has it. So a process has a lease under a new name after each change (``process#2``), and its records with it; what was
written under the old name is gone when that lease is given up, whatever it was.

**Nobody is lost.** Processes do not change at the same moment, and need a moment to write everything again. For
``SETTLE_SECONDS`` after it has gone back to the primary a process keeps its lease in the fallback, takes what it removes
out of both, and reads both. It also reads both as long as another process has a lease in the fallback: that one cannot reach
the primary.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog

from cowrite.core.ports import Clock, LeasedPresence, Presence, PresenceError, PresenceRecord
from cowrite.core.presence_records import check_document_ids, check_process, check_records, expired

T = TypeVar("T")

PROBE_SECONDS: Final = 0.5
"""How often the primary is asked, whichever serves."""
SETTLE_SECONDS: Final = 6.0
"""How long after a change other processes may still be on their way."""
IDLE_SECONDS: Final = 12.0
"""How long after the last call the primary is still asked."""
IDLE_PROBE_SECONDS: Final = 5.0
"""How often it is asked later, while the fallback serves."""
FLAP_SECONDS: Final = 30.0
"""A primary that fails again so soon has to be good for longer before it serves again."""
_MOST_PROBES: Final = 8
"""Together shorter than ``SETTLE_SECONDS``, so that processes that count differently still meet."""
_BEAT_SECONDS: Final = 10.0
"""A process that beat so lately must be found in the primary; if it is not, the primary has lost what it had."""
_MOST_REMEMBERED: Final = 10_000

_log = structlog.get_logger(__name__)


class FailoverPresence:
    """The port :class:`cowrite.core.ports.Presence` on two storages, for one process.

    Each call of ``primary`` must end within about a second, also when its server hangs. Both are closed with it.
    """

    def __init__(self, primary: LeasedPresence, fallback: LeasedPresence, clock: Clock) -> None:
        self._primary = primary
        self._fallback = fallback
        self._clock = clock
        self._open = False
        self._changes = 0
        """How often the storage has changed; part of the lease's name."""
        self._changed_at = -FLAP_SECONDS
        self._process: str | None = None
        self._beaten_at = 0.0
        self._left_behind: str | None = None
        """The lease in the primary when it failed."""
        self._draining: dict[str, float] = {}
        """Leases in the fallback, and when they are given up."""
        self._others: frozenset[str] = frozenset()
        """Processes that lived before the change, and may be on their way."""
        self._split = False
        """Whether others have leases in the fallback while the primary works here."""
        self._removed: dict[str, PresenceRecord] = {}
        """Records without a process that were removed while the primary could not be told, by session."""
        self._lent: dict[str, PresenceRecord] = {}
        """Records without a process that were put into the fallback, by session."""
        self._probes = 0
        self._probes_needed = 1
        self._used_at = 0.0
        self._asking: set[asyncio.Future[Any]] = set()
        """Calls of the primary that are under way."""
        self._watching: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def generation(self) -> int:
        return self._changes + self._primary.generation + self._fallback.generation

    @property
    def degraded(self) -> bool:
        """Whoever asks this uses presence, and is told of a primary that has failed meanwhile the next time."""
        if not self._closed:
            self._used_at = self._clock.monotonic()
            self._keep_watch()
        return self._open

    # ---- the port ----------------------------------------------------------------------------------------------------

    async def beat(self, process: str) -> frozenset[str]:
        check_process(process)
        self._process = process
        living = await self._call(lambda storage: storage.beat(self._lease(process)))
        self._beaten_at = self._clock.monotonic()
        if not self._open:
            elsewhere = await self._leases_in_the_fallback()
            living |= elsewhere
            self._split = any(_process(lease) != process for lease in elsewhere)
        found = frozenset(map(_process, living))
        if self._settling:
            return found | self._others
        self._others = found
        return found

    async def write(self, put: Sequence[PresenceRecord], removed: Sequence[PresenceRecord]) -> None:
        check_records((*put, *removed))

        async def write(storage: LeasedPresence) -> bool:
            await storage.write([*map(self._leased, put)], [*map(self._leased, removed)])
            return storage is self._fallback

        self._remember(put, removed, in_fallback=await self._call(write))
        await self._remove_from_fallback(removed)

    async def read(self, document_ids: Collection[str]) -> Mapping[str, Sequence[PresenceRecord]]:
        check_document_ids(document_ids)
        found = await self._call(lambda storage: storage.read(document_ids))
        if not self._open and (self._split or self._draining or self._settling):
            with suppress(PresenceError):  # the primary's answer is the best there is
                found = _merged(found, await self._fallback.read(document_ids))
        return {document_id: [*map(_unleased, records)] for document_id, records in found.items()}

    async def leave(self, process: str) -> None:
        check_process(process)
        if process == self._process:
            self._process = None
        for lease in list(self._draining):
            del self._draining[lease]
            with suppress(PresenceError):  # then it runs out
                await self._fallback.leave(lease)
        await self._call(lambda storage: storage.leave(self._lease(process)))

    async def close(self) -> None:
        self._closed = True
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        await self._primary.close()
        await self._fallback.close()

    # ---- calls -------------------------------------------------------------------------------------------------------

    async def _call(self, call: Callable[[LeasedPresence], Awaitable[T]]) -> T:
        """Call the storage that serves; when the primary fails, call the fallback."""
        if self._closed:
            raise PresenceError("This process has closed its presence.")
        self._used_at = self._clock.monotonic()
        self._keep_watch()
        for _ in range(2):  # a late failure of a primary that has come back meanwhile says nothing
            if not self._open:
                changes = self._changes
                try:
                    return await self._ask_primary(call)
                except PresenceError as error:
                    if changes == self._changes:
                        await self._take_over(error)
        return await call(self._fallback)

    async def _ask_primary(self, call: Callable[[LeasedPresence], Awaitable[T]]) -> T:
        """Raises :class:`PresenceError` also when another call has found out meanwhile that the primary does not work."""
        asking = asyncio.ensure_future(call(self._primary))
        self._asking.add(asking)
        try:
            await asyncio.wait([asking])
        finally:
            self._asking.discard(asking)
            asking.cancel()
        if asking.cancelled():
            raise PresenceError("The storage of presence has changed.")
        return asking.result()

    async def _take_over(self, error: PresenceError) -> None:
        """Open the circuit. What is synchronous here happens once, however many calls fail at the same time."""
        now = self._clock.monotonic()
        flaps = now < self._changed_at + FLAP_SECONDS
        self._probes, self._probes_needed = 0, min(2 * self._probes_needed, _MOST_PROBES) if flaps else 1
        self._left_behind = self._process and self._lease(self._process)
        self._change(open=True)
        for asking in self._asking:
            asking.cancel()
        _log.warning("presence is kept in the database until its server works again", reason=str(error))
        if self._process is not None:
            with suppress(PresenceError):  # the call that follows tells it
                await self._fallback.beat(self._lease(self._process))

    async def _give_back(self) -> None:
        """Close the circuit. Raises :class:`PresenceError` when the primary fails again."""
        process, changes = self._process, self._changes
        if self._left_behind is not None:
            await self._primary.leave(self._left_behind)
        if process is not None:
            await self._primary.beat(_lease(process, changes + 1))
        # Nobody writes these again: whoever they are of may have gone for as long as they said.
        if lent := [record for record in self._lent.values() if not expired(record, self._clock.now())]:
            await self._primary.write(lent, [])
        self._left_behind = None
        if process is not None:
            self._draining[_lease(process, changes)] = self._clock.monotonic() + SETTLE_SECONDS
        self._change(open=False)
        _log.info("presence is kept in Redis again")

    def _change(self, *, open: bool) -> None:  # noqa: A002  (a circuit is open or closed)
        self._open = open
        self._changes += 1
        self._changed_at = self._clock.monotonic()

    @property
    def _settling(self) -> bool:
        return self._clock.monotonic() < self._changed_at + SETTLE_SECONDS

    # ---- the watch ---------------------------------------------------------------------------------------------------

    def _keep_watch(self) -> None:
        if self._watching is None or self._watching.done():
            self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        while self._clock.monotonic() < self._used_at + IDLE_SECONDS or self._draining or self._open:
            in_use = self._clock.monotonic() < self._used_at + IDLE_SECONDS
            # Not all processes at the same moment.
            await self._clock.sleep((PROBE_SECONDS if in_use else IDLE_PROBE_SECONDS) * random.uniform(0.8, 1.0))
            try:
                await self._look()
                await self._tidy()
            except PresenceError:
                pass  # the next call finds it, too
            except Exception:
                _log.exception("the watch over presence failed")

    async def _look(self) -> None:
        changes = self._changes
        try:
            living = await self._primary.processes()
            if self._open:
                self._probes += 1
                if self._probes >= self._probes_needed:
                    await self._give_back()
            elif self._process is not None and self._clock.monotonic() < self._beaten_at + _BEAT_SECONDS:
                lease = self._lease(self._process)
                if lease not in living:
                    await self._primary.beat(lease)  # its generation grows
        except PresenceError as error:
            self._probes = 0
            if not self._open and changes == self._changes:
                await self._take_over(error)

    async def _tidy(self) -> None:
        """Make up for what could not be told to the primary, and give up what is in the fallback when its time is over."""
        now = self._clock.monotonic()
        for lease, until in list(self._draining.items()):
            if until <= now:
                del self._draining[lease]
                with suppress(PresenceError):  # then it runs out
                    await self._fallback.leave(lease)
        if self._open:
            return
        if self._removed:
            removed, self._removed = self._removed, {}
            await self._primary.write([], [*removed.values()])
        if self._lent and not self._settling:
            lent, self._lent = [*self._lent.values()], {}
            with suppress(PresenceError):  # then they stay until their end, where nobody looks
                await self._fallback.write([], lent)

    # ---- both --------------------------------------------------------------------------------------------------------

    async def _leases_in_the_fallback(self) -> frozenset[str]:
        try:
            return await self._fallback.processes()
        except PresenceError:
            return frozenset()

    def _remember(self, put: Iterable[PresenceRecord], removed: Iterable[PresenceRecord], *, in_fallback: bool) -> None:
        """What has no process has no lease that could be given up: it has to be taken out one by one."""
        if in_fallback:
            unkept = [record for record in removed if record.process is None]
            self._removed |= {record.session_id: record for record in unkept}
            for record in unkept:
                self._lent.pop(record.session_id, None)
            self._lent |= {record.session_id: record for record in put if record.process is None}
        for record in put:
            self._removed.pop(record.session_id, None)
        for remembered in (self._removed, self._lent):
            if len(remembered) > _MOST_REMEMBERED:
                now = self._clock.now()
                for record in [record for record in remembered.values() if expired(record, now)]:
                    del remembered[record.session_id]

    async def _remove_from_fallback(self, removed: Sequence[PresenceRecord]) -> None:
        copies = [
            replace(record, process=lease) for lease in self._draining for record in removed if record.process is not None
        ]
        if not self._open:
            copies += [self._lent.pop(record.session_id) for record in removed if record.session_id in self._lent]
        if copies:
            with suppress(PresenceError):  # they are read for some seconds more
                await self._fallback.write([], copies)

    def _lease(self, process: str) -> str:
        return _lease(process, self._changes)

    def _leased(self, record: PresenceRecord) -> PresenceRecord:
        return record if record.process is None else replace(record, process=self._lease(record.process))


def _lease(process: str, changes: int) -> str:
    return f"{process}#{changes}"


def _process(lease: str) -> str:
    return lease.rpartition("#")[0] or lease


def _unleased(record: PresenceRecord) -> PresenceRecord:
    return record if record.process is None else replace(record, process=_process(record.process))


def _merged(
    found: Mapping[str, Sequence[PresenceRecord]], others: Mapping[str, Sequence[PresenceRecord]]
) -> Mapping[str, Sequence[PresenceRecord]]:
    """Each session once: where it was active last; else as in ``found``."""
    merged = {}
    for document_id in found.keys() | others.keys():
        sessions = {record.session_id: record for record in found.get(document_id, ())}
        for record in others.get(document_id, ()):
            known = sessions.get(record.session_id)
            if known is None or record.last_active > known.last_active:
                sessions[record.session_id] = record
        merged[document_id] = [*sessions.values()]
    return merged


if TYPE_CHECKING:
    _: type[Presence] = FailoverPresence
