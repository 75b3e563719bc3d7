"""Reading requests and writing answers that FastAPI need not look into."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, NoReturn

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from cowrite.core.incoming import Share
from cowrite.http.asked import backend_asked
from cowrite.http.problems import Refusal
from cowrite.http.refusals import unavailable
from cowrite.protocol import strict_json

MAX_BODY_BYTES: Final = 1 << 20
"""What a request may have in its body, unless said otherwise."""
_DROPPED_BYTES: Final = 8 << 20
"""So much of what is beyond the limit is read all the same, and dropped: a client that is still sending reads no answer."""
_COMPRESSED_FROM: Final = 1024
_IN_THREAD_BYTES: Final = 128 << 10
_LEVEL: Final = 4
"""Level 6 gives 3 % less for twice the time."""
_CLOSE: Final = {"connection": "close"}
"""There may be more that was not read: the connection ends with this answer."""
_VARY: Final = {"vary": "accept, accept-encoding"}


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


class Content:
    """What is sent to one client or to many: compressed once, where that is worth it and a client takes it."""

    __slots__ = ("_compressed", "_plain")

    def __init__(self, plain: bytes) -> None:
        self._plain = plain
        self._compressed: bytes | None = None

    async def answer(self, request: Headers, *, media_type: str, headers: Mapping[str, str] | None = None) -> Response:
        """The answer to a request with those headers."""
        body, encoding = self._plain, {}
        if len(body) > _COMPRESSED_FROM and accepts_gzip(request.get("accept-encoding", "")):
            if self._compressed is None:
                large = len(body) >= _IN_THREAD_BYTES
                self._compressed = await asyncio.to_thread(_gzip, body) if large else _gzip(body)
            body, encoding = self._compressed, {"content-encoding": "gzip"}
        return Response(body, headers={**(headers or {}), **encoding, **_VARY}, media_type=media_type)


def accepts_gzip(accepted: str) -> bool:
    """Whether a header Accept-Encoding takes gzip."""
    for part in accepted.lower().split(","):
        coding, _, quality = part.partition(";")
        if coding.strip() in {"gzip", "x-gzip", "*"}:
            return quality.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether the client has this already, by the header If-None-Match. Compares weakly."""
    if if_none_match is None:
        return False
    bare = etag.removeprefix("W/")
    return any(one.strip().removeprefix("W/") in (bare, "*") for one in if_none_match.split(","))


def not_modified(etag: str) -> Response:
    """304."""
    return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"etag": etag, "cache-control": "private, no-cache"})


def _gzip(body: bytes) -> bytes:
    return gzip.compress(body, _LEVEL, mtime=0)


def _too_large(limit: int) -> NoReturn:
    detail = f"The body has more than {limit} bytes."
    raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", detail, headers=_CLOSE)
