"""The one address that pages need: a token for the document that they show."""

from __future__ import annotations

from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseForbidden
from django.views.decorators.http import require_POST

from cowrite.django.access import token_for

_MAX_ID: Final = 255


@require_POST
def token(request: HttpRequest) -> HttpResponse:
    """A session token as plain text, for ``document`` of the form. 403 when this user may not open it.

    POST with Django's CSRF token, so that no other site's page has one made.
    """
    document_id = request.POST.get("document", "")
    if not 0 < len(document_id) <= _MAX_ID or "*" in document_id:
        return HttpResponseBadRequest(
            f"document takes an id of 1 to {_MAX_ID} characters, without *", content_type="text/plain"
        )
    user: Any = getattr(request, "user", None)
    try:
        answer = HttpResponse(token_for(user, document_id), content_type="text/plain")
    except PermissionDenied as denied:
        return HttpResponseForbidden(str(denied), content_type="text/plain")
    answer["Cache-Control"] = "no-store"
    return answer
