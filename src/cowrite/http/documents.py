"""Documents as such: which there are, what is in them, what has happened to them, and their end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from http import HTTPStatus
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request, Response

from cowrite.core.damaged import Damaged
from cowrite.core.errors import RoomClosed
from cowrite.core.history.moments import Moment
from cowrite.core.operations.state import State
from cowrite.core.ports import AccessDenied, Grant
from cowrite.core.records import DocumentInfo
from cowrite.core.sessions.session import Session
from cowrite.http.asked import backend_asked
from cowrite.http.backend import Backend
from cowrite.http.contents import Content, hold, matches, not_modified
from cowrite.http.credentials import ALL_DOCUMENTS, identify, token_of
from cowrite.http.document_formats import MEDIA_TYPES, Format, chosen_format, rendered
from cowrite.http.document_operations import operations_page
from cowrite.http.models import CreateBody, Document, Documents, DocumentState, OperationsPage, Person, PresenceList
from cowrite.http.problems import Refusal, documented
from cowrite.http.raw_paths import DocumentInPath
from cowrite.http.strict_route import ExactRoute
from cowrite.http.waiting import while_connected
from cowrite.protocol.close_codes import CloseCode

MAX_LISTED: Final = 1000
MAX_OPERATIONS: Final = 1000
_LOOKED_AT: Final = 1000
"""Documents that are looked at for one page: of those that the token does not open nothing is told."""
_AT_ONCE: Final = 20
_ERRORS: Final = {"s400": "bad_request", "s401": "unauthorized", "s503": "unavailable overloaded draining"}
WITH_BODY: Final = {"s400": "malformed_json bad_request", "s408": "request_timeout"}
ON_ONE: Final = _ERRORS | {
    "s403": "forbidden grant_too_low origin_refused",
    "s404": "document_not_found",
    "s410": "document_deleted",
    "s422": "unprocessable_entity bad_document_id",
    "s500": "document_damaged",
}
"""The errors of a route about one document."""
READABLE_OFFSET: Final = "cowrite-readable-offset"
"""The header that tells how far a damaged document can be read."""
MAX_MOMENT: Final = 255
MOMENT: Final = (
    "The moment: `offset:` and an offset, `time:` and milliseconds since 1970 or a time, `version:` or `operation:` and an id; "
    "or just an offset, a time with its zone (RFC 3339), or an id. A time means the last entry made by then."
)


@lru_cache
def documents_routes() -> APIRouter:
    """``/api/v2/documents`` and what is below it."""
    routes = APIRouter(prefix="/api/v2/documents", tags=["documents"], route_class=ExactRoute)
    given = Depends(backend_asked)

    @routes.get(
        "",
        summary="List documents",
        description="Those that the token opens, by id. A page may have fewer than `limit` and still have a `next`.",
        responses=documented(**_ERRORS, s422="unprocessable_entity"),
    )
    async def listed(
        request: Request,
        backend: Backend = given,
        prefix: Annotated[str, Query(max_length=255)] = "",
        after: Annotated[str | None, Query(max_length=255, description="The `next` of the page before.")] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_LISTED)] = 100,
    ) -> Documents:
        return await _list(backend, token_of(request.scope), prefix=prefix, after=after, limit=limit)

    @routes.post(
        "",
        status_code=HTTPStatus.CREATED,
        summary="Create an empty document",
        description="Not needed before editing: the first edit of a document makes it. One that was deleted for good an "
        "administrator makes again.",
        responses=documented(
            **_ERRORS | WITH_BODY,
            s403="forbidden grant_too_low origin_refused",
            s409="document_exists",
            s410="document_deleted",
            s422="unprocessable_entity bad_document_id",
        ),
    )
    async def create(request: Request, response: Response, body: CreateBody, backend: Backend = given) -> Document:
        document_id = body.document_id
        caller = await identify(backend, token_of(request.scope), document_id, Grant.WRITE)
        info = await _created(backend, caller.session)
        response.headers["location"] = f"{request.scope.get('root_path', '')}/api/v2/documents/{quote(document_id, safe='')}"
        return shown(info)

    @routes.get(
        "/{document_id}",
        summary="Read a document",
        description="As `format` says, else as `Accept` does: as it is now, or `at` another moment.",
        response_model=DocumentState,
        responses={
            200: {
                "content": {media.partition(";")[0]: {} for form, media in MEDIA_TYPES.items() if form is not Format.JSON},
                "headers": {
                    "ETag": {"description": "For If-None-Match.", "schema": {"type": "string"}},
                    "Cowrite-Readable-Offset": {
                        "description": "Only of a document that is damaged: the last offset before that, and what is shown.",
                        "schema": {"type": "integer"},
                    },
                },
            },
            304: {"description": "It has not changed since the answer with that ETag."},
            **documented(
                **{
                    **ON_ONE,
                    "s404": "document_not_found unknown_moment",
                    "s410": "document_deleted history_forgotten",
                },
                s406="not_acceptable",
                s409="history_replaced",
            ),
        },
    )
    async def read(
        request: Request,
        document_id: DocumentInPath,
        backend: Backend = given,
        format: Annotated[Format | None, Query()] = None,  # noqa: A002 - the parameter's name
        root: Annotated[str | None, Query(max_length=255, description="Only what is in this root; not for `yjs`.")] = None,
        at: Annotated[str | None, Query(min_length=1, max_length=MAX_MOMENT, description=MOMENT)] = None,
    ) -> Response:
        return await _read(request, backend, document_id, _Asked(format, root, at))

    @routes.delete(
        "/{document_id}",
        status_code=HTTPStatus.NO_CONTENT,
        summary="Delete a document",
        description="Nobody can read or write it any more, until it is undeleted. Its history is kept for a time of grace; "
        "with `purge` all of it is deleted for good at once, also when the document is deleted already.",
        responses=documented(**ON_ONE),
    )
    async def delete(
        request: Request, document_id: DocumentInPath, backend: Backend = given, purge: Annotated[bool, Query()] = False
    ) -> Response:
        caller = await identify(backend, token_of(request.scope), document_id, Grant.ADMIN)
        info = await backend.directory.info(document_id)
        if info is None:
            raise not_found()
        deleted = await backend.deletion.delete(document_id, caller.session.author)
        purged = purge and await backend.past.erasing.purge(document_id)
        if not (deleted or purged):
            raise _deleted(info)
        await backend.access.catch_up()
        return Response(status_code=HTTPStatus.NO_CONTENT)

    @routes.post(
        "/{document_id}/undelete",
        summary="Take a deletion back",
        responses=documented(**{**ON_ONE, "s410": "document_deleted", "s409": "document_not_deleted"}),
    )
    async def undelete(request: Request, document_id: DocumentInPath, backend: Backend = given) -> Document:
        caller = await identify(backend, token_of(request.scope), document_id, Grant.ADMIN)
        if await backend.directory.info(document_id) is None:
            raise not_found()
        if not await backend.deletion.undelete(document_id, caller.session.author):
            await existing_document(backend, document_id)  # one that was purged cannot come back
            raise Refusal(HTTPStatus.CONFLICT, "document_not_deleted", "The document is not deleted.")
        return shown(await existing_document(backend, document_id))

    @routes.get(
        "/{document_id}/operations",
        summary="Read what has happened to a document",
        description="Whole entries of the log in their order: a page may have more than `limit`. Where the beginning was "
        "forgotten, 410 `history_forgotten` says in `first_offset` what is kept: go on with `after=offset:` and one less.",
        response_model=OperationsPage,
        responses=documented(
            **{**ON_ONE, "s404": "document_not_found unknown_operation", "s410": "document_deleted history_forgotten"}
        ),
    )
    async def operations(
        request: Request,
        document_id: DocumentInPath,
        backend: Backend = given,
        after: Annotated[
            str | None,
            Query(
                min_length=1,
                max_length=MAX_MOMENT,
                pattern=r"^[^\x00]*$",
                description="The `next` of the page before, any operation, or another moment: `offset:4`.",
            ),
        ] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_OPERATIONS)] = 100,
    ) -> Response:
        await identify(backend, token_of(request.scope), document_id, Grant.READ)
        info = await existing_document(backend, document_id)
        page = Content(await operations_page(backend, info, after, limit))
        return await page.answer(request.scope, media_type="application/json")

    @routes.get(
        "/{document_id}/presence",
        summary="Who is in a document",
        responses=documented(**ON_ONE),
    )
    async def presence(request: Request, document_id: DocumentInPath, backend: Backend = given) -> PresenceList:
        await identify(backend, token_of(request.scope), document_id, Grant.READ)
        return await _people(backend, document_id)

    return routes


async def _list(backend: Backend, token: str | None, *, prefix: str, after: str | None, limit: int) -> Documents:
    # Whether the token is one at all must not depend on which documents there are.
    await _may_read(backend, token, ALL_DOCUMENTS)
    infos = await backend.directory.list(after=after, limit=_LOOKED_AT, prefix=prefix)
    page: list[Document] = []
    for number, info in enumerate(infos, 1):
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)  # each look decrypts the token: others get their turn meanwhile
        if await _may_read(backend, token, info.document_id):
            page.append(shown(info))
        after = info.document_id
        if len(page) == limit:
            break
    at_end = len(infos) < _LOOKED_AT and (not infos or after == infos[-1].document_id)
    return Documents(documents=page, next=None if at_end else after)


async def _may_read(backend: Backend, token: str | None, document_id: str) -> bool:
    """Raises :class:`AccessDenied` only for a token that is none."""
    try:
        await identify(backend, token, document_id, Grant.READ)
    except AccessDenied as denied:
        if not denied.known:
            raise
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Asked:
    """Which state somebody wants to read, and how."""

    format: Format | None
    root: str | None
    at: str | None


async def _read(request: Request, backend: Backend, document_id: str, asked: _Asked) -> Response:
    await identify(backend, token_of(request.scope), document_id, Grant.READ)
    form, root = chosen_format(asked.format, request.headers.get("accept")), asked.root
    info = await existing_document(backend, document_id)
    moment = await backend.past.moments.resolve(info, asked.at) if asked.at is not None else None
    head = moment.head if moment is not None else info.head
    unless = request.headers.get("if-none-match")
    if matches(unless, etag := _etag(head.epoch, head.offset, form, root)):
        return not_modified(etag)
    state, damage = await _state_of(request, backend, info, moment)
    head = state.committed.head
    if matches(unless, etag := _etag(head.epoch, head.offset, form, root)):
        return not_modified(etag)
    headers = {"etag": etag, "cache-control": "private, no-cache"}
    if damage is not None:
        headers[READABLE_OFFSET] = str(damage.readable)
    hold(request.scope, state.json)  # for as long as it waits to be written in another form
    key = document_id, head.epoch, head.offset, form, root

    async def make() -> Content:
        return Content(await rendered(state, document_id, form, root))

    content = await backend.renderings.get(key, make)
    return await content.answer(request.scope, media_type=MEDIA_TYPES[form], headers=headers)


async def _state_of(
    request: Request, backend: Backend, info: DocumentInfo, moment: Moment | None
) -> tuple[State, Damaged | None]:
    """The document at a moment; None: now, or as far as it can be read."""
    if moment is not None:
        return await while_connected(request, backend.past.moments.state(moment)), None
    async with backend.registry.open(info.document_id) as room:
        return await backend.reader.state(room, at_least=info.head), room.damage


def _etag(epoch: str, offset: int, form: Format, root: str | None) -> str:
    text = f"{epoch} {offset} {form} {'' if root is None else f'={root}'}"
    return f'W/"{blake2b(text.encode(errors="surrogatepass"), digest_size=12).hexdigest()}"'


async def _people(backend: Backend, document_id: str) -> PresenceList:
    info, persons = await backend.directory.info(document_id), await backend.presence.of(document_id)
    if info is None and not persons:  # people may be in one in which nobody has written anything yet
        raise not_found()
    if info is not None and info.deleted_at is not None:
        raise _deleted(info)
    return PresenceList(presence=[Person.model_validate(one.to_json()) for one in persons])


async def existing_document(backend: Backend, document_id: str) -> DocumentInfo:
    """What is known of a document. Raises 404 ``document_not_found`` and 410 ``document_deleted``."""
    info = await backend.directory.info(document_id)
    if info is None:
        raise not_found()
    if info.deleted_at is not None:
        raise _deleted(info)
    return info


async def _created(backend: Backend, session: Session) -> DocumentInfo:
    document_id = session.document_id
    made = await backend.directory.create(document_id) or await _made_again(backend, session)
    info = await existing_document(backend, document_id)
    if not made:
        raise Refusal(HTTPStatus.CONFLICT, "document_exists", "There is a document of this id.")
    return info


async def _made_again(backend: Backend, session: Session) -> bool:
    """An administrator makes a document again that was purged. False: it was not, or this is none."""
    info = await backend.directory.info(session.document_id)
    if info is None or info.purged_at is None or not session.may(Grant.ADMIN):
        return False
    made = await backend.deletion.recreate(session.document_id, session.author)
    await backend.access.catch_up()
    return made


def not_found() -> Refusal:
    """404: there is no such document."""
    return Refusal(HTTPStatus.NOT_FOUND, "document_not_found", "There is no document of this id.")


def _deleted(info: DocumentInfo) -> RoomClosed:
    purged = "the document was purged: nothing of it is left"
    reason = purged if info.purged_at is not None else "the document was deleted; an administrator can undelete it"
    return RoomClosed(CloseCode.DOCUMENT_DELETED, reason)


def shown(info: DocumentInfo) -> Document:
    """What is known of a document, as it is told."""
    return Document(
        document_id=info.document_id,
        epoch=info.head.epoch,
        offset=info.head.offset,
        created_at=info.created_at,
        updated_at=info.updated_at,
        deleted_at=info.deleted_at,
        log_bytes=info.log_bytes,
        first_offset=info.first_offset,
    )
