"""The server that all this happens to: a real process on a core of its own, and what it says of itself."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from bench.side_by_side.servers import SERVER_CORE, on_core
from demo_server import DemoServer

EVICTION_SECONDS = 2.0
"""The default is 30 s; the end is the same."""
REFUSED = "refused:"
"""Before the name of a limit, among the figures."""
_IMPATIENT = {
    "HEAD_SECONDS": "2",
    "ARRIVAL_SECONDS": "1",
    "HELLO_SECONDS": "1",
    "IDLE_SECONDS": "4",
    "HOCUSPOCUS_IDLE_SECONDS": "4",
    "USER_SOCKETS": "50",
    "EVICTION_SECONDS": "0.2",
}
"""Limits with which all ends come in seconds."""


class Server:
    """One that runs."""

    def __init__(self, server: DemoServer) -> None:
        self.port = server.port
        self.process = psutil.Process(server.pid)
        self._server = server

    def cpu(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def waited(self) -> float:
        """How long its main thread was ready to run and had no core, in seconds; 0 where the system does not tell."""
        try:
            return int(Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[1]) / 1e9
        except OSError:
            return 0.0

    def memory(self) -> int:
        return int(self.process.memory_info().rss)

    async def figures(self) -> Counter[str]:
        """Its metrics, by name, those that were refused by ``refused:`` and the limit."""
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=60) as client:
            text = (await client.get("/metrics")).text
        found = re.findall(r'^cowrite_(\w+)\{(?:limit="(\w+)",)?worker="1"\} (\S+)', text, re.MULTILINE)
        return Counter({f"{REFUSED}{limit}" if limit else name: int(float(value)) for name, limit, value in found})

    def errors(self) -> list[str]:
        return self._server.errors()


@contextmanager
def served(folder: Path, secret: str, *, impatient: bool) -> Iterator[Server]:
    """While the block runs; afterwards it has stopped by itself. ``impatient``: it waits for seconds only."""
    limits = {"EVICTION_SECONDS": str(EVICTION_SECONDS)} | (_IMPATIENT if impatient else {})
    settings = {f"COWRITE_LIMIT_{name}": value for name, value in limits.items()}
    server = DemoServer(folder, demo=False, COWRITE_SECRET=secret, COWRITE_HOST="0.0.0.0", **settings)
    with on_core(SERVER_CORE):
        server.start()
    try:
        yield Server(server)
        server.stop()
    finally:
        server.kill()


async def until_left(server: Server, sockets: int, documents: int, *, seconds: float = 30) -> list[str]:
    """Wait until there are that many sockets and documents, or for so long; says what there are too many of."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + seconds
    while True:
        figures = await server.figures()
        many = {"sockets": figures["sockets"] - sockets, "documents": figures["documents"] - documents}
        found = [f"{count} {what} too many are left" for what, count in many.items() if count > 0]
        if not found or loop.time() > give_up:
            return found
        await asyncio.sleep(0.1)
