"""One document, many peers, some of them typing: what a delivered update costs the server, and how long it takes.

    python -m bench.fanout [--peers 1000] [--writers 10] [--rate 5] [--seconds 10] [--window MIN MAX]

Starts a real ``cowrite serve --demo`` on SQLite with full durability, pinned to one core where the machine has two, and a
load generator on the other. A delivered update is one writer's edit that has arrived at one other peer. Latency is taken at a
sample of the peers, from just before the writer's send to the peer's frame callback. The generator's own CPU is printed: a
generator that is out of breath measures itself.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from pycrdt import Doc, Text

from cowrite.protocol import yjs
from cowrite.protocol.messages import Acknowledged, SyncStep1, SyncStep2, Update

_TOKEN = re.compile(rb"\[(\d+)\]")


@dataclass
class Counts:
    """What the generator saw."""

    delivered: int = 0
    frames: int = 0
    latencies: list[float] = field(default_factory=list)
    acknowledgements: list[float] = field(default_factory=list)
    tokens_by_frame: dict[bytes, list[int]] = field(default_factory=dict)


class Reader(WSListener):
    """A peer that only counts. Frames are the same for all peers, so each is read once."""

    def __init__(self, counts: Counts, *, sample: bool) -> None:
        self.counts = counts
        self.sample = sample
        self.synced = asyncio.get_running_loop().create_future()
        self.transport: WSTransport | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        transport.send(WSMsgType.BINARY, yjs.encode(SyncStep1(b"\x00")))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type != WSMsgType.BINARY:
            return
        data = frame.get_payload_as_bytes()
        if data[:2] == b"\x00\x02":
            self._update(data)
        elif data[:2] == b"\x00\x00":
            transport.send(WSMsgType.BINARY, yjs.encode(SyncStep2(b"\x00\x00")))
        elif data[:2] == b"\x00\x01" and not self.synced.done():
            self.synced.set_result(None)
        elif data[:1] == b"\x64":
            self.acknowledged(data)

    def _update(self, data: bytes) -> None:
        counts = self.counts
        tokens = counts.tokens_by_frame.get(data)
        if tokens is None:
            tokens = counts.tokens_by_frame[data] = [int(token) for token in _TOKEN.findall(data)]
        counts.frames += 1
        counts.delivered += len(tokens) - self.echoes(tokens)
        if self.sample:
            now = time.perf_counter_ns()
            counts.latencies += [(now - token) / 1e6 for token in tokens]

    def echoes(self, tokens: list[int]) -> int:
        """How many of them are this peer's own: merged frames bring them back to it, and that is no delivery."""
        return 0

    def acknowledged(self, data: bytes) -> None:
        """A reader has nothing to be acknowledged."""

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if not self.synced.done():
            self.synced.set_exception(ConnectionError("closed before the state came"))


class Writer(Reader):
    """A peer that types: each edit carries the time at which it was sent."""

    def __init__(self, counts: Counts) -> None:
        super().__init__(counts, sample=False)
        self.doc: Doc[Any] = Doc()
        self.text = self.doc.get("body", type=Text)
        self.sent: list[int] = [0]
        self.told = 0
        self.typed: set[int] = set()
        self._subscription = self.doc.observe(self._changed)

    def type(self) -> None:
        token = time.perf_counter_ns()
        self.typed.add(token)
        self.text += f"[{token}]"

    def echoes(self, tokens: list[int]) -> int:
        return sum(token in self.typed for token in tokens)

    def _changed(self, event: object) -> None:
        self.sent.append(time.perf_counter_ns())
        assert self.transport is not None
        self.transport.send(WSMsgType.BINARY, yjs.encode(Update(event.update)))  # type: ignore[attr-defined]

    def acknowledged(self, data: bytes) -> None:
        message = yjs.decode(data)
        assert isinstance(message, Acknowledged)
        now = time.perf_counter_ns()
        self.counts.acknowledgements += [(now - at) / 1e6 for at in self.sent[max(self.told, 1) : message.count]]
        self.told = message.count


async def connect(port: int, listener: Reader) -> Reader:
    url = f"ws://127.0.0.1:{port}/yjs/bench"
    await ws_connect(
        lambda: listener, url, extra_headers={"Sec-WebSocket-Protocol": "cowrite.ack.v1"}, websocket_handshake_timeout=60
    )
    await asyncio.wait_for(listener.synced, 60)
    return listener


