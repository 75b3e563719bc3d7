"""Headers that keep browsers careful, and the check of the name by which the server is addressed."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cowrite.http.problems import CAREFUL, DATA_POLICY, problem

PAGE_POLICY: Final = (
    # Styles may be inline because CodeMirror and y-codemirror write theirs into the page; scripts may not.
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of the demo page; ``index.html`` says the same, but for the last one, which no page can say."""
_API: Final = "/api/"


class SecurityHeaders:
    """Adds the headers to every HTTP answer. What the API answers no cache keeps that was not told to."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in CAREFUL.items():
                    headers.setdefault(name, value)
                if _API in scope["path"]:
                    headers["content-security-policy"] = DATA_POLICY
                    headers.setdefault("cache-control", "no-store")
                else:
                    headers.setdefault("content-security-policy", PAGE_POLICY)
            await send(message)

        await self._app(scope, receive, send_with_headers)


class HostCheck:
    """Answers 421 to HTTP requests that address the server by a name which ``allows`` refuses."""

    def __init__(self, app: ASGIApp, allows: Callable[[str | None], bool]) -> None:
        self._app = app
        self._allows = allows

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._allows(Headers(scope=scope).get("host")):
            await self._app(scope, receive, send)
        else:
            detail = "The demo answers only to this machine's own names, such as localhost and 127.0.0.1."
            await problem(HTTPStatus.MISDIRECTED_REQUEST, detail=detail)(scope, receive, send)
