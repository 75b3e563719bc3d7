"""Key sets that change while the server runs: in a file, or behind a URL.

Both are looked at when a token needs them, once for all tokens that wait meanwhile, and never more often than a pause allows:
tokens of strangers cannot make the server look more often. What was read last stays in use while the file is broken or the URL
fails, for a day.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx
import structlog

from cowrite.core.ports import Clock
from cowrite.tokens.public_keys import MAX_JWKS_BYTES, JwksInvalid, KeySource, KeysUnavailable, PublicKey, parse_jwks

FILE_PAUSE: Final = 1.0
URL_PAUSE: Final = 30.0
FETCH_SECONDS: Final = 5.0
"""The longest time that an answer may take, from the look-up of the name to the last byte."""
FRESH_SECONDS: Final = 300.0
"""How long a set is used before it is fetched again, when its server does not say (Cache-Control: max-age)."""
_FRESHEST, _LONGEST = 60.0, 3600.0
KEPT_SECONDS: Final = 86_400.0
"""How long the last good set stays in use."""

_MAX_AGE: Final = re.compile(r"\bmax-age=\"?(\d{1,9})", re.IGNORECASE)
_NOT_KEPT: Final = re.compile(r"\bno-(?:store|cache)\b", re.IGNORECASE)

_log = structlog.get_logger(__name__)


class _Source(ABC):
    """What file and URL have in common: when to look, and what counts after a look that failed."""

    def __init__(self, where: str, clock: Clock, pause: float) -> None:
        self._where = where
        self._clock = clock
        self._pause = pause
        self._keys: tuple[PublicKey, ...] = ()
        self._looking: asyncio.Task[None] | None = None
        self._next_look = self._stale_at = self._lost_at = clock.monotonic()
        self._failing: str | None = None

    async def find(self, kid: str | None) -> Sequence[PublicKey]:
        if self._clock.monotonic() >= self._stale_at:
            await self._look()
        found = self._matching(kid)
        if not found:
            await self._look()
            found = self._matching(kid)
        if not found and self._failing is not None:
            raise KeysUnavailable(f"the signing keys of {self._where} cannot be had: {self._failing}")
        return found

    def _matching(self, kid: str | None) -> list[PublicKey]:
        if self._failing is not None and self._clock.monotonic() >= self._lost_at:
            return []
        return [key for key in self._keys if kid is None or key.kid is None or key.kid == kid]

    async def _look(self) -> None:
        if self._looking is None:
            now = self._clock.monotonic()
            if now < self._next_look:
                return
            self._next_look = now + self._pause
            self._looking = asyncio.get_running_loop().create_task(self._attempt())
        # One that goes away must not take the look from the others.
        await asyncio.shield(self._looking)

    async def _attempt(self) -> None:
        try:
            found = await self._read()
            if found is not None:
                self._take(*found)
        except JwksInvalid as error:
            self._tell(str(error))
        finally:
            self._looking = None

    def _take(self, keys: tuple[PublicKey, ...], fresh: float) -> None:
        now = self._clock.monotonic()
        self._keys, self._stale_at, self._lost_at = keys, now + fresh, now + KEPT_SECONDS
        if self._failing is not None:
            _log.info("signing keys are to be had again", source=self._where)
            self._failing = None

    def _tell(self, reason: str) -> None:
        if reason != self._failing:  # once, not every time
            _log.error("signing keys cannot be had", source=self._where, reason=reason, keys_in_use=len(self._keys))
            self._failing = reason

    @abstractmethod
    async def _read(self) -> tuple[tuple[PublicKey, ...], float] | None:
        """The keys and for how long they are fresh; None: nothing has changed. Raises :class:`JwksInvalid`."""


class JwksFile(_Source):
    """A key set in a file, which is read again when it has changed."""

    def __init__(self, path: Path, clock: Clock) -> None:
        super().__init__(str(path), clock, FILE_PAUSE)
        self._path = path
        self._stamp: tuple[int, ...] | None = None

    async def _read(self) -> tuple[tuple[PublicKey, ...], float] | None:
        raw = await asyncio.to_thread(self._changed)
        return None if raw is None else (parse_jwks(raw), FILE_PAUSE)

    def _changed(self) -> bytes | None:
        try:
            with self._path.open("rb") as file:
                status = os.fstat(file.fileno())
                stamp = status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size
                if stamp == self._stamp:
                    return None
                self._stamp = stamp
                return file.read(MAX_JWKS_BYTES + 1)
        except OSError as error:
            self._stamp = None
            raise JwksInvalid(f"the file cannot be read: {error.strerror}") from error


class JwksUrl(_Source):
    """A key set behind a URL, fetched again when it is no longer fresh, and when a token names a key that is not in it.

    Redirects are not followed: the keys come from the URL that was set, or not at all.
    """

    def __init__(self, url: str, clock: Clock, *, timeout: float = FETCH_SECONDS) -> None:
        super().__init__(url, clock, URL_PAUSE)
        self._url = url
        self._timeout = timeout
        self._trust: ssl.SSLContext | None = None

    async def _read(self) -> tuple[tuple[PublicKey, ...], float]:
        if self._trust is None:
            self._trust = await asyncio.to_thread(httpx.create_ssl_context)  # it reads certificates from the disk
        try:
            async with asyncio.timeout(self._timeout), httpx.AsyncClient(verify=self._trust, timeout=None) as client:
                headers = {"accept": "application/jwk-set+json, application/json", "accept-encoding": "identity"}
                async with client.stream("GET", self._url, headers=headers) as response:
                    if response.status_code != httpx.codes.OK:
                        raise JwksInvalid(f"the answer is {response.status_code} {response.reason_phrase}".rstrip())
                    raw = await _body(response)
        except TimeoutError:
            raise JwksInvalid(f"no complete answer within {self._timeout:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise JwksInvalid(str(error) or type(error).__name__) from error
        return parse_jwks(raw), _fresh(response.headers.get("cache-control", ""))


async def _body(response: httpx.Response) -> bytes:
    raw = bytearray()
    async for chunk in response.aiter_raw():
        raw += chunk
        if len(raw) > MAX_JWKS_BYTES:
            break  # parse_jwks says why; the rest is not read
    return bytes(raw)


def _fresh(cache_control: str) -> float:
    age = _MAX_AGE.search(cache_control)
    if _NOT_KEPT.search(cache_control):
        return _FRESHEST
    return FRESH_SECONDS if age is None else min(max(float(age[1]), _FRESHEST), _LONGEST)


if TYPE_CHECKING:
    _file: type[KeySource] = JwksFile
    _url: type[KeySource] = JwksUrl
