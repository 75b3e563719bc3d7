"""Routing on the path as it was sent, where ids in it may hold slashes."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Final
from urllib.parse import quote, unquote_to_bytes

from fastapi import Path
from pydantic import AfterValidator
from starlette.types import ASGIApp, Receive, Scope, Send

from cowrite.http.credentials import check_document_id
from cowrite.http.problems import Refusal

_PREFIX: Final = b"/api/v2/documents/"


class RawDocumentPaths:
    """Leaves the path below ``/api/v2/documents/`` percent-encoded, as it was sent: servers decode ``%2F`` before routing, and
    the document ``a/operations`` would be taken for the operations of ``a``.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and "/api/v2/documents/" in scope["path"]:
            raw = _below_root(scope)
            if raw.startswith(_PREFIX):
                # Routing takes the prefix under which the application is mounted from the path.
                scope["path"] = scope.get("root_path", "") + raw.decode("latin-1")
        await self._app(scope, receive, send)


def _below_root(scope: Scope) -> bytes:
    raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    root = scope.get("root_path", "")
    for prefix in (quote(root).encode(), root.encode()):
        if prefix and raw.startswith(prefix + b"/"):
            return raw[len(prefix) :]
    return raw


def _decode(segment: str) -> str:
    """The id in a segment of the path. A ``%`` that begins no escape stands for itself."""
    try:
        return check_document_id(unquote_to_bytes(segment.encode("latin-1")).decode())
    except UnicodeError:
        detail = "An id is written in UTF-8, percent-encoded."
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "bad_document_id", detail) from None


DocumentInPath = Annotated[str, Path(description="The document's id, percent-encoded, slashes too."), AfterValidator(_decode)]
"""A path parameter that is a document's id. Raises 422 ``bad_document_id``."""
