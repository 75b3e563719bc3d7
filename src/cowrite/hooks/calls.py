"""Calls the hooks of a host application with what happens.

Theory of operation. Whatever happens is put into what waits of its document, in the step in which it happens. A document of
which something waits has one task, which calls the hooks one after the other until nothing does: none for each event, and none
for a document in which nothing happens. So a hook that takes long delays what is told of its own document, and nothing else.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Final

import structlog

from cowrite.core.events import Event, PresenceChanged, VersionCreated
from cowrite.core.history.telling import event_of
from cowrite.core.ports import Clock, HistoryForgotten, Storage, StoreCorrupt, StoreError
from cowrite.core.ports.events import Events
from cowrite.core.records import Entry, VersionKind
from cowrite.core.rooms.happenings import events_of
from cowrite.hooks.hooks import METHODS, Hooks
from cowrite.hooks.waiting import Range, Waiting

MAX_OF_DOCUMENT: Final = 1000
"""Events of one document that wait in memory."""
MAX_OF_PROCESS: Final = 50_000
_PORTION, _PORTION_BYTES = 100, 1 << 20
"""Entries that are read at once, and their bytes."""
_RETRY_SECONDS: Final = 2.0
_READ_AGAIN: Final = (VersionKind.NAMED, VersionKind.AUTOMATIC)
"""Those of restores are told with their entries."""

_log = structlog.get_logger(__name__)


class HookCalls:
    """See the module's docstring. Raises ``TypeError`` for hooks that cannot be called."""

    def __init__(
        self,
        hooks: Hooks,
        storage: Storage,
        clock: Clock,
        *,
        of_document: int = MAX_OF_DOCUMENT,
        of_process: int = MAX_OF_PROCESS,
    ) -> None:
        """``of_document``, ``of_process``: how many events wait in memory at most."""
        self._hooks = hooks
        self._wanted = _wanted(hooks)
        self._storage = storage
        self._clock = clock
        self._of_document, self._of_process = of_document, of_process
        self._documents: dict[str, Waiting] = {}
        """Those that have a task."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self.waiting = 0
        """Events of all documents; what is to be read again counts as one for each range."""
        self.failed = 0
        """Calls that have raised, or took too long."""
        self.left_out = 0
        """Events that found no room, and cannot be read again."""

    # ---- Events ------------------------------------------------------------------------------------------------------

    def tell(self, event: Event) -> None:
        if type(event) not in self._wanted or self._closed:
            return
        waiting = self._documents.get(event.document_id)
        if waiting is None:
            waiting = self._documents[event.document_id] = Waiting()
            task = asyncio.get_running_loop().create_task(self._work(event.document_id, waiting))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        before = len(waiting)
        if not waiting.put(event, room=before < self._of_document and self.waiting < self._of_process):
            if not self.left_out:
                _log.error("hooks are far behind; some things are not told", document=event.document_id, first=_name(event))
            self.left_out += 1
        self.waiting += len(waiting) - before

    async def close(self, seconds: float) -> None:
        """The process ends: tell what waits, for at most so many seconds. Nothing more may happen. Idempotent."""
        self._closed = True
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=seconds)
        if late:
            _log.error("hooks not told at shutdown", events=self.waiting, documents=len(self._documents))
            for task in late:
                task.cancel()
            await asyncio.wait(late)

    # ---- inside ------------------------------------------------------------------------------------------------------

    async def _work(self, document_id: str, waiting: Waiting) -> None:
        while waiting:
            before = len(waiting)
            if (event := waiting.take()) is not None:
                self.waiting -= before - len(waiting)
                await self._call(event)
            elif (entries := waiting.entries) is not None:
                await self._call_with_entries(document_id, waiting, entries)
            elif (since := waiting.take_versions()) is not None:
                self.waiting -= 1
                await self._call_with_versions(document_id, waiting, since)
        del self._documents[document_id]

    async def _call(self, event: Event) -> None:
        if type(event) not in self._wanted:
            return
        if isinstance(event, PresenceChanged) and not (event.joined or event.updated or event.left):
            return  # somebody came, and is gone
        about = {"hook": _name(event), "document": event.document_id}
        limit = self._hooks.time_limit
        try:
            async with asyncio.timeout(limit) as time:
                await getattr(self._hooks, _name(event))(event)
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise
            self._failed("hook has cancelled itself", about)
        except Exception as error:
            if isinstance(error, TimeoutError) and time.expired():
                self._failed(f"hook took longer than its {limit:g} s, and was cancelled", about)
            else:
                self._failed("hook failed", about, error)

    def _failed(self, what: str, about: dict[str, str], error: Exception | None = None) -> None:
        self.failed += 1
        _log.error(what, **about, exc_info=error)

    async def _call_with_entries(self, document_id: str, waiting: Waiting, wanted: Range) -> None:
        """Read some of the entries again, and tell of them."""
        found: list[Entry] = []
        until = wanted.last
        try:
            info = await self._storage.directory.info(document_id)
            if info is None or info.head.epoch != wanted.epoch:
                raise StoreCorrupt("its log was replaced")
            after = max(wanted.first, info.first_offset) - 1
            if after >= wanted.first:
                self._lost(document_id, wanted.first, min(after, wanted.last), "their history was forgotten")
            if after < wanted.last:
                read = self._storage.history.operations
                found += await read(document_id, after=after, limit=_PORTION, size=_PORTION_BYTES)
                until = found[-1].offset if found else until
        except HistoryForgotten:
            return  # just now: it is seen the next time
        except StoreCorrupt as error:
            self._lost(document_id, wanted.first, wanted.last, str(error))
        except StoreError as error:
            await self._pause(document_id, error)
            return
        before = len(waiting)
        waiting.read(until)
        self.waiting -= before - len(waiting)
        for entry in found:
            if entry.offset <= wanted.last:
                for event in events_of(document_id, wanted.epoch, entry):
                    await self._call(event)

    async def _call_with_versions(self, document_id: str, waiting: Waiting, since: int) -> None:
        try:
            found = await self._versions(document_id, since)
        except StoreError as error:
            waiting.give_back_versions(since)
            self.waiting += 1
            await self._pause(document_id, error)
            return
        for event in sorted(found, key=lambda one: (one.time, one.version_id)):
            await self._call(event)

    async def _versions(self, document_id: str, since: int) -> list[VersionCreated]:
        found: list[VersionCreated] = []
        before: str | None = None
        while page := await self._storage.versions.list(document_id, kinds=_READ_AGAIN, before=before):
            found += [event_of(one) for one in page if one.created_at >= since]
            before = page[-1].id
        return found

    async def _pause(self, document_id: str, error: StoreError) -> None:
        _log.warning("hooks are behind, and what they are to be told cannot be read", document=document_id, reason=str(error))
        await self._clock.sleep(_RETRY_SECONDS)

    def _lost(self, document_id: str, first: int, last: int, reason: str) -> None:
        self.left_out += last - first + 1
        _log.error("hooks are not told of entries", document=document_id, first=first, last=last, reason=reason)


def _name(event: Event) -> str:
    return METHODS[type(event)]


def _wanted(hooks: Hooks) -> frozenset[type[Event]]:
    if not isinstance(hooks, Hooks):
        raise TypeError(f"hooks= takes an object of a class that is derived from cowrite.hooks.Hooks, not {hooks!r}")
    wanted = set()
    for event, name in METHODS.items():
        method = getattr(hooks, name)
        if getattr(method, "__func__", method) is not getattr(Hooks, name):
            if not inspect.iscoroutinefunction(method):
                raise TypeError(f"the hook {name} of {type(hooks).__name__} must be an 'async def'")
            wanted.add(event)
    return frozenset(wanted)


if TYPE_CHECKING:
    _: type[Events] = HookCalls
