"""The parts of an application, and how they are connected."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import structlog

from cowrite.core.delivery.multicast import Multicast
from cowrite.core.event_types import EventType
from cowrite.core.excess import Excess
from cowrite.core.history.automatic import VersionTimes
from cowrite.core.history.past import Past, open_past
from cowrite.core.ids import Ids
from cowrite.core.imports.line import Imports
from cowrite.core.incoming import Incoming
from cowrite.core.journal.journal import Journal
from cowrite.core.leaving import Leaving
from cowrite.core.limits import Limits
from cowrite.core.operations.reading import DocumentReader
from cowrite.core.operations.writing import DocumentWriter
from cowrite.core.ports import Authorizer, Broker, Clock, Presence, Storage, Store
from cowrite.core.ports.events import Listeners
from cowrite.core.presence.service import PresenceService
from cowrite.core.rooms.deletion import Deletion
from cowrite.core.rooms.happenings import tell_news
from cowrite.core.rooms.heads import HeadWatch
from cowrite.core.rooms.misses import make_good
from cowrite.core.rooms.pending import Backlog
from cowrite.core.rooms.registry import Registry
from cowrite.core.rooms.room_ports import RoomPorts
from cowrite.core.sessions.access import AccessControl
from cowrite.core.sessions.bridge import SessionBridge
from cowrite.hooks import Hooks
from cowrite.hooks.calls import HookCalls
from cowrite.http.backend import Backend
from cowrite.http.renderings import Renderings
from cowrite.presence.opening import open_presence
from cowrite.settings import Settings
from cowrite.stores.errors import StoreSetupError
from cowrite.stores.opening import open_store
from cowrite.tokens import AccessTokens
from cowrite.tracing import Spans
from cowrite.transports.addresses import AddressSockets
from cowrite.transports.framing import WriteTurn
from cowrite.transports.load import ServerLoad
from cowrite.transports.origins import OriginPolicy
from cowrite.transports.polling import PollingPeers
from cowrite.transports.services import Connection, Services, SocketTimes
from cowrite.webhooks.content import ContentReader
from cowrite.webhooks.receiver import Receiver
from cowrite.webhooks.sender import SenderTimes, WebhookSender

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Given:
    """What an application is made of that was chosen before."""

    settings: Settings
    storage: Storage
    broker: Broker
    presence: Presence | None
    """None: what the settings say."""
    authorize: Authorizer
    access_tokens: AccessTokens
    clock: Clock
    limits: Limits
    origins: OriginPolicy
    times: SocketTimes
    hooks: Hooks | None = None
    """What the host wants to be told of."""
    spans: Spans | None = None
    """What makes traces. None: nothing does."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What runs between start and stop."""

    storage: Storage
    broker: Broker
    journal: Journal
    registry: Registry
    heads: HeadWatch
    presence: PresenceService
    backlog: Backlog
    services: Services
    backend: Backend
    polling: PollingPeers
    past: Past
    hooks: HookCalls | None
    """None: there are none."""
    webhooks: WebhookSender | None
    """None: there are none."""

    @property
    def store_failing(self) -> bool:
        """The store cannot be written, or not be read: the first is found only where there is something to write."""
        return self.journal.failing_since is not None or self.services.access.failing


