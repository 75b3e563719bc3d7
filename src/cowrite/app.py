"""The application: the one place that chooses implementations and connects the parts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Final

import structlog
from fastapi import FastAPI
from starlette.routing import WebSocketRoute

from cowrite.brokers.errors import BrokerSetupError
from cowrite.brokers.opening import open_broker
from cowrite.composition import Given, Parts, compose, open_database
from cowrite.core.clock import SystemClock
from cowrite.core.limits import Limits
from cowrite.core.memory import give_back_memory
from cowrite.core.ports import Authorizer, Broker, Clock, Presence, Storage
from cowrite.draining import REASON, send_away
from cowrite.figures import figures_of
from cowrite.http.api import include_api
from cowrite.http.backend import Backend
from cowrite.http.docs_page import docs_route
from cowrite.http.health import DatabaseConnections, Health, health_routes
from cowrite.http.metrics import ByWorker, Figures, metrics_routes
from cowrite.http.origins import CrossOrigin
from cowrite.http.pages import Pages
from cowrite.http.problems import answer_with_problems
from cowrite.http.query_tokens import QueryTokens
from cowrite.http.raw_paths import RawDocumentPaths
from cowrite.http.security import HostCheck, SecurityHeaders
from cowrite.protocol.close_codes import CloseCode
from cowrite.settings import Settings, load_settings
from cowrite.tokens import (
    AccessTokens,
    DemoAuthorizer,
    Key,
    KeySource,
    KeysUnavailable,
    SignedTokens,
    TokenAuthorizer,
    ephemeral_keys,
)
from cowrite.transports.asgi import SocketEndpoint
from cowrite.transports.origins import OriginPolicy
from cowrite.transports.services import Services, SocketTimes
from cowrite.web import PAGES

_VERSION: Final = version("cowrite")
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

_log = structlog.get_logger(__name__)


def create_app(
    settings: Settings | None = None,
    *,
    demo: bool = False,
    storage: Storage | None = None,
    broker: Broker | None = None,
    presence: Presence | None = None,
    authorize: Authorizer | None = None,
    clock: Clock | None = None,
    limits: Limits | None = None,
    times: SocketTimes | None = None,
    drain_seconds: float = 10.0,
    access_keys: Sequence[Key] | None = None,
) -> FastAPI:
    """Make the ASGI application. It runs under any ASGI server; its lifespan must be on.

    What is not given is chosen by the settings (by default those of the environment): SQLite, one process, session tokens made
    with the secret, and access tokens made with its first key. Where there is no secret (``demo``, or ``authorize`` given) the
    key of access tokens is random and ends with the process, unless there are ``access_keys``: after a restart clients connect
    anew. ``demo``: anyone may write without a token, and the demo page is served. ``storage``, ``broker`` and ``presence`` are
    closed with the application.
    ``drain_seconds``: how long a shutdown waits for edits to reach the store.

    Raises :class:`cowrite.settings.SettingsError`, and ``ValueError`` when neither a secret nor ``authorize`` nor ``demo`` says
    who may come in; at start-up :class:`cowrite.stores.errors.StoreSetupError` and
    :class:`cowrite.brokers.errors.BrokerSetupError`.
    """
    settings = settings if settings is not None else load_settings()
    clock = clock if clock is not None else SystemClock()
    runtime = Runtime(
        settings,
        storage=storage,
        broker=broker,
        presence=presence,
        authorize=authorize if authorize is not None else _authorizer(settings, clock, demo=demo),
        access_tokens=AccessTokens(settings.keys or access_keys or ephemeral_keys(), clock),
        clock=clock,
        limits=limits if limits is not None else settings.limits,
        origins=OriginPolicy(frozenset(settings.allowed_origins), demo),
        times=times if times is not None else SocketTimes(),
        drain_seconds=drain_seconds,
    )
    app = FastAPI(
        title="cowrite", version=_VERSION, lifespan=runtime.lifespan, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    app.state.cowrite = runtime
    answer_with_problems(app, unavailable_when=(KeysUnavailable,), told=runtime.refused)
    # The one that is added last is the outermost.
    app.add_middleware(RawDocumentPaths)
    app.add_middleware(CrossOrigin, allows=runtime.origins.allows)
    app.add_middleware(HostCheck, allows=runtime.origins.allows_host)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(QueryTokens)
    app.router.routes.append(docs_route(app))
    app.router.routes.extend(health_routes(runtime.health, lambda: runtime.serving() is not None).routes)
    app.router.routes.extend(metrics_routes(runtime.all_figures).routes)
    include_api(app, runtime.backend, limits=runtime.limits, batch_milliseconds=settings.batch_ms)
    app.router.routes.append(WebSocketRoute("/{path:path}", SocketEndpoint(runtime.serving)))
    if demo:
        app.mount("/", Pages(PAGES))
    return app


def _authorizer(settings: Settings, clock: Clock, *, demo: bool) -> Authorizer:
    kind = DemoAuthorizer if demo else TokenAuthorizer
    return kind(settings.keys, clock, signed=_signed(settings, clock), single_use=settings.single_use_tokens)


def _signed(settings: Settings, clock: Clock) -> SignedTokens | None:
    if settings.jwt_secret is None and settings.jwks is None:
        return None
    return SignedTokens(
        secrets=settings.jwt_keys,
        source=None if settings.jwks is None else _key_source(settings.jwks, settings.jwks_url, clock),
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
    )


def _key_source(place: str, url: str | None, clock: Clock) -> KeySource:
    from cowrite.tokens.jwks import JwksFile, JwksUrl  # here: most servers need no HTTP client

    return JwksFile(Path(place), clock) if url is None else JwksUrl(url, clock)


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
        self._parts: Parts | None = None
        self._accepting = False
        self.left_behind = 0
        """Updates that were not stored when it stopped, and that nobody was told to be."""
        self.ask_all: Callable[[], Awaitable[ByWorker]] | None = None
        """Asks all workers for their figures. None: there is no other."""
        self._committing: asyncio.Task[None]
        self._watching: tuple[asyncio.Task[None], ...] = ()

    def serving(self) -> Services | None:
        """What transports work with; None while nobody may come in."""
        return self._parts.services if self._accepting and self._parts is not None else None

    def backend(self) -> Backend | None:
        """What HTTP routes work with; None while nobody may come in."""
        return self._parts.backend if self._accepting and self._parts is not None else None

    def refused(self, code: str) -> None:
        """A request was refused with this code."""
        if self._parts is not None:
            self._parts.services.excess.count(code)

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
        return await self.ask_all() if self.ask_all is not None else {1: self.figures()}

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
        storage = self._storage if self._storage is not None else await open_database(self._settings, self._clock)
        try:
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
        await parts.broker.close()
        await parts.storage.close()

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
