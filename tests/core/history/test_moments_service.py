"""Moments of a document, on a store in memory."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

import pytest

from core.history.past_tools import info_of, process, write
from cowrite.core.history.errors import HistoryRefused
from cowrite.core.history.moments import Moments
from cowrite.core.ports import HistoryForgotten, StoreCorrupt
from cowrite.core.records import Head
from cowrite.stores.memory import MemoryDatabase
from cowrite.testing.process import quiet


def shown(state: Any) -> str:
    return "".join(piece["insert"] for piece in state.content.get("body", {"$text": []})["$text"])


@pytest.mark.rule("HV10")
async def test_a_time_with_a_zone_means_the_last_entry_made_by_then() -> None:
    """To the millisecond, in every zone; without one it is no time."""
    async with process(MemoryDatabase()) as (server, past):
        await write(server, "a")
        server.clock.advance(0.001)  # type: ignore[attr-defined] # the clock of a Process is turned by hand
        await write(server, "b")
        info = await info_of(server)
        # 1 790 000 000 000 ms is 2026-09-21T14:13:20Z.
        for text, offset in {
            "2026-09-21T14:13:20Z": 1,
            "2026-09-21T14:13:20.001z": 2,
            "2026-09-21 16:13:20.0009+02:00": 1,
            "2026-09-21T16:13:20.001 02:00": 2,
            "2026-09-21T14:13Z": 0,
            "time:1790000000000": 1,
            "time:1789999999999": 0,
            "time:2026-09-21T14:13:20.001Z": 2,
        }.items():
            assert (await past.moments.resolve(info, text)).offset == offset, text
        for text in ("2026-09-21T14:13:20", "2026-09-21", "2026-99-21T14:13:20Z", "now"):
            with pytest.raises(HistoryRefused) as caught:
                await past.moments.resolve(info, text)
            assert caught.value.code == "unknown_moment"


@pytest.mark.rule("HV12")
async def test_what_is_committed_meanwhile_is_not_in_it() -> None:
    async with process(MemoryDatabase()) as (server, past):
        await write(server, "a")
        info = await info_of(server)
        await write(server, "b")
        moment = await past.moments.resolve(info, "time:9999999999999")
        assert (moment.offset, moment.created_at) == (1, 1_790_000_000_000)
        assert shown(await past.moments.state(moment)) == "a"
        beginning = await past.moments.resolve(info, "0")
        assert (beginning.created_at, shown(await past.moments.state(beginning))) == (None, "")


@pytest.mark.rule("HV12")
async def test_a_document_that_was_never_written_has_one_moment() -> None:
    async with process(MemoryDatabase()) as (server, past):
        await server.storage.directory.create("doc")
        moment = await past.moments.resolve(await info_of(server), "0")
        state = await past.moments.state(moment)
        assert (state.content, state.offset, state.head) == ({}, 0, None)


@pytest.mark.rule("HV14")
async def test_a_state_is_made_once() -> None:
    """And again when there was too much in between."""
    async with process(MemoryDatabase()) as (server, past):
        await write(server, "a", "b", "c")
        info = await info_of(server)
        first, second = await past.moments.at(info, 1), await past.moments.at(info, 2)
        state = await past.moments.state(first)
        assert await past.moments.state(first) is state
        small = Moments(server.storage, past.worker, max_bytes=1000)
        one = await small.state(first)
        assert await small.state(first) is one
        for offset in (2, 3):
            await small.state(await small.at(info, offset))
        assert await small.state(first) is not one
        assert shown(await small.state(second)) == "ba"


@pytest.mark.rule("HV10")
async def test_a_history_that_was_replaced_meanwhile() -> None:
    database = MemoryDatabase()
    async with process(database) as (server, past):
        await write(server, "a")
        moment = await past.moments.at(await info_of(server), 1)
        other = replace(moment, head=Head("another", 1, moment.head.entry_id))
        for gone in (False, True):
            if gone:
                database.tables.documents.pop("doc")
            with pytest.raises(HistoryRefused) as caught:
                await past.moments.state(other)
            assert caught.value.code == "history_replaced"


@pytest.mark.rule("HV10")
async def test_what_is_forgotten_meanwhile() -> None:
    """All but the present."""
    database = MemoryDatabase()
    async with process(database) as (server, past):
        await write(server, "a", "b", "c")
        info = await info_of(server)
        old, newest = await past.moments.at(info, 1), await past.moments.at(info, 3)
        await past.erasing.forget(newest)
        with pytest.raises(HistoryForgotten):
            await past.moments.state(old)
        assert shown(await past.moments.state(newest)) == "cba"
        info = await info_of(server)
        assert info.first_offset == 4
        with pytest.raises(HistoryForgotten):
            await past.moments.resolve(info, "2")
        assert (await past.moments.resolve(info, "3")).created_at is not None


@pytest.mark.rule("HV12")
async def test_a_log_that_cannot_be_read_is_said_to_be_damaged() -> None:
    database = MemoryDatabase()
    async with process(database) as (server, past):
        await write(server, "a", "b")
        await quiet(server)
        row = database.tables.documents["doc"].rows[0]
        broken = b"\x01\x01\x05\x07\x84\x09\x09\x01x\x00"  # it builds on what is not there
        database.tables.documents["doc"].rows[0] = _with_update(row, broken)
        with pytest.raises(StoreCorrupt):
            await past.moments.state(await past.moments.at(await info_of(server), 1))


def _with_update(row: Any, update: bytes) -> Any:
    return replace(row, entry=replace(row.entry, update=update), checksum=zlib.crc32(update))
