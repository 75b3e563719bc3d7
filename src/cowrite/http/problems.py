"""Errors of the HTTP interface: ``application/problem+json`` (RFC 9457) with a stable ``code``."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import cache
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from cowrite.core.errors import DocumentDamaged, PeerError, RoomClosed
from cowrite.core.history.errors import HistoryRefused
from cowrite.core.operations.submissions import SubmissionRefused
from cowrite.core.ports import (
    AccessDenied,
    DocumentDeleted,
    HistoryForgotten,
    InvalidId,
    PresenceError,
    StoreCorrupt,
    StoreError,
    StoreRefused,
)
from cowrite.http.refusals import Refusal as Refusal
from cowrite.http.refusals import unavailable as unavailable
from cowrite.http.request_ids import FIELD, HEADER, request_id
from cowrite.protocol.close_codes import CloseCode

CAREFUL: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
}
"""Headers that keep browsers from guessing and embedding."""
DATA_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
)
"""The Content-Security-Policy of what is no page: a document as HTML, looked at in a browser, has looks and does nothing."""
_MEDIA_TYPE: Final = "application/problem+json"
_TOO_LARGE: Final = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
_INVALID: Final = HTTPStatus.UNPROCESSABLE_ENTITY
_CODES: Final = {_TOO_LARGE: "too_large", _INVALID: "unprocessable_entity"}
"""Codes of statuses whose names differ between versions of Python."""

_log = structlog.get_logger(__name__)


class Problem(BaseModel):
    """What went wrong. Programs go by ``code``; ``detail`` is for people."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str | None = None
    index: int | None = Field(None, description="The place in the request of the operation that is to blame.")
    field: str | None = Field(None, description="That of its fields which is.")
    first_offset: int | None = Field(None, description="Where history was forgotten: the oldest entry that is kept.")
    readable_offset: int | None = Field(None, description="Where the document is damaged: the last offset before that.")
    retry: bool | None = Field(None, description="True: the same request may succeed later.")
    request_id: str | None = Field(None, description="As in the header `X-Request-Id`: the log tells more of it.")


def problem(
    status: HTTPStatus,
    *,
    detail: str | None = None,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, Any] | None = None,
) -> ProblemResponse:
    """An error's answer. ``code`` is for programs; the status in words unless given. ``detail`` is for people."""
    code = code or _CODES.get(status, status.name.lower())
    content: dict[str, Any] = {"type": "about:blank", "title": status.phrase, "status": int(status), "code": code}
    if detail is not None and detail != status.phrase:
        content["detail"] = detail
    if (about := request_id()) is not None:
        content[FIELD] = about
    return ProblemResponse(content | dict(more or {}), status, headers)


class ProblemResponse(JSONResponse):
    """Escaped: names of fields come back in it, whatever characters the client made them of."""

    media_type = _MEDIA_TYPE

    def __init__(self, content: dict[str, Any], status: HTTPStatus, headers: Mapping[str, str] | None) -> None:
        super().__init__(content, status, headers)
        self.code: str = content["code"]

    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":")).encode()


@cache
def _problem_schema() -> dict[str, Any]:
    """Made once: each status of each route needs it, and making them all takes a quarter of a second."""
    return Problem.model_json_schema()


def documented(**codes: str) -> dict[int | str, dict[str, Any]]:
    """The errors of a route for OpenAPI: ``documented(s403="forbidden grant_too_low")``."""
    found: dict[int | str, dict[str, Any]] = {}
    schema = _problem_schema()
    for status, names in codes.items():
        number = int(status.removeprefix("s"))
        fields = dict(schema["properties"])
        fields["status"] = fields["status"] | {"const": number}
        fields["code"] = fields["code"] | {"enum": names.split()}
        found[number] = {
            "description": f"{HTTPStatus(number).phrase}: {', '.join(f'`{name}`' for name in names.split())}",
            "content": {_MEDIA_TYPE: {"schema": schema | {"properties": fields}}},
        }
        if number == HTTPStatus.SERVICE_UNAVAILABLE:
            found[number]["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return found


# ---- from what core raises -------------------------------------------------------------------------------------------

_OF_SUBMISSIONS: Final = {
    "grant_too_low": HTTPStatus.FORBIDDEN,
    "unknown_base": HTTPStatus.CONFLICT,
    "unknown_previous": HTTPStatus.CONFLICT,
    "operation_id_taken": HTTPStatus.CONFLICT,
    "out_of_order": HTTPStatus.CONFLICT,
    "document_deleted": HTTPStatus.GONE,
    "document_full": _TOO_LARGE,
    "document_damaged": HTTPStatus.INTERNAL_SERVER_ERROR,
    "history_replaced": HTTPStatus.CONFLICT,
    "restored_meanwhile": HTTPStatus.CONFLICT,
    "not_empty": HTTPStatus.CONFLICT,
    "too_large": _TOO_LARGE,
    "too_fast": HTTPStatus.TOO_MANY_REQUESTS,
    "unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "overloaded": HTTPStatus.SERVICE_UNAVAILABLE,
}
_OF_HISTORY: Final = {
    "unknown_moment": HTTPStatus.NOT_FOUND,
    "version_not_found": HTTPStatus.NOT_FOUND,
    "restore_failed": HTTPStatus.CONFLICT,
    "root_unreadable": HTTPStatus.CONFLICT,
    "history_replaced": HTTPStatus.CONFLICT,
}
_OF_CLOSES: Final = {
    CloseCode.MALFORMED_FRAME: HTTPStatus.BAD_REQUEST,
    CloseCode.UNAUTHORIZED: HTTPStatus.UNAUTHORIZED,
    CloseCode.FORBIDDEN: HTTPStatus.FORBIDDEN,
    CloseCode.CONTRADICTING_CONTENT: HTTPStatus.CONFLICT,
    CloseCode.EDIT_NOT_KEPT: HTTPStatus.CONFLICT,
    CloseCode.MISSING_DEPENDENCIES: HTTPStatus.CONFLICT,
    CloseCode.DOCUMENT_DELETED: HTTPStatus.GONE,
    CloseCode.MESSAGE_TOO_LARGE: _TOO_LARGE,
    CloseCode.HOSTILE_UPDATE: _INVALID,
    CloseCode.TOO_FAST: HTTPStatus.TOO_MANY_REQUESTS,
}
"""What is not here may be tried again: 503 ``unavailable``."""


def from_submission(refused: SubmissionRefused) -> Refusal:
    """The answer to operations that were refused."""
    if refused.code in {"unavailable", "overloaded"}:
        return unavailable(refused.reason, code=refused.code)
    places = {"index": refused.index, "field": refused.field, "readable_offset": refused.readable}
    places["retry"] = refused.retry or None
    more: dict[str, Any] = {name: value for name, value in places.items() if value is not None}
    status = _OF_SUBMISSIONS.get(refused.code, _INVALID)
    headers = {"retry-after": str(math.ceil(refused.seconds))} if refused.seconds else None
    return Refusal(status, refused.code, refused.reason, headers=headers, **more)


def from_history(refused: HistoryRefused) -> Refusal:
    """The answer to what cannot be had or done with a document's past."""
    if refused.code == "overloaded":
        return unavailable(refused.reason, code=refused.code)
    more: dict[str, Any] = {"retry": True} if refused.code == "history_replaced" else {}
    return Refusal(_OF_HISTORY.get(refused.code, _INVALID), refused.code, refused.reason, **more)


def from_close(closed: PeerError | RoomClosed) -> Refusal:
    """The answer where a socket would be closed."""
    if isinstance(closed, DocumentDamaged):
        return Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "document_damaged", closed.reason)
    status = _OF_CLOSES.get(closed.code)
    if status is None:
        return unavailable(closed.reason)
    return Refusal(status, closed.code.name.lower(), closed.reason)