async def typing(writer: Writer, rate: float, until: float, *, phase: float) -> None:
    await asyncio.sleep(phase / rate)
    while time.monotonic() < until:
        writer.type()
        await asyncio.sleep(1 / rate)


async def drive(port: int, server: psutil.Process, options: argparse.Namespace) -> dict[str, float]:
    counts = Counts()
    writers = [Writer(counts) for _ in range(options.writers)]
    sampled = max(1, (options.peers - options.writers) // 50)
    readers = [Reader(counts, sample=n % sampled == 0) for n in range(options.peers - options.writers)]
    opening = time.monotonic()
    for start in range(0, options.peers, 50):
        await asyncio.gather(*(connect(port, peer) for peer in [*writers, *readers][start : start + 50]))
    opened = time.monotonic() - opening
    await asyncio.gather(
        *(typing(w, options.rate, time.monotonic() + 2, phase=n / len(writers)) for n, w in enumerate(writers))
    )
    await asyncio.sleep(0.5)
    # A fresh count after the warm-up.
    counts.__init__()  # type: ignore[misc]
    before, own = server.cpu_times(), time.process_time()
    began = time.monotonic()
    typed = sum(len(writer.sent) for writer in writers)
    await asyncio.gather(
        *(typing(w, options.rate, began + options.seconds, phase=n / len(writers)) for n, w in enumerate(writers))
    )
    await asyncio.sleep(1)
    after = server.cpu_times()
    edits = sum(len(writer.sent) for writer in writers) - typed
    cpu = (after.user - before.user) + (after.system - before.system)
    quantiles = statistics.quantiles(counts.latencies, n=100)
    acknowledged = statistics.quantiles(counts.acknowledgements, n=100)
    return {
        "peers": options.peers,
        "writers": options.writers,
        "edits": edits,
        "deliveries": counts.delivered,
        "expected": edits * (options.peers - 1),
        "frames": counts.frames,
        "cpu_us_per_delivery": cpu * 1e6 / max(1, edits * (options.peers - 1)),
        "server_core_percent": 100 * cpu / (options.seconds + 1),
        "generator_core_percent": 100 * (time.process_time() - own) / (options.seconds + 1),
        "latency_p50_ms": quantiles[49],
        "latency_p95_ms": quantiles[94],
        "latency_p99_ms": quantiles[98],
        "acknowledged_p50_ms": acknowledged[49],
        "acknowledged_p95_ms": acknowledged[94],
        "opens_per_second": options.peers / opened,
        "server_rss_mb": server.memory_info().rss / 1e6,
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def served(port: int, data: Path, environment: dict[str, str], log: Path):  # type: ignore[no-untyped-def]
    # The settings of the person who measures, in the environment and in .env, are not those that are measured.
    own = {name: value for name, value in os.environ.items() if not name.startswith("COWRITE_")}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("cowrite"), "serve", "--demo"],
            env={**own, "COWRITE_PORT": str(port), "COWRITE_DATA_DIR": str(data), **environment},
            cwd=log.parent,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.05)
        if process.poll() is not None:
            raise SystemExit(f"the server did not start:\n{log.read_text()}")
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def measure(options: argparse.Namespace) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        environment = {}
        if options.window:
            environment = {"COWRITE_BATCH_MIN_MS": str(options.window[0]), "COWRITE_BATCH_MS": str(options.window[1])}
        port = free_port()
        with served(port, Path(folder) / "data", environment, Path(folder) / "log") as process:
            server = psutil.Process(process.pid)
            if (os.cpu_count() or 1) >= 2 and hasattr(server, "cpu_affinity"):
                server.cpu_affinity([0])
                psutil.Process().cpu_affinity([1])
            return uvloop.run(drive(port, server, options))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=int, default=1000)
    parser.add_argument("--writers", type=int, default=10)
    parser.add_argument("--rate", type=float, default=5.0, help="edits per writer and second")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--window", type=int, nargs=2, metavar=("MIN_MS", "MAX_MS"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure(options)
    if options.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:>24} {value:12.2f}")
    if result["deliveries"] != result["expected"]:
        sys.exit(f"{result['deliveries']:.0f} deliveries instead of {result['expected']:.0f}: this measured something else")


if __name__ == "__main__":
    main()
