"""What it costs to tell other processes by Redis: CPU of this process for each message told, heard, and heard of itself.

    PYTHONPATH=tests python -m bench.broker [--messages 20000] [--bytes 60] [--group 20]

A real Valkey is started. Three brokers in this process: one tells, one hears, and one hears what it has told itself.
Messages are told in groups, as the journal does after COMMIT: one for each document. *Encode*, *decode*: of that,
the part that is not the connection. *Delay*: from ``publish`` to the receiver, of one message at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from cowrite.brokers.encoding import decode, encode
from cowrite.brokers.redis import RedisBroker
from cowrite.core.ports import News, Signal
from cowrite.testing.records import make_entry
from valkey_server import ValkeyServer

DOCUMENTS = 100


def _news(document: int, offset: int, size: int) -> News:
    return News(f"doc-{document}", "0192e4a0-7b1c-7000-8000-000000000000", offset, (make_entry(offset, update=bytes(size)),))


class _Count:
    """A receiver that only counts."""

    def __init__(self) -> None:
        self.heard = 0

    def __call__(self, told: News | Signal) -> None:
        self.heard += 1


async def _cpu(work: Callable[[], Awaitable[None]], count: int) -> float:
    """Microseconds of CPU for each."""
    began = time.process_time()
    await work()
    return (time.process_time() - began) / count * 1e6


async def _tell(broker: RedisBroker, messages: list[News], group: int) -> None:
    for number, news in enumerate(messages, 1):
        await broker.publish(news)
        if number % group == 0:
            await asyncio.sleep(0)


async def _until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def _measure(url: str, given: argparse.Namespace) -> None:
    teller, hearer, itself = (RedisBroker(url) for _ in range(3))
    for broker in (teller, hearer, itself):
        await broker.start()
    messages = [_news(number % DOCUMENTS, number, given.bytes) for number in range(given.messages)]
    count = _Count()

    async def alone() -> None:
        await _tell(teller, messages, given.group)
        await asyncio.sleep(0.05)

    async def heard() -> None:
        await _tell(teller, messages, given.group)
        await _until(lambda: count.heard >= given.messages)

    async def own() -> None:
        await _tell(itself, messages, given.group)
        await _until(lambda: itself.counters.own >= given.messages)

    told = await _cpu(alone, given.messages)
    for document in range(DOCUMENTS):
        await hearer.subscribe(f"doc-{document}", count)
    both = await _cpu(heard, given.messages)
    delays = [await _delay(teller, count, messages[0]) for _ in range(500)]
    for broker in (hearer, teller):
        await broker.close()
    for document in range(DOCUMENTS):
        await itself.subscribe(f"doc-{document}", _Count())
    mine = await _cpu(own, given.messages)
    await itself.close()
    _report(messages, told, both, mine, delays)


async def _delay(teller: RedisBroker, count: _Count, news: News) -> float:
    """Milliseconds."""
    before, began = count.heard, time.perf_counter()
    await teller.publish(news)
    while count.heard == before:  # noqa: ASYNC110
        await asyncio.sleep(0)
    return (time.perf_counter() - began) * 1e3


def _report(messages: list[News], told: float, both: float, mine: float, delays: list[float]) -> None:
    me = bytes(16)
    began = time.process_time()
    encoded = [encode(me, news) for news in messages]
    encoding = (time.process_time() - began) / len(messages) * 1e6
    began = time.process_time()
    for message in encoded:
        decode("doc-0", message)
    decoding = (time.process_time() - began) / len(messages) * 1e6
    print(f"told      {told:7.1f} µs   of that encode {encoding:5.1f} µs; {len(encoded[0])} bytes")
    print(f"heard     {both - told:7.1f} µs   of that decode {decoding:5.1f} µs")
    print(f"own       {mine - told:7.1f} µs   dropped unread")
    print(f"delay     {statistics.median(delays):7.3f} ms   p95 {statistics.quantiles(delays, n=20)[-1]:.3f} ms")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--bytes", type=int, default=60, help="of the update in each")
    parser.add_argument("--group", type=int, default=20, help="messages told in one turn of the event loop")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        valkey = ValkeyServer(Path(folder))
        valkey.start()
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_measure(valkey.url, given))
        finally:
            valkey.kill()


if __name__ == "__main__":
    main()
