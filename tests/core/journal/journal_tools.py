"""What tests of the journal look at."""

from __future__ import annotations

from collections.abc import Sequence

from cowrite.brokers.local import LocalBroker, LocalHub
from cowrite.core.limits import Limits
from cowrite.core.records import Entry
from cowrite.stores.memory import MemoryDatabase, MemoryStore, memory_storage
from cowrite.testing.process import Connection, Process, quiet


def process(database: MemoryDatabase, hub: LocalHub | None = None, limits: Limits | None = None) -> Process:
    return Process(memory_storage(database), LocalBroker(hub), limits=limits)


async def log_of(database: MemoryDatabase, document_id: str = "doc") -> Sequence[Entry]:
    return await MemoryStore(database).entries(document_id, start=1, limit=10_000)


async def text_of(database: MemoryDatabase, document_id: str = "doc") -> str:
    """What a process that starts now would show."""
    async with process(database) as fresh:
        connection = await fresh.join(document_id, user="reader")
        await quiet(fresh)
        return str(connection.client.text)


def saved(connection: Connection) -> bool:
    """All that its client has sent is acknowledged."""
    return connection.client.saved


async def step(server: Process, seconds: float) -> None:
    """Turn the clock in small steps, so that what waits for it runs."""
    for _ in range(int(seconds * 10)):
        server.clock.advance(0.1)  # type: ignore[attr-defined]
        await quiet(server)
