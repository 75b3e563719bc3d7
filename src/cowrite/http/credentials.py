"""The one place where HTTP requests show who sends them.

A token comes in the header ``Authorization: Bearer …``; where a client cannot set headers (``sendBeacon``), as ``access_token``
in the body or in the query. It is an access token, or a session token where one request is all that is wanted.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl

from cowrite.core.document_ids import MAX_ID_CHARACTERS, is_document_id
from cowrite.core.ports import AccessDenied, Grant
from cowrite.core.sessions.session import Session
from cowrite.http.backend import Backend
from cowrite.http.problems import Refusal
from cowrite.http.query_tokens import kept_token

ALL_DOCUMENTS: Final = "*"
"""What administrators of all documents have a grant for: only the pattern ``*`` gives one for this."""
_MAX_PARAMETERS: Final = 100
_BEARER: Final = b"bearer "


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request, and whether it has a session that further requests will belong to."""

    session: Session
    lasting: bool


async def identify(backend: Backend, token: str | None, document_id: str, needed: Grant) -> Caller:
    """Let the bearer of a token into a document. Raises :class:`AccessDenied`, and 403 ``grant_too_low``."""
    session = _resume(backend, token) if token else None
    caller = Caller(session, True) if session is not None else Caller(await backend.bridge.enter(token, document_id), False)
    if caller.session.document_id != document_id:
        raise AccessDenied("The token gives no access to this document.", known=True)
    require(caller.session, needed)
    return caller


async def identify_administrator(backend: Backend, scope: Any) -> None:
    """Let those pass whose token grants ``admin`` on all documents. Raises as :func:`identify`."""
    await identify(backend, token_of(scope), ALL_DOCUMENTS, Grant.ADMIN)


def require(session: Session, needed: Grant) -> None:
    """Raise 403 ``grant_too_low`` unless the session's grant includes ``needed``."""
    if not session.may(needed):
        raise Refusal(HTTPStatus.FORBIDDEN, "grant_too_low", f"This needs the grant {needed}; the session has {session.grant}.")


def check_document_id(document_id: str) -> str:
    """Return an id that a document can have. Raises 422 ``bad_document_id``."""
    if not is_document_id(document_id):
        detail = f"An id has 1 to {MAX_ID_CHARACTERS} characters of Unicode, without U+0000, and is not *."
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "bad_document_id", detail)
    return document_id


def bearer_of(headers: list[tuple[bytes, bytes]]) -> str | None:
    """The token in the header Authorization. Other schemes are somebody else's, a proxy's perhaps."""
    for name, value in headers:
        if name == b"authorization" and value[: len(_BEARER)].lower() == _BEARER:
            return value[len(_BEARER) :].strip().decode("latin-1")
    return None


def parameters_of(query: bytes) -> dict[str, str]:
    """The parameters of the query, of each the first. Raises 400 ``bad_request`` when there are absurdly many."""
    try:
        found = parse_qsl(
            query.decode(errors="replace"), keep_blank_values=True, errors="replace", max_num_fields=_MAX_PARAMETERS
        )
    except ValueError:
        raise Refusal(HTTPStatus.BAD_REQUEST, "bad_request", "The query of the address cannot be read.") from None
    return dict(reversed(found))


def token_of(scope: Any, in_body: str | None = None) -> str | None:
    """The token of a request: the header's, else the body's, else the query's."""
    return bearer_of(scope["headers"]) or in_body or kept_token(scope)


def _resume(backend: Backend, token: str) -> Session | None:
    """The session of an access token; None when it is none, or not valid."""
    try:
        return backend.bridge.resume(token)
    except AccessDenied as denied:
        if denied.known:
            raise
        return None
