"""The application: the one place that chooses implementations."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.routing import WebSocketRoute

from cowrite.core.clock import SystemClock
from cowrite.core.ids import Ids
from cowrite.core.limits import Limits
from cowrite.core.ports import Authorizer, Broker, Clock, Presence, Storage
from cowrite.documents import Documents
from cowrite.hooks import Hooks
from cowrite.http.answers import Answers
from cowrite.http.api import include_api
from cowrite.http.docs_page import docs_route
from cowrite.http.health import health_routes
from cowrite.http.lost_upgrades import LostUpgrades
from cowrite.http.metrics import metrics_routes
from cowrite.http.origins import CrossOrigin
from cowrite.http.pages import Pages, page_routes
from cowrite.http.problems import answer_with_problems
from cowrite.http.query_tokens import QueryTokens
from cowrite.http.raw_paths import RawDocumentPaths
from cowrite.http.request_ids import RequestIds, request_id
from cowrite.http.security import HostCheck, SecurityHeaders
from cowrite.runtime import Runtime
from cowrite.settings import Settings, SettingsError, load_settings
from cowrite.tokens import (
    AccessTokens,
    DemoAuthorizer,
    KeySource,
    KeysUnavailable,
    SignedTokens,
    TokenAuthorizer,
    ephemeral_keys,
)
from cowrite.tracing import Spans, TracerProvider, TracingMissing, open_spans
from cowrite.transports.asgi import SocketEndpoint
from cowrite.transports.origins import OriginPolicy
from cowrite.transports.services import SocketTimes
from cowrite.web import ADMIN, PAGES

_VERSION: Final = version("cowrite")
_NO_TELEMETRY: Final[TelemetryConfig] = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
"""FastAPI's own would tell query strings, in which there may be tokens, and the messages of exceptions, to whatever the process
has set up."""


class Application(FastAPI):
    """What :func:`create_app` makes."""

    documents: Documents
    """Its documents, for programs within the same process."""


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
    hooks: Hooks | None = None,
    tracer_provider: TracerProvider | None = None,
) -> Application:
    """Make the ASGI application. It runs under any ASGI server; its lifespan must be on.

    What is not given is chosen by the settings (by default those of the environment): SQLite, one process, session tokens made
    with the secret, and access tokens made with its first key. Where there is no secret (``demo``, or ``authorize`` given) the
    key of access tokens is random and ends with the process: after a restart clients connect anew. ``demo``: anyone may write
    without a token, and the demo page is served. ``storage``, ``broker`` and ``presence`` are closed with the application.
    ``drain_seconds``: how long a shutdown waits for edits to reach the store, and then for ``hooks`` to be told the rest.
    ``hooks``: what you want to be told of, see :class:`cowrite.hooks.Hooks`. ``tracer_provider``: what makes OpenTelemetry's
    spans; None: with the setting ``trace`` the one that this process has set, else nothing does.

    Raises :class:`cowrite.settings.SettingsError`, and ``ValueError`` when neither a secret nor ``authorize`` nor ``demo`` says
    who may come in; at start-up :class:`cowrite.stores.errors.StoreSetupError` and
    :class:`cowrite.brokers.errors.BrokerSetupError`.
    """
    settings = settings if settings is not None else load_settings()
    clock = clock if clock is not None else SystemClock()
    limits = limits if limits is not None else settings.limits
    spans = _spans(settings, tracer_provider)
    runtime = Runtime(
        settings,
        storage=storage,
        broker=broker,
        presence=presence,
        authorize=authorize if authorize is not None else _authorizer(settings, clock, demo=demo),
        access_tokens=AccessTokens(settings.keys or ephemeral_keys(), clock),
        clock=clock,
        limits=limits,
        origins=OriginPolicy(frozenset(settings.allowed_origins), demo),
        times=times if times is not None else SocketTimes.of(limits),
        drain_seconds=drain_seconds,
        hooks=hooks,
        spans=spans,
    )
    app = Application(
        title="cowrite",
        version=_VERSION,
        lifespan=runtime.lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=_NO_TELEMETRY,
    )
    app.state.cowrite = runtime
    app.documents = Documents(runtime.serving)
    answer_with_problems(app, unavailable_when=(KeysUnavailable,), told=runtime.refused)
    # The one that is added last is the outermost.
    app.add_middleware(Answers, serving=runtime.backend)
    app.add_middleware(RawDocumentPaths)
    app.add_middleware(LostUpgrades)
    app.add_middleware(CrossOrigin, allows=runtime.origins.allows)
    app.add_middleware(HostCheck, allows=runtime.origins.allows_host)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(QueryTokens)
    if spans is not None:
        from cowrite.tracing.requests import TracedRequests

        app.add_middleware(TracedRequests, spans=spans, request_id=request_id)
    app.add_middleware(RequestIds, new_id=Ids(clock).new)
    app.router.routes.append(docs_route(app))
    app.router.routes.extend(health_routes(runtime.health, lambda: runtime.serving() is not None).routes)
    app.router.routes.extend(metrics_routes(runtime.all_figures).routes)
    include_api(app, runtime.backend, limits=runtime.limits, batch_milliseconds=settings.batch_ms)
    app.router.routes.extend(page_routes("/admin", ADMIN))
    app.router.routes.append(WebSocketRoute("/{path:path}", SocketEndpoint(runtime.serving)))
    if demo:
        app.mount("/", Pages(PAGES))
    return app


def _spans(settings: Settings, provider: TracerProvider | None) -> Spans | None:
    try:
        return open_spans(provider, wanted=settings.trace)
    except TracingMissing as missing:
        raise SettingsError(str(missing)) from None


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
