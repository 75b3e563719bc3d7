"""What is done when the broker says that something may be lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from cowrite.brokers.local import LocalBroker, LocalHub
from cowrite.core.ports import Missed, News, Signal
from cowrite.core.records import StoredDocument
from cowrite.presence.local import LocalPresence
from cowrite.stores.memory import MemoryDatabase, MemoryStore, memory_storage
from cowrite.testing.clock import ManualClock
from cowrite.testing.process import Process, quiet


class Unsure(LocalBroker):
    """Reaches others, and loses what it is told to; it says what it has lost when the test says so."""

    def __init__(self, hub: LocalHub | None = None) -> None:
        super().__init__(hub)
        self.works = True
        self._listeners: list[Missed] = []

    def _hand_over(self, told: News | Signal) -> None:
        if self.works:
            super()._hand_over(told)

    @property
    def reaches_others(self) -> bool:
        return self.works

    @property
    def degraded(self) -> bool:
        return not self.works

    def listen(self, missed: Missed) -> None:
        self._listeners.append(missed)

    def lose(self, document_id: str | None = None) -> None:
        for missed in self._listeners:
            missed(document_id)


def processes(number: int = 2) -> Sequence[tuple[Process, Unsure]]:
    database, hub = MemoryDatabase(), LocalHub()
    brokers = [Unsure(hub) for _ in range(number)]
    return [(Process(memory_storage(database), broker), broker) for broker in brokers]


def hold_after_load(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Documents that are loaded are not given out before this is set."""
    load, go = MemoryStore.load, asyncio.Event()

    async def held(store: MemoryStore, document_id: str) -> StoredDocument | None:
        stored = await load(store, document_id)
        await go.wait()
        return stored

    monkeypatch.setattr(MemoryStore, "load", held)
    return go


@pytest.mark.rule("RE21")
@pytest.mark.parametrize("document_id", ["doc", None])
async def test_what_was_lost_is_read_at_once(document_id: str | None) -> None:
    """Time stands still: no look at the heads is due."""
    (one, broker), (two, told) = processes()
    async with one, two:
        ana, ben = await one.join(user="ana"), await two.join(user="ben")
        await quiet(one, two)
        broker.works = False
        ana.client.text.insert(0, "lost")
        await quiet(one, two)
        assert ana.client.saved
        assert str(ben.client.text) == ""
        told.lose("another")
        await quiet(one, two)
        assert str(ben.client.text) == ""
        told.lose(document_id)
        await quiet(one, two)
        assert str(ben.client.text) == "lost"


@pytest.mark.rule("RE21")
@pytest.mark.parametrize("document_id", ["doc", None])
async def test_a_document_that_is_being_opened_is_read_once_more(
    monkeypatch: pytest.MonkeyPatch, document_id: str | None
) -> None:
    """What was lost between the load and the moment when the room is there."""
    (one, broker), (two, told) = processes()
    async with one, two:
        ana = await one.join(user="ana")
        ana.client.text.insert(0, "a")
        await quiet(one)
        loaded = hold_after_load(monkeypatch)
        joining = asyncio.ensure_future(two.join(user="ben"))
        await quiet(two)
        broker.works = False
        ana.client.text.insert(1, "b")
        await quiet(one, two)
        told.lose("another")
        told.lose(document_id)
        await quiet(one, two)
        loaded.set()
        ben = await joining
        await quiet(one, two)
        assert str(ben.client.text) == "ab"


@pytest.mark.rule("RE21")
async def test_all_rooms_tell_and_ask_anew_a_few_at_a_time() -> None:
    """Also those of a second outage within the first one's turn; rooms that have gone meanwhile do not."""
    (one, broker), (two, told) = processes()
    async with one, two:
        here = [await one.join(f"doc {number}", user="ana") for number in range(60)]
        there = [await two.join(f"doc {number}", user="ben") for number in range(60)]
        await quiet(one, two)
        broker.works = told.works = False
        for ana in here:
            ana.client.point("{}")
        await quiet(one, two)
        assert not any(ana.client.client_id in ben.client.states for ana, ben in zip(here, there, strict=True))
        broker.works = told.works = True
        broker.lose()
        broker.lose()
        one.registry.forget(one.room("doc 59"))
        await quiet(one, two)
        seen = [ana.client.client_id in ben.client.states for ana, ben in zip(here, there, strict=True)]
        assert seen == [True] * 59 + [False]


@pytest.mark.rule("RE21")
async def test_nothing_is_asked_while_nobody_hears_it() -> None:
    """Not even of those rooms whose turn would come when it works again: then it is said once more."""
    (one, broker), (two, _) = processes()
    async with one, two:
        heard: list[News | Signal] = []
        for number in range(60):
            await one.join(f"doc {number}", user="ana")
        await quiet(one, two)
        for number in range(60):
            await two.registry._broker.subscribe(f"doc {number}", heard.append)
        broker.works = False
        broker.lose()
        broker.works = True
        await quiet(one, two)
        assert heard == []


@pytest.mark.rule("RE21")
async def test_presence_is_read_at_once() -> None:
    """With a broker it is otherwise read every minute."""
    database, hub, clock = MemoryDatabase(), LocalHub(), ManualClock()
    presence, brokers = LocalPresence(clock), (Unsure(hub), Unsure(hub))
    one, two = (Process(memory_storage(database), broker, clock=clock, presence=presence) for broker in brokers)
    async with one, two:
        await one.join(user="ana")
        await two.join(user="ben")
        await turn(clock, one, two, seconds=7)
        brokers[0].works = False
        await one.join(user="eva")
        await turn(clock, one, two, seconds=3)
        assert users(two) == ["ana", "ben"]
        brokers[1].lose()
        await turn(clock, one, two, seconds=1)
        assert users(two) == ["ana", "ben", "eva"]


async def turn(clock: ManualClock, *processes: Process, seconds: int) -> None:
    for _ in range(10 * seconds):
        clock.advance(0.1)
        await quiet(*processes)


def users(process: Process) -> list[str]:
    return sorted(person.user_id for person in process.room().presence.persons)
