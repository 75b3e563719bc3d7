"""Answers that are large, or the same for many: counted as long as they are on their way, and compressed once."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

from cowrite.core.leaving import REASON, Held
from cowrite.http.refusals import unavailable

HELD: Final = "cowrite.held"
"""Where in a request's scope stands what its answer holds: a :class:`cowrite.core.leaving.Held`."""
_COMPRESSED_FROM: Final = 1024
_IN_THREAD_BYTES: Final = 128 << 10
_LEVEL: Final = 4
"""Level 6 gives 3 % less for twice the time."""
_VARY: Final = {"vary": "accept, accept-encoding"}


class Content:
    """What is sent to one client or to many: compressed once, where that is worth it and a client takes it."""

    __slots__ = ("__weakref__", "_compressed", "_compressing", "_plain")

    def __init__(self, plain: bytes) -> None:
        self._plain = plain
        self._compressed: bytes | None = None
        self._compressing = asyncio.Lock()

    async def answer(self, scope: Scope, *, media_type: str, headers: Mapping[str, str] | None = None) -> Response:
        """The answer to the request of that scope. Raises 503 ``overloaded`` when too much waits to be read."""
        hold(scope, self._plain)
        body, encoding = self._plain, {}
        if len(body) > _COMPRESSED_FROM and accepts_gzip(Headers(scope=scope).get("accept-encoding", "")):
            body, encoding = await self._gzipped(), {"content-encoding": "gzip"}
            hold(scope, body)
        return _Answer(self, body, headers={**(headers or {}), **encoding, **_VARY}, media_type=media_type)

    async def _gzipped(self) -> bytes:
        async with self._compressing:
            if self._compressed is None:
                large = len(self._plain) >= _IN_THREAD_BYTES
                self._compressed = await asyncio.to_thread(_gzip, self._plain) if large else _gzip(self._plain)
        return self._compressed


class _Answer(Response):
    """Keeps what it was made of, for others who ask for the same meanwhile."""

    def __init__(self, content: Content, body: bytes, *, headers: Mapping[str, str], media_type: str) -> None:
        super().__init__(body, headers=headers, media_type=media_type)
        self._content = content


def hold(scope: Scope, body: bytes) -> None:
    """This is kept in memory for the request of that scope, in the place of what was. Raises 503 ``overloaded``."""
    held: Held | None = scope.get(HELD)
    if held is not None and not held.hold(body):
        raise unavailable(f"{REASON.capitalize()}.", code="overloaded")


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
