"""What is deleted for good: documents after a time of grace, and what happened before a moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import structlog

from cowrite.core.history.errors import HistoryRefused
from cowrite.core.history.moments import Moment, Moments
from cowrite.core.ids import Ids
from cowrite.core.ports import Clock, Storage, StoreError
from cowrite.core.records import AccessChange, Checkpoint
from cowrite.core.rooms.deletion import NO_SESSION
from cowrite.core.rooms.registry import Registry

SWEEP_SECONDS: Final = 3600.0
"""How often it is looked which documents were deleted long ago."""
_AT_ONCE: Final = 100
"""Documents that are looked up at once."""
_DAY: Final = 86_400_000

_log = structlog.get_logger(__name__)


class Erasing:
    """Purges deleted documents, and forgets histories."""

    def __init__(
        self,
        storage: Storage,
        moments: Moments,
        registry: Registry,
        clock: Clock,
        ids: Ids,
        *,
        grace_days: int,
        caches: Sequence[Callable[[str], None]],
    ) -> None:
        """``grace_days``: how long a deleted document can be undeleted before it is purged; 0: as long as nobody asks.
        ``caches``: each forgets what it keeps of a document.
        """
        self._erasure = storage.erasure
        self._access = storage.access
        self._ids = ids
        self._caches = caches
        self._moments = moments
        self._registry = registry
        self._clock = clock
        self._grace = grace_days * _DAY

    async def run(self) -> None:
        """Purge what was deleted long enough ago, and finish what was interrupted, now and every hour, until cancelled."""
        while True:
            try:
                await self.sweep()
            except StoreError as error:
                _log.warning("deleted documents not purged; it is tried again", reason=str(error))
            await self._clock.sleep(SWEEP_SECONDS)

    async def sweep(self) -> int:
        """Purge what was deleted long enough ago, and finish what was interrupted; returns how many documents were purged.

        Raises :class:`StoreError`.
        """
        purged = await self._purge_old() if self._grace else 0
        unfinished = await self._erasure.unfinished()
        for number, document_id in enumerate(unfinished, 1):
            # Scrubbing takes as long for one as for all.
            await self._erasure.finish(document_id, scrub=number == len(unfinished))
        return purged

    async def _purge_old(self) -> int:
        before = self._clock.now() - self._grace
        purged = 0
        while found := await self._erasure.purgeable(deleted_before=before, limit=_AT_ONCE):
            done = [await self._purge(document_id, before, scrub=False) for document_id in found]
            purged += sum(done)
            if not any(done):
                break  # others do the same
        return purged

    async def purge(self, document_id: str) -> bool:
        """Purge a document that is deleted, however short ago. False: it is not, or is purged already."""
        return await self._purge(document_id, self._clock.now() + 1)

    async def forget(self, moment: Moment) -> int:
        """Forget what happened up to a moment: the document as it was then is its beginning from now on. Returns the oldest
        offset that is kept.

        People who are in the document notice nothing. Raises :class:`HistoryRefused`, and what the store raises.
        """
        if moment.offset >= moment.info.first_offset:
            state = await self._moments.state(moment)
            committed = state.committed
            checkpoint = Checkpoint(moment.offset, committed.head.entry_id, committed.state, dict(committed.roots))
            if not await self._erasure.forget(moment.document_id, checkpoint):
                raise HistoryRefused("history_replaced", "the document's history was replaced meanwhile; ask again")
            _log.info("history forgotten", document=moment.document_id, until=moment.offset)
            room = self._registry.get(moment.document_id)
            if room is not None and room.readership.feed is not None:
                room.readership.feed.forget(moment.offset)
        # Also when that much was forgotten before: whoever did that may have ended before it was told.
        self._drop(moment.document_id)
        await self._tell(moment.document_id)
        return max(moment.offset + 1, moment.info.first_offset)

    def heard(self, change: AccessChange) -> None:
        """A change was learned: if it is about a document itself, something of it may be erased, or will be."""
        if change.session_id == NO_SESSION and change.document_id is not None:
            self._drop(change.document_id)

    def _drop(self, document_id: str) -> None:
        for forget in self._caches:
            forget(document_id)

    async def _tell(self, document_id: str) -> None:
        """All processes, by the way that deleting takes (see :mod:`cowrite.core.rooms.deletion`): that loses nothing."""
        reason = "the document's history was forgotten"
        now = self._clock.now()
        await self._access.change(
            AccessChange(self._ids.new(), "cowrite", now, document_id, session_id=NO_SESSION, reason=reason, restores=True)
        )

    async def _purge(self, document_id: str, before: int, *, scrub: bool = True) -> bool:
        purged = await self._erasure.purge(document_id, deleted_before=before, at=self._clock.now(), scrub=scrub)
        self._drop(document_id)
        if purged:
            _log.info("document purged", document=document_id)
        return purged
