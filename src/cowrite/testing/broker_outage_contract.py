"""What is promised of a broker that depends on something that may be gone for a while. Used as :class:`BrokerContract` is:

class TestMyOutage(BrokerOutageContract):
    @pytest.fixture
    async def backend(self) -> AsyncIterator[OutageBackend]:
        backend = MyOutage()          # a subclass of OutageBackend
        yield backend
        await backend.close()
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod

import pytest

from cowrite.core.ports import Broker, ProcessLeft
from cowrite.testing.broker_contract import BrokerBackend, Receiver, make_news

_LONG_ENOUGH = 10.0
"""Seconds in which a broker must have found out."""


class OutageBackend(BrokerBackend):
    """One that can be gone for a while."""

    @abstractmethod
    async def stop(self) -> None:
        """Nothing crosses processes any more."""

    @abstractmethod
    async def start(self) -> None:
        """Everything may cross them again; brokers find out by themselves."""


class Missed:
    """What a broker has said that it may have lost."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.told: list[tuple[str | None, bool]] = []
        """What, and whether the broker reached others at that moment."""
        self._changed = asyncio.Event()
        broker.listen(self)

    def __call__(self, document_id: str | None) -> None:
        self.told.append((document_id, self.broker.reaches_others))
        self._changed.set()

    async def until(self, *, reaches_others: bool) -> None:
        """Wait until the last word was this."""
        async with asyncio.timeout(_LONG_ENOUGH):
            while not self.told or self.told[-1] != (None, reaches_others):
                self._changed.clear()
                await self._changed.wait()


class BrokerOutageContract:
    """What a broker does while nothing crosses processes, and when it does so again."""

    @pytest.fixture
    async def broker(self, backend: OutageBackend) -> Broker:
        """The broker of the process under test."""
        return await backend.open()

    @pytest.fixture
    async def other(self, backend: OutageBackend) -> Broker:
        """The broker of another process."""
        return await backend.open()

    @pytest.mark.rule("BR20")
    async def test_who_listens_is_told(self, backend: OutageBackend, broker: Broker) -> None:
        """When news ceases to cross processes, and when it does so again."""
        missed = Missed(broker)
        states = [broker.degraded]
        await backend.stop()
        await missed.until(reaches_others=False)
        states.append(broker.degraded)
        await backend.start()
        await missed.until(reaches_others=True)
        states.append(broker.degraded)
        assert states == [False, True, False]
        assert [reached for _, reached in missed.told] == [False, True]

    @pytest.mark.rule("BR17", "BR18")
    async def test_nobody_waits_for_what_is_gone(self, backend: OutageBackend, broker: Broker) -> None:
        missed = Missed(broker)
        left = await broker.subscribe("left", Receiver())
        await backend.stop()
        await missed.until(reaches_others=False)
        async with asyncio.timeout(1):  # a moment each, and there are 300
            for number in range(100):
                await broker.publish(make_news(number))
                broker.send(ProcessLeft("doc", "p"))
                await broker.subscribe(f"doc {number}", Receiver())
            await left.close()
            await broker.close()

    @pytest.mark.rule("BR19")
    async def test_all_subscriptions_work_again(self, backend: OutageBackend, broker: Broker, other: Broker) -> None:
        """Those that were there, and those that came meanwhile, by the time that it is said; those that went do not."""
        missed = [Missed(broker), Missed(other)]
        before, meanwhile, closed = Receiver(), Receiver(), Receiver()
        await other.subscribe("before", before)
        subscription = await other.subscribe("closed", closed)
        await backend.stop()
        for each in missed:
            await each.until(reaches_others=False)
        await other.subscribe("meanwhile", meanwhile)
        await subscription.close()
        await backend.start()
        for each in missed:
            await each.until(reaches_others=True)
        for offset, document_id in enumerate(("closed", "before", "meanwhile"), 1):
            await broker.publish(make_news(offset, document_id))
        await before.wait_for(2)
        await meanwhile.wait_for(3)
        assert closed.told == []

    @pytest.mark.rule("BR19")
    async def test_it_comes_back_again_and_again(self, backend: OutageBackend, broker: Broker, other: Broker) -> None:
        missed, receiver = [Missed(broker), Missed(other)], Receiver()
        await other.subscribe("doc", receiver)
        for offset in (1, 2):
            await backend.stop()
            for each in missed:
                await each.until(reaches_others=False)
            await backend.start()
            for each in missed:
                await each.until(reaches_others=True)
            await broker.publish(make_news(offset))
            await receiver.wait_for(offset)
