"""Brokers by Redis for one test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from cowrite.brokers.redis import RedisBroker


@asynccontextmanager
async def brokers(*urls: str) -> AsyncIterator[Sequence[RedisBroker]]:
    made = [RedisBroker(url) for url in urls]
    for broker in made:
        await broker.start()
    yield made
    for broker in made:
        await broker.close()
