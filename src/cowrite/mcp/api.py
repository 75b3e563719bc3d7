"""Reading over the API: which documents there are, what is in them, and their pasts."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from urllib.parse import quote, urlsplit

import httpx

from cowrite.mcp.problems import ToolError, ask_for_token, away, no_access, quoted

_SECONDS: Final = 20.0
_PARTS: Final = "/api/v2"


def check_address(url: str) -> None:
    """Raise ``ValueError`` for an address that is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is no address of a server; it looks like http://localhost:8000")


class Api:
    """Of one server, with one token. An asynchronous context manager; every call raises ``ToolError``."""

    def __init__(self, url: str, token: str | None) -> None:
        self._base = f"{url.rstrip('/')}{_PARTS}"
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self._headers = headers
        self._client: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Api:
        trust = await asyncio.to_thread(httpx.create_ssl_context)  # it reads certificates from the disk
        self._client = httpx.AsyncClient(headers=self._headers, timeout=_SECONDS, verify=trust)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def documents(self, prefix: str, after: str | None, limit: int) -> dict[str, Any]:
        """A page of the documents that the token opens."""
        return await self._get("/documents", None, prefix=prefix, after=after, limit=limit)

    async def of(self, document: str, what: str = "", **asked: str | int | None) -> dict[str, Any]:
        """What there is about a document: itself (``content``, ``offset``), or what is below it."""
        return await self._get(f"/documents/{quote(document, safe='')}{what}", document, **asked)

    async def kinds(self, document: str) -> dict[str, str]:
        """The document's texts by their names: ``text`` or ``rich``. A document in which nobody has written has none."""
        try:
            state = await self.of(document, format="json")
        except _Unknown:
            return {}
        kinds = {"$text": "text", "$xml": "rich"}
        return {
            name: kinds[tag]
            for name, value in state["content"].items()
            if isinstance(value, dict) and (tag := next((tag for tag in kinds if tag in value), None)) is not None
        }

    async def _get(self, path: str, document: str | None, **asked: str | int | None) -> dict[str, Any]:
        assert self._client is not None, "used in its block"
        query = {name.rstrip("_"): value for name, value in asked.items() if value is not None}
        try:
            answer = await self._client.get(f"{self._base}{path}", params=query)
        except (httpx.HTTPError, OSError) as error:
            raise away(f"{type(error).__name__} {error}".strip()) from None
        if answer.is_success:
            try:
                told: dict[str, Any] = answer.json()
            except ValueError:
                raise away(f"what answers at {self._base} is no cowrite server") from None
            return told
        raise _refusal(answer, document)


class _Unknown(ToolError):
    """There is no such document, or nobody has written in it."""


def _refusal(answer: httpx.Response, document: str | None) -> ToolError:
    problem: Any = None
    if answer.headers.get("content-type", "").startswith("application/problem+json"):
        problem = answer.json()
    if not isinstance(problem, dict):
        return away(f"HTTP status {answer.status_code}")
    code, detail = str(problem.get("code")), str(problem.get("detail"))
    if code == "document_not_found" and document is not None:
        return _Unknown(
            f"There is no document {quoted(document)}, or nobody has written in it yet. list_documents tells which there are; "
            "append writes the first text of a new one."
        )
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        return ask_for_token()
    if answer.status_code == httpx.codes.FORBIDDEN and document is not None:
        return no_access(document)
    if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
        return away(detail)
    return ToolError(f"The server refused: {detail} ({code})")
