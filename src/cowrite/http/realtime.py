"""Negotiation: from a session token to a session, and what becomes of it."""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import APIRouter, Depends, Request, Response

from cowrite.core.damaged import Damaged, granted
from cowrite.core.errors import DocumentDamaged, RoomClosed
from cowrite.core.ports import AccessDenied, Grant
from cowrite.core.records import AccessChange, Head
from cowrite.core.sessions.bridge import Admission
from cowrite.http.asked import backend_asked
from cowrite.http.backend import Backend
from cowrite.http.bodies import read_body, read_json
from cowrite.http.credentials import ALL_DOCUMENTS, bearer_of, identify, token_of
from cowrite.http.models import Admitted, ConnectBody, Connected, GrantBody, GrantChanged, RefreshBody, user_of
from cowrite.http.offers import offers
from cowrite.http.problems import Refusal, documented, unavailable
from cowrite.http.strict_route import MAX_FIELDS_BYTES, StrictRoute
from cowrite.protocol.thin import HEARTBEAT_SECONDS

_OVERLOADED_SECONDS: Final = 10

_log = structlog.get_logger(__name__)


@lru_cache
def realtime_routes(*, batch_milliseconds: int) -> APIRouter:
    """``connect``, ``refresh``, ``disconnect`` and ``grants``."""
    routes = APIRouter(prefix="/api/v2/realtime", tags=["realtime"], route_class=StrictRoute)
    given = Depends(backend_asked)

    @routes.post(
        "/connect",
        summary="Exchange a session token for a session",
        responses=documented(
            s400="malformed_json bad_request",
            s408="request_timeout",
            s401="unauthorized",
            s403="forbidden origin_refused",
            s410="document_deleted",
            s422="unprocessable_entity bad_document_id",
            s500="document_damaged",
            s503="overloaded draining unavailable",
        ),
    )
    async def connect(request: Request, body: ConnectBody, backend: Backend = given) -> Connected:
        document_id = body.document_id
        if not backend.load.accepts:
            code = "draining" if backend.load.status == "draining" else "overloaded"
            raise unavailable("The server takes no more sessions now.", code=code, seconds=_OVERLOADED_SECONDS)
        head: tuple[str | None, Head] | None = None
        damage: Damaged | None = None

        async def prepare() -> None:
            nonlocal head, damage
            async with backend.registry.open(document_id) as room:
                head, damage = await backend.reader.last_operation(room), room.damage

        admission = await backend.bridge.connect(body.session_token, document_id, prepare)
        assert head is not None, "it was prepared"
        last_operation, at = head
        client = body.client.label if body.client is not None else None
        admission.session.client = client
        who = {"document": document_id, "user": admission.session.author, "session": admission.session.id}
        _log.info("session opened", **who, client=client, failed=body.failed)
        return Connected(
            **_admitted(admission, damage),
            transports=offers(request, document_id, failed=body.failed, crowded=backend.load.crowded),
            head=last_operation,
            offset=at.offset,
            epoch=at.epoch,
            batch_interval_ms=batch_milliseconds,
            heartbeat_interval_ms=int(HEARTBEAT_SECONDS * 1000),
            server=backend.load.status,
        )

    @routes.post(
        "/refresh",
        summary="Renew the access token",
        responses=documented(
            s400="malformed_json bad_request",
            s408="request_timeout",
            s401="unauthorized",
            s403="forbidden origin_refused",
            s422="unprocessable_entity",
            s503="draining unavailable",
        ),
    )
    async def refresh(request: Request, body: RefreshBody, backend: Backend = given) -> Admitted:
        token = token_of(request.scope, body.access_token)
        if token is None:
            raise AccessDenied("A token is needed.", known=False)
        admission = await backend.bridge.refresh(token, body.session_token)
        return Admitted(**_admitted(admission, await _damage(backend, admission.session.document_id)))

    @routes.post(
        "/disconnect",
        status_code=HTTPStatus.NO_CONTENT,
        summary="End the session",
        description="Works with `navigator.sendBeacon`: the token may be in the body, as JSON or by itself, whatever its type.",
        responses=documented(
            s400="malformed_json bad_request",
            s408="request_timeout",
            s401="unauthorized",
            s403="origin_refused",
            s413="too_large",
            s503="draining unavailable",
        ),
        openapi_extra={"requestBody": _DISCONNECT_BODY},
    )
    async def disconnect(request: Request, backend: Backend = given) -> Response:
        token = token_of(request.scope, await _token_in_body(request))
        if token is None:
            raise AccessDenied("A token is needed.", known=False)
        session = await backend.bridge.disconnect(token)
        _log.info("session ended", document=session.document_id, user=session.author, session=session.id)
        backend.binary.leave(session)
        if (room := backend.registry.get(session.document_id)) is not None:
            room.presence.leave(session)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    @routes.post(
        "/grants",
        summary="Change or revoke grants, of those connected too",
        description=(
            "In force on all processes when it is answered, as far as writing goes; sockets hear of it within half a second. "
            "An administrator of one document may change that document; whose session token grants `admin` on the pattern `*` "
            "may leave `document_id` out."
        ),
        responses=documented(
            s400="malformed_json bad_request",
            s408="request_timeout",
            s401="unauthorized",
            s403="forbidden grant_too_low origin_refused",
            s422="unprocessable_entity bad_document_id",
            s503="draining unavailable",
        ),
    )
    async def grants(request: Request, body: GrantBody, backend: Backend = given) -> GrantChanged:
        document_id = body.document_id
        if document_id is None and body.user_id is None and body.session_id is None:
            detail = "A change is for a document, a user or a session: none is named."
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "unprocessable_entity", detail)
        caller = await identify(backend, token_of(request.scope), document_id or ALL_DOCUMENTS, Grant.ADMIN)
        restores = body.grant == "restore"
        change = AccessChange(
            id=backend.ids.new(),
            changed_by=caller.session.author,
            created_at=backend.clock.now(),
            document_id=document_id,
            user_id=body.user_id,
            session_id=body.session_id.lower() if body.session_id is not None else None,
            grant=None if restores or body.grant is None else Grant(body.grant),
            reason=body.reason,
            restores=restores,
        )
        revision = await backend.access_log.change(change)
        await backend.access.catch_up(revision)
        return GrantChanged(revision=revision)

    return routes


