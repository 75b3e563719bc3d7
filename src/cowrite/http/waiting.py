"""Work for a client that may be gone before it is done."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from http import HTTPStatus
from typing import Any, TypeVar

from starlette.requests import Request

from cowrite.http.problems import Refusal

T = TypeVar("T")


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What the work gives, which is given up when the client goes. The request's body must have been read, or not be there.

    Raises what the work raises, and 400 ``bad_request``, which nobody reads.
    """
    working = asyncio.get_running_loop().create_task(work)
    leaving = asyncio.get_running_loop().create_task(_left(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Refusal(HTTPStatus.BAD_REQUEST, "bad_request", "The client has gone.")
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
