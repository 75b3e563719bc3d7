"""The binary form of polling: the messages of a y-websocket connection, several in one body."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from cowrite.core.limits import Limits
from cowrite.core.ports import Grant
from cowrite.http.backend import Backend
from cowrite.http.bodies import read_body
from cowrite.http.contents import Content
from cowrite.http.credentials import check_document_id, identify, parameters_of, token_of
from cowrite.http.problems import Refusal

BINARY: Final = "application/octet-stream"
CURSOR: Final = "cowrite-cursor"
_AROUND_BYTES: Final = 1 << 20
"""What may come beside one update of the largest size."""


def is_binary(headers: Headers) -> bool:
    """Whether a request's body is messages."""
    return headers.get("content-type", "").partition(";")[0].strip().lower() == BINARY


def wants_binary(headers: Headers) -> bool:
    """Whether a client asks for messages."""
    return BINARY in headers.get("accept", "").lower()


async def exchange(request: Request, backend: Backend, limits: Limits) -> Response:
    """Take the messages of a request, and answer them."""
    document_id = parameters_of(request.scope["query_string"]).get("document_id")
    if document_id is None:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "unprocessable_entity", "document_id is missing in the query.")
    caller = await identify(backend, token_of(request.scope), check_document_id(document_id), Grant.READ)
    share = backend.incoming.share(caller.session.author)
    try:
        body = await read_body(request, limits.sync_bytes + _AROUND_BYTES, share)
        answer, cursor = await backend.binary.exchange(caller.session, body, lasting=caller.lasting)
    finally:
        share.release()
    return await binary_answer(answer, cursor, request.scope)


async def binary_answer(body: bytes, cursor: str, scope: Scope) -> Response:
    """Messages, and the cursor from which to poll on."""
    return await Content(body).answer(scope, media_type=BINARY, headers={CURSOR: cursor, "cache-control": "no-store"})
