"""Webhooks that were given up, for administrators of all documents: the same that ``cowrite webhooks`` does."""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from typing import Annotated, Any, Final, TypeAlias

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from cowrite.core.ports.webhooks import DeadLetter, WebhookLog
from cowrite.http.asked import backend_asked
from cowrite.http.backend import Backend
from cowrite.http.credentials import identify_administrator
from cowrite.http.problems import Refusal, documented
from cowrite.http.strict_route import ExactRoute

MAX_DEAD: Final = 1000
_UUID: Final = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"
_ERRORS: Final = {
    "s400": "bad_request",
    "s401": "unauthorized",
    "s403": "forbidden grant_too_low",
    "s422": "unprocessable_entity",
    "s503": "unavailable draining",
}
_ON_ONE: Final = _ERRORS | {"s404": "webhook_not_found"}

WebhookId: TypeAlias = Annotated[str, Path(pattern=_UUID, description="Its `webhook-id`.")]


class DeadWebhook(BaseModel):
    """A webhook that was given up. Times are milliseconds since 1970."""

    id: str = Field(description="Its `webhook-id`.")
    document_id: str
    type: str = Field(description="What it tells of, such as `document.changed`.")
    made_at: int
    died_at: int = Field(description="When it was sent in vain for the last time.")
    attempts: int
    reason: str = Field(description="Why it was not received, the last time.")
    due_at: int | None = Field(description="Since when it is to be sent again; null: it is not.")

    @classmethod
    def of(cls, letter: DeadLetter) -> DeadWebhook:
        """One as it is shown in the list."""
        return cls(**_told(letter))


class DeadWebhookWhole(DeadWebhook):
    """The same, with what was sent."""

    body: str = Field(description="The body of the request, byte for byte: JSON.")

    @classmethod
    def of(cls, letter: DeadLetter) -> DeadWebhookWhole:
        """One as it is shown by itself."""
        return cls(**_told(letter), body=letter.body)


class DeadWebhooks(BaseModel):
    """A page of them, in the order of their ids, which is that in which they were made."""

    webhooks: list[DeadWebhook]
    next: str | None = Field(description="What `after` takes for the next page; null: this is the last one.")
    number: int = Field(description="How many there are on all pages.")


@lru_cache
def admin_webhook_routes() -> APIRouter:
    """``/api/v2/admin/webhooks`` and what is below it."""
    routes = APIRouter(prefix="/api/v2/admin/webhooks", tags=["admin"], route_class=ExactRoute)
    given = Depends(backend_asked)

    @routes.get("", summary="Which webhooks were given up", responses=documented(**_ERRORS))
    async def dead(
        request: Request,
        backend: Backend = given,
        after: Annotated[str | None, Query(pattern=_UUID, description="The `next` of the page before.")] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_DEAD)] = 100,
    ) -> DeadWebhooks:
        await identify_administrator(backend, request.scope)
        log = backend.webhooks
        if log is None:
            return DeadWebhooks(webhooks=[], next=None, number=0)
        letters = await log.dead(after=after, limit=limit + 1)
        page = [DeadWebhook.of(letter) for letter in letters[:limit]]
        return DeadWebhooks(webhooks=page, next=page[-1].id if len(letters) > limit else None, number=await log.count_dead())

    @routes.get("/{webhook_id}", summary="One of them, with what was sent", responses=documented(**_ON_ONE))
    async def one(request: Request, webhook_id: WebhookId, backend: Backend = given) -> DeadWebhookWhole:
        await identify_administrator(backend, request.scope)
        letter = await _log_of(backend).dead_letter(webhook_id)
        if letter is None:
            raise _not_found()
        return DeadWebhookWhole.of(letter)

    @routes.post(
        "/{webhook_id}/retry",
        summary="Have one sent again",
        description="Once, within seconds, out of its document's order. When it is received it is gone from here, "
        "else it stays, with what was wrong this time.",
        responses=documented(**_ON_ONE),
        status_code=HTTPStatus.NO_CONTENT,
    )
    async def retry(request: Request, webhook_id: WebhookId, backend: Backend = given) -> Response:
        await identify_administrator(backend, request.scope)
        if not await _log_of(backend).retry(webhook_id):
            raise _not_found()
        return Response(status_code=HTTPStatus.NO_CONTENT)

    @routes.delete("/{webhook_id}", summary="Drop one", responses=documented(**_ON_ONE), status_code=HTTPStatus.NO_CONTENT)
    async def drop(request: Request, webhook_id: WebhookId, backend: Backend = given) -> Response:
        await identify_administrator(backend, request.scope)
        if not await _log_of(backend).drop(webhook_id):
            raise _not_found()
        return Response(status_code=HTTPStatus.NO_CONTENT)

    return routes


def _log_of(backend: Backend) -> WebhookLog:
    if backend.webhooks is None:
        raise _not_found()
    return backend.webhooks


def _not_found() -> Refusal:
    detail = "No webhook of this id was given up; it may have been received or dropped meanwhile."
    return Refusal(HTTPStatus.NOT_FOUND, "webhook_not_found", detail)


def _told(letter: DeadLetter) -> dict[str, Any]:
    names = ("document_id", "type", "made_at", "died_at", "attempts", "reason", "due_at")
    return {"id": letter.event_id, **{name: getattr(letter, name) for name in names}}
