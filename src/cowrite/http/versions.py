"""Versions of a document: moments that somebody has marked."""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response

from cowrite.core.operations.submissions import refuse_damaged
from cowrite.core.ports import Grant
from cowrite.core.records import DocumentInfo, VersionKind
from cowrite.core.sessions.session import Session
from cowrite.http.asked import backend_asked
from cowrite.http.backend import Backend
from cowrite.http.credentials import identify, token_of
from cowrite.http.documents import ON_ONE, WITH_BODY, existing_document
from cowrite.http.history_models import Version, VersionBody, VersionChange, Versions
from cowrite.http.problems import documented
from cowrite.http.raw_paths import DocumentInPath
from cowrite.http.strict_route import ExactRoute

MAX_LISTED: Final = 1000
_MAX_ID: Final = 36
_ON_VERSION: Final = ON_ONE | {"s404": "document_not_found version_not_found"}


async def entered(backend: Backend, request: Request, document_id: str, needed: Grant) -> tuple[Session, DocumentInfo]:
    """Who asks, and what is known of the document. Raises as ``identify`` and ``existing_document``."""
    caller = await identify(backend, token_of(request.scope), document_id, needed)
    return caller.session, await existing_document(backend, document_id)


async def entered_to_change(
    backend: Backend, request: Request, document_id: str, needed: Grant = Grant.WRITE
) -> tuple[Session, DocumentInfo]:
    """As :func:`entered`, to change something about the document or its past: 500 ``document_damaged`` where it cannot be read
    to its end. For that it is opened, which most who ask will have done before.
    """
    session, info = await entered(backend, request, document_id, needed)
    async with backend.registry.open(document_id) as room:
        refuse_damaged(room.damage)
    return session, info


@lru_cache
def versions_routes() -> APIRouter:
    """``/api/v2/documents/{document_id}/versions`` and what is below it."""
    routes = APIRouter(prefix="/api/v2/documents/{document_id}/versions", tags=["history"], route_class=ExactRoute)
    given = Depends(backend_asked)

    @routes.get("", summary="List versions", description="Newest moment first.", responses=documented(**_ON_VERSION))
    async def listed(
        request: Request,
        document_id: DocumentInPath,
        backend: Backend = given,
        kind: Annotated[VersionKind | None, Query()] = None,
        before: Annotated[str | None, Query(max_length=_MAX_ID, description="The `next` of the page before.")] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_LISTED)] = 100,
    ) -> Versions:
        await entered(backend, request, document_id, Grant.READ)
        if before is None:  # the page that goes on must not lose its place
            await backend.past.automatic.tidy(document_id)
        found, following = await backend.past.versions.list(document_id, kind=kind, before=before, limit=limit)
        return Versions(versions=[Version.of(one) for one in found], next=following)

    @routes.post(
        "",
        status_code=HTTPStatus.CREATED,
        summary="Mark a moment",
        description="A version is a pointer: it takes no copy.",
        responses=documented(
            **ON_ONE
            | WITH_BODY
            | {
                "s404": "document_not_found unknown_moment",
                "s410": "document_deleted history_forgotten",
                "s409": "history_replaced",
                "s413": "too_large",
            }
        ),
    )
    async def create(request: Request, document_id: DocumentInPath, body: VersionBody, backend: Backend = given) -> Version:
        session, info = await entered_to_change(backend, request, document_id)
        moments = backend.past.moments
        moment = await (moments.at(info, info.head.offset) if body.at is None else moments.resolve(info, body.at))
        return Version.of(await backend.past.versions.mark(moment, session.author, name=body.name, note=body.note))

    @routes.get("/{version_id}", summary="Look at a version", responses=documented(**_ON_VERSION))
    async def get(request: Request, document_id: DocumentInPath, version_id: str, backend: Backend = given) -> Version:
        await entered(backend, request, document_id, Grant.READ)
        return Version.of(await backend.past.versions.get(document_id, version_id))

    @routes.patch(
        "/{version_id}",
        summary="Rename a version",
        description="Or give it another note. An automatic one that gets a name is kept as long as one that was made by hand.",
        responses=documented(**_ON_VERSION | WITH_BODY | {"s413": "too_large"}),
    )
    async def change(
        request: Request, document_id: DocumentInPath, version_id: str, body: VersionChange, backend: Backend = given
    ) -> Version:
        await entered_to_change(backend, request, document_id)
        version = await backend.past.versions.get(document_id, version_id)
        changes = body.model_dump(include=body.model_fields_set & {"name", "note"})
        return Version.of(await backend.past.versions.change(version, **changes))

    @routes.delete(
        "/{version_id}",
        status_code=HTTPStatus.NO_CONTENT,
        summary="Remove a version",
        description="Only the mark goes: the moment can be had by its offset as before.",
        responses=documented(**_ON_VERSION),
    )
    async def remove(request: Request, document_id: DocumentInPath, version_id: str, backend: Backend = given) -> Response:
        await entered_to_change(backend, request, document_id)
        await backend.past.versions.remove(document_id, version_id)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    return routes
