"""What tests of rooms share."""

from __future__ import annotations

from cowrite.brokers.local import LocalBroker
from cowrite.stores.memory import MemoryDatabase, memory_storage
from cowrite.testing.process import Process


def process(database: MemoryDatabase | None = None) -> Process:
    return Process(memory_storage(database), LocalBroker())
