"""A real server for tests of the HTTP interface, with session tokens, and clients of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from cowrite.core.clock import SystemClock
from cowrite.core.limits import Limits
from cowrite.core.ports import Broker, Storage
from cowrite.hooks import Hooks
from cowrite.http.backend import Backend
from cowrite.runtime import Runtime
from cowrite.stores import open_store
from cowrite.testing.transport_contract import ServerOptions
from cowrite.tokens import DemoAuthorizer, TokenAuthorizer, issue, parse_secrets
from cowrite.tracing import TracerProvider
from live_server import live_server

SECRET = "A" * 43
KEYS = parse_secrets(SECRET, setting="SECRET")
REALTIME = "/api/v2/realtime"
PLAIN = False
"""``verify=`` of clients that meet no TLS: else each reads all certificates of the world, which takes it 40 ms."""


def token(sub: str, **documents: str) -> str:
    """A session token; without documents one that may write everything."""
    return issue(SECRET, sub=sub, documents=documents or {"*": "write"}, name=sub.title())


def bearer(access_token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {access_token}"}


@dataclass(frozen=True, slots=True)
class Api:
    """A server, and a client that shows no token by itself."""

    client: httpx.AsyncClient
    runtime: Runtime
    url: str

    @property
    def backend(self) -> Backend:
        backend = self.runtime.backend()
        assert backend is not None
        return backend

    async def connect(self, document_id: str, session_token: str | None = None, **more: Any) -> Member:
        body = {"document_id": document_id, "session_token": session_token, **more}
        answer = await self.client.post(f"{REALTIME}/connect", json=body)
        assert answer.status_code == 200, answer.text
        return Member(self, document_id, answer.json())


@dataclass(slots=True)
class Member:
    """A session in a document."""

    api: Api
    document_id: str
    answer: dict[str, Any]
    head: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        return bearer(self.answer["access_token"])

    def on(self, api: Api) -> Member:
        """The same session, at another server."""
        return Member(api, self.document_id, self.answer, self.head)

    async def poll(
        self, *, headers: Mapping[str, str] | None = None, last_operation: str | None = None, **parameters: Any
    ) -> httpx.Response:
        cursor = {} if last_operation is None else {"last_operation": last_operation}
        query = {"document_id": self.document_id} | cursor | parameters
        return await self.api.client.get(f"{REALTIME}/poll", params=query, headers=self.headers | dict(headers or {}))

    async def write(self, *operations: dict[str, Any], **fields: Any) -> httpx.Response:
        body = {"document_id": self.document_id, "operations": list(operations), "base": self.head} | fields
        answer = await self.api.client.post(f"{REALTIME}/operations", json=body, headers=self.headers)
        if answer.status_code == 200:
            self.head = answer.json()["head"]
        return answer

    async def type(self, text: str, at: int = 0) -> dict[str, Any]:
        answer = await self.write(insert(text, at))
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


def insert(text: str, at: int = 0, **fields: Any) -> dict[str, Any]:
    return {"type": "insert", "position": ["body", at], "content": text, **fields}


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    found = answer.json()
    assert found["status"] == answer.status_code
    return answer.status_code, found["code"]


@asynccontextmanager
async def api(
    *,
    demo: bool = False,
    storage: Storage | None = None,
    limits: Limits | None = None,
    broker: Broker | None = None,
    hooks: Hooks | None = None,
    tracer_provider: TracerProvider | None = None,
    **options: Any,
) -> AsyncIterator[Api]:
    authorize = (DemoAuthorizer if demo else TokenAuthorizer)(KEYS, SystemClock())
    wanted = ServerOptions(authorize=authorize, demo=demo, storage=storage, limits=limits or Limits(), **options)
    async with live_server(wanted, picows=True, broker=broker, hooks=hooks, tracer_provider=tracer_provider) as server:
        url = server.url.replace("ws:", "http:", 1)
        async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False, verify=PLAIN) as client:
            yield Api(client, server.runtime, url)


@asynccontextmanager
async def two_servers(folder: Path) -> AsyncIterator[tuple[Api, Api]]:
    """Two servers on one SQLite file, as two processes would be."""
    url = f"sqlite:///{folder / 'cowrite.db'}"
    first, second = await open_store(url), await open_store(url)
    async with api(storage=first) as one, api(storage=second) as other:
        yield one, other
