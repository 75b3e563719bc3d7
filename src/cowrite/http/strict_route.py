"""Routes whose bodies FastAPI reads: bounded, and read strictly."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import Request, Response
from fastapi.routing import APIRoute

from cowrite.http.bodies import read_body
from cowrite.protocol.strict_json import read_json

MAX_FIELDS_BYTES: Final = 64 << 10
"""What a request may have in a body that is not operations."""


class StrictRoute(APIRoute):
    """FastAPI would keep whatever comes, and read all of it, before anybody has asked who sends it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What FastAPI calls with each request."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def read_before(request: Request) -> Response:
            return await handle(_ReadRequest(request, await read_body(request, MAX_FIELDS_BYTES)))

        return read_before


class _ReadRequest(Request):
    """A request whose body has been read."""

    def __init__(self, request: Request, body: bytes) -> None:
        super().__init__(request.scope, request.receive)
        self._read = body

    async def body(self) -> bytes:
        return self._read

    async def json(self) -> Any:
        try:
            return read_json(self._read)
        except json.JSONDecodeError:
            raise
        except ValueError as error:
            raise json.JSONDecodeError(str(error), "", 0) from None  # what FastAPI makes 422 of
