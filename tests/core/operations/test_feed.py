"""The newest operations of a room, for those who read them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from cowrite.core.operations.feed import Feed
from cowrite.core.records import Entry
from cowrite.testing.records import make_entry, make_operation


def entry(offset: int, *ids: str) -> Entry:
    return make_entry(offset, operations=tuple(make_operation(id=one) for one in ids))


@pytest.mark.rule("RD4")
def test_it_holds_what_came_since_it_began() -> None:
    feed = Feed(5)
    feed.append([entry(4, "old"), entry(6, "a", "b"), entry(7), entry(8, "c")])
    assert (feed.start, feed.head, feed.last_operation) == (5, 8, "c")
    assert [one.offset for one in feed.since(5) or ()] == [6, 7, 8]
    assert [one.offset for one in feed.since(7) or ()] == [8]
    assert feed.since(8) == []
    assert feed.since(4) is None
    assert (feed.offset_of("b"), feed.offset_of("c"), feed.offset_of("old")) == (6, 8, None)


@pytest.mark.rule("RD4")
def test_it_is_bounded_in_entries_and_bytes() -> None:
    feed = Feed(0, entries=2)
    feed.append([entry(number, f"o{number}") for number in range(1, 5)])
    assert (feed.start, feed.since(1)) == (2, None)
    assert feed.offset_of("o2") is None
    small = Feed(0, size=3000)
    small.append([entry(1, "a"), make_entry(2, update=b"x" * 10_000, operations=(make_operation(id="large"),))])
    assert [one.offset for one in small.since(1) or ()] == [2], "the last one stays, whatever its size"
    assert small.since(0) is None


@pytest.mark.rule("RD4")
def test_what_is_old_goes_when_there_is_more() -> None:
    feed = Feed(0, kept=2)
    made = [replace(entry(offset, f"o{offset}"), created_at=offset * 10_000) for offset in range(1, 7)]
    feed.append(made[:2])
    assert feed.start == 0
    feed.append(made[2:])
    assert [one.offset for one in feed.since(3) or ()] == [4, 5, 6]
    assert feed.since(2) is None, "older than 20 seconds"
    feed.append([replace(entry(7, "o7"), created_at=10**9)])
    assert [one.offset for one in feed.since(5) or ()] == [6, 7], "the newest stay however old they are"


@pytest.mark.rule("RD4")
def test_a_message_is_made_once_for_all_readers_that_are_so_far() -> None:
    feed = Feed(0)
    feed.append([entry(1, "a"), entry(2), entry(3, "b")])
    message = feed.message(0)
    assert message is not None
    assert message.frame is not None
    assert feed.message(0) is message
    told = json.loads(message.frame)
    assert (told["type"], [one["id"] for one in told["operations"]], told["head"], told["offset"]) == (
        "operations",
        ["a", "b"],
        "b",
        3,
    )
    feed.append([entry(4)])
    nothing = feed.message(3)
    assert nothing is not None
    assert (nothing.frame, nothing.offset) == (None, 4)
    assert Feed(9).message(8) is None


@pytest.mark.rule("RD6")
async def test_who_waits_is_woken() -> None:
    feed = Feed(0)
    await feed.wait(-1)
    wakes: list[Callable[[], None]] = [lambda: feed.append([entry(1, "a")]), feed.wake]
    for wake in wakes:
        waiting = asyncio.ensure_future(feed.wait(feed.head))
        await asyncio.sleep(0)
        assert not waiting.done()
        wake()
        await waiting


@pytest.mark.rule("RD4")
def test_the_operation_before_it() -> None:
    """What is noted of the entry at its start holds as long as that is the start."""
    feed = Feed(5, entries=1)
    feed.before = "before"
    assert feed.offset_of("before") == 5
    feed.append([entry(6, "a"), entry(7, "b")])
    assert (feed.start, feed.offset_of("before"), feed.offset_of("b")) == (6, None, 7)


@pytest.mark.rule("RO25")
def test_at_rest_it_knows_where_it_ended() -> None:
    feed = Feed(0)
    feed.rest()
    assert (feed.start, feed.offset_of("b")) == (0, None)
    feed.append([entry(1, "a"), entry(2, "b")])
    assert feed.message(0) is not None
    feed.rest()
    assert (feed.start, feed.head, feed.since(0), feed.since(2), feed.message(0)) == (2, 2, None, [], None)
    assert (feed.offset_of("a"), feed.offset_of("b")) == (None, 2)
    feed.rest()
    assert feed.offset_of("b") == 2
