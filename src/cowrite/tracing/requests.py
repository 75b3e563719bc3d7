"""A span for each request of HTTP; and sockets, whose edits are no part of whatever span a host has for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cowrite.tracing.spans import Spans, fail

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_UNTRACED: Final = frozenset({"/healthz", "/readyz", "/metrics"})
"""What programs ask every few seconds, and nobody looks at afterwards."""
_SERVER_ERROR: Final = 500


class TracedRequests:
    """Traces requests with their method, route, status and id. Of the address there is the path alone: what stands behind ``?``
    may be a token. Within :class:`cowrite.http.request_ids.RequestIds`.
    """

    def __init__(self, app: ASGIApp, spans: Spans, request_id: Callable[[], str | None]) -> None:
        self._app = app
        self._spans = spans
        self._request_id = request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            with self._spans.socket():
                await self._app(scope, receive, send)
            return
        if scope["type"] != "http" or scope["path"].removeprefix(scope.get("root_path", "")) in _UNTRACED:
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        attributes = {
            "http.request.method": method,
            "url.scheme": scope.get("scheme", "http"),
            "url.path": scope["path"],
            "network.protocol.version": scope.get("http_version", "1.1"),
            "cowrite.request_id": self._request_id() or "",
        }
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
        with self._spans.request(method if method in _METHODS else "HTTP", headers, attributes) as span:

            async def send_and_note(message: Message) -> None:
                if message["type"] == "http.response.start":
                    status = message["status"]
                    span.set_attribute("http.response.status_code", status)
                    if status >= _SERVER_ERROR:
                        fail(span, str(status))
                await send(message)

            try:
                await self._app(scope, receive, send_and_note)
            finally:
                if (route := _route(scope)) is not None:
                    span.set_attribute("http.route", route)
                    span.update_name(f"{method} {route}")


def _route(scope: Scope) -> str | None:
    """The path as it is written in the program, ``/api/v2/documents/{document_id}``; None: no route of it has been found."""
    path = getattr(scope.get("route"), "path", None)
    return f"{scope.get('root_path', '')}{path}" if isinstance(path, str) else None
