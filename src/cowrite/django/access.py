"""Who may do what in which document: asked of the project, and put into tokens."""

from __future__ import annotations

from typing import Any, Final
from uuid import uuid4

from django.core.exceptions import PermissionDenied

from cowrite.django.conf import Collaboration, collaboration
from cowrite.tokens import issue

_GRANTS: Final = ("read", "comment", "write", "admin")
_ANONYMOUS: Final = "anonymous:"


def grant_of(user: Any, document_id: str) -> str | None:
    """What ``COWRITE['GRANT']`` says. Raises ``ValueError`` when that is no grant."""
    return _grant(collaboration(), user, document_id)


def token_for(user: Any, document_id: str, *, visitor: str | None = None) -> str:
    """A session token with which this user opens this document. Raises ``PermissionDenied`` when they may not, and
    ``ValueError`` for what is no document's id.

    The name that others see is the user's full name, or else the username. Who is not logged in is somebody of their own:
    ``visitor`` tells them apart, and without it each token is for another person.
    """
    said = collaboration()
    grant = _grant(said, user, document_id)
    if grant is None:
        raise PermissionDenied(f"{user} may not open {document_id}.")
    secret = said.settings.secret
    assert secret is not None, "conf.py derives one"
    return issue(
        secret.get_secret_value(),
        sub=str(user.pk) if user.pk is not None else f"{_ANONYMOUS}{visitor or uuid4().hex}",
        name=_name(user),
        documents={_literally(document_id): grant},
        ttl=said.token_seconds,
    )


def _grant(said: Collaboration, user: Any, document_id: str) -> str | None:
    grant = said.grant(user, document_id)
    if grant is not None and grant not in _GRANTS:
        raise ValueError(f"COWRITE['GRANT'] said {grant!r}; it takes one of {', '.join(map(repr, _GRANTS))}, or None")
    return grant


def _name(user: Any) -> str:
    if user.pk is None:
        return "Anonymous"
    return str(user.get_full_name() or user.get_username())[:255]


def _literally(document_id: str) -> str:
    """In a token's document ids ``*`` stands for any characters, and nothing makes it stand for itself."""
    if "*" in document_id:
        raise ValueError(f"{document_id!r} has a * in it: a token for it would open others, too")
    return document_id
