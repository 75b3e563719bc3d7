"""All that a server offers of documents' pasts."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cowrite.core.account import SessionAccounts
from cowrite.core.history import authors, blames, diffs
from cowrite.core.history.authors import Authors
from cowrite.core.history.automatic import AutomaticVersions, VersionTimes
from cowrite.core.history.blames import Blames
from cowrite.core.history.cache import Cache
from cowrite.core.history.diffs import Diffs
from cowrite.core.history.erasing import Erasing
from cowrite.core.history.importing import Importing
from cowrite.core.history.moments import Moments
from cowrite.core.history.reads import BoundedHistory
from cowrite.core.history.restoring import Restoring
from cowrite.core.history.server_edits import ServerEdits
from cowrite.core.history.telling import TellingVersions
from cowrite.core.history.versions import VersionKeeper
from cowrite.core.history.worker import HistoryWorker
from cowrite.core.ids import Ids
from cowrite.core.limits import Limits
from cowrite.core.ports import Clock, Storage
from cowrite.core.ports.events import UNHEARD, Events
from cowrite.core.rooms.registry import Registry


@dataclass(frozen=True, slots=True)
class Past:
    """One application's services of history, connected."""

    history: BoundedHistory
    worker: HistoryWorker
    moments: Moments
    blames: Blames
    diffs: Diffs
    versions: VersionKeeper
    automatic: AutomaticVersions
    restoring: Restoring
    importing: Importing
    erasing: Erasing

    async def close(self) -> None:
        """Make the versions that are due, and let the worker end. Before the storage is closed."""
        await self.automatic.close()
        await self.history.close()
        await self.worker.close()


def open_past(
    storage: Storage,
    registry: Registry,
    accounts: SessionAccounts,
    clock: Clock,
    ids: Ids,
    limits: Limits,
    *,
    times: VersionTimes,
    grace_days: int,
    events: Events = UNHEARD,
) -> Past:
    """Connect the services. Nothing runs yet."""
    worker, history = HistoryWorker(), BoundedHistory(storage.history)
    storage = replace(storage, history=history, versions=TellingVersions(storage.versions, events))
    moments = Moments(storage, worker)
    known = Authors(history, storage.store, worker, max_bytes=authors.CACHE_BYTES)
    edits = ServerEdits(storage, moments, worker, registry, accounts, clock, ids, limits)
    blames_made = Blames(moments, known, worker, Cache(blames.CACHE_BYTES))
    diffs_made = Diffs(moments, known, worker, Cache(diffs.CACHE_BYTES))
    caches = [moments.forget, known.forget, blames_made.kept.forget, diffs_made.kept.forget]
    return Past(
        history=history,
        worker=worker,
        moments=moments,
        blames=blames_made,
        diffs=diffs_made,
        versions=VersionKeeper(storage.versions, clock, ids),
        automatic=AutomaticVersions(storage.versions, clock, ids, times, damaged=registry.damaged),
        restoring=Restoring(storage, moments, known, edits),
        importing=Importing(storage, moments, registry, edits, limits),
        erasing=Erasing(storage, moments, registry, clock, ids, grace_days=grace_days, caches=caches),
    )
