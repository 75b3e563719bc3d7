"""The one address that pages need: a token for the document that they show."""

from __future__ import annotations

from typing import Any, Final
from uuid import uuid4

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseForbidden
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_POST

from cowrite.core.document_ids import is_document_id
from cowrite.django.access import token_for

_VISITOR: Final = "cowrite_visitor"


@require_POST
@csrf_protect
def token(request: HttpRequest) -> HttpResponse:
    """A session token as plain text, for ``document`` of the form. 403 when this user may not open it.

    POST with Django's CSRF token, so that no other site's page has one made. Who is not logged in stays one person as long as
    their Django session lasts.
    """
    document_id = request.POST.get("document", "")
    if not is_document_id(document_id) or "*" in document_id:
        return HttpResponseBadRequest("document takes an id of 1 to 255 characters, without *", content_type="text/plain")
    user: Any = getattr(request, "user", None)
    try:
        answer = HttpResponse(token_for(user, document_id, visitor=_visitor(request, user)), content_type="text/plain")
    except PermissionDenied as denied:
        return HttpResponseForbidden(str(denied), content_type="text/plain")
    answer["Cache-Control"] = "no-store"
    return answer


def _visitor(request: HttpRequest, user: Any) -> str | None:
    session = getattr(request, "session", None)
    if user is None or user.pk is not None or session is None:
        return None
    return str(session.setdefault(_VISITOR, uuid4().hex))
