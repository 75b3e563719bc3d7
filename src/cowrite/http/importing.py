"""Bringing into a document what comes from outside: Markdown, HTML, text, the JSON of ProseMirror, a Yjs update."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Annotated, Final, Literal, TypeAlias

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from cowrite.core.errors import PeerError
from cowrite.core.history.importing import Brought, Mode
from cowrite.core.ports import Grant
from cowrite.core.sessions.session import Session
from cowrite.formats.shapes import Shape, Source
from cowrite.http.asked import backend_asked
from cowrite.http.backend import Backend, BinaryPolling
from cowrite.http.bodies import read_body
from cowrite.http.credentials import identify, token_of
from cowrite.http.documents import ON_ONE
from cowrite.http.models import OperationId
from cowrite.http.problems import Refusal, documented
from cowrite.http.raw_paths import DocumentInPath
from cowrite.http.strict_route import ExactRoute
from cowrite.protocol import yjs
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.envelope import seal, unseal
from cowrite.protocol.messages import Acknowledged, PermissionDenied, SyncStep2

ImportFormat: TypeAlias = Literal["markdown", "html", "text", "prosemirror", "yjs"]
"""What ``format=`` takes."""
YJS: Final = "yjs"
_BY_TYPE: Final[dict[str, ImportFormat]] = {
    "text/markdown": "markdown",
    "text/html": "html",
    "text/plain": "text",
    "application/json": "prosemirror",
    "application/octet-stream": "yjs",
}
_BODIES: Final = {"schema": {"type": "string", "format": "binary"}}


class ImportedShown(BaseModel):
    """What became of it."""

    offset: int = Field(description="The offset of the log with it; the head, when there was nothing to write.")
    root: str | None = Field(description="The root that it was written into; null: those of the Yjs update.")
    version: str | None = Field(
        description="The id of a version: what was there before. Null: nothing was, or nothing was done."
    )
    left_out: list[str] = Field(description="Names of what the editor has nothing for; its text is there.")


@dataclass(frozen=True, slots=True)
class _Asked:
    form: ImportFormat
    shape: Shape
    root: str | None
    mode: Mode | None
    id: str | None


@lru_cache
def importing_routes() -> APIRouter:
    """``/api/v2/documents/{document_id}/import``."""
    routes = APIRouter(prefix="/api/v2/documents/{document_id}", tags=["documents"], route_class=ExactRoute)
    given = Depends(backend_asked)

    @routes.post(
        "/import",
        summary="Import into a document",
        description="Writes the body into one root, as one edit that those who are in the document see arrive; a document that "
        "there is not is made. What was there before becomes a version. A Yjs update is merged, whatever it holds: it takes "
        "neither `as` nor `root` nor `mode`.",
        openapi_extra={"requestBody": {"required": True, "content": dict.fromkeys(_BY_TYPE, _BODIES)}},
        responses=documented(
            **{status: codes for status, codes in ON_ONE.items() if status != "s404"}
            | {
                "s400": "bad_request",
                "s408": "request_timeout",
                "s409": "not_empty operation_id_taken history_replaced restored_meanwhile contradicting_content "
                "missing_dependencies",
                "s413": "too_large document_full message_too_large",
                "s415": "unsupported_media_type",
                "s422": "unprocessable_entity bad_document_id not_utf8 null_character lone_surrogate too_many_nodes too_deep "
                "too_costly not_prosemirror value root kind unsupported not_storable history_too_costly hostile_update",
                "s429": "too_fast",
                "s503": "unavailable overloaded draining",
            }
        ),
    )
    async def bring(
        request: Request,
        document_id: DocumentInPath,
        backend: Backend = given,
        format: Annotated[  # noqa: A002 - the parameter's name
            ImportFormat | None, Query(description="What the body is; else its Content-Type says it.")
        ] = None,
        shape: Annotated[
            Shape, Query(alias="as", description="The editor that opens the root: which names it has, or none.")
        ] = Shape.TIPTAP,
        root: Annotated[
            str | None,
            Query(
                min_length=1,
                max_length=255,
                description="The root; else `default` for Tiptap, `prosemirror` for ProseMirror, and `text`.",
            ),
        ] = None,
        mode: Annotated[Mode | None, Query(description="What becomes of what is there; `empty`: nothing may be.")] = None,
        id: Annotated[  # noqa: A002 - the parameter's name
            OperationId | None, Query(description="Best a UUID: asked for again with it, it is not done twice.")
        ] = None,
    ) -> ImportedShown:
        caller = await identify(backend, token_of(request.scope), document_id, Grant.WRITE)
        asked = _Asked(format or _told(request.headers.get("content-type", "")), shape, root, mode, id)
        if asked.form == YJS:
            _refuse_parameters(request)
            body = await _body(request, backend, caller.session, backend.limits.sync_bytes)
            offset = await merge_update(backend.binary, caller.session, body)
            return ImportedShown(offset=offset, root=None, version=None, left_out=[])
        body = await _body(request, backend, caller.session, backend.limits.source_bytes)
        brought = Brought(body, Source(asked.form), asked.shape, asked.root, asked.mode or Mode.EMPTY, asked.id)
        made = await backend.past.importing.bring(caller.session, brought)
        return ImportedShown(offset=made.offset, root=made.root, version=made.version_id, left_out=list(made.left_out))

    return routes


async def merge_update(binary: BinaryPolling, session: Session, update: bytes) -> int:
    """Have a Yjs update taken as that of a peer that was away (SyncStep2), and wait until it is durable. Returns the offset.

    Raises ``PeerError``, ``RoomClosed``, ``AccessDenied``, ``StoreError``, ``SubmissionRefused`` and :class:`Refusal`.
    """
    if not update:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "hostile_update", "There is no update in the body.")
    answer, _ = await binary.exchange(session, seal([yjs.encode(SyncStep2(update))]), lasting=False)
    told = [yjs.decode(message) for message in unseal(answer)]
    for one in told:
        if isinstance(one, Acknowledged):
            return one.offset
    for one in told:
        if isinstance(one, PermissionDenied):
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "document_full", one.reason)
    raise PeerError(CloseCode.MISSING_DEPENDENCIES, "the update builds on edits that are neither in it nor in the document")


def _told(content_type: str) -> ImportFormat:
    """Raises 415 ``unsupported_media_type``."""
    media, *parameters = (part.strip().lower() for part in content_type.split(";"))
    form = _BY_TYPE.get(media)
    charset = next((one.removeprefix("charset=").strip('"') for one in parameters if one.startswith("charset=")), "utf-8")
    if form is None or charset not in ("utf-8", "utf8", "us-ascii"):
        detail = f"The Content-Type is {content_type[:100]!r}: it is one of {', '.join(_BY_TYPE)}, in UTF-8; or say format=."
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
    return form


def _refuse_parameters(request: Request) -> None:
    for name in ("as", "root", "mode", "id"):
        if name in request.query_params:
            detail = f"query.{name}: a Yjs update says itself what it writes, and where; sent again it changes nothing"
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "unprocessable_entity", detail)


async def _body(request: Request, backend: Backend, session: Session, limit: int) -> bytes:
    share = backend.incoming.share(session.author)
    try:
        return await read_body(request, limit, share)
    finally:
        share.release()
