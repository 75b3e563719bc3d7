"""An id for each request: in its answer, in the body of an error, and in the log lines that are written meanwhile."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER: Final = "x-request-id"
FIELD: Final = "request_id"
"""What it is called in log lines and in the bodies of errors."""
_USABLE: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
"""What an id from outside may be: nothing that a log or a terminal could take for something else."""


def request_id() -> str | None:
    """The id of the request that is being answered. None: it is not this application's."""
    found = structlog.contextvars.get_contextvars().get(FIELD)
    return found if isinstance(found, str) else None


class RequestIds:
    """Takes the id that a request brings (a proxy's, best), else makes one. The outermost of the application's own."""

    def __init__(self, app: ASGIApp, new_id: Callable[[], str]) -> None:
        self._app = app
        self._new_id = new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == HEADER.encode()), b"")
        chosen = given.decode() if _USABLE.fullmatch(given) else self._new_id()
        # Not taken back: what fails is logged by the server, when this has returned, and each request has a context of its own.
        structlog.contextvars.bind_contextvars(**{FIELD: chosen})

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = chosen
            await send(message)

        await self._app(scope, receive, send_with_id)
