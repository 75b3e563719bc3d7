"""Versions that are made by themselves. The clock is turned by hand."""

from __future__ import annotations

import asyncio

import pytest

from core.history.past_tools import info_of, process, write
from cowrite.brokers.local import LocalHub
from cowrite.core.history import automatic
from cowrite.core.history.automatic import VersionTimes
from cowrite.core.ports import StoreUnavailable
from cowrite.core.records import Version, VersionKind
from cowrite.stores.memory import MemoryDatabase
from cowrite.testing.process import Process, quiet

GONE = StoreUnavailable("gone")
HOUR = 3600
DAY = 24 * HOUR


async def later(server: Process, seconds: float) -> None:
    """Time passes in one step."""
    server.clock.advance(seconds)  # type: ignore[attr-defined] # the clock of a Process is turned by hand
    await quiet(server)


async def versions(server: Process) -> list[tuple[int, str]]:
    found: list[Version] = list(await server.storage.versions.list("doc"))
    assert all(one.kind is VersionKind.AUTOMATIC for one in found)
    return [(one.offset, one.author) for one in reversed(found)]


@pytest.mark.rule("HV22")
async def test_a_pause_makes_a_version() -> None:
    """Of the last entry before it, by whoever wrote that; edits within the time put it off."""
    async with process(MemoryDatabase()) as (server, _):
        await write(server, "a")
        await later(server, 59)
        assert await versions(server) == []
        await write(server, "b", user="ben")
        await later(server, 59)
        assert await versions(server) == []
        await later(server, 1)
        assert await versions(server) == [(2, "ben")]
        await later(server, HOUR)
        assert await versions(server) == [(2, "ben")], "nothing has happened since"


@pytest.mark.rule("HV22")
async def test_editing_without_a_pause_makes_one_each_hour() -> None:
    async with process(MemoryDatabase()) as (server, _):
        for _ in range(125):
            await write(server, "a")
            await later(server, 58)
        offsets = [offset for offset, _ in await versions(server)]
        assert len(offsets) == 1 + (offsets[-1] > 100)
        assert 60 <= offsets[0] <= 64


@pytest.mark.rule("HV22")
async def test_no_more_than_one_in_the_interval_and_the_last_edit_gets_one_later() -> None:
    """Whichever process writes."""
    database, hub = MemoryDatabase(), LocalHub()
    async with process(database, hub=hub) as (one, _), process(database, hub=hub) as (other, _):
        await write(one, "a")
        for server in (one, other):
            await later(server, 61)
        await write(other, "b")
        for server in (one, other):
            await later(server, 61)
        assert await versions(one) == [(1, "bot")]
        for _ in range(10):
            for server in (one, other):
                await later(server, 61)
        assert await versions(one) == [(1, "bot"), (2, "bot")]


@pytest.mark.rule("HV22")
async def test_what_has_a_version_gets_no_other() -> None:
    async with process(MemoryDatabase()) as (server, past):
        await write(server, "a")
        await past.versions.mark(await past.moments.at(await info_of(server), 1), "ana", name="by hand")
        await later(server, HOUR)
        (only,) = await server.storage.versions.list("doc")
        assert only.kind is VersionKind.NAMED


@pytest.mark.rule("HV22")
async def test_at_the_end_the_last_edits_get_theirs() -> None:
    """Once, even where the store does not take them any more."""
    database = MemoryDatabase()
    async with process(database) as (server, past):
        await write(server, "a")
        await past.automatic.close()
        assert await versions(server) == [(1, "bot")]
    async with process(database) as (server, past):
        await write(server, "b")
        database.fail_next("add_version", GONE)
        await past.automatic.close()
        await later(server, HOUR)
        assert await versions(server) == [(1, "bot")]


@pytest.mark.rule("HV22")
async def test_at_the_end_no_interval_is_waited_for() -> None:
    """An edit shortly after an automatic version has nothing else to wait for; what has a version gets no other."""
    database = MemoryDatabase()
    async with process(database) as (server, past):
        await write(server, "a")
        await later(server, 60)
        assert await versions(server) == [(1, "bot")]
        await write(server, "b")
        await later(server, 61)
        assert await versions(server) == [(1, "bot")], "too early"
        await past.automatic.close()
        assert await versions(server) == [(1, "bot"), (2, "bot")]
    async with process(database) as (server, past):
        await past.automatic.close()
        assert await versions(server) == [(1, "bot"), (2, "bot")]


@pytest.mark.rule("HV22")
async def test_the_end_comes_while_it_is_too_early() -> None:
    database = MemoryDatabase()
    async with process(database) as (server, past):
        await write(server, "a")
        await later(server, 60)
        await write(server, "b")
        hold = database.hold_next("add_version")
        await later(server, 60)
        closing = asyncio.ensure_future(past.automatic.close())
        await quiet(server)
        hold.release()
        await closing
        assert await versions(server) == [(1, "bot"), (2, "bot")]


@pytest.mark.rule("HV22")
async def test_while_the_store_fails_it_is_tried_again() -> None:
    database = MemoryDatabase()
    async with process(database) as (server, _):
        await write(server, "a")
        database.fail_next("add_version", GONE)
        await later(server, 60)
        assert await versions(server) == []
        await later(server, 60)
        assert await versions(server) == [(1, "bot")]


