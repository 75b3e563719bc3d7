"""What a server's metric says of limits."""

from __future__ import annotations

import re

import httpx

from live_server import LiveServer


async def refused(server: LiveServer) -> dict[str, int]:
    """Those limits that were met, and how often."""
    async with httpx.AsyncClient(base_url=server.url.replace("ws", "http", 1), trust_env=False) as client:
        text = (await client.get("/metrics")).text
    found = re.findall(r'^cowrite_refused_total\{limit="(\w+)",worker="1"\} (\d+)', text, re.MULTILINE)
    assert len(found) > 10
    return {limit: int(count) for limit, count in found if count != "0"}
