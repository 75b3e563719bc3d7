"""What tests of the Python client have in common."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from urllib.parse import quote

import httpx

from cowrite.tokens import generate_secret, issue
from demo_server import DemoServer
from timing import MS

SECRET = generate_secret()
TRUST = ssl.create_default_context()
"""Made once: it reads certificates, for longer than some tests wait."""
WITHIN = 10_000 * MS


def token(user: str = "ana", grant: str = "write", *, ttl: int = 3600) -> str:
    """A session token for all documents."""
    return issue(SECRET, sub=user, name=user.title(), documents={"*": grant}, ttl=ttl)


async def until(holds: Callable[[], object]) -> None:
    """Wait for something that others do."""
    deadline = time.monotonic() + WITHIN
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.005)


async def change_grant(url: str, document: str, user: str, grant: str | None) -> None:
    """As an administrator."""
    async with httpx.AsyncClient(verify=TRUST) as client:
        headers = {"authorization": f"Bearer {token('root', 'admin')}"}
        body = {"document_id": document, "user_id": user, "grant": grant}
        (await client.post(f"{url}api/v2/realtime/grants", json=body, headers=headers)).raise_for_status()


def yjs_url(server: DemoServer, document: str) -> str:
    """Where stock clients connect."""
    return f"{server.url.replace('http', 'ws', 1)}yjs/{quote(document, safe='')}?token={token('cy')}"
