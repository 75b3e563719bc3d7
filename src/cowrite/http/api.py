"""The programming interface: all routes under ``/api/v2``."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send

from cowrite.core.limits import Limits
from cowrite.http.admin import admin_routes
from cowrite.http.admin_webhooks import admin_webhook_routes
from cowrite.http.backend import Serving
from cowrite.http.description import describe_tokens
from cowrite.http.documents import documents_routes
from cowrite.http.history import history_routes
from cowrite.http.importing import importing_routes
from cowrite.http.operations import operations_routes, poll_route
from cowrite.http.realtime import realtime_routes
from cowrite.http.versions import versions_routes


def include_api(app: FastAPI, serving: Serving, *, limits: Limits, batch_milliseconds: int) -> None:
    """Add the routes to an application.

    Those that FastAPI makes take it longer than all else of an application. They are made once, and find by the request what
    they work with: whoever makes applications by the dozen, as a host's tests do, waits for the first.
    """
    app.state.cowrite_backend = serving
    routers = (
        realtime_routes(batch_milliseconds=batch_milliseconds),
        operations_routes(limits),
        documents_routes(),
        versions_routes(),
        history_routes(),
        importing_routes(),
        admin_routes(),
        admin_webhook_routes(),
    )
    app.router.routes.append(poll_route(serving))
    known = [route for router in routers for route in router.routes]
    app.router.routes.extend(known)  # include_router() would have them made anew, while the first request waits for it
    describe_tokens(app)
    app.router.routes.append(Route("/api/{rest:path}", _Nowhere(known), include_in_schema=False))


class _Nowhere:
    """What no route takes: 405 with all methods that the path has, or 404. Behind it a page may be served at every path."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._routes = [route for route in routes if isinstance(route, Route)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        there = [route for route in self._routes if route.matches(scope)[0] is not Match.NONE]
        if not there:
            detail = "There is no such address. An id in a path is percent-encoded as a whole: notes/1 is notes%2F1."
            raise HTTPException(HTTPStatus.NOT_FOUND, detail)
        allowed = sorted({method for route in there for method in route.methods or ()})
        raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, headers={"allow": ", ".join(allowed)})
