"""Pages of other sites: which may use the API, and what browsers are told about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cowrite.http.problems import problem

_PATH: Final = "/api/"
_SAFE: Final = frozenset(("GET", "HEAD", "OPTIONS"))
_PREFLIGHT: Final = {
    "access-control-allow-methods": "GET, POST, PATCH, DELETE",
    "access-control-allow-headers": "Authorization, Content-Type, If-None-Match",
    "access-control-max-age": "7200",
}
_FOREIGN: Final = frozenset((b"cross-site", b"same-site"))
"""What Sec-Fetch-Site says of pages of other origins."""
_UNKNOWN: Final = "null"
"""The origin of pages that have none, or do not tell it; only ``*`` allows it."""
_EXPOSED: Final = "ETag, Cowrite-Cursor, Retry-After, Location, Date"


class CrossOrigin:
    """Lets pages of origins that ``allows`` (called with the headers Origin and Host) takes read the answers of ``/api``.

    What changes something is refused (403 ``origin_refused``) when it comes from another page: without a token, as in the demo,
    its being sent would be enough. Requests without Origin come from no page, unless the browser says in Sec-Fetch-Site that
    one of another origin makes them. Pages that tell nobody where they come from send the Origin ``null`` with what they send
    in passing (``sendBeacon``), to their own server too: there Sec-Fetch-Site, which no page can set, says whose it is.
    """

    def __init__(self, app: ASGIApp, allows: Callable[[str | None, str | None], bool]) -> None:
        self._app = app
        self._allows = allows

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = _asked_by(scope)
        origin = asked.origin
        if origin is None and not (asked.foreign and not self._allows(_UNKNOWN, asked.host)):
            await self._app(scope, receive, send)
        elif origin is None or not (asked.own or self._allows(origin, asked.host)):
            await self._stranger(scope, receive, send)
        elif scope["method"] == "OPTIONS" and "access-control-request-method" in Headers(scope=scope):
            await Response(status_code=HTTPStatus.NO_CONTENT, headers=_PREFLIGHT | _allowed(origin))(scope, receive, send)
        else:

            async def send_with_headers(message: Message) -> None:
                if message["type"] == "http.response.start":
                    headers = MutableHeaders(scope=message)
                    headers["access-control-allow-origin"] = origin
                    headers["access-control-expose-headers"] = _EXPOSED
                    headers.add_vary_header("origin")
                await send(message)

            await self._app(scope, receive, send_with_headers)

    async def _stranger(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] in _SAFE:
            await self._app(scope, receive, send)  # the browser keeps the answer from the page
            return
        detail = "This web page may not use the API; its origin belongs into COWRITE_ALLOWED_ORIGINS."
        await problem(HTTPStatus.FORBIDDEN, code="origin_refused", detail=detail)(scope, receive, send)


def _allowed(origin: str) -> dict[str, str]:
    return {"access-control-allow-origin": origin, "vary": "origin"}


@dataclass(frozen=True, slots=True)
class _AskedBy:
    """What a request's headers say of the page that makes it. Without a page: nothing."""

    origin: str | None = None
    host: str | None = None
    foreign: bool = False
    """The browser says that the page is of another origin."""
    own: bool = False
    """The page keeps its origin to itself, and the browser says that it is the server's own."""


_NO_PAGE: Final = _AskedBy()


def _asked_by(scope: Scope) -> _AskedBy:
    if scope["type"] != "http" or _PATH not in scope["path"]:
        return _NO_PAGE
    headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))
    origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site")
    if origin is None and site is None:
        return _NO_PAGE
    host = headers.get(b"host")
    return _AskedBy(
        origin=origin.decode("latin-1") if origin is not None else None,
        host=host.decode("latin-1") if host is not None else None,
        foreign=site in _FOREIGN,
        own=origin == _UNKNOWN.encode() and site == b"same-origin",
    )
