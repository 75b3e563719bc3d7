"""Errors of the HTTP interface: ``application/problem+json`` (RFC 9457) with a stable ``code``."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

CAREFUL: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
}
"""Headers that keep browsers from guessing and embedding."""


def problem(
    status: HTTPStatus, *, detail: str | None = None, code: str | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """An error's answer. ``code`` is for programs; the status in words unless given. ``detail`` is for people."""
    content = {"type": "about:blank", "title": status.phrase, "status": int(status), "code": code or status.name.lower()}
    if detail is not None and detail != status.phrase:
        content["detail"] = detail
    return JSONResponse(content, status, headers, media_type="application/problem+json")


def answer_with_problems(app: FastAPI) -> None:
    """Every error of this application, its routing's own included, has the form of :func:`problem`."""
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(Exception, _failure)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return problem(HTTPStatus(error.status_code), detail=error.detail, headers=error.headers)


async def _invalid_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    places = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail="; ".join(places))


async def _failure(request: Request, error: Exception) -> JSONResponse:
    # Its traceback is logged by the server; what went wrong inside is nothing for the outside. No middleware sees this answer.
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, headers=CAREFUL)
