"""One document in which everybody types and moves a cursor: what arrives, how late, and what that costs the server.

    python -m bench.people [--people 500] [--rate 1] [--cursors 1] [--seconds 20]

As :mod:`bench.fanout`, with the same server and generator; but here every peer is a Yjs client that types ``--rate`` times a
second (each edit some 20 characters, which say when it was sent) and tells where its cursor is ``--cursors`` times a second.
*Undelivered*: what has not arrived everywhere two seconds after the last edit. *Cursor age*: how old a cursor is when somebody
is told of it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import tempfile
import time
from pathlib import Path

import psutil
import uvloop
from picows import WSMsgType, WSTransport

from bench.fanout import Counts, Writer, connect, free_port, served
from cowrite.protocol import yjs
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.messages import AwarenessUpdate

_CURSOR_AT = re.compile(rb'"at":(\d+)')
_STATE = '{"user":{"name":"Somebody %d","color":"#30bced"},"at":%d,"cursor":{"anchor":%s,"head":%s}}'
_PLACE = '{"type":null,"tname":"body","item":{"client":%d,"clock":%d},"assoc":0}'


class People(Counts):
    """What everybody saw."""

    def __init__(self) -> None:
        super().__init__()
        self.awareness_frames = 0
        self.bytes = 0
        self.cursors = 0
        self.ages: list[float] = []
        self.cursors_by_frame: dict[bytes, list[int]] = {}


class Person(Writer):
    """A peer that types and points."""

    def __init__(self, counts: People, number: int, *, sample: bool) -> None:
        super().__init__(counts)
        self.seen = counts
        self.sample = sample
        self.number = number
        self.clock = 0
        self.heard: dict[bytes, None] = {}

    def point(self) -> None:
        """Tell the others where the cursor is."""
        self.clock += 1
        client = self.doc.client_id
        place = _PLACE % (client, self.clock)
        state = _STATE % (self.number, time.perf_counter_ns(), place, place)
        assert self.transport is not None
        self.transport.send(WSMsgType.BINARY, yjs.encode(AwarenessUpdate((AwarenessEntry(client, self.clock, state),))))

    def on_ws_frame(self, transport: WSTransport, frame) -> None:  # type: ignore[no-untyped-def]
        data = frame.get_payload_as_bytes()
        if frame.msg_type == WSMsgType.BINARY:
            self.seen.bytes += len(data)
        if data[:1] == b"\x01":
            self._cursors(data)
        else:
            super().on_ws_frame(transport, frame)

    def _cursors(self, data: bytes) -> None:
        seen = self.seen
        cursors = seen.cursors_by_frame.get(data)
        if cursors is None:
            cursors = seen.cursors_by_frame[data] = [int(at) for at in _CURSOR_AT.findall(data)]
        seen.awareness_frames += 1
        seen.cursors += len(cursors)
        if self.sample:
            now = time.perf_counter_ns()
            seen.ages += [(now - at) / 1e6 for at in cursors]


async def living(person: Person, options: argparse.Namespace, until: float) -> None:
    """Type and point until then, each in its own rhythm."""

    async def again(work, rate: float, phase: float) -> None:  # type: ignore[no-untyped-def]
        await asyncio.sleep(phase / rate)
        while time.monotonic() < until:
            work()
            await asyncio.sleep(1 / rate)

    phase = person.number / options.people
    tasks = [again(person.type, options.rate, phase)] if options.rate else []
    tasks += [again(person.point, options.cursors, (phase + 0.5) % 1)] if options.cursors else []
    await asyncio.gather(*tasks)


async def drive(port: int, server: psutil.Process, options: argparse.Namespace) -> dict[str, float]:
    seen = People()
    sampled = max(1, options.people // 50)
    people = [Person(seen, number, sample=number % sampled == 0) for number in range(options.people)]
    for start in range(0, options.people, 50):
        await asyncio.gather(*(connect(port, person) for person in people[start : start + 50]))
    await asyncio.gather(*(living(person, options, time.monotonic() + 3) for person in people))
    await asyncio.sleep(2)
    seen.__init__()  # type: ignore[misc]  # a fresh count after the warm-up
    typed = sum(len(person.sent) for person in people)
    before, own, began = server.cpu_times(), time.process_time(), time.monotonic()
    await asyncio.gather(*(living(person, options, began + options.seconds) for person in people))
    after, took = server.cpu_times(), time.monotonic() - began
    generator = time.process_time() - own
    await asyncio.sleep(2)
    edits = sum(len(person.sent) for person in people) - typed
    late = statistics.quantiles(seen.latencies, n=100) if seen.latencies else [0.0] * 99
    ages = statistics.quantiles(seen.ages, n=100) if seen.ages else [0.0] * 99
    cpu = (after.user - before.user) + (after.system - before.system)
    return {
        "people": options.people,
        "edits": edits,
        "undelivered": edits * (options.people - 1) - seen.delivered,
        "frames_per_second": (seen.frames + seen.awareness_frames) / took,
        "of_awareness_per_second": seen.awareness_frames / took,
        "megabytes_per_second": seen.bytes / took / 1e6,
        "server_core_percent": 100 * cpu / took,
        "generator_core_percent": 100 * generator / took,
        "edit_p50_ms": late[49],
        "edit_p95_ms": late[94],
        "edit_p99_ms": late[98],
        "cursor_age_p50_ms": ages[49],
        "cursor_age_p95_ms": ages[94],
        "server_rss_mb": server.memory_info().rss / 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=500)
    parser.add_argument("--rate", type=float, default=1.0, help="edits per person and second")
    parser.add_argument("--cursors", type=float, default=1.0, help="cursor moves per person and second")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        with served(port, Path(folder) / "data", {}, Path(folder) / "log") as process:
            server = psutil.Process(process.pid)
            if (os.cpu_count() or 1) >= 2 and hasattr(server, "cpu_affinity"):
                server.cpu_affinity([0])
                psutil.Process().cpu_affinity([1])
            result = uvloop.run(drive(port, server, options))
    if options.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:>24} {value:12.2f}")


if __name__ == "__main__":
    main()