def compose(given: Given) -> Parts:
    """Make the parts of an application and connect them. Nothing runs yet."""
    given = _traced(given)
    storage, clock, limits = given.storage, given.clock, given.limits
    store = storage.store
    ids, backlog, turn = Ids(clock), Backlog(), WriteTurn()
    excess = Excess(given.clock)
    incoming = Incoming(limits, excess)
    access = AccessControl(storage.access, clock, limits, excess)
    process = ids.new()
    hooks = HookCalls(given.hooks, storage, clock) if given.hooks is not None else None
    webhooks = _webhooks(given.settings, storage, clock, ids, process)
    events = Listeners(*(one for one in (hooks, webhooks) if one is not None))
    kept = given.presence
    if kept is None:
        kept = open_presence(given.settings.redis_url, storage.presence, clock)
    presence = PresenceService(kept, given.broker, clock, process)
    journal = Journal(storage, given.broker, access, clock, ids, limits, given.spans)
    # Rooms call the registry that makes them, and the watch over it: both are named here before they exist, and exist
    # before there is a room.
    ports = RoomPorts(
        process=process,
        presence=presence,
        clock=clock,
        limits=limits,
        backlog=backlog,
        shortest_window=given.settings.batch_min_ms / 1000,
        longest_window=given.settings.batch_ms / 1000,
        write=turn.flush,
        multicast=lambda: Multicast(turn),
        commit=journal.put,
        behind=lambda room: heads.behind(room),
        signal=given.broker.send,
        emptied=lambda room: registry.emptied(room),
        failed=lambda room: registry.forget(room),
        imports=Imports(clock, limits, excess),
        excess=excess,
        events=events,
        tracing=given.spans,
    )
    registry = Registry(store, given.broker, ports, storage.directory, storage.erasure, storage.history)
    heads = HeadWatch(store, given.broker, clock, registry, alone=given.settings.workers == 1)
    make_good(given.broker, heads, registry, presence)
    connections: set[Connection] = set()
    load = ServerLoad(
        clock,
        max_connections=given.settings.max_connections,
        connections=lambda: len(connections),
        failing=lambda: journal.failing_since is not None or access.failing or given.broker.degraded,
    )
    services = Services(
        registry=registry,
        bridge=SessionBridge(given.authorize, given.access_tokens, storage.access, access, clock, ids, limits, excess),
        access=access,
        reader=DocumentReader(storage),
        writer=DocumentWriter(registry, storage.history, storage.directory, access, journal.accounts, clock, ids, limits),
        clock=clock,
        ids=ids,
        limits=limits,
        origins=given.origins,
        load=load,
        connections=connections,
        times=given.times,
        turn=turn,
        excess=excess,
        incoming=incoming,
        leaving=Leaving(limits, excess),
        addresses=AddressSockets(limits.address_sockets),
    )
    past = open_past(
        storage,
        registry,
        journal.accounts,
        clock,
        ids,
        limits,
        times=_version_times(given.settings),
        grace_days=given.settings.delete_grace_days,
        events=events,
    )
    journal.listen(past.automatic.committed)
    if hooks is not None:
        journal.listen(partial(tell_news, hooks))
    if webhooks is not None:
        webhooks.content = _content(given.settings, store, registry, services)
        journal.listen(webhooks.committed)
        access.listen(webhooks.access_changed)
    polling = PollingPeers(registry, services.reader, access, clock, limits, ids.new())
    backend = _backend(storage, services, presence, polling, load, past)
    access.listen(backend.access_changed)
    access.listen(past.erasing.heard)
    presence.follow(access)
    return Parts(
        storage, given.broker, journal, registry, heads, presence, backlog, services, backend, polling, past, hooks, webhooks
    )


def _traced(given: Given) -> Given:
    """What the database and the broker take is a part of what they do it for."""
    if given.spans is None:
        return given
    # Without others to tell, publishing does nothing.
    others = given.settings.redis_url is not None
    broker = given.spans.broker(given.broker, "redis") if others else given.broker
    return replace(given, storage=given.spans.storage(given.storage), broker=broker)


def _backend(
    storage: Storage, services: Services, presence: PresenceService, polling: PollingPeers, load: ServerLoad, past: Past
) -> Backend:
    return Backend(
        registry=services.registry,
        bridge=services.bridge,
        access=services.access,
        access_log=storage.access,
        directory=storage.directory,
        deletion=Deletion(storage.directory, storage.erasure, services.registry, services.clock, services.ids),
        history=storage.history,
        past=past,
        presence=presence,
        reader=services.reader,
        writer=services.writer,
        binary=polling,
        load=load,
        clock=services.clock,
        ids=services.ids,
        limits=services.limits,
        incoming=services.incoming,
        leaving=services.leaving,
        renderings=Renderings(),
        address_of=services.addresses.client_of,
        webhooks=storage.webhooks,
    )


def _webhooks(settings: Settings, storage: Storage, clock: Clock, ids: Ids, process: str) -> WebhookSender | None:
    if settings.webhook_url is None:
        return None
    if storage.webhooks is None:
        raise StoreSetupError("COWRITE_WEBHOOK_URL is set, and this storage does not keep how far webhooks have told.")
    if not storage.lasting:
        _log.warning("webhooks are kept in memory: what was not received when this process ends is told to nobody")
    return WebhookSender(
        storage.webhooks,
        Receiver(settings.webhook_url),
        settings.webhook_keys,
        clock,
        ids,
        process=process,
        wanted=settings.webhook_events or tuple(EventType),
        times=SenderTimes(pause=settings.webhook_pause),
    )


def _content(settings: Settings, store: Store, registry: Registry, services: Services) -> ContentReader | None:
    form, most = settings.webhook_content, settings.webhook_content_bytes
    if form is None:
        return None
    return ContentReader(store, registry, services.reader, services.excess.log, form, most=most)


def _version_times(settings: Settings) -> VersionTimes:
    return VersionTimes(settings.version_pause, settings.version_interval, settings.version_retention_days)


def database_url(settings: Settings) -> str:
    """The URL of the database that the settings name."""
    if settings.database_url is not None:
        return settings.database_url
    assert settings.database_file is not None, "there is a file where no URL is set"
    return f"sqlite:///{settings.database_file.absolute()}"


async def open_database(settings: Settings, clock: Clock | None = None, *, upgrade: bool = True) -> Storage:
    """Open the storage that the settings name. Raises :class:`cowrite.stores.errors.StoreSetupError`."""
    url = database_url(settings)
    return await open_store(url, clock=clock, upgrade=upgrade, pool_size=settings.database_pool_size)
