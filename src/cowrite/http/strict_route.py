"""Routes whose bodies FastAPI reads: bounded, and read strictly."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import Scope

from cowrite.http.bodies import read_body, read_json
from cowrite.http.problems import Refusal

MAX_FIELDS_BYTES: Final = 64 << 10
"""What a request may have in a body that is not operations."""
_JSON: Final = (b"content-type", b"application/json")


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


class ExactRoute(StrictRoute):
    """Refuses parameters that it does not have, too: what somebody meant by one is not what they would be answered."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What FastAPI calls with each request."""
        handle = super().get_route_handler()
        names = [field.alias for field in self.dependant.query_params]
        known = f"it has {', '.join(names)}" if names else "it has none"

        async def look_before(request: Request) -> Response:
            for name in request.query_params:
                if name not in names:
                    detail = f"query.{name[:50]}: this address has no such parameter; {known}"
                    raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "unprocessable_entity", detail)
            return await handle(request)

        return look_before


class _ReadRequest(Request):
    """A request whose body has been read: as JSON, whatever its type says (curl's is another one, unless it is told)."""

    def __init__(self, request: Request, body: bytes) -> None:
        super().__init__(_as_json(request.scope), request.receive)
        self._read = body
        # Here: what is raised while FastAPI reads it, FastAPI makes an answer of its own of.
        self._value = read_json(body) if body else None

    async def body(self) -> bytes:
        return self._read

    async def json(self) -> Any:
        return self._value


def _as_json(scope: Scope) -> Scope:
    headers = [(name, value) for name, value in scope["headers"] if name != _JSON[0]]
    return {**scope, "headers": [*headers, _JSON]}