@pytest.mark.rule("HV22")
async def test_a_document_that_is_gone_gets_none() -> None:
    database = MemoryDatabase()
    async with process(database) as (server, _):
        await write(server, "a")
        database.tables.documents["doc"].deleted_at = 1
        await later(server, HOUR)
        assert await versions(server) == []
        database.tables.documents["doc"].deleted_at = None
        await write(server, "b")
        del database.tables.documents["doc"]
        await later(server, HOUR)
        assert await versions(server) == []


@pytest.mark.rule("HV22")
async def test_edits_while_a_version_is_made_are_of_the_next_one() -> None:
    database = MemoryDatabase()
    async with process(database, times=VersionTimes(interval_seconds=120)) as (server, _):
        await write(server, "a")
        await later(server, 60)
        await write(server, "b")
        hold = database.hold_next("add_version")
        await later(server, 60)
        await write(server, "c")
        hold.release()
        await quiet(server)
        for _ in range(5):
            await later(server, 61)
        assert await versions(server) == [(1, "bot"), (3, "bot")]


@pytest.mark.rule("HV22")
async def test_they_can_be_turned_off() -> None:
    async with process(MemoryDatabase(), times=VersionTimes(pause_seconds=0)) as (server, past):
        await write(server, "a")
        await later(server, 2 * HOUR)
        await past.automatic.close()
        assert await versions(server) == []


@pytest.mark.rule("HV23")
async def test_age_thins_them() -> None:
    """All of a day are kept, then one for each hour, each day, each week; those with a name stay."""
    async with process(MemoryDatabase()) as (server, past):
        for number in range(30):
            await write(server, "a")
            await later(server, 700)
            if number == 0:
                (first,) = await server.storage.versions.list("doc")
                await past.versions.change(first, name="named", note=None)
        assert len(await server.storage.versions.list("doc")) == 30
        kept = []
        for age in (2 * DAY, 10 * DAY, 100 * DAY):
            await later(server, age)
            await write(server, "a")
            await later(server, 60)
            kept.append(len(await server.storage.versions.list("doc")))
        # 29 in 6 hours: one for each hour; then one for the day, and what came since.
        assert 7 <= kept[0] <= 9
        assert kept[1] == 4
        assert kept[2] == 4, "two of them are of one week"
        oldest = (await server.storage.versions.list("doc"))[-1]
        assert (oldest.name, oldest.kind) == ("named", VersionKind.NAMED)


@pytest.mark.rule("HV23")
async def test_where_nobody_edits_they_go_before_they_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked once an hour; of many documents it is forgotten that they were."""
    monkeypatch.setattr(automatic, "MAX_TIDY", 1)
    async with process(MemoryDatabase(), times=VersionTimes(retention_days=3)) as (server, past):
        await write(server, "a")
        await later(server, 60)
        server.clock.advance(3 * DAY - 60)  # type: ignore[attr-defined]
        await past.automatic.tidy("doc")
        await later(server, HOUR - 1)
        await past.automatic.tidy("doc")
        assert await versions(server) == [(1, "bot")]
        await later(server, 1)
        await past.automatic.tidy("doc")
        assert await versions(server) == []

        await write(server, "b")
        await later(server, 3 * DAY)
        await later(server, 3 * DAY + 60)
        for document_id in ("doc", "other"):
            await past.automatic.tidy(document_id)
        assert list(past.automatic._tidied) == ["other"]


@pytest.mark.rule("HV23")
async def test_they_are_removed_after_the_retention() -> None:
    """With the next version that is made."""
    database = MemoryDatabase()
    async with process(database, times=VersionTimes(retention_days=3)) as (server, _):
        for age in (60, 2 * DAY):
            await write(server, "a")
            await later(server, age)
        assert await versions(server) == [(1, "bot"), (2, "bot")]
        await later(server, 2 * DAY)
        await write(server, "c")
        database.fail_next("thin", GONE)
        await later(server, 60)
        assert len(await versions(server)) == 3
        await write(server, "d")
        await later(server, HOUR)
        assert (await versions(server))[-1] == (4, "bot")
        assert (1, "bot") not in await versions(server)


@pytest.mark.rule("RE52", "HV22")
async def test_a_damaged_document_keeps_its_versions_as_they_are() -> None:
    """None is made and none goes for its age until it is mended; then what waited for one gets it."""
    database = MemoryDatabase()
    async with process(database, times=VersionTimes(retention_days=1)) as (server, past):
        await write(server, "a", "b")
        await later(server, 61)
        await write(server, "c")
        database.damage_update("doc", 3)
        server.registry.forget(server.room())
        await server.join(user="ana")
        assert "doc" in server.registry.damaged
        for _ in range(3):
            await later(server, DAY)
            await past.automatic.tidy("doc")
            assert await versions(server) == [(2, "bot")]
        database.damage_update("doc", 3)
        await later(server, HOUR)
        async with server.registry.open("doc"):
            assert not server.registry.damaged
        await later(server, HOUR)
        await past.automatic.tidy("doc")
        assert await versions(server) == [(3, "bot")]
    database.damage_update("doc", 3)
    async with process(database) as (server, past):
        await server.join(user="ana")
        await past.automatic.close()
        assert await versions(server) == [(3, "bot")]
