"""Names of moments, as they stand in addresses of the history: refused with a code, or a moment that the document had."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from functools import cache

from cowrite.core.history.errors import HistoryRefused
from cowrite.core.history.moments import Moments
from cowrite.core.history.worker import HistoryWorker
from cowrite.core.ports import HistoryForgotten
from cowrite.core.records import DocumentInfo
from cowrite.stores.memory import MemoryDatabase, memory_storage
from cowrite.testing.records import make_entry

MAX_BYTES = 256


@cache
def document() -> tuple[asyncio.AbstractEventLoop, Moments, DocumentInfo]:
    """One with five entries, of which the first two are forgotten."""
    loop = asyncio.new_event_loop()
    return (loop, *loop.run_until_complete(_document()))


async def _document() -> tuple[Moments, DocumentInfo]:
    database = MemoryDatabase()
    storage = memory_storage(database)
    async with storage.store.writing(["doc"]) as transaction:
        await transaction.append("doc", [make_entry(offset, created_at=1_790_000_000_000 + offset) for offset in range(1, 6)])
    database.forget_history("doc", 3)
    info = await storage.directory.info("doc")
    assert info is not None
    return Moments(storage, HistoryWorker()), info


def check(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    loop, moments, info = document()
    try:
        moment = loop.run_until_complete(moments.resolve(info, text))
    except HistoryRefused as refused:
        assert refused.code == "unknown_moment"
        assert str(refused)
        return
    except HistoryForgotten:
        return
    assert info.first_offset - 1 <= moment.offset <= info.head.offset


def seeds() -> Iterable[bytes]:
    names = ("3", "offset:4", "time:1790000000004", "time:2026-09-21T14:13:20.004Z", "2026-09-21 16:13:20,004+02:00")
    ids = ("version:v", "operation:o", "00000000-0000-7000-8000-000000000000", "2026-09-21", "time:0001-01-01T00:00:00+23:59")
    with suppress(ValueError):
        yield from (name.encode() for name in (*names, *ids))
