"""What tests of history share: a process in memory with its services of history, and programs that write to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from core.operations.process_tools import answered
from core.operations.process_tools import process as plain_process
from core.operations.thin_client import ThinClient
from cowrite.core.history.automatic import VersionTimes
from cowrite.core.history.past import Past, open_past
from cowrite.core.ports import Access, Grant
from cowrite.core.records import DocumentInfo
from cowrite.core.sessions.session import Session
from cowrite.stores.memory import MemoryDatabase
from cowrite.testing.process import Process
from cowrite.testing.records import new_id


@asynccontextmanager
async def process(
    database: MemoryDatabase, *, times: VersionTimes | None = None, grace_days: int = 30, **options: Any
) -> AsyncIterator[tuple[Process, Past]]:
    async with plain_process(database, **options) as server:
        past = open_past(
            server.storage,
            server.registry,
            server.journal.accounts,
            server.clock,
            server.ids,
            server.limits,
            times=times if times is not None else VersionTimes(),
            grace_days=grace_days,
        )
        server.journal.listen(past.automatic.committed)
        server.access.listen(past.erasing.heard)
        try:
            yield server, past
        finally:
            await past.close()


async def info_of(server: Process, document_id: str = "doc") -> DocumentInfo:
    info = await server.storage.directory.info(document_id)
    assert info is not None
    return info


def session(user: str = "root", grant: Grant = Grant.ADMIN) -> Session:
    return Session(new_id(), "doc", Access(user, grant), 0)


async def write(server: Process, *words: str, user: str = "bot") -> None:
    """An entry for each word, at the beginning of the text."""
    bot = ThinClient(user)
    for word in words:
        await bot.read(server)
        await answered(server, await bot.insert(server, 0, word))
