"""What is still kept, asked of the store."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from core.history.past_tools import info_of, process, write
from cowrite.core.operations.keeping import Keeping
from cowrite.core.ports import StoreUnavailable
from cowrite.core.records import DocumentInfo
from cowrite.stores.memory import MemoryDatabase


class Documents:
    """A directory that answers when it is let go."""

    def __init__(self, info: DocumentInfo) -> None:
        self.known: DocumentInfo | None = info
        self.reads: list[asyncio.Event] = []

    async def info(self, document_id: str) -> DocumentInfo | None:
        self.reads.append(asyncio.Event())
        found = self.known
        await self.reads[-1].wait()
        if document_id == "broken":
            raise StoreUnavailable("gone")
        return found


async def turned() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.rule("ER6")
async def test_who_asks_at_the_same_time_shares_an_answer_and_nobody_gets_one_of_before() -> None:
    async with process(MemoryDatabase()) as (server, _):
        await write(server, "a")
        info = await info_of(server)
    documents = Documents(info)
    keeping = Keeping(documents)  # type: ignore[arg-type]

    def ask(document_id: str = "doc") -> asyncio.Future[int]:
        return asyncio.ensure_future(keeping.first_offset(document_id))

    first = [ask(), ask()]
    await turned()
    documents.known = replace(info, first_offset=7)
    later = [ask(), ask(), ask()]
    later[0].cancel()
    await turned()
    assert len(documents.reads) == 1, "one at a time"
    documents.reads[0].set()
    await turned()
    assert [await one for one in first] == [1, 1]
    assert len(documents.reads) == 2
    documents.reads[1].set()
    assert [await one for one in later[1:]] == [7, 7]

    documents.known = None
    gone, broken = ask(), ask("broken")
    left = ask("broken")
    await turned()
    left.cancel()
    for read in documents.reads:
        read.set()
    assert await gone == 1
    with pytest.raises(StoreUnavailable):
        await broken
    ended = ask("later")
    await turned()
    keeping._reading["later"].cancel()  # the process ends
    with pytest.raises(asyncio.CancelledError):
        await ended
    assert not keeping._next
    assert not keeping._reading
