"""Database servers and several processes: what an edit waits for, and how many edits a second are committed.

    PYTHONPATH=tests python -m bench.cluster [--edits 200] [--documents 200] [--rate 2000] [--seconds 10]

*Across*: two servers on one PostgreSQL and one Valkey; one client at each types a character, now and then; it counts from the
call that makes the edit until the other client has it (target: p95 ≤ 30 ms). *Committed*: one server, and in each document
one client that types, all together ``--rate`` edits a second, first on PostgreSQL, then on SQLite (which writes through to the
disk; so does PostgreSQL here). It says how many were acknowledged a second, how late, and what waited at the end (target: no
backlog), and what the database did for each: commits, rows, bytes of its write-ahead log.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from cowrite.testing.client import live_client
from cowrite.testing.yjs_client import YjsClient
from demo_server import DemoServer
from postgres_server import PostgresServer
from valkey_server import ValkeyServer

_ACKNOWLEDGED = [Subprotocol("cowrite.ack.v1")]


class Typist:
    """A client in a document of its own, that remembers when each edit was sent and when it was acknowledged."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.client = YjsClient()
        self.sent: list[float] = []
        self.late: list[float] = []

    async def type(self, port: int, pause: float, until: float) -> None:
        """One character after the other, until then; then wait for what is not acknowledged."""
        url = f"ws://127.0.0.1:{port}/yjs/bench-{self.number}"
        async with connect(url, subprotocols=_ACKNOWLEDGED, compression=None, max_size=None) as socket:
            out: asyncio.Queue[bytes] = asyncio.Queue()
            self.client.connect(lambda frame: self._send(out, frame))
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(self._read(socket))
                sending = tasks.create_task(self._pass_on(socket, out))
                await asyncio.sleep(pause * (self.number % 100) / 100)
                due = time.perf_counter()
                while due < until:
                    self.client.text.insert(len(self.client.text), "a")
                    due += pause
                    await asyncio.sleep(max(0.0, due - time.perf_counter()))
                while not self.client.saved:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
                reading.cancel()
                sending.cancel()

    def _send(self, out: asyncio.Queue[bytes], frame: bytes) -> None:
        while len(self.sent) < self.client.sent:
            self.sent.append(time.perf_counter())
        out.put_nowait(frame)

    async def _read(self, socket: ClientConnection) -> None:
        async for frame in socket:
            assert isinstance(frame, bytes)
            self.client.receive(frame)
            now = time.perf_counter()
            while len(self.late) < self.client.acknowledged:
                self.late.append(now - self.sent[len(self.late)])

    async def _pass_on(self, socket: ClientConnection, out: asyncio.Queue[bytes]) -> None:
        while True:
            await socket.send(await out.get())


async def across(ports: list[int], edits: int) -> list[float]:
    """Milliseconds of each edit."""
    took: list[float] = []
    urls = [f"ws://127.0.0.1:{port}/yjs/across" for port in ports]
    async with live_client(urls[0], YjsClient()) as ana, live_client(urls[1], YjsClient()) as bo:
        for number in range(edits):
            writer, reader = (ana, bo) if number % 2 else (bo, ana)
            before, began = len(reader.yjs.text), time.perf_counter()
            writer.yjs.text.insert(0, "a")
            await reader.until(lambda one=reader, known=before: len(one.yjs.text) > known)  # type: ignore[misc]
            took.append((time.perf_counter() - began) * 1000)
            await writer.until(lambda one=writer: one.yjs.saved)  # type: ignore[misc]
            await asyncio.sleep(0.05)
    return took


async def committed(server: DemoServer, options: argparse.Namespace) -> None:
    """Print one line."""
    process = psutil.Process(server.pid)
    typists = [Typist(number) for number in range(options.documents)]
    pause = options.documents / options.rate
    began, cpu, own = time.perf_counter(), process.cpu_times(), time.process_time()
    typing = asyncio.gather(*(one.type(server.port, pause, began + options.seconds) for one in typists))
    await asyncio.sleep(options.seconds)
    health = await asyncio.to_thread(server.health)
    after, generator = process.cpu_times(), time.process_time() - own
    await typing
    over = time.perf_counter() - began
    late = [seconds * 1000 for one in typists for seconds in one.late]
    quantiles = statistics.quantiles(late, n=100)
    cores = (after.user + after.system - cpu.user - cpu.system) / options.seconds
    print(
        f"  {len(late)} edits, all acknowledged {over - options.seconds:.2f} s after the last; "
        f"{len(late) / over:.0f} a second; "
        f"p50 {quantiles[49]:.0f} ms, p95 {quantiles[94]:.0f}, p99 {quantiles[98]:.0f}; waiting at the end "
        f"{health['pending_bytes']} bytes; server {cores:.2f} cores, generator {generator / options.seconds:.2f}"
    )


def main() -> None:
    """Measure all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edits", type=int, default=200)
    parser.add_argument("--documents", type=int, default=200)
    parser.add_argument("--rate", type=float, default=2000.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        postgres, valkey = PostgresServer(durable=True), ValkeyServer(Path(folder))
        stack.callback(postgres.remove)
        postgres.start()
        stack.callback(valkey.kill)
        valkey.start()
        url = f"postgresql://cowrite@127.0.0.1:{postgres.port}/bench"
        asyncio.run(postgres.sql("CREATE DATABASE bench"))
        servers = []
        for name in ("one", "two"):
            (Path(folder) / name).mkdir()
            server = DemoServer(Path(folder) / name, COWRITE_DATABASE_URL=url, COWRITE_REDIS_URL=valkey.url)
            servers.append(stack.enter_context(server))
        took = statistics.quantiles(uvloop.run(across([server.port for server in servers], options.edits)), n=100)
        print(f"across two processes: p50 {took[49]:.1f} ms, p95 {took[94]:.1f} ms, p99 {took[98]:.1f} ms")
        servers[1].stop()
        counted = "SELECT xact_commit, tup_inserted, tup_updated, (pg_current_wal_lsn() - '0/0')::bigint FROM pg_stat_database"
        counted += " WHERE datname = 'bench'"
        print(f"committed on PostgreSQL, {options.documents} documents, {options.rate:.0f} a second:")
        [before] = asyncio.run(postgres.sql(counted))
        uvloop.run(committed(servers[0], options))
        servers[0].stop()
        [after] = asyncio.run(postgres.sql(counted))
        commits, inserted, updated, wal = (late - early for late, early in zip(after, before, strict=True))
        edits = options.rate * options.seconds
        print(
            f"  for each edit: {commits / edits:.3f} commits, {inserted / edits:.2f} rows inserted, "
            f"{updated / edits:.2f} updated, {wal / edits:.0f} bytes of write-ahead log"
        )
        (Path(folder) / "three").mkdir()
        with DemoServer(Path(folder) / "three") as server:
            print(f"committed on SQLite, {options.documents} documents, {options.rate:.0f} a second:")
            uvloop.run(committed(server, options))


if __name__ == "__main__":
    main()
