"""What happened to a document: who wrote what, what changed, and bringing back what was."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Annotated, Final, TypedDict

from fastapi import APIRouter, Depends, Query, Request, Response

from cowrite.core.history.diffs import DiffFormat, told
from cowrite.core.history.moments import Moment
from cowrite.core.history.server_edits import Made
from cowrite.core.operations.reading import MAX_OPERATIONS
from cowrite.core.ports import Grant, HistoryForgotten
from cowrite.core.records import CauseKind, DocumentInfo
from cowrite.http.asked import backend_asked
from cowrite.http.backend import Backend
from cowrite.http.contents import Content
from cowrite.http.credentials import require
from cowrite.http.documents import MAX_MOMENT, MOMENT, ON_ONE, WITH_BODY
from cowrite.http.history_models import (
    Activity,
    ActivityShown,
    Blame,
    Diff,
    Forgotten,
    RestoreBody,
    Restored,
    UndoBody,
)
from cowrite.http.models import Operation
from cowrite.http.problems import documented
from cowrite.http.raw_paths import DocumentInPath
from cowrite.http.strict_route import ExactRoute
from cowrite.http.versions import entered, entered_to_change
from cowrite.http.waiting import while_connected

MAX_GROUPS: Final = 1000
_ROOT: Final = "Only what is in this root."
_READING: Final = ON_ONE | {
    "s404": "document_not_found unknown_moment",
    "s409": "history_replaced",
    "s410": "document_deleted history_forgotten",
    "s422": "unprocessable_entity bad_document_id history_too_costly",
    "s503": "unavailable overloaded draining",
}
_WRITING: Final = (
    _READING
    | WITH_BODY
    | {
        "s409": "history_replaced restored_meanwhile restore_failed root_unreadable operation_id_taken",
        "s413": "too_large document_full",
        "s429": "too_fast",
        "s422": "unprocessable_entity bad_document_id unsupported not_storable wrong_order history_too_costly",
    }
)

_MomentQuery = Annotated[str | None, Query(min_length=1, max_length=MAX_MOMENT, description=f"{MOMENT} Now, if left out.")]
_RootQuery = Annotated[str | None, Query(max_length=255, description=_ROOT)]
_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode


class _Asked(TypedDict):
    """How whoever asks names and words it: asked for again so, it is not done twice."""

    id: str | None
    words: str


@lru_cache
def history_routes() -> APIRouter:
    """What is below ``/api/v2/documents/{document_id}`` about its past, but for versions."""
    routes = APIRouter(prefix="/api/v2/documents/{document_id}", tags=["history"], route_class=ExactRoute)
    _reading(routes)
    _writing(routes)
    return routes


def _reading(routes: APIRouter) -> None:
    given = Depends(backend_asked)

    @routes.get(
        "/diff",
        summary="What changed between two moments",
        description="`from` may be the later one: then the answer tells what leads back.",
        response_model=Diff,
        responses={
            200: {"content": {"text/html": {"schema": {"type": "string"}}}},
            **documented(**_READING | {"s409": "history_replaced restore_failed"}),
        },
    )
    async def diff(
        request: Request,
        document_id: DocumentInPath,
        first: Annotated[str, Query(alias="from", min_length=1, max_length=MAX_MOMENT, description=MOMENT)],
        backend: Backend = given,
        to: _MomentQuery = None,
        format: Annotated[DiffFormat, Query()] = DiffFormat.JSON,  # noqa: A002 - the parameter's name
        root: _RootQuery = None,
    ) -> Response:
        _, info = await entered(backend, request, document_id, Grant.READ)
        moments = await _resolved(backend, info, first), await _resolved(backend, info, to)
        changes = await while_connected(request, backend.past.diffs.between(*moments, format, root))
        if format is DiffFormat.HTML:
            return await Content(changes).answer(request.scope, media_type="text/html; charset=utf-8")
        body = told(*moments, format, changes)
        return await Content(body).answer(request.scope, media_type="application/json")

    @routes.get(
        "/blame",
        summary="Who wrote what can be seen, and when",
        description="Text that a restore brought back is credited to who wrote it first.",
        response_model=Blame,
        responses=documented(**_READING),
    )
    async def blame(
        request: Request,
        document_id: DocumentInPath,
        backend: Backend = given,
        at: _MomentQuery = None,
        root: _RootQuery = None,
    ) -> Response:
        _, info = await entered(backend, request, document_id, Grant.READ)
        moment = await _resolved(backend, info, at)
        runs = await while_connected(request, backend.past.blames.of(moment, root))
        place = {"document_id": document_id, "offset": moment.offset}
        body = b'%s,"runs":%s}' % (_encode(place)[:-1].encode(), runs)
        return await Content(body).answer(request.scope, media_type="application/json")

    @routes.get(
        "/activity",
        summary="Who did how much, and when",
        description="Newest first. What one author did without a pause is one group; what was restored or undone stands alone.",
        responses=documented(**ON_ONE | {"s503": "unavailable overloaded draining"}),
    )
    async def activity(
        request: Request,
        document_id: DocumentInPath,
        backend: Backend = given,
        before: Annotated[int | None, Query(ge=1, le=2**53, description="The `next` of the page before.")] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_GROUPS)] = 100,
        pause: Annotated[int, Query(ge=0, le=86_400, description="Seconds.")] = 300,
        by_author: Annotated[
            bool, Query(description="What an author did without a pause is one group, though others wrote meanwhile.")
        ] = False,
    ) -> Activity:
        _, info = await entered(backend, request, document_id, Grant.READ)
        read = backend.past.history.activity(document_id, before=before, pause=pause * 1000, limit=limit, by_author=by_author)
        groups = await while_connected(request, read)
        oldest = min((group.first_offset for group in groups), default=0)
        following = oldest if oldest > info.first_offset else None
        return Activity(activity=[ActivityShown.of(group) for group in groups], next=following)


def _writing(routes: APIRouter) -> None:
    given = Depends(backend_asked)

    @routes.post(
        "/restore",
        summary="Bring a document back to a moment",
        description="As a new edit, which those who are in it see arrive. What was there before becomes a version; what others "
        "write meanwhile stays.",
        response_model_exclude_unset=True,  # as operations are told everywhere
        responses=documented(**_WRITING | {"s422": f"{_WRITING['s422']} root"}),
    )
    async def restore(request: Request, document_id: DocumentInPath, body: RestoreBody, backend: Backend = given) -> Restored:
        session, info = await entered_to_change(backend, request, document_id)
        restoring, asked = backend.past.restoring, _Asked(id=body.id, words=_words(body))
        made = await restoring.done_before(session, info, CauseKind.RESTORE, **asked)
        if made is None:
            moment = await backend.past.moments.resolve(info, body.to)
            made = await restoring.restore(session, moment, root=body.root, **asked)
        return _made(made)

    @routes.post(
        "/undo",
        summary="Take back what somebody did",
        description="As a new edit: what they inserted goes, what they deleted comes back, what others did stays, but for what "
        "stands inside of something that goes (their text in a paragraph that the author had inserted: `version` has it). "
        "Everybody who may write may take back what they did themselves; an administrator, what others did.",
        response_model_exclude_unset=True,
        responses=documented(**_WRITING),
    )
    async def undo(request: Request, document_id: DocumentInPath, body: UndoBody, backend: Backend = given) -> Restored:
        session, info = await entered_to_change(backend, request, document_id)
        if body.author != session.author:
            require(session, Grant.ADMIN)
        restoring, asked = backend.past.restoring, _Asked(id=body.id, words=_words(body))
        made = await restoring.done_before(session, info, CauseKind.UNDO, **asked)
        if made is None:
            after = await backend.past.moments.resolve(info, body.from_)
            made = await restoring.undo(session, body.author, after, await _resolved(backend, info, body.to), **asked)
        return _made(made)

    @routes.delete(
        "/history",
        summary="Forget what happened before a moment",
        description="For good: the document as it was then is its beginning from now on. Offsets stay, and so does the "
        "present: people who are in the document notice nothing. Where that much is forgotten already, nothing happens.",
        responses=documented(**_READING | {"s410": "document_deleted history_forgotten"}),
    )
    async def forget(
        request: Request,
        document_id: DocumentInPath,
        before: Annotated[str, Query(min_length=1, max_length=MAX_MOMENT, description=MOMENT)],
        backend: Backend = given,
    ) -> Forgotten:
        _, info = await entered_to_change(backend, request, document_id, Grant.ADMIN)
        try:
            moment = await backend.past.moments.resolve(info, before)
        except HistoryForgotten as forgotten:  # that much was done before: whoever asks every night need not know
            moment = await backend.past.moments.at(info, forgotten.first_offset - 1)
        return Forgotten(first_offset=await backend.past.erasing.forget(moment))


async def _resolved(backend: Backend, info: DocumentInfo, at: str | None) -> Moment:
    """The moment that is meant; None: now."""
    moments = backend.past.moments
    return await (moments.at(info, info.head.offset) if at is None else moments.resolve(info, at))


def _words(body: RestoreBody | UndoBody) -> str:
    return body.model_dump_json(exclude={"id"})


def _made(made: Made) -> Restored:
    operations = None
    if len(made.operations) <= MAX_OPERATIONS:
        operations = [Operation.model_validate(operation.to_json()) for operation in made.operations]
    return Restored(offset=made.offset, operations=operations, version=made.version_id, left=list(made.left))
