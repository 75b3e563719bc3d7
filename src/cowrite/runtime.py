"""The running application: what is opened and started, what it says of itself, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any, Final, TypeAlias

import structlog
from fastapi import FastAPI

from cowrite.brokers.errors import BrokerSetupError
from cowrite.brokers.opening import open_broker, require_redis
from cowrite.composition import Given, Parts, compose, open_database
from cowrite.core.errors import PeerError
from cowrite.core.limits import Limits
from cowrite.core.memory import give_back_memory
from cowrite.core.operations.submissions import SubmissionRefused
from cowrite.core.ports import Authorizer, Broker, Clock, Presence, Storage
from cowrite.draining import REASON, send_away
from cowrite.figures import figures_of
from cowrite.hooks import Hooks
from cowrite.http.backend import Backend
from cowrite.http.health import DatabaseConnections, Health
from cowrite.http.metrics import ByWorker, Figures
from cowrite.open_documents import documents_of
from cowrite.protocol.close_codes import CloseCode
from cowrite.settings import Settings
from cowrite.tokens import AccessTokens
from cowrite.tracing import Spans
from cowrite.transports.origins import OriginPolicy
from cowrite.transports.services import Services, SocketTimes

TEND_SECONDS: Final = 5.0
"""How often rooms are looked after."""
_GIVE_BACK_SECONDS: Final = 60.0
"""How often memory that was freed is given back to the system."""
_RESTART_SECONDS: Final = 1.0
"""The pause before a background task that failed is started again."""

_END_SECONDS: Final = 2.0
"""How long background tasks may take to end. A database may be erasing from its files, which takes as long as it takes."""

_NOT_RUNNING: Final = Health(
    status="ok",
    store="ok",
    presence="ok",
    broker="ok",
    pending_bytes=0,
    documents=0,
    failing_documents=0,
    damaged_documents=0,
    connections=0,
    database=None,
)

ToldByWorker: TypeAlias = Mapping[int, Mapping[str, Any]]
"""What :meth:`Runtime.told` said in each worker, by its number, and how often that was started again."""

_log = structlog.get_logger(__name__)


class Runtime:
    """The running application behind the web framework's. ``app.state.cowrite`` is one."""

    def __init__(
        self,
        settings: Settings,
        *,
        storage: Storage | None,
        broker: Broker | None,
        presence: Presence | None,
        authorize: Authorizer,
        access_tokens: AccessTokens,
        clock: Clock,
        limits: Limits,
        origins: OriginPolicy,
        times: SocketTimes,
        drain_seconds: float,
        hooks: Hooks | None = None,
        spans: Spans | None = None,
    ) -> None:
        self.origins = origins
        self.access_tokens = access_tokens
        self._settings = settings
        self._storage = storage
        self._broker = broker
        self._presence = presence
        self._authorize = authorize
        self._clock = clock
        self.limits = limits
        self._times = times
        self._drain_seconds = drain_seconds
        self._hooks = hooks
        self._spans = spans
        self._parts: Parts | None = None
        self._accepting = False
        self._started = False
        self.left_behind = 0
        """Updates that were not stored when it stopped, and that nobody was told to be."""
        self.ask_all: Callable[[str | None], Awaitable[ToldByWorker]] | None = None
        """Asks all workers what :meth:`told` tells. None: there is no other."""
        self._committing: asyncio.Task[None]
        self._watching: tuple[asyncio.Task[None], ...] = ()

    def serving(self) -> Services | None:
        """What transports work with; None while nobody may come in."""
        self._expect_start()
        return self._parts.services if self._accepting and self._parts is not None else None

    def backend(self) -> Backend | None:
        """What HTTP routes work with; None while nobody may come in."""
        self._expect_start()
        return self._parts.backend if self._accepting and self._parts is not None else None

    def refused(self, code: str, error: Exception) -> None:
        """A request was refused with this code, because of that."""
        if self._parts is not None:
            excess = self._parts.services.excess
            excess.count(code)
            excess.refused(error)
            if isinstance(error, PeerError | SubmissionRefused) and error.limit is not None:
                excess.count(error.limit)

    def health(self) -> Health:
        """The state of this process."""
        parts = self._parts
        if parts is None:
            return _NOT_RUNNING
        failing, documents = parts.store_failing, parts.journal.failing_documents
        presence_degraded, broker_degraded = parts.presence.degraded, parts.broker.degraded
        return Health(
            status="degraded"
            if failing or documents or parts.registry.damaged or presence_degraded or broker_degraded
            else "ok",
            store="failing" if failing else "ok",
            presence="degraded" if presence_degraded else "ok",
            broker="degraded" if broker_degraded else "ok",
            pending_bytes=parts.backlog.bytes,
            documents=len(parts.registry),
            failing_documents=len(documents),
            damaged_documents=len(parts.registry.damaged),
            connections=len(parts.services.connections),
            database=None if parts.storage.pool is None else DatabaseConnections(**asdict(parts.storage.pool())),
        )

    def figures(self) -> Figures:
        """What this process counts and measures; nothing while it does not run."""
        return figures_of(self._parts) if self._parts is not None else {}

    async def all_figures(self) -> ByWorker:
        """Those of all workers behind the port, by number."""
        return await self._ask(None)

    async def all_documents(self, search: str) -> Mapping[int, Sequence[Mapping[str, Any]]]:
        """The open documents of all workers with this in their ids, by number; of one that does not answer nothing."""
        return {number: told.get("documents", ()) for number, told in (await self._ask(search)).items()}

    def told(self, about: str | None) -> Mapping[str, Any]:
        """What this process tells another worker, which sends it on: its figures (None), or its ``documents`` with this in
        their ids.
        """
        if about is None:
            return self.figures()
        return {"documents": documents_of(self._parts, about) if self._parts is not None else ()}

    async def _ask(self, about: str | None) -> ToldByWorker:
        return await self.ask_all(about) if self.ask_all is not None else {1: self.told(about)}

    # ---- its life ----------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Run while the block runs."""
        await self.start()
        try:
            yield
        finally:
            await self.stop()

    async def start(self) -> None:
        """Open the storage and the broker, and let connections in.

        Raises :class:`cowrite.stores.errors.StoreSetupError` and :class:`cowrite.brokers.errors.BrokerSetupError`.
        """
        self._started = True
        storage = self._storage if self._storage is not None else await open_database(self._settings, self._clock)
        try:
            if self._settings.redis_url is not None and self._presence is None:
                require_redis()  # presence is kept there, also beside a broker of the host's own
            broker = self._broker if self._broker is not None else await open_broker(self._settings.redis_url)
        except BrokerSetupError:
            await storage.close()
            raise
        parts = self._parts = self._compose(storage, broker)
        self._committing = self._run(parts.journal.run)
        await parts.services.access.catch_up()
        await parts.services.access.look_for_ends()
        await parts.presence.start()
        services = parts.services
        watched = (
            parts.heads.run,
            parts.presence.run,
            services.access.run,
            services.load.run,
            parts.past.erasing.run,
            self._tend,
            *((parts.webhooks.run,) if parts.webhooks is not None else ()),
        )
        self._watching = tuple(self._run(work) for work in watched)
        self._accepting = True

    def begin_drain(self) -> None:
        """The beginning of the end: nobody comes in any more, and whoever waits for something is answered. Idempotent."""
        self._accepting = False
        if self._parts is not None:
            self._parts.backend.drain()
            self._parts.polling.close()
            self._parts.services.load.draining = True

    async def send_away(self, seconds: float) -> None:
        """Tell those who are here to come back, one after the other. Returns when all have been told."""
        self.begin_drain()
        if self._parts is not None:
            await send_away(self._parts.services, seconds)

    def refuse_connections(self) -> None:
        """Nobody comes in any more, and all who are here are told to come back. Idempotent."""
        self.begin_drain()
        if self._parts is not None:
            self._parts.services.close_connections(CloseCode.SERVICE_RESTART, REASON)

    async def stop(self) -> None:
        """Bring to the disk what is pending, within the time given for it, and close everything."""
        self.refuse_connections()
        if self._parts is None:
            return
        parts, self._parts = self._parts, None
        await self._drain(parts)
        for task in self._watching:
            task.cancel()
        _, left = await asyncio.wait(self._watching, timeout=_END_SECONDS)
        if left:
            _log.warning(
                "background work has not ended; what it leaves unfinished is finished after the next start", tasks=len(left)
            )
        await parts.past.close()
        await parts.registry.close()
        await parts.presence.close()
        if parts.hooks is not None:
            await parts.hooks.close(self._drain_seconds)  # it reads from the storage what did not fit into memory
        await parts.broker.close()
        await parts.storage.close()

    def _expect_start(self) -> None:
        if not self._started:
            self._started = True  # said once
            _log.error(
                "cowrite was asked for something and is not started: a mounted application's lifespan is not run; "
                "use cowrite.mount(host, path, app) instead of host.mount(path, app)"
            )

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _compose(self, storage: Storage, broker: Broker) -> Parts:
        given = Given(
            settings=self._settings,
            storage=storage,
            broker=broker,
            presence=self._presence,
            authorize=self._authorize,
            access_tokens=self.access_tokens,
            clock=self._clock,
            limits=self.limits,
            origins=self.origins,
            times=self._times,
            hooks=self._hooks,
            spans=self._spans,
        )
        return compose(given)

    async def _drain(self, parts: Parts) -> None:
        parts.journal.hurry()
        for room in parts.registry.rooms:
            room.flush()
            if room.needs_commit:
                parts.journal.put(room)
        try:
            async with asyncio.timeout(self._drain_seconds):
                await parts.journal.drained()
        except TimeoutError:
            left = {room.document_id: len(list(room.pending)) for room in parts.registry.rooms if room.pending}
            self.left_behind = sum(left.values())
            _log.error(
                "edits not stored at shutdown; they were not acknowledged, and come back with the editors that hold them",
                updates=self.left_behind,
                documents=len(left),
                bytes=parts.backlog.bytes,
                reason=parts.journal.failure,
            )
        # Waited for, not cancelled after a time: a transaction that is under way must come to its end.
        closing = asyncio.get_running_loop().create_task(parts.journal.close())
        await asyncio.wait((closing, self._committing), timeout=self._drain_seconds)

    async def _tend(self) -> None:
        freed, given_back = False, self._clock.monotonic()
        while True:
            await self._clock.sleep(TEND_SECONDS)
            now = self._clock.monotonic()
            if self._parts is not None:
                self._parts.services.access.tend(self._clock.now())
                for room in self._parts.registry.rooms:
                    freed = room.tend(now) or freed
            if freed and now - given_back >= _GIVE_BACK_SECONDS:
                freed, given_back = False, now
                await asyncio.to_thread(give_back_memory)

    def _run(self, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(_keep_running(work))


async def _keep_running(work: Callable[[], Awaitable[None]]) -> None:
    """Run a background task; one that fails is started again, since documents depend on it."""
    while True:
        try:
            await work()
        except Exception:
            _log.exception("background task failed")
            await asyncio.sleep(_RESTART_SECONDS)
        else:
            return
