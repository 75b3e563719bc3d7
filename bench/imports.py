"""What a very large SyncStep2 costs everybody else: how late pings are beside it, and what memory the server takes.

    python -m bench.imports [text] [structs] [hostile]

A real ``cowrite serve --demo`` on SQLite with full durability, pinned to one core, beside a generator on the other. One client
brings 20 MB to an empty document (*text*: in one piece; *structs*: in 300 000; *hostile*: a million structs behind such a text,
and a byte too many), while another one in that document is pinged every 5 ms until the first is answered, and a second longer.
Memory is the server's RSS against that before.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import psutil

from bench.fanout import free_port, served
from cowrite.protocol import yjs
from cowrite.protocol.messages import Acknowledged, SyncStep2
from cowrite.testing.client import PING, PONG, ConnectionEnded, WebSocketClient, encode_frame
from cowrite.testing.transport_contract.server import join
from cowrite.testing.yjs_writer import block, embed, gc, text, write_update

_MB: Final = 1 << 20
_SIZE: Final = 20_000_000


def _text() -> bytes:
    return write_update([block(1, 0, text("x" * _SIZE, root="t"))])


def _structs() -> bytes:
    count = 300_000
    word = "x" * (_SIZE // count - 8)
    rest = (embed(word, origin=(1, clock)) for clock in range(count - 1))
    return write_update([block(1, 0, embed(word, root="t"), *rest)])


def _hostile() -> bytes:
    return write_update([block(1, 0, text("x" * _SIZE, root="t"), *[gc(1)] * 1_000_000)]) + b"\0"


UPDATES: Final[Mapping[str, Callable[[], bytes]]] = {"text": _text, "structs": _structs, "hostile": _hostile}


async def brought(url: str, update: bytes) -> str:
    """What the server says to it in the end."""
    client = await join(url, protocols=["cowrite.ack.v1"])
    client.send_raw(encode_frame(yjs.encode(SyncStep2(update))))
    try:
        while True:
            message = yjs.decode(await client.receive())
            if isinstance(message, Acknowledged) and message.count:
                await client.close()
                return "taken"
    except ConnectionEnded as end:
        return f"closed with {end.code}"


async def pings(client: WebSocketClient, latencies: list[float]) -> None:
    """The round trips in seconds, until cancelled."""
    while True:
        began = time.perf_counter()
        client.send(b"", kind=PING)
        while (await client.receive_frame()).kind != PONG:
            pass
        latencies.append(time.perf_counter() - began)
        await asyncio.sleep(0.005)


async def peak(server: psutil.Process, seen: list[int]) -> None:
    """The server's memory, until cancelled."""
    while True:
        seen.append(server.memory_info().rss)
        await asyncio.sleep(0.02)


async def measure(name: str, url: str, server: psutil.Process) -> str:
    """One line of the table."""
    update = UPDATES[name]()
    other = await join(f"{url}/yjs/{name}")
    await asyncio.sleep(1)
    before, cpu = server.memory_info().rss, sum(server.cpu_times()[:4])
    latencies, seen = list[float](), list[int]()
    beside = [asyncio.create_task(pings(other, latencies)), asyncio.create_task(peak(server, seen))]
    began = time.perf_counter()
    end = await brought(f"{url}/yjs/{name}", update)
    seconds = time.perf_counter() - began
    await asyncio.sleep(1)
    for task in beside:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    times = sorted(1000 * one for one in latencies)
    other.drop()
    after = server.memory_info().rss
    return (
        f"| {name} | {len(update) / _MB:.0f} MB | {end} after {seconds:.1f} s | {statistics.median(times):.1f} ms | "
        f"{times[int(0.99 * len(times))]:.0f} ms | {times[-1]:.0f} ms | {(max(seen) - before) / _MB:.0f} MB | "
        f"{(after - before) / _MB:.0f} MB | {sum(server.cpu_times()[:4]) - cpu:.1f} s |"
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("updates", nargs="*", choices=[*UPDATES, []], default=[])
    names = parser.parse_args().updates or list(UPDATES)
    print("| brings | size | | pings, median | p99 | longest | memory at most | and after | CPU time |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in names:  # each on a server of its own
        with tempfile.TemporaryDirectory() as folder:
            port = free_port()
            with served(port, Path(folder) / "data", {}, Path(folder) / "log") as process:
                server = psutil.Process(process.pid)
                if (os.cpu_count() or 1) >= 2 and hasattr(server, "cpu_affinity"):
                    server.cpu_affinity([0])
                    psutil.Process().cpu_affinity([1])
                print(asyncio.run(measure(name, f"ws://127.0.0.1:{port}", server)), flush=True)


if __name__ == "__main__":
    main()
