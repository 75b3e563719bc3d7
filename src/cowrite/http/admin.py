"""What administrators of all documents are told: how the server is, which documents are open, and who is in them.

What they do is done by routes that there are for it: grants are changed by ``POST /api/v2/realtime/grants``, a document's past
is below ``/api/v2/documents``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from typing import Annotated, Any, Final, Protocol

from fastapi import APIRouter, Depends, Query, Request

from cowrite.http.admin_models import (
    Changed,
    DocumentShown,
    OpenDocument,
    OpenDocuments,
    Overview,
    PersonShown,
    State,
    merged,
)
from cowrite.http.asked import backend_asked
from cowrite.http.backend import Backend
from cowrite.http.credentials import identify_administrator
from cowrite.http.documents import not_found, shown
from cowrite.http.metrics import ByWorker
from cowrite.http.models import DocumentId
from cowrite.http.problems import documented
from cowrite.http.strict_route import ExactRoute

MAX_SHOWN: Final = 200
_RANKS: Final[Mapping[State, int]] = {"damaged": 0, "failing": 1, "open": 2}
"""What is wrong comes before what is busy: it is what somebody has come for."""
_VERSION: Final = version("cowrite")
_ERRORS: Final = {
    "s400": "bad_request",
    "s401": "unauthorized",
    "s403": "forbidden grant_too_low",
    "s422": "unprocessable_entity",
    "s503": "unavailable draining",
}


class Workers(Protocol):
    """All processes behind the port."""

    async def all_figures(self) -> ByWorker:
        """What each counts and measures."""
        ...

    async def all_documents(self, search: str) -> Mapping[int, Sequence[Mapping[str, Any]]]:
        """The documents with this in their ids that each has open, the most important first."""
        ...


def _workers_asked(request: Request) -> Workers:
    workers: Workers = request.app.state.cowrite
    return workers


@lru_cache
def admin_routes() -> APIRouter:
    """``/api/v2/admin`` and what is below it."""
    routes = APIRouter(prefix="/api/v2/admin", tags=["admin"], route_class=ExactRoute)
    parts, all_of_them = Depends(backend_asked), Depends(_workers_asked)

    @routes.get(
        "/overview",
        summary="How the server is",
        description="For a session token that grants `admin` on the pattern `*`, as all below `admin`.",
        responses=documented(**_ERRORS),
    )
    async def overview(request: Request, backend: Backend = parts, workers: Workers = all_of_them) -> Overview:
        await identify_administrator(backend, request.scope)
        return Overview.of(_VERSION, backend.clock.now(), await workers.all_figures())

    @routes.get("/documents", summary="Which documents are open", responses=documented(**_ERRORS))
    async def documents(
        request: Request,
        backend: Backend = parts,
        workers: Workers = all_of_them,
        search: Annotated[str, Query(max_length=255, description="What their ids have in them, whatever its case.")] = "",
        limit: Annotated[int, Query(ge=1, le=MAX_SHOWN)] = 50,
    ) -> OpenDocuments:
        await identify_administrator(backend, request.scope)
        found = merged(await workers.all_documents(search))
        found.sort(key=lambda one: (_RANKS[one.state], -one.people, -one.edits_per_minute, one.document_id))
        return OpenDocuments(documents=found[:limit], more=len(found) > limit)

    @routes.get(
        "/document",
        summary="One document and who is in it",
        description="Open or not; its versions and what happened to it are below `documents`.",
        responses=documented(
            **_ERRORS | {"s404": "document_not_found", "s422": "unprocessable_entity bad_document_id"},
        ),
    )
    async def document(
        request: Request,
        document_id: Annotated[DocumentId, Query()],
        backend: Backend = parts,
        workers: Workers = all_of_them,
    ) -> DocumentShown:
        await identify_administrator(backend, request.scope)
        return await _document(backend, workers, document_id)

    return routes


async def _document(backend: Backend, workers: Workers, document_id: str) -> DocumentShown:
    info = await backend.directory.info(document_id)
    persons = await backend.presence.of(document_id)
    is_open = await _open(workers, document_id)
    if info is None and not persons and is_open is None:
        raise not_found()
    return DocumentShown(
        document_id=document_id,
        stored=None if info is None else shown(info),
        open=is_open,
        people=[_person(backend, document_id, one.user_id, one.to_json()) for one in persons],
    )


async def _open(workers: Workers, document_id: str) -> OpenDocument | None:
    found = merged(await workers.all_documents(document_id))
    return next((one for one in found if one.document_id == document_id), None)


def _person(backend: Backend, document_id: str, user_id: str, told: Mapping[str, Any]) -> PersonShown:
    change = backend.access.change_of(document_id, user_id)
    return PersonShown.model_validate({**told, "changed": None if change is None else Changed.of(change)})
