"""Upgrades to a WebSocket that come as plain requests, because the server below has no WebSockets.

uvicorn has them only where ``websockets`` or ``wsproto`` is installed; without, it warns among its own log lines and hands the
application a request, which no route takes. A 404 tells nobody what to do.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from cowrite.http.problems import problem

_log = structlog.get_logger(__name__)

_WHAT: Final = "The server that cowrite runs under takes no WebSockets; under uvicorn `pip install websockets` mends it."


class LostUpgrades:
    """Answers 426 to them, and says in the log, once, what to do."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._told = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _is_upgrade(scope):
            await self._app(scope, receive, send)
            return
        if not self._told:
            self._told = True
            _log.error("a WebSocket was asked for, and came as a plain request", path=scope["path"], reason=_WHAT)
        headers = {"upgrade": "websocket", "connection": "upgrade"}
        await problem(HTTPStatus.UPGRADE_REQUIRED, detail=_WHAT, headers=headers)(scope, receive, send)


def _is_upgrade(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return scope["method"] == "GET" and headers.get("upgrade", "").lower() == "websocket" and "sec-websocket-key" in headers