def from_denied(denied: AccessDenied) -> Refusal:
    """401 or 403, and never a word about which part was wrong."""
    if denied.known:
        return Refusal(HTTPStatus.FORBIDDEN, "forbidden", "The token gives no access to this.")
    challenge = {"www-authenticate": "Bearer"}
    return Refusal(HTTPStatus.UNAUTHORIZED, "unauthorized", "No valid token came with the request.", headers=challenge)


def from_store(error: StoreError) -> Refusal:
    """The database does not do it."""
    if isinstance(error, HistoryForgotten):
        return Refusal(HTTPStatus.GONE, "history_forgotten", str(error), first_offset=error.first_offset)
    if isinstance(error, DocumentDeleted):
        return Refusal(HTTPStatus.GONE, "document_deleted", str(error))
    if isinstance(error, InvalidId | StoreRefused):
        return Refusal(_INVALID, "unprocessable_entity", str(error))
    if isinstance(error, StoreCorrupt):
        _log.error("request not served", reason=str(error))
        return Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "document_damaged", "What is stored of it is damaged; see the log.")
    _log.warning("request not served", reason=str(error))
    return unavailable("The database cannot be used now; send the request again later.")


def answer_with_problems(
    app: FastAPI,
    *,
    unavailable_when: tuple[type[Exception], ...] = (),
    told: Callable[[str, Exception], None] = lambda code, error: None,
) -> None:
    """Every error of this application, its routing's own included, has the form of :func:`problem`.

    ``unavailable_when``: further exceptions after which the same request may succeed later. ``told`` is called with the code of
    each refusal, and with what was raised.
    """

    async def refusal(request: Request, error: Exception) -> JSONResponse:
        answer = _refusal(error) if isinstance(error, Refusal) else _refused_inside(error)
        told(answer.code, error)
        return answer

    for raised in (Refusal, *_FROM_INSIDE, *unavailable_when):
        app.add_exception_handler(raised, refusal)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(Exception, _failure)


_FROM_INSIDE: Final = (AccessDenied, SubmissionRefused, HistoryRefused, PeerError, RoomClosed, StoreError, PresenceError)


def _refusal(error: Refusal) -> ProblemResponse:
    return problem(error.status, code=error.code, detail=error.detail, headers=error.headers, more=error.more)


def _refused_inside(error: Exception) -> ProblemResponse:
    match error:
        case AccessDenied():
            refusal = from_denied(error)
        case SubmissionRefused():
            refusal = from_submission(error)
        case HistoryRefused():
            refusal = from_history(error)
        case PeerError() | RoomClosed():
            refusal = from_close(error)
        case StoreError():
            refusal = from_store(error)
        case PresenceError():
            refusal = unavailable("Who is here cannot be found out now; ask again later.")
        case _:
            _log.warning("request not served", reason=str(error))
            refusal = unavailable("It cannot be told now who this is; send the request again later.")
    return _refusal(refusal)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return problem(HTTPStatus(error.status_code), detail=error.detail, headers=error.headers)


async def _invalid_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    places = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
    return problem(_INVALID, detail="; ".join(places))


async def _failure(request: Request, error: Exception) -> JSONResponse:
    # Its traceback is logged by the server; what went wrong inside is nothing for the outside. No middleware sees this answer.
    headers = CAREFUL | {"content-security-policy": DATA_POLICY, "cache-control": "no-store"}
    if (about := request_id()) is not None:
        headers[HEADER] = about
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, headers=headers)
