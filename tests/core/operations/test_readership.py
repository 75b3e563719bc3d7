"""Who reads a room's operations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from cowrite.core.operations.readership import Readership
from cowrite.core.presence.present import PresenceChange
from cowrite.protocol.close_codes import CloseCode
from cowrite.testing.records import make_entry


class Reader:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def read(self) -> None:
        self.heard.append("read")

    def people(self, change: PresenceChange) -> None:
        self.heard.append("people")

    def close(self, code: CloseCode, reason: str) -> None:
        self.heard.append(f"closed {int(code)}")


@pytest.mark.rule("RD6")
async def test_readers_are_told_and_sent_away() -> None:
    readership, reader = Readership(), Reader()
    readership.tell([make_entry(1)])
    readership.people(PresenceChange())
    readership.send_away(CloseCode.NEW_EPOCH, "for a test")
    assert not readership
    readership.readers.add(reader)
    feed = readership.begin(1)
    assert readership.begin(7) is feed
    happenings: list[Callable[[], None]] = [
        lambda: readership.tell([make_entry(2)]),
        lambda: readership.people(PresenceChange()),
        lambda: readership.send_away(CloseCode.NEW_EPOCH, "for a test"),
    ]
    for happen in happenings:
        waiting = asyncio.ensure_future(feed.wait(feed.head))
        await asyncio.sleep(0)
        happen()
        await waiting
    assert reader.heard == ["read", "people", "closed 4506"]
    assert readership.feed is None


@pytest.mark.rule("RO25")
def test_at_rest_nothing_is_kept_that_the_store_has() -> None:
    readership = Readership()
    readership.rest()
    feed = readership.begin(1)
    readership.tell([make_entry(2)])
    readership.rest()
    assert (feed.since(1), feed.since(2)) == (None, [])
