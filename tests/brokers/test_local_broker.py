"""The broker inside one process: the contract, and what is its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine

import pytest

from cowrite.brokers.local import LocalBroker, LocalHub
from cowrite.core.ports import News, ProcessLeft, Signal
from cowrite.testing.broker_contract import BrokerBackend, BrokerContract, Receiver, make_news


class LocalBackend(BrokerBackend):
    """Brokers on one hub."""

    def __init__(self) -> None:
        super().__init__()
        self.hub = LocalHub()

    async def connect(self) -> LocalBroker:
        return LocalBroker(self.hub)


class LateBroker(LocalBroker):
    """News arrives when the publisher has gone on, as it does from other processes."""

    def _hand_over(self, told: News | Signal) -> None:
        asyncio.get_running_loop().call_soon(super()._hand_over, told)


class LateBackend(LocalBackend):
    """Late brokers on one hub."""

    async def connect(self) -> LocalBroker:
        return LateBroker(self.hub)


class TestLocalBroker(BrokerContract):
    @pytest.fixture
    async def backend(self) -> AsyncIterator[LocalBackend]:
        backend = LocalBackend()
        yield backend
        await backend.close()


class TestLateBroker(BrokerContract):
    """The contract asks of nobody that news arrives at once."""

    @pytest.fixture
    async def backend(self) -> AsyncIterator[LocalBackend]:
        backend = LateBackend()
        yield backend
        await backend.close()


@pytest.mark.rule("BR9")
def test_news_does_not_leave_the_process() -> None:
    assert not LocalBroker().reaches_others


@pytest.mark.rule("BR9")
async def test_news_arrives_within_the_call() -> None:
    broker, receiver = LocalBroker(), Receiver()
    await broker.subscribe("doc", receiver)
    await broker.publish(make_news(1))
    assert receiver.offsets == [1]
    broker.send(ProcessLeft("doc", "p"))
    assert receiver.signals == [ProcessLeft("doc", "p")]


@pytest.mark.rule("BR9")
async def test_brokers_with_hubs_of_their_own_do_not_hear_each_other() -> None:
    one, two, receiver = LocalBroker(), LocalBroker(), Receiver()
    await two.subscribe("doc", receiver)
    await one.publish(make_news(1))
    assert receiver.news == []


@pytest.mark.rule("BR10")
async def test_what_is_closed_takes_no_memory() -> None:
    """Rooms open and close all day."""
    hub = LocalHub()
    broker = LocalBroker(hub)
    for n in range(100):
        subscriptions = [await broker.subscribe(f"doc {n}", Receiver()) for _ in range(3)]
        for subscription in subscriptions:
            await subscription.close()
    assert hub.receivers == {}
    await broker.subscribe("doc", Receiver())
    await broker.close()
    assert hub.receivers == {}


@pytest.mark.rule("BR8")
async def test_a_receiver_may_close_subscriptions_at_once() -> None:
    """As eager tasks do: the coroutine runs within the receiver's call."""
    broker = LocalBroker()
    first = Receiver(then=lambda: _run(second.close()))
    late = Receiver()
    await broker.subscribe("doc", first)
    second = await broker.subscribe("doc", late)
    await broker.publish(make_news(1))
    await broker.publish(make_news(2))
    assert first.offsets == [1, 2]
    assert 2 not in late.offsets


def _run(coroutine: Coroutine[object, None, None]) -> None:
    with pytest.raises(StopIteration):
        coroutine.send(None)
