"""Many sessions in one document that tell something about themselves: what it costs to tell of one that changes.

    python -m bench.presence [--sessions 500] [--state-bytes 1000] [--count 60]

In this process, without a socket. *Change*: what all that are connected are told, once for all of them. *Welcome*: what one
that comes in is told of all. *Poll*: what those that poll are told of all, with its digest, once for all of them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from hashlib import blake2b

from cowrite.core.clock import SystemClock
from cowrite.core.ids import Ids
from cowrite.core.ports import Access, Grant
from cowrite.core.presence.presence import PresenceList
from cowrite.core.presence.present import PresenceChange, Transport
from cowrite.core.sessions.session import Session
from cowrite.protocol.thin import encode_with


def _encode(change: PresenceChange) -> None:
    _ = change.frame


def median(work: Callable[[], object], count: int, prepare: Callable[[], object]) -> float:
    """Milliseconds that the work takes, each time after what prepares it."""
    took = []
    for _ in range(count):
        prepare()
        began = time.perf_counter()
        work()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def main() -> None:
    """Measure, and print milliseconds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, default=500)
    parser.add_argument("--state-bytes", type=int, default=1000)
    parser.add_argument("--count", type=int, default=60)
    given = parser.parse_args()
    ids, people = Ids(SystemClock()), PresenceList(_encode)
    sessions = [Session(ids.new(), "bench", Access(f"user-{n}", Grant.WRITE, "Ana"), 0) for n in range(given.sessions)]
    for one in sessions:
        people.connect(one, Transport.WEBSOCKET, 0)
        people.tell(one, {"data": {"x": "x" * given.state_bytes}}, 0)

    def change() -> None:
        people.tell(sessions[0], {"data": {"x": "x" * given.state_bytes, "at": time.perf_counter_ns()}}, 0)

    def poll() -> None:
        blake2b(b",".join([one.lasting for one in people.persons]), digest_size=8).digest()
        _ = people.crowd.json

    print(f"change   {median(change, given.count, lambda: None):8.3f} ms")
    print(f"welcome  {median(lambda: encode_with('welcome', {'presence': people.crowd.json}), given.count, change):8.3f} ms")
    print(f"poll     {median(poll, given.count, change):8.3f} ms")


if __name__ == "__main__":
    main()
