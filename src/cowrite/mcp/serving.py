"""``cowrite mcp`` while it runs: over the standard streams of whoever started it, or on a port of this machine."""

from __future__ import annotations

import asyncio

from cowrite.mcp.api import Api
from cowrite.mcp.tools import server
from cowrite.mcp.visits import Visits

_LOOPBACK = "127.0.0.1"


def run(url: str, token: str | None, *, name: str, colour: str, port: int | None) -> None:
    """Serve until the standard input ends, or with a port until a signal."""
    asyncio.run(_serve(url, token, name, colour, port))


async def _serve(url: str, token: str | None, name: str, colour: str, port: int | None) -> None:
    async with Api(url, token) as api, Visits(url, token, name, colour) as visits:
        made = server(api, visits)
        if port is None:
            await made.run_stdio_async()
        else:
            await made.run_streamable_http_async(host=_LOOPBACK, port=port)
