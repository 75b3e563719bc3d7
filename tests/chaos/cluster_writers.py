"""Those who write to a cluster: whatever happens to a server, they go on at another one."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from chaos.cluster import Cluster
from cowrite.testing.model import Model
from socket_writers import Writer
from timing import MS

PATIENCE = 20_000 * MS


async def keep_writing(writer: Writer, cluster: Cluster, rng: random.Random, *, pause: float) -> None:
    """Type at one server after the other, with the same Yjs document, until cancelled."""
    while True:
        await writer.write(cluster.port(rng), rng, pause=pause)
        await asyncio.sleep(rng.uniform(0.05, 0.3))


@dataclass
class HttpPeer:
    """Writes and polls JSON operations, each request at any of the servers: one session, no stickiness."""

    name: str
    document: str
    cluster: Cluster
    rng: random.Random
    words: list[str] = field(default_factory=list)
    durable: set[str] = field(default_factory=set)
    typing: bool = True
    model: Model = field(default_factory=Model)
    """What the operations that it has polled make."""
    operations: list[str] = field(default_factory=list)
    """Their ids."""
    _token: str = ""

    async def write(self, *, pause: float) -> None:
        """One word after the other; the same one with the same id until it is answered."""
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            base: str | None = None
            while self.typing:
                await asyncio.sleep(self.rng.uniform(0, pause))
                word = f"{self.name}-{len(self.words)};"
                self.words.append(word)
                operation = {"id": str(uuid.uuid4()), "type": "insert", "position": ["body", 0], "content": word}
                body = {"document_id": self.document, "base": base, "operations": [operation]}
                answer = await self._until_answered(lambda url, told=body: self._post(client, url, told))  # type: ignore[misc]
                self.durable.add(word)
                base = answer["head"]

    async def poll(self) -> None:
        """Follow the document until cancelled. What a server answers is never older than what is known."""
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            while True:
                answer = await self._until_answered(lambda url: self._poll(client, url))
                assert not answer.get("reset"), answer
                for operation in answer["operations"]:
                    self.operations.append(operation["id"])
                    self.model.apply(operation)
                await asyncio.sleep(0.1)

    @property
    def text(self) -> str:
        """The body as it was polled."""
        return "".join(part["insert"] for part in self.model.state.get("body", {}).get("$text", []))

    async def _post(self, client: httpx.AsyncClient, url: str, body: dict[str, Any]) -> httpx.Response:
        return await client.post(f"{url}realtime/operations", json=body, headers=await self._headers(client, url))

    async def _poll(self, client: httpx.AsyncClient, url: str) -> httpx.Response:
        asked = {"document_id": self.document} | ({"last_operation": self.operations[-1]} if self.operations else {})
        return await client.get(f"{url}realtime/poll", params=asked, headers=await self._headers(client, url))

    async def _headers(self, client: httpx.AsyncClient, url: str) -> dict[str, str]:
        if not self._token:
            asked = {"document_id": self.document, "session_token": f"guest-{self.name}"}
            answer = await client.post(f"{url}realtime/connect", json=asked)
            answer.raise_for_status()
            self._token = answer.json()["access_token"]
        return {"Authorization": f"Bearer {self._token}"}

    async def _until_answered(self, ask: Callable[[str], Any]) -> dict[str, Any]:
        """Whoever cannot answer now is asked again, or another one is. A refusal that is none of the moment is an error."""
        while True:
            try:
                response = await ask(f"http://127.0.0.1:{self.cluster.port(self.rng)}/api/v2/")
            except (httpx.TransportError, httpx.HTTPStatusError):
                response = None
            if response is not None and response.status_code == 200:
                answer: dict[str, Any] = response.json()
                return answer
            if response is not None and response.status_code not in {429, 503}:
                raise AssertionError(f"{response.status_code} {response.text}")
            await asyncio.sleep(self.rng.uniform(0.05, 0.3))
