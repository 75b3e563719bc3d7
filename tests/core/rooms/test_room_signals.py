"""Rooms of one document on several processes: who comes in on one is seen on the other."""

from __future__ import annotations

import pytest

from cowrite.brokers.local import LocalBroker, LocalHub
from cowrite.core.ports import News, Signal
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.stores.memory import MemoryDatabase, memory_storage
from cowrite.testing.process import Process, quiet
from cowrite.testing.yjs_client import YjsClient


class Losing(LocalBroker):
    """While it is down it neither sends nor hears."""

    down = False

    def _hand_over(self, told: News | Signal) -> None:
        if not self.down:
            super()._hand_over(told)


def processes(count: int = 2) -> list[Process]:
    database, hub = MemoryDatabase(), LocalHub()
    return [Process(memory_storage(database), LocalBroker(hub)) for _ in range(count)]


@pytest.mark.rule("AW40")
@pytest.mark.rule("AW46")
@pytest.mark.rule("AW52")
async def test_people_of_two_processes_see_each_other() -> None:
    """Whoever was there first is told to a newcomer at once; and who changes over does not blink."""
    one, two = processes()
    async with one, two:
        ana, ben = await one.join(user="ana"), YjsClient()
        await quiet(one, two)
        ana.client.point('{"at":1}')
        await quiet(one, two)
        await two.join(client=ben, user="ben")
        await quiet(one, two)
        number = ana.client.client_id
        assert ben.states[number] == AwarenessEntry(number, 1, '{"at":1}')
        ben.point('{"at":2}')
        await quiet(one, two)
        assert ana.client.states[ben.client_id].state == '{"at":2}'
        ana.lose()
        await quiet(one, two)
        await two.join(client=ana.client, user="ana")
        ana.client.point('{"at":3}')
        await quiet(one, two)
        for _ in range(5):
            one.clock.advance(1)  # type: ignore[attr-defined]
            two.clock.advance(1)  # type: ignore[attr-defined]
            await quiet(one, two)
            assert ben.states[number] == AwarenessEntry(number, 2, '{"at":3}')
        assert one.room().awareness.entries([number]) == [AwarenessEntry(number, 2, '{"at":3}')]


@pytest.mark.rule("AW47")
async def test_a_room_that_closes_says_so() -> None:
    one, two = processes()
    async with one, two:
        ana, ben = await one.join(user="ana"), await two.join(user="ben")
        await quiet(one, two)
        ana.client.point("{}")
        await quiet(one, two)
        number = ana.client.client_id
        assert ben.client.states[number].state == "{}"
        one.registry.forget(one.room())
        await quiet(one, two)
        assert ben.client.states[number].state == "{}"
        two.clock.advance(2)  # type: ignore[attr-defined]
        await quiet(one, two)
        assert ben.client.states[number].state is None


@pytest.mark.rule("AW49")
async def test_when_the_broker_is_back_all_is_told_again() -> None:
    database, hub = MemoryDatabase(), LocalHub()
    broker = Losing(hub)
    one, two = Process(memory_storage(database), broker), Process(memory_storage(database), LocalBroker(hub))
    async with one, two:
        ana, ben = await one.join(user="ana"), await two.join(user="ben")
        await quiet(one, two)
        broker.down = True
        ana.client.point("{}")
        await quiet(one, two)
        two.room().awareness.leave_elsewhere(one.ids.new())
        assert ana.client.client_id not in ben.client.states
        broker.down = False
        ben.client.point("{}")
        one.registry.rejoin()
        await quiet(one, two)
        assert ben.client.states[ana.client.client_id].state == "{}"
        assert ana.client.states[ben.client.client_id].state == "{}"
