"""Processes in memory, and what tests of faults do with them."""

from __future__ import annotations

from cowrite.brokers.local import LocalBroker, LocalHub
from cowrite.core.ports import StoreUnavailable
from cowrite.stores.memory import MemoryDatabase, memory_storage
from cowrite.testing.process import Process, quiet

GONE = StoreUnavailable("the database is away")


def process(database: MemoryDatabase, hub: LocalHub | None = None) -> Process:
    return Process(memory_storage(database), LocalBroker(hub))


async def step(server: Process, seconds: float) -> None:
    for _ in range(int(seconds * 10)):
        server.clock.advance(0.1)  # type: ignore[attr-defined]
        await quiet(server)


async def on_disk(database: MemoryDatabase) -> str:
    async with process(database) as fresh:
        reader = await fresh.join(user="reader")
        await quiet(fresh)
        return str(reader.client.text)
