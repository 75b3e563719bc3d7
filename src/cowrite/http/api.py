"""The programming interface: all routes under ``/api/v2``."""

from __future__ import annotations

from fastapi import FastAPI

from cowrite.core.limits import Limits
from cowrite.http.backend import Serving
from cowrite.http.documents import documents_routes
from cowrite.http.operations import operations_routes, poll_route
from cowrite.http.realtime import realtime_routes


def include_api(app: FastAPI, serving: Serving, *, limits: Limits, batch_milliseconds: int) -> None:
    """Add the routes to an application."""
    app.router.routes.append(poll_route(serving))
    app.include_router(realtime_routes(serving, batch_milliseconds=batch_milliseconds))
    app.include_router(operations_routes(serving, limits))
    app.include_router(documents_routes(serving))
