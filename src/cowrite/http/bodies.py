"""Reading requests that FastAPI need not look into."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Any, Final, NoReturn

from starlette.requests import ClientDisconnect, Request

from cowrite.core.incoming import Share
from cowrite.http.asked import backend_asked
from cowrite.http.problems import Refusal
from cowrite.http.refusals import unavailable
from cowrite.protocol import strict_json

MAX_BODY_BYTES: Final = 1 << 20
"""What a request may have in its body, unless said otherwise."""
_DROPPED_BYTES: Final = 8 << 20
"""So much of what is beyond the limit is read all the same, and dropped: a client that is still sending reads no answer."""
_CLOSE: Final = {"connection": "close"}
"""There may be more that was not read: the connection ends with this answer."""


async def read_body(request: Request, limit: int = MAX_BODY_BYTES, share: Share | None = None) -> bytes:
    """Read at most ``limit`` bytes, whatever Content-Length says. ``share``: it holds what has come.

    Raises 413 ``too_large``; 408 ``request_timeout`` when they are too long in coming; 503 ``overloaded`` when there is no room
    for them; and 400 ``bad_request``, which nobody reads, when the client goes before all of them have come.
    """
    limits, now = backend_asked(request).limits, asyncio.get_running_loop().time
    parts: list[bytes] = []
    size, began = 0, now()
    try:
        async with asyncio.timeout(limits.arrival_seconds) as patience:
            async for part in request.stream():
                size += len(part)
                if size > limit + _DROPPED_BYTES:
                    break
                if size <= limit:
                    parts.append(part)
                    if share is not None and not share.hold(size):
                        raise unavailable("Too much waits to be read.", code="overloaded", close=True)
                patience.reschedule(began + limits.arrives_within(size))
    except ClientDisconnect:
        raise Refusal(HTTPStatus.BAD_REQUEST, "bad_request", "The body did not arrive.") from None
    except TimeoutError:
        detail = f"The body has not come to its end within {now() - began:.0f} s."
        raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "request_timeout", detail, headers=_CLOSE) from None
    if size > limit:
        _too_large(limit)
    return b"".join(parts)


def read_json(body: bytes) -> Any:
    """Read JSON, strictly. Raises 400 ``malformed_json``."""
    try:
        return strict_json.read_json(body)
    except json.JSONDecodeError:
        detail = "The body is not JSON."
    except ValueError as error:
        detail = f"The body cannot be read: {error}."
    raise Refusal(HTTPStatus.BAD_REQUEST, "malformed_json", detail)


def _too_large(limit: int) -> NoReturn:
    detail = f"The body has more than {limit} bytes."
    raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", detail, headers=_CLOSE)
