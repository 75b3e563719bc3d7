"""From pending updates to the entries of the log."""

from __future__ import annotations

import asyncio
from collections import ChainMap
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

import structlog

from cowrite.core.ids import Ids
from cowrite.core.journal.derived import Derived
from cowrite.core.ports import Clock
from cowrite.core.records import Cause, Entry
from cowrite.core.rooms.bindings import Bindings
from cowrite.core.rooms.received import Received
from cowrite.core.rooms.replicas import Replicas
from cowrite.crdt.errors import EngineFault
from cowrite.crdt.log_document import Change
from cowrite.crdt.operations import ContentOperation
from cowrite.crdt.outline import ClockRange, missing

RUN_UPDATES: Final = 250
"""Updates in one entry: a look at so many takes a millisecond or two, between which the loop turns."""
RUN_PARTS: Final = 1000
"""Structs and deleted ranges in one entry, unless one update alone has more: the engine takes them in one call."""
_TURN_SECONDS = 0.001
_NO_DELETIONS: Final = b"\0"
"""How an update ends that deletes nothing."""
_AHEAD: Final = 60_000
"""Milliseconds by which the newest entry may be ahead of this process's clock and still be followed."""

_log = structlog.get_logger(__name__)


class UpdateRefused(Exception):
    """Updates cannot be committed: the engine broke on them, or what one builds on was refused itself. ``log`` is unusable now.

    ``run`` holds the updates of which one is to blame; when there are several, try them one by one.
    """

    def __init__(self, run: Sequence[Received], reason: str) -> None:
        super().__init__(reason)
        self.run = run
        self.reason = reason


class EntryMaker:
    """Applies pending updates to a room's log and makes the entries that go into the store."""

    def __init__(self, clock: Clock, ids: Ids) -> None:
        self._clock = clock
        self._ids = ids

    async def derive(self, replicas: Replicas, bindings: Bindings, batch: Sequence[Received], group: str) -> Derived:
        """One entry for each author's run that brings something new. ``replicas.log`` is ahead of the store afterwards; between
        two runs the loop turns when they have taken long.

        Raises :class:`UpdateRefused`.
        """
        derived = Derived()
        offset = replicas.head.offset
        began = self._clock.monotonic()
        for run in _runs(batch, bindings):
            if self._clock.monotonic() - began > _TURN_SECONDS:
                await asyncio.sleep(0)
                began = self._clock.monotonic()
            try:
                change = replicas.type_on(run)
                if change is None:
                    _refuse_unfit(run, replicas)
                    change = replicas.derive(run)
            except EngineFault as fault:
                raise UpdateRefused(run, f"the engine broke on it: {fault}") from fault
            if change is not None:
                offset += 1
                author = bindings.author(run, change.ranges, deletes=not change.update.endswith(_NO_DELETIONS))
                claims, carries = bindings.claims(run, author), run[0].carries
                derived.entries.append(
                    self.entry(change, replicas, offset=offset, author=author, group=group, claims=claims, carries=carries)
                )
            derived.claims.update(bindings.own(run, replicas))
            for pending in run:
                derived.offsets[pending] = offset
        try:
            replicas.catch_up()
        except EngineFault as fault:
            raise UpdateRefused(batch, f"the engine broke on it: {fault}") from fault
        return derived

    def entry(
        self,
        change: Change,
        replicas: Replicas,
        *,
        offset: int,
        author: str,
        group: str,
        claims: tuple[int, ...] = (),
        carries: bool = False,
        first_id: str | None = None,
        cause: Cause | None = None,
    ) -> Entry:
        """The entry of a change, with fresh ids for itself and its operations, but for the ``first_id`` that its maker gave.

        It is not older than the one before it, as far as that is known here: moments are looked up by their time.
        """
        now = self._time_behind(replicas)
        clock = _vector_clock(change.ranges, offset)
        entry_id, *ids = self._ids.many(1 + len(change.operations))
        if first_id is not None and ids:
            ids[0] = first_id
        operations = [
            # By place: with its names it takes a third longer, and one is made for every keystroke.
            ContentOperation(id_, draft.type, draft.position, author, now, clock, draft.content, draft.length, draft.attributes)
            for id_, draft in zip(ids, change.operations, strict=True)
        ]
        ranges = tuple(change.ranges)
        return Entry(entry_id, group, offset, author, now, change.update, ranges, tuple(operations), claims, cause, carries)

    def _time_behind(self, replicas: Replicas) -> int:
        now = self._clock.now()
        if replicas.newest_at - now > _AHEAD:
            # One process whose clock was far wrong must not date everything for years.
            _log.warning("entries are dated in the future; time steps back", seconds=(replicas.newest_at - now) // 1000)
            replicas.newest_at = now
        replicas.newest_at = max(now, replicas.newest_at)
        return replicas.newest_at


def _refuse_unfit(run: Sequence[Received], replicas: Replicas) -> None:
    """What fitted ``live`` may not fit the log: something before it was refused, or another process committed other content
    first.
    """
    assert replicas.log is not None, "entries are derived on log"
    brought: dict[int, int] = {}
    state = ChainMap(brought, replicas.log.state)  # type: ignore[arg-type] # only the first one is written to
    for pending in run:
        if lacking := missing(pending.outline, state):
            client, clock = lacking[0]
            raise UpdateRefused([pending], f"it builds on clock {clock} of client {client}, which is not in the log")
        if replicas.log.contradicts(pending.update, pending.outline):
            raise UpdateRefused([pending], "it gives other content to something that was committed before it")
        brought.update((new.client, max(new.end, state.get(new.client, 0))) for new in pending.outline.brings)


def _runs(batch: Sequence[Received], bindings: Bindings) -> Iterator[list[Received]]:
    """Each is one user's, and one author's; what is carried (:attr:`Received.carries`) is apart."""
    for _, updates in groupby(batch, key=bindings.run):
        run: list[Received] = []
        parts = 0
        for one in updates:
            parts += one.outline.parts
            if run and (parts > RUN_PARTS or len(run) >= RUN_UPDATES):
                yield run
                run, parts = [], one.outline.parts
            run.append(one)
        yield run


def _vector_clock(ranges: Sequence[ClockRange], offset: int) -> dict[str, int]:
    clock = {str(brought.client): brought.end for brought in ranges}
    clock["offset"] = offset
    return clock
