"""What tests of submitting share: processes in memory, and how long they take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from cowrite.brokers.local import LocalBroker, LocalHub
from cowrite.core.operations.submissions import Answer, SubmissionRefused
from cowrite.crdt.state import text
from cowrite.stores.memory import MemoryDatabase, memory_storage
from cowrite.testing.process import Process, quiet


@asynccontextmanager
async def process(database: MemoryDatabase, hub: LocalHub | None = None, **options: Any) -> AsyncIterator[Process]:
    async with Process(memory_storage(database), LocalBroker(hub) if hub else LocalBroker(), **options) as server:
        yield server


def body(server: Process) -> str:
    log = server.room().replicas.log
    assert log is not None
    return text(log, "body")


async def answered(server: Process, *submissions: Any) -> list[Answer]:
    await quiet(server)
    return [submission.answer.result() for submission in submissions]


async def refused(server: Process, submission: Any) -> SubmissionRefused:
    await quiet(server)
    error = submission.answer.exception()
    assert isinstance(error, SubmissionRefused)
    return error


async def step(server: Process, seconds: float) -> None:
    """Time passes, in small steps."""
    for _ in range(int(seconds / 0.05)):
        server.clock.advance(0.05)  # type: ignore[attr-defined] # the clock of a Process is turned by hand
        await quiet(server)
        await asyncio.sleep(0)
