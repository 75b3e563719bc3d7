"""One document, many people, each of them moving a cursor: what that costs the server, and how late the others see it.

    python -m bench.cursors [--peers 10 50 500 1500] [--rate 1] [--seconds 10]

Starts a real ``cowrite serve --demo``, pinned to one core where the machine has two, and a load generator on the other. *Age*:
how old a cursor is when it arrives at one of the peers that are looked at, from just before its sender's send; *early* and
*late* are the first and the second half of the time, which differ when a backlog grows. *Missing*: cursors whose newest place
had not arrived a while after the last one was sent. CPU is processor time, so that another program's load counts for little.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from bench.fanout import free_port, served
from cowrite.protocol import yjs
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.messages import AwarenessUpdate, SyncStep1, SyncStep2

_LOOKED_AT: Final = 10
_SETTLE_SECONDS: Final = 12.0


@dataclass
class Counts:
    """What the generator saw, of all peers, and at those that are looked at."""

    frames: int = 0
    payload: int = 0
    ages: list[tuple[float, float]] = field(default_factory=list)
    """When, and how many milliseconds old."""
    entries_by_frame: dict[bytes, list[tuple[int, int, int]]] = field(default_factory=dict)
    """Yjs client, clock, and when it was sent."""


class Person(WSListener):
    """A peer that moves its cursor, and reads what comes when it is one that is looked at."""

    def __init__(self, number: int, counts: Counts, *, looks: bool) -> None:
        self.number = number
        self.counts = counts
        self.looks = looks
        self.clock = 0
        self.seen: dict[int, int] = {}
        self.kind = b""
        """How the message begins of which frames come now."""
        self.parts: list[bytes] = []
        self.synced: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: WSTransport | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        transport.send(WSMsgType.BINARY, yjs.encode(SyncStep1(b"\x00")))
        self.move()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type not in (WSMsgType.BINARY, WSMsgType.CONTINUATION):
            return
        if frame.msg_type == WSMsgType.BINARY:
            self.kind = bytes(frame.get_payload_as_memoryview()[:2])
        if self.kind[0] == 1:
            self._announced(frame)
        elif self.kind == b"\x00\x00":
            transport.send(WSMsgType.BINARY, yjs.encode(SyncStep2(b"\x00\x00")))
        elif self.kind == b"\x00\x01" and not self.synced.done():
            self.synced.set_result(None)

    def _announced(self, frame: WSFrame) -> None:
        """Large messages come in several frames."""
        self.counts.frames += frame.fin
        self.counts.payload += frame.payload_size
        if self.looks:
            self.parts.append(frame.get_payload_as_bytes())
            if frame.fin:
                message, self.parts = b"".join(self.parts), []
                self._read(message)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if not self.synced.done():
            self.synced.set_exception(ConnectionError("closed before the state came"))

    def move(self) -> None:
        """About what an editor's binding says: a name, a colour, and two places."""
        self.clock += 1
        place = {"type": None, "tname": "body", "item": {"client": self.number, "clock": self.clock}, "assoc": 0}
        user = {"name": f"Person {self.number}", "color": "#30bced", "colorLight": "#30bced33"}
        state = {"at": time.perf_counter_ns(), "user": user, "cursor": {"anchor": place, "head": place}}
        entry = AwarenessEntry(self.number, self.clock, json.dumps(state, separators=(",", ":")))
        assert self.transport is not None
        self.transport.send(WSMsgType.BINARY, yjs.encode(AwarenessUpdate((entry,))))

    def _read(self, frame: bytes) -> None:
        entries = self.counts.entries_by_frame.get(frame)
        if entries is None:
            told = yjs.decode(frame)
            assert isinstance(told, AwarenessUpdate)
            entries = [(one.client_id, one.clock, json.loads(one.state)["at"]) for one in told.entries if one.state is not None]
            self.counts.entries_by_frame[frame] = entries
        now = time.perf_counter_ns()
        for client, clock, at in entries:
            if clock > self.seen.get(client, 0):
                self.seen[client] = clock
                self.counts.ages.append((now / 1e9, (now - at) / 1e6))


async def moving(person: Person, rate: float, until: float, *, phase: float) -> None:
    """Move the cursor until that moment."""
    await asyncio.sleep(phase / rate)
    while time.monotonic() < until:
        person.move()
        await asyncio.sleep(1 / rate)


async def drive(port: int, server: psutil.Process, peers: int, rate: float, seconds: float) -> dict[str, float]:
    """Connect that many people, and let them move."""
    counts = Counts()
    apart = max(1, peers // _LOOKED_AT)
    people = [Person(n + 1, counts, looks=n % apart == 0) for n in range(peers)]
    for start in range(0, peers, 50):
        some = people[start : start + 50]
        url = f"ws://127.0.0.1:{port}/yjs/bench"
        await asyncio.gather(*(ws_connect(lambda one=one: one, url, websocket_handshake_timeout=60) for one in some))
        await asyncio.gather(*(asyncio.wait_for(one.synced, 60) for one in some))
    await asyncio.gather(*(moving(p, rate, time.monotonic() + 2, phase=p.number / peers) for p in people))
    counts.frames = counts.payload = 0
    counts.ages.clear()
    before, own, began = server.cpu_times(), time.process_time(), time.monotonic()
    await asyncio.gather(*(moving(p, rate, began + seconds, phase=p.number / peers) for p in people))
    after, took = server.cpu_times(), time.monotonic() - began
    frames, payload, generator = counts.frames, counts.payload, time.process_time() - own
    await asyncio.sleep(_SETTLE_SECONDS)
    looking = [one for one in people if one.looks]
    middle = counts.ages[len(counts.ages) // 2][0]
    early = statistics.quantiles([age for at, age in counts.ages if at < middle], n=20)
    late = statistics.quantiles([age for at, age in counts.ages if at >= middle], n=20)
    return {
        "peers": peers,
        "server_core_percent": 100 * (after.user - before.user + after.system - before.system) / took,
        "generator_core_percent": 100 * generator / took,
        "frames_per_second": frames / took,
        "megabytes_per_second": payload / took / 1e6,
        "age_p50_ms": statistics.median(age for _, age in counts.ages),
        "age_p95_early_ms": early[-1],
        "age_p95_late_ms": late[-1],
        "missing": sum(one.seen.get(other.number) != other.clock for one in looking for other in people),
        "server_rss_mb": server.memory_info().rss / 1e6,
    }


def measure(peers: int, options: argparse.Namespace) -> dict[str, float]:
    """With a server of its own."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        with served(port, Path(folder) / "data", {}, Path(folder) / "log") as process:
            server = psutil.Process(process.pid)
            if (os.cpu_count() or 1) >= 2 and hasattr(server, "cpu_affinity"):
                server.cpu_affinity([0])
                psutil.Process().cpu_affinity([1])
            return uvloop.run(drive(port, server, peers, options.rate, options.seconds))


def main() -> None:
    """Measure, and print a line for each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=int, nargs="+", default=[10, 50, 500, 1500])
    parser.add_argument("--rate", type=float, default=1.0, help="moves per person and second")
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    missing = 0.0
    for peers in options.peers:
        result = measure(peers, options)
        missing += result["missing"]
        for name, value in result.items():
            print(f"{name:>24} {value:12.2f}")
        print()
    if missing:
        sys.exit(f"{missing:.0f} cursors did not arrive where they should")


if __name__ == "__main__":
    main()
