"""Tokens in addresses: taken out of them before anybody can write them down.

A server writes the address of a request into its access log when the answer is on its way, uvicorn and others from the very
scope that the application was given. So the token is taken from the scope's query at the outermost place, and kept beside it.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote_plus

from starlette.types import ASGIApp, Receive, Scope, Send

PARAMETER: Final = "access_token"
_OF_SOCKETS: Final = "token"
"""The one in the addresses of sockets. It comes in a request where an upgrade has failed, and is of no use there."""
_KEPT: Final = "cowrite.access_token"
_MAX_LENGTH: Final = 64 << 10
"""Servers take no longer addresses."""


class QueryTokens:
    """Takes ``access_token`` out of the query of each HTTP request, and ``token``."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (query := scope["query_string"]):
            rest, scope[_KEPT] = split_token(query, PARAMETER)
            scope["query_string"], _ = split_token(rest, _OF_SOCKETS)
        await self._app(scope, receive, send)


def kept_token(scope: Scope) -> str | None:
    """The token that stood in the query of a request; None without one."""
    token: str | None = scope.get(_KEPT)
    return token


def split_token(query: bytes, name: str) -> tuple[bytes, str | None]:
    """A query without all parameters of a name, and the first one's value."""
    others, found = [], None
    for part in query[:_MAX_LENGTH].split(b"&"):
        key, _, value = part.partition(b"=")
        if unquote_plus(key.decode("latin-1")) == name:
            found = unquote_plus(value.decode("latin-1")) if found is None else found
        else:
            others.append(part)
    return b"&".join(others), found
