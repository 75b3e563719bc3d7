"""What a load balancer and a person ask first: does it live, may it be sent work."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from cowrite.http.problems import problem


class DatabaseConnections(BaseModel):
    """The connections to a database server, of one process."""

    size: int = Field(description="How many there may be.")
    in_use: int
    waits: int = Field(description="How often something had to wait for one, since the start.")
    waited_seconds: float = Field(description="How long, all together.")


class Health(BaseModel):
    """The state of one process."""

    status: Literal["ok", "degraded"] = Field(
        description="`degraded`: it serves, but the store cannot be read or written, other processes' edits come "
        "late, or presence is not kept where it should be."
    )
    store: Literal["ok", "failing"] = Field(
        description="`failing`: it cannot be written, or could not be read twice in a row; it is read twice a second."
    )
    presence: Literal["ok", "degraded"] = Field(
        description="`degraded`: kept in the database in the place of Redis, or known of this process only."
    )
    broker: Literal["ok", "degraded"] = Field(
        description="`degraded`: Redis does not work; what other processes store is looked for four times a second."
    )
    pending_bytes: int = Field(description="Updates that were taken from editors and are not stored yet.")
    documents: int = Field(description="Documents that are open in this process.")
    failing_documents: int = Field(description="Documents that cannot be stored although the store can; the log says why.")
    damaged_documents: int = Field(
        description="Documents that were found damaged in the database, and are only read; the log says where."
    )
    connections: int
    database: DatabaseConnections | None = Field(None, description="Only where the store is on a database server.")


class Ready(BaseModel):
    """It takes connections."""

    status: Literal["ready"] = "ready"


def health_routes(health: Callable[[], Health], ready: Callable[[], bool]) -> APIRouter:
    """``/healthz`` and ``/readyz``."""
    routes = APIRouter(tags=["operating"])

    @routes.get("/healthz", summary="How this process is", response_model_exclude_none=True)
    async def healthz() -> Health:
        return health()

    @routes.get("/readyz", summary="Whether it takes connections", responses={503: {"description": "Starting or stopping."}})
    async def readyz() -> Ready:
        return Ready() if ready() else _not_ready()  # type: ignore[return-value] # FastAPI passes a response on as it is

    return routes


def _not_ready() -> JSONResponse:
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, code="not_ready", detail="The server is starting or stopping.")