def _admitted(admission: Admission, damage: Damaged | None) -> dict[str, Any]:
    session = admission.session
    return {
        "session_id": session.id,
        "access_token": admission.access_token,
        "expires_at": admission.expires_at,
        "session_expires_at": admission.session_ends_at,
        "document_id": session.document_id,
        "grant": granted(session, damage),
        "read_only": "damaged" if damage is not None else None,
        "user": user_of(session),
    }


async def _damage(backend: Backend, document_id: str) -> Damaged | None:
    """Whether the document is damaged, though this process had not opened it before."""
    if (room := backend.registry.get(document_id)) is not None:
        return room.damage
    try:
        async with backend.registry.open(document_id) as room:
            return room.damage
    except DocumentDamaged:
        return Damaged(0)  # nothing of it can be read
    except RoomClosed:
        return None  # it cannot be opened now, or is deleted: whoever goes there is told


async def _token_in_body(request: Request) -> str | None:
    body = await read_body(request, MAX_FIELDS_BYTES)
    if not body.strip() or bearer_of(request.scope["headers"]) is not None:
        return None
    if not body.lstrip().startswith(b"{"):
        return body.decode("latin-1").strip()
    token = read_json(body).get("access_token")
    return token if isinstance(token, str) else None


_DISCONNECT_BODY: Final = {
    "required": False,
    "content": {
        "application/json": {"schema": {"type": "object", "properties": {"access_token": {"type": "string"}}}},
        "text/plain": {"schema": {"type": "string"}},
    },
}
