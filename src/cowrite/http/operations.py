"""Writing and reading without a socket: operations, presence, and the description of polling."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Annotated, Any, Final
from uuid import UUID, uuid5

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.routing import Route

from cowrite.core.limits import Limits
from cowrite.core.operations.reading import Operations
from cowrite.core.operations.submissions import Answer
from cowrite.core.operations.writing import WriteRequest
from cowrite.core.ports import Grant
from cowrite.core.presence.refusals import MAX_STATE_BYTES, PresenceRefused, size_of
from cowrite.core.rooms.room import Room
from cowrite.core.sessions.session import Session
from cowrite.http.asked import backend_asked
from cowrite.http.backend import PRESENT_SECONDS, Backend, Serving
from cowrite.http.bodies import read_body, read_json
from cowrite.http.contents import Content
from cowrite.http.credentials import check_document_id, identify, token_of
from cowrite.http.exchange import BINARY, exchange, is_binary
from cowrite.http.models import DOCUMENT_ID, DocumentId, Polled, PresenceBody, WriteBody, Written, inlined
from cowrite.http.polling import MAX_WAIT_SECONDS, PollEndpoint
from cowrite.http.problems import Refusal, documented
from cowrite.http.strict_route import StrictRoute

POLL_PATH: Final = "/api/v2/realtime/poll"

_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode
_REFUSED: Final = "field value root path kind range surrogate unsupported too_many_nodes not_storable"
_VISITORS: Final = UUID("6f2a4b1e-8d0c-5c3b-9a57-2f1d0e6c7b94")
_BINARY_BODY: Final = {"schema": {"type": "string", "format": "binary"}}


def poll_route(serving: Serving) -> Route:
    """Polling itself. It stands before :func:`operations_routes`, which describe it."""
    return Route(POLL_PATH, PollEndpoint(serving), methods=["GET"], include_in_schema=False)


@lru_cache
def operations_routes(limits: Limits) -> APIRouter:
    """Writing operations and presence; and what OpenAPI says of polling."""
    routes = APIRouter(tags=["realtime"], route_class=StrictRoute)
    given = Depends(backend_asked)

    @routes.get(
        POLL_PATH,
        summary="What is new in a document",
        description=(
            "Without `last_operation` all operations from the beginning. With `wait` the answer comes as soon as there is "
            "something new, after that many seconds at the latest. With `Accept: application/octet-stream` the answer is "
            "y-websocket messages, each behind its length, from `cursor` on; the next cursor is in `Cowrite-Cursor`."
        ),
        response_model=Polled,
        response_model_exclude_none=True,
        responses={
            200: {
                "content": {BINARY: _BINARY_BODY},
                "headers": {
                    "ETag": {"description": "For If-None-Match.", "schema": {"type": "string"}},
                    "Cowrite-Cursor": {"description": "Of the binary form.", "schema": {"type": "string"}},
                },
            },
            304: {"description": "Nothing has changed since the answer with that ETag."},
            **documented(
                s400="bad_request",
                s401="unauthorized",
                s403="forbidden",
                s410="document_deleted",
                s500="document_damaged",
                s422="unprocessable_entity bad_document_id",
                s429="too_fast",
                s503="unavailable overloaded draining",
            ),
        },
    )
    async def poll(
        document_id: Annotated[DocumentId, Query()],
        last_operation: Annotated[str | None, Query(description="The `head` of the last answer.")] = None,
        wait: Annotated[float, Query(ge=0, le=MAX_WAIT_SECONDS, description="Seconds.")] = 0.0,
        cursor: Annotated[str | None, Query(description="Of the binary form: the last `Cowrite-Cursor`.")] = None,
    ) -> Any:
        raise AssertionError("poll_route() answers this")

    @routes.post(
        "/api/v2/realtime/operations",
        summary="Write operations",
        description=(
            "All of them are committed when this is answered, or none is. Sent again with the same ids they are not applied "
            "twice. With `Content-Type: application/octet-stream` (and `document_id` in the query) the body is y-websocket "
            "messages, each behind its length, and so is the answer; message 100 in it tells how many of the request's "
            "updates are durable."
        ),
        response_model=Written,
        responses={
            200: {"content": {BINARY: _BINARY_BODY}},
            **documented(
                s400="malformed_json bad_request malformed_frame",
                s408="request_timeout",
                s401="unauthorized",
                s403="forbidden grant_too_low origin_refused",
                s409=(
                    "unknown_base unknown_previous operation_id_taken out_of_order contradicting_content edit_not_kept "
                    "missing_dependencies"
                ),
                s410="document_deleted",
                s500="document_damaged",
                s413="too_large message_too_large document_full",
                s422=f"unprocessable_entity bad_document_id hostile_update {_REFUSED}",
                s429="too_fast",
                s503="unavailable overloaded draining",
            ),
        },
        openapi_extra={
            "parameters": [{"name": "document_id", "in": "query", "description": "Of the binary form.", "schema": DOCUMENT_ID}],
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {"schema": inlined(WriteBody)},
                    BINARY: _BINARY_BODY,
                },
            },
        },
    )
    async def write(request: Request, backend: Backend = given) -> Response:
        if is_binary(request.headers):
            return await exchange(request, backend, limits)
        return await _write(request, backend)

    @routes.post(
        "/api/v2/realtime/presence",
        status_code=HTTPStatus.NO_CONTENT,
        summary="Tell the others about oneself",
        description=(
            f"It is told for {PRESENT_SECONDS:.0f} seconds after the last request of the session, or for `ttl` seconds. With a "
            "session token in the place of an access token all requests of its user count as one session."
        ),
        responses=documented(
            s400="malformed_json bad_request",
            s408="request_timeout",
            s401="unauthorized",
            s403="forbidden grant_too_low origin_refused",
            s410="document_deleted",
            s500="document_damaged",
            s413="too_large",
            s422="unprocessable_entity bad_document_id",
            s429="too_many_sessions presence_full",
            s503="unavailable draining",
        ),
    )
    async def presence(request: Request, body: PresenceBody, backend: Backend = given) -> Response:
        document_id = body.document_id
        caller = await identify(backend, token_of(request.scope, body.access_token), document_id, Grant.COMMENT)
        told = body.model_dump(include=body.model_fields_set & {"state", "cursor", "data"})
        if size_of(told) > MAX_STATE_BYTES:
            detail = f"cursor and data have more than {MAX_STATE_BYTES} bytes."
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", detail)
        if not caller.lasting:
            caller.session.id = _visitor_id(caller.session)
        async with backend.registry.open(document_id) as room:
            try:
                _be_present(backend, room, caller.session, body.ttl, told)
            except PresenceRefused as refused:
                raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, refused.code, refused.reason) from refused
        return Response(status_code=HTTPStatus.NO_CONTENT)

    return routes


def _be_present(backend: Backend, room: Room, session: Session, ttl: int | None, told: Mapping[str, Any]) -> None:
    """Raises :class:`PresenceRefused`."""
    now = backend.clock.now()
    if ttl == 0:
        room.presence.go(session)
        return
    if ttl is None:
        room.presence.visit(session, now, backend.clock.monotonic(), PRESENT_SECONDS)
    else:
        room.presence.stay(session, now, ttl * 1000)
    room.presence.tell(session, told, now)


def _visitor_id(session: Session) -> str:
    """The same for all requests of a user about a document that come without a session."""
    return str(uuid5(_VISITORS, f"{session.document_id}\0{session.author}"))


async def _write(request: Request, backend: Backend) -> Response:
    body = await read_body(request)
    fields = _fields(read_json(body))
    token = token_of(request.scope, _text(fields, "access_token"))
    document_id = check_document_id(_text(fields, "document_id") or "")
    caller = await identify(backend, token, document_id, Grant.READ)  # what may be written the writer says
    asked = WriteRequest(fields.get("operations"), fields["base"], fields.get("after"), len(body))
    async with backend.registry.open(document_id) as room:
        room.feed()  # from before the commit on, so that what it brings is read from memory
        room.presence.active(caller.session.id, backend.clock.now())
        submission = await backend.writer.queue(caller.session, asked)
        answer = await submission.answer
        since_base = await backend.reader.operations(room, asked.base)
        if since_base is None:
            head, at = await backend.reader.last_operation(room)
            offset = at.offset
        else:
            head, offset = since_base.head, since_base.offset
    content = Content(_written(answer, since_base, head, offset))
    return await content.answer(request.scope, media_type="application/json")


def _written(answer: Answer, since_base: Operations | None, head: str | None, offset: int) -> bytes:
    committed = _encode([operation.to_json() for operation in answer.operations]).encode()
    since = b"null"
    if since_base is not None:
        since = b"[%s]" % b",".join(one.operations for one in since_base.entries if one.operations)
    return b'{"operations":%s,"head":%s,"offset":%d,"since_base":%s}' % (committed, _encode(head).encode(), offset, since)


_FIELDS: Final = frozenset(("document_id", "operations", "base", "after", "access_token"))


def _fields(value: Any) -> dict[str, Any]:
    """The request's fields. What is in operations, base and after the writer checks."""
    if not isinstance(value, dict):
        raise _field(None, "the body is a JSON object")
    for name in value:
        if name not in _FIELDS:
            raise _field(name[:50], "a request has no such field")
    if "base" not in value:
        raise _field("base", "it is missing; null stands for the empty document")
    return value


def _text(fields: dict[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise _field(name, "it is a string")
    return value


def _field(name: str | None, reason: str) -> Refusal:
    more: dict[str, Any] = {} if name is None else {"field": name}
    return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "field", reason, **more)
