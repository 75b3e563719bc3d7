"""Reading the past from the store, in turn."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from core.history.past_tools import process, write
from cowrite.core.history.errors import HistoryRefused
from cowrite.core.history.reads import AT_ONCE, BoundedHistory
from cowrite.core.history.turns import MAX_WAITING_OF_ONE
from cowrite.core.ports import History
from cowrite.core.records import ActivityGroup
from cowrite.stores.memory import MemoryDatabase


class Slow:
    """A store's history whose activity takes until it is let go."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.begun: list[str] = []
        self.go = asyncio.Event()

    async def activity(
        self, document_id: str, *, before: int | None, pause: int, limit: int, by_author: bool
    ) -> Sequence[ActivityGroup]:
        self.begun.append(document_id)
        await self.go.wait()
        return await self.history.activity(document_id, before=before, pause=pause, limit=limit, by_author=by_author)

    def __getattr__(self, name: str) -> object:
        return getattr(self.history, name)


async def _turned() -> None:
    """All that is ready has run."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.rule("HV13")
async def test_long_reads_of_history_wait_for_their_turn() -> None:
    async with process(MemoryDatabase()) as (server, _):
        await write(server, "a", "b")
        slow = Slow(server.storage.history)
        bounded = BoundedHistory(slow)  # type: ignore[arg-type]

        def ask(document_id: str) -> asyncio.Future[Sequence[ActivityGroup]]:
            return asyncio.ensure_future(bounded.activity(document_id, before=None, pause=1000, limit=1))

        asked = [ask("doc") for _ in range(AT_ONCE + MAX_WAITING_OF_ONE)]
        other = ask("other")
        await _turned()
        assert slow.begun == ["doc"] * AT_ONCE
        with pytest.raises(HistoryRefused) as caught:
            await ask("doc")
        assert caught.value.code == "overloaded"
        assert await bounded.locate("doc", "nothing") is None, "what is quick waits for nobody"

        for one in asked[1:]:
            one.cancel()
        await _turned()
        assert slow.begun == ["doc"] * AT_ONCE, "what has begun keeps its place until it ends"
        slow.go.set()
        assert await other == ()
        assert len(await asked[0]) == 1
        assert slow.begun == ["doc"] * AT_ONCE + ["other"], "nobody waited for the others"
        await bounded.close()


@pytest.mark.rule("HV13")
async def test_what_is_read_in_turn_is_what_the_store_has() -> None:
    async with process(MemoryDatabase()) as (server, past):
        await write(server, "a", "b")
        history, bounded = server.storage.history, past.history
        assert await bounded.load_at("doc", 1) == await history.load_at("doc", 1)
        assert await bounded.damaged_checkpoints("doc") == await history.damaged_checkpoints("doc") == {}
        for limit in (1, 9):
            found = await bounded.authored("doc", after=0, limit=limit)
            assert found == await history.authored("doc", after=0, limit=limit)
        assert await bounded.entries("doc", after=0, limit=9) == await history.entries("doc", after=0, limit=9)
        entries = await bounded.operations("doc", after=0, limit=9, size=10_000)
        assert entries == await history.operations("doc", after=0, limit=9, size=10_000)
        assert len(entries) == 2
        assert await bounded.locate("doc", entries[0].operations[0].id) == 1
        assert await bounded.last_operation("doc", until=2) == entries[1].operations[-1].id
        assert await bounded.offset_at("doc", entries[1].created_at) == 2


@pytest.mark.rule("HV13")
async def test_who_reads_when_the_process_ends_is_told() -> None:
    async with process(MemoryDatabase()) as (server, _):
        slow = Slow(server.storage.history)
        bounded = BoundedHistory(slow)  # type: ignore[arg-type]
        read = asyncio.ensure_future(bounded.activity("doc", before=None, pause=1, limit=1))
        await _turned()
        running = next(iter(bounded._turns._running))
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await read
