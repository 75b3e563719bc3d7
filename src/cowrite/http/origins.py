"""Pages of other sites: which may use the API, and what browsers are told about it."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cowrite.http.problems import problem

_PATH: Final = "/api/"
_SAFE: Final = frozenset(("GET", "HEAD", "OPTIONS"))
_PREFLIGHT: Final = {
    "access-control-allow-methods": "GET, POST, DELETE",
    "access-control-allow-headers": "Authorization, Content-Type, If-None-Match",
    "access-control-max-age": "7200",
}
_EXPOSED: Final = "ETag, Cowrite-Cursor, Retry-After, Location, Date"


class CrossOrigin:
    """Lets pages of origins that ``allows`` (called with the headers Origin and Host) takes read the answers of ``/api``.

    What changes something is refused (403 ``origin_refused``) when it comes from another page: without a token, as in the demo,
    its being sent would be enough. Requests without Origin come from no page.
    """

    def __init__(self, app: ASGIApp, allows: Callable[[str | None, str | None], bool]) -> None:
        self._app = app
        self._allows = allows

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin, host = _origin_and_host(scope)
        if origin is None:
            await self._app(scope, receive, send)
        elif not self._allows(origin, host):
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


def _origin_and_host(scope: Scope) -> tuple[str | None, str | None]:
    """The headers Origin and Host of a request to the API; no origin for other requests."""
    if scope["type"] != "http" or _PATH not in scope["path"]:
        return None, None
    headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))
    origin, host = headers.get(b"origin"), headers.get(b"host")
    return (origin.decode("latin-1") if origin is not None else None, host.decode("latin-1") if host is not None else None)
