"""A simulation of many processes on one database: when it is full, and what an acknowledgement waits for until then.

    python -m bench.scaling [--transaction 4.0] [--entry 0.15] [--database-cores 8] [--process-entry 0.35]

No server runs. What is simulated is the journal: each process runs one group transaction at a time, which takes all that waits
there (at most 1000 entries) and lasts ``--transaction`` milliseconds (locks, round trips, the write-ahead log) and, of one of
the database's cores, ``--entry`` milliseconds for each entry; the process itself needs ``--process-entry`` for each. Take these
from ``bench.cluster`` on your machines. Everybody in a document makes an edit every two seconds, and each edit is an entry of
its own (the worst case: nobody writes to the same document within one flush).
"""

from __future__ import annotations

import argparse
import heapq
import random
import statistics
from dataclasses import dataclass, field

_SECONDS = 20.0
_MOST = 1000
_RATE = 0.5
"""Edits a second of a person who is in a document."""


@dataclass
class _Process:
    waiting: list[float] = field(default_factory=list)
    """When each edit came."""
    busy: bool = False


@dataclass
class Result:
    """What came out."""

    transactions: int
    entries: int
    database_busy: float
    process_busy: float
    waits: list[float]


def simulate(people: int, processes: int, cores: int, *, transaction: float, entry: float, own: float) -> Result:
    """Let so many people write for some seconds; times in milliseconds."""
    rng = random.Random(people * 1000 + processes)
    some = [_Process() for _ in range(processes)]
    free = [0.0] * cores
    events: list[tuple[float, int, int, list[float]]] = []
    number, at = 0, 0.0
    while at < _SECONDS * 1000:
        at += rng.expovariate(people * _RATE / 1000)
        number += 1
        heapq.heappush(events, (at, number, rng.randrange(processes), []))
    result = Result(0, 0, 0.0, 0.0, [])

    def begin(now: float, index: int) -> None:
        nonlocal number
        process = some[index]
        group, process.waiting = process.waiting[:_MOST], process.waiting[_MOST:]
        core = heapq.heappop(free)
        worked = max(core, now + len(group) * own) + len(group) * entry
        heapq.heappush(free, worked)
        result.transactions += 1
        result.entries += len(group)
        result.database_busy += len(group) * entry
        result.process_busy += len(group) * own
        process.busy = True
        number += 1
        heapq.heappush(events, (worked + transaction, number, index, group))

    while events:
        now, _, index, group = heapq.heappop(events)
        process = some[index]
        if group:
            result.waits += [now - came for came in group]
            process.busy = False
        else:
            process.waiting.append(now)
        if process.waiting and not process.busy:
            begin(now, index)
    return result


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transaction", type=float, default=4.0)
    parser.add_argument("--entry", type=float, default=0.15)
    parser.add_argument("--database-cores", type=int, default=8)
    parser.add_argument("--process-entry", type=float, default=0.35)
    options = parser.parse_args()
    print("| people | processes | edits/s | transactions/s | entries each | database | processes | ack p50 | ack p95 |")
    print("|---|---|---|---|---|---|---|---|---|")
    for people, processes in (
        (500, 1),
        (2000, 1),
        (2000, 4),
        (10_000, 4),
        (20_000, 8),
        (50_000, 16),
        (100_000, 32),
        (120_000, 64),
    ):
        made = simulate(
            people,
            processes,
            options.database_cores,
            transaction=options.transaction,
            entry=options.entry,
            own=options.process_entry,
        )
        quantiles = statistics.quantiles(made.waits, n=100)
        database = made.database_busy / options.database_cores / _SECONDS / 10
        own = made.process_busy / processes / _SECONDS / 10
        print(
            f"| {people} | {processes} | {made.entries / _SECONDS:.0f} | {made.transactions / _SECONDS:.0f} "
            f"| {made.entries / made.transactions:.1f} | {database:.0f} % | {own:.0f} % | {quantiles[49]:.0f} ms "
            f"| {quantiles[94]:.0f} ms |"
        )


if __name__ == "__main__":
    main()
