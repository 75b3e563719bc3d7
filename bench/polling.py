"""Many sessions that poll one document: what a poll costs the server when nothing has changed, and when somebody types.

    python -m bench.polling [--pollers 500] [--interval 1] [--seconds 12] [--typing 0]

Starts a real ``cowrite serve --demo`` on SQLite. Each poller has a connection and a session of its own and says by its ETag
what it has. The first seconds, in which all come in and are told of one another, are not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from typing import Any

import httpx
import psutil

_SERVE = "from cowrite.cli import main; main()"
_SETTLE_SECONDS = 8.0
_DOCUMENT = {"document_id": "bench"}


class Poller:
    """One session that polls until it is cancelled."""

    def __init__(self, port: int, access_token: str, cursor: str, counts: Counter[int]) -> None:
        self._port = port
        self._token = access_token
        self._cursor = cursor
        self._counts = counts
        self._etag = ""

    async def run(self, delay: float, interval: float) -> None:
        await asyncio.sleep(delay)
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        while True:
            began = time.monotonic()
            writer.write(self._request())
            length = self._take((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
            if length:
                body = await reader.readexactly(length)
                if found := re.search(rb'"head":"([^"]+)"', body):
                    self._cursor = found[1].decode()
            await asyncio.sleep(max(0.0, interval - (time.monotonic() - began)))

    def _request(self) -> bytes:
        known = f"If-None-Match: {self._etag}\r\n" if self._etag else ""
        return (
            f"GET /api/v2/realtime/poll?document_id=bench&last_operation={self._cursor} HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{self._port}\r\nAuthorization: Bearer {self._token}\r\n{known}\r\n"
        ).encode()

    def _take(self, head: str) -> int:
        """The length of the body behind this head."""
        status = int(head.split(maxsplit=2)[1])
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        self._etag = headers.get("etag", self._etag)
        self._counts[status] += 1
        return 0 if status == 304 else int(headers.get("content-length", "0"))


async def type_now_and_then(client: httpx.AsyncClient, base: str, rate: float) -> None:
    """Write one character after the other."""
    while True:
        body = _DOCUMENT | {"operations": [_insert("x")], "base": base}
        base = (await client.post("/api/v2/realtime/operations", json=body)).json()["head"]
        await asyncio.sleep(1 / rate)


def _insert(text: str) -> dict[str, Any]:
    return {"type": "insert", "position": ["body", 0], "content": text}


async def measure(port: int, server: psutil.Process, options: argparse.Namespace) -> None:
    counts: Counter[int] = Counter()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
        first = _DOCUMENT | {"operations": [_insert("hello")], "base": None}
        cursor = (await client.post("/api/v2/realtime/operations", json=first)).json()["head"]
        tokens = [
            (await client.post("/api/v2/realtime/connect", json=_DOCUMENT)).json()["access_token"]
            for _ in range(options.pollers)
        ]
        pollers = [Poller(port, token, cursor, counts) for token in tokens]
        steps = [number * options.interval / options.pollers for number in range(options.pollers)]
        work = [poller.run(delay, options.interval) for poller, delay in zip(pollers, steps, strict=True)]
        if options.typing:
            work.append(type_now_and_then(client, cursor, options.typing))
        tasks = [asyncio.create_task(one) for one in work]
        await asyncio.sleep(_SETTLE_SECONDS)
        counts.clear()
        cpu, own, began = sum(server.cpu_times()[:2]), time.process_time(), time.monotonic()
        await asyncio.sleep(options.seconds)
        cpu, own, took = sum(server.cpu_times()[:2]) - cpu, time.process_time() - own, time.monotonic() - began
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    polls = sum(counts.values())
    print(f"{polls / took:.0f} polls a second, by status: {dict(counts)}")
    print(
        f"server: {cpu / took:.1%} of a core, {cpu / polls * 1e6:.0f} µs for each poll; generator: {own / took:.0%} of a core"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pollers", type=int, default=500)
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between the polls of one session")
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--typing", type=float, default=0.0, help="operations a second")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", _SERVE, "serve", "--demo", "--port", "0"]
        environment = os.environ | {"COWRITE_DATA_DIR": folder, "COWRITE_LOG_LEVEL": "warning"}
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            found = re.search(r":(\d+)/", server.stdout.readline())
            assert found, "the server did not start"
            try:
                asyncio.run(measure(int(found[1]), psutil.Process(server.pid), options))
            finally:
                server.send_signal(signal.SIGTERM)


if __name__ == "__main__":
    main()
