"""The server that is told: one request to it, and what became of that."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import httpx

ANSWER_SECONDS: Final = 10.0
"""For all of a request and its answer."""
MAX_ANSWER: Final = 64 << 10
"""Bytes of an answer that are read."""
_LONGEST_WISH: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request."""

    received: bool
    reason: str = ""
    """Why it was not. Never what the answer said: that may be anything."""
    gone: bool = False
    """The receiver wants no more of them (410)."""
    seconds: float = 0.0
    """It is to be sent again after so many at least (``Retry-After``)."""


class Receiver:
    """The server at a URL. Redirects are not followed: what is signed goes to where the operator has said, or nowhere."""

    def __init__(self, url: str, *, seconds: float = ANSWER_SECONDS) -> None:
        self._url = url
        self._seconds = seconds
        self._client: httpx.AsyncClient | None = None

    async def send(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a message. Never raises."""
        try:
            async with asyncio.timeout(self._seconds):
                return await self._post(headers, body)
        except TimeoutError:
            return Answer(False, f"no complete answer within {self._seconds:g} s")
        except httpx.RemoteProtocolError:
            return Answer(False, "the answer is not HTTP")  # the error has what it is
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return Answer(False, str(error) or type(error).__name__)

    async def close(self) -> None:
        """Close its connections; a message that is sent later opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _post(self, headers: Mapping[str, str], body: bytes) -> Answer:
        if self._client is None:
            trust: ssl.SSLContext | bool = False  # there is no TLS to a plain URL
            if self._url.lower().startswith("https:"):
                trust = await asyncio.to_thread(httpx.create_ssl_context)  # it reads certificates from the disk
            self._client = httpx.AsyncClient(verify=trust, timeout=None, follow_redirects=False)
        about = {"content-type": "application/json", "user-agent": "cowrite", "accept-encoding": "identity"}
        async with self._client.stream("POST", self._url, headers={**about, **headers}, content=body) as response:
            await _read_away(response)
        status = response.status_code
        if 200 <= status < 300:
            return Answer(True)
        return Answer(False, f"the answer is {status}", status == httpx.codes.GONE, _wish(response.headers))


async def _read_away(response: httpx.Response) -> None:
    """So that the connection can be used again; one with a long answer is closed."""
    size = 0
    async for chunk in response.aiter_raw():
        size += len(chunk)
        if size > MAX_ANSWER:
            return


def _wish(headers: httpx.Headers) -> float:
    asked = headers.get("retry-after", "")
    return min(float(asked), _LONGEST_WISH) if asked.isascii() and asked.isdecimal() and len(asked) < 10 else 0.0
