"""Every promise of the port ``Broker``, as tests. An adapter's own tests subclass :class:`BrokerContract`:

    class TestMyBroker(BrokerContract):
        @pytest.fixture
        async def backend(self) -> AsyncIterator[BrokerBackend]:
            backend = MyBackend()          # a subclass of BrokerBackend
            yield backend
            await backend.close()

What a broker does while it is down is in :mod:`cowrite.testing.broker_outage_contract`.
It needs pytest and pytest-asyncio in automatic mode.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable

import pytest

from cowrite.core.ports import (
    AwarenessLost,
    AwarenessNews,
    AwarenessQuery,
    Broker,
    News,
    PresenceNews,
    PresenceRecord,
    ProcessLeft,
    Signal,
    StatelessNews,
)
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.testing.records import make_entry, make_operation, new_id

_LONG_ENOUGH = 10.0
"""Seconds in which news must have arrived."""

_NASTY_IDS = ("a", "A", "á", "a\u0301", "a ", " a", "a/b", "a%2Fb", "*", "[a]", "a:b", "a\n", "😀" * 255)
"""Ids that a broker could mistake for each other, or for a pattern."""


class BrokerBackend(ABC):
    """One place, for one test, by which the brokers of several processes reach each other."""

    def __init__(self) -> None:
        self._connected: list[Broker] = []

    async def open(self) -> Broker:
        """The broker of another process."""
        broker = await self.connect()
        self._connected.append(broker)
        return broker

    async def close(self) -> None:
        """Close all brokers that were opened."""
        for broker in self._connected:
            await broker.close()

    @abstractmethod
    async def connect(self) -> Broker:
        """Connect a broker."""


class Receiver:
    """What has arrived at one subscription."""

    def __init__(self, *, then: Callable[[], None] = lambda: None) -> None:
        self.news: list[News] = []
        self.signals: list[Signal] = []
        self.told: list[News | Signal] = []
        """Both, in the order in which they came."""
        self._then = then
        self._arrived = asyncio.Event()

    def __call__(self, told: News | Signal) -> None:
        asyncio.get_running_loop()  # a plain call on the event loop, from nowhere else
        self.told.append(told)
        if isinstance(told, News):
            self.news.append(told)
        else:
            self.signals.append(told)
        self._arrived.set()
        self._then()

    @property
    def offsets(self) -> list[int]:
        """Of what has arrived, in order."""
        return [news.offset for news in self.news]

    async def wait_for(self, offset: int) -> None:
        """Wait until news with this offset has arrived."""
        async with asyncio.timeout(_LONG_ENOUGH):
            while offset not in self.offsets:
                self._arrived.clear()
                await self._arrived.wait()

    async def wait_for_signals(self, count: int) -> None:
        """Wait until so many signals have arrived."""
        async with asyncio.timeout(_LONG_ENOUGH):
            while len(self.signals) < count:
                self._arrived.clear()
                await self._arrived.wait()


def make_signals(document_id: str = "doc") -> list[Signal]:
    """One and more of each kind, with texts and numbers that are easily mistaken."""
    text = '\0\n"a\u0301😀'
    record = PresenceRecord(new_id(), "ana", document_id, 2**41, "p", 2**41 + 1, {"name": text, "cursor": [1, 0.5, None, True]})
    entries = (
        AwarenessEntry(1, 0, "{}"),
        AwarenessEntry(2**32 - 1, 2**32 - 1, None),
        AwarenessEntry(7, 1, f'{{"x":"{text}"}}'),
    )
    large = tuple(AwarenessEntry(number, 1, '{"x":"%s"}' % ("x" * 200)) for number in range(1000))
    return [
        AwarenessQuery(document_id, "p"),
        AwarenessNews(document_id, "p", entries, ("ana", None, ""), "q"),
        AwarenessNews(document_id, "p", large, (text,) * len(large)),
        AwarenessLost(document_id, "p", (0, 1, 2**32 - 1)),
        PresenceNews(document_id, "p", (record, PresenceRecord(new_id(), text, document_id, 0)), (new_id(), "x")),
        PresenceNews(document_id, "p", (), (), (new_id(), text)),
        StatelessNews(document_id, "p", text * 1000),
        ProcessLeft(document_id, "p"),
    ]


def make_news(offset: int, document_id: str = "doc", *, epoch: str = "e1") -> News:
    """News of one entry."""
    return News(document_id, epoch, offset, (make_entry(offset),))


class BrokerContract:
    """The tests; see the module."""

    @pytest.fixture
    async def broker(self, backend: BrokerBackend) -> Broker:
        """The broker of the process under test."""
        return await backend.open()

    @pytest.fixture
    async def other(self, backend: BrokerBackend) -> Broker:
        """The broker of another process."""
        return await backend.open()

    @pytest.mark.rule("BR1")
    async def test_news_reaches_whoever_has_subscribed(self, broker: Broker, other: Broker) -> None:
        """At once when ``subscribe`` has returned: in the same process and in others, several in one process."""
        receivers = [Receiver() for _ in range(4)]
        for receiver, at in zip(receivers, (broker, broker, other, other), strict=True):
            await at.subscribe("doc", receiver)
        await broker.publish(make_news(1))
        await other.publish(make_news(2))
        for receiver in receivers:
            await receiver.wait_for(1)
            await receiver.wait_for(2)

    @pytest.mark.rule("BR1")
    async def test_news_without_subscribers_goes_nowhere(self, broker: Broker) -> None:
        await broker.publish(make_news(1))

    @pytest.mark.rule("BR2")
    async def test_news_arrives_as_it_was(self, broker: Broker, other: Broker) -> None:
        """Every field; bytes and texts exactly; news without entries."""
        entries = (
            make_entry(1, author="", operations=()),
            make_entry(
                2,
                update=bytes(range(256)) * 1000,
                author="a\0á\u0301😀",
                operations=(
                    make_operation(position=("body", 0, "key", 3), content={"text": "\0\n😀"}, attributes={"bold": None}),
                    make_operation(content=None, length=None, attributes=None),
                ),
            ),
            make_entry(2**40),
        )
        sent = [
            News("doc", new_id(), 1, entries[:1]),
            News("doc", "e", 2, entries, new_id()),
            News("doc", "e", 3, ()),
        ]
        receiver = Receiver()
        await other.subscribe("doc", receiver)
        for news in sent:
            await broker.publish(news)
        await receiver.wait_for(3)
        assert receiver.news == sent

    @pytest.mark.rule("BR3")
    async def test_news_of_one_publisher_is_in_order_and_comes_once(self, broker: Broker, other: Broker) -> None:
        receivers = Receiver(), Receiver()
        await broker.subscribe("doc", receivers[0])
        await other.subscribe("doc", receivers[1])
        for offset in range(1, 201):
            await broker.publish(make_news(offset))
        for receiver in receivers:
            await receiver.wait_for(200)
            assert receiver.offsets == list(range(1, 201))

    @pytest.mark.rule("BR3")
    async def test_the_order_is_each_publishers_own(self, broker: Broker, other: Broker) -> None:
        receiver = Receiver()
        await broker.subscribe("doc", receiver)
        for offset in range(1, 51):
            await broker.publish(make_news(offset, epoch="one"))
            await other.publish(make_news(offset + 1000, epoch="two"))
        await receiver.wait_for(50)
        await receiver.wait_for(1050)
        assert [news.offset for news in receiver.news if news.epoch == "one"] == list(range(1, 51))
        assert [news.offset for news in receiver.news if news.epoch == "two"] == list(range(1001, 1051))

    @pytest.mark.rule("BR4")
    async def test_a_subscription_is_of_one_document(self, broker: Broker, other: Broker) -> None:
        """Ids are told apart by every byte, and are no patterns."""
        receivers = {document_id: Receiver() for document_id in _NASTY_IDS}
        for document_id, receiver in receivers.items():
            await other.subscribe(document_id, receiver)
        for offset, document_id in enumerate(_NASTY_IDS):
            await broker.publish(make_news(offset, document_id))
        for offset, receiver in enumerate(receivers.values()):
            await receiver.wait_for(offset)
        assert {document_id: receiver.offsets for document_id, receiver in receivers.items()} == {
            document_id: [offset] for offset, document_id in enumerate(_NASTY_IDS)
        }
        assert all(news.document_id == document_id for document_id, receiver in receivers.items() for news in receiver.news)

    @pytest.mark.rule("BR5")
    async def test_a_closed_subscription_is_not_called(self, broker: Broker, other: Broker) -> None:
        """Not even for news that was published before; the others are."""
        closed, stays = Receiver(), Receiver()
        subscription = await other.subscribe("doc", closed)
        await other.subscribe("doc", stays)
        await broker.publish(make_news(1))
        await stays.wait_for(1)
        await broker.publish(make_news(2))
        await subscription.close()
        arrived = closed.offsets
        await broker.publish(make_news(3))
        await stays.wait_for(3)
        assert closed.offsets == arrived
        await subscription.close()
        await broker.publish(make_news(4))
        await stays.wait_for(4)

    @pytest.mark.rule("BR5")
    async def test_a_document_may_be_subscribed_again(self, broker: Broker, other: Broker) -> None:
        for offset in range(1, 4):
            receiver = Receiver()
            subscription = await other.subscribe("doc", receiver)
            await broker.publish(make_news(offset))
            await receiver.wait_for(offset)
            await subscription.close()

    @pytest.mark.rule("BR6")
    async def test_a_receiver_that_raises_disturbs_nobody(self, broker: Broker, other: Broker) -> None:
        """Neither the publisher nor others, nor itself the next time; the event loop's exception handler hears of it."""
        faults: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context.get("exception")))
        faulty = Receiver(then=lambda: [][0])
        healthy = [Receiver(), Receiver()]
        await broker.subscribe("doc", faulty)
        await broker.subscribe("doc", healthy[0])
        await other.subscribe("doc", healthy[1])
        for offset in (1, 2):
            await broker.publish(make_news(offset))
        for receiver in (faulty, *healthy):
            await receiver.wait_for(2)
            assert receiver.offsets == [1, 2]
        assert [type(fault) for fault in faults] == [IndexError, IndexError]

    @pytest.mark.rule("BR7")
    async def test_a_closed_broker_has_no_subscriptions(self, broker: Broker, other: Broker) -> None:
        """Its own are dropped, those of others are not."""
        mine, theirs = [Receiver(), Receiver()], Receiver()
        await broker.subscribe("doc", mine[0])
        left = await broker.subscribe("another", mine[1])
        await other.subscribe("doc", theirs)
        await broker.close()
        await other.publish(make_news(1))
        await other.publish(make_news(2, "another"))
        await theirs.wait_for(1)
        assert mine[0].news == mine[1].news == []
        await left.close()
        await broker.close()

    @pytest.mark.rule("BR8")
    async def test_subscriptions_change_while_news_is_handed_over(self, broker: Broker) -> None:
        """A receiver may bring others to subscribe or to close."""
        tasks: list[asyncio.Task[object]] = []
        late, closed = Receiver(), Receiver()
        subscription = await broker.subscribe("doc", closed)

        def turn() -> None:
            tasks.append(asyncio.ensure_future(broker.subscribe("doc", late)))
            tasks.append(asyncio.ensure_future(subscription.close()))

        first = Receiver(then=lambda: turn() if not tasks else None)
        await broker.subscribe("doc", first)
        await broker.publish(make_news(1))
        await first.wait_for(1)
        await asyncio.gather(*tasks)
        await broker.publish(make_news(2))
        await late.wait_for(2)
        assert 2 not in closed.offsets

    @pytest.mark.rule("BR11")
    async def test_signals_arrive_as_they_were(self, broker: Broker, other: Broker) -> None:
        """At every receiver of the document, in the sender's process too."""
        receivers = [Receiver() for _ in range(3)]
        for receiver, at in zip(receivers, (broker, other, other), strict=True):
            await at.subscribe("doc", receiver)
        await other.subscribe("another", elsewhere := Receiver())
        signals = make_signals()
        for signal in signals:
            broker.send(signal)
        for receiver in receivers:
            await receiver.wait_for_signals(len(signals))
            assert receiver.told == signals
        assert elsewhere.told == []

    @pytest.mark.rule("BR11")
    async def test_signals_know_their_document(self, broker: Broker, other: Broker) -> None:
        receivers = {document_id: Receiver() for document_id in _NASTY_IDS}
        for document_id, receiver in receivers.items():
            await other.subscribe(document_id, receiver)
        for document_id in _NASTY_IDS:
            broker.send(ProcessLeft(document_id, "p"))
        for document_id, receiver in receivers.items():
            await receiver.wait_for_signals(1)
            assert receiver.signals == [ProcessLeft(document_id, "p")]

    @pytest.mark.rule("BR12")
    async def test_signals_and_news_of_one_process_are_in_order(self, broker: Broker, other: Broker) -> None:
        receivers = Receiver(), Receiver()
        await broker.subscribe("doc", receivers[0])
        await other.subscribe("doc", receivers[1])
        told: list[News | Signal] = []
        for number in range(100):
            news, signal = make_news(number), StatelessNews("doc", "p", str(number))
            told += [news, signal]
            await broker.publish(news)
            broker.send(signal)
        for receiver in receivers:
            await receiver.wait_for_signals(100)
            assert receiver.told == told

    @pytest.mark.rule("BR13")
    async def test_sending_never_fails(self, broker: Broker, other: Broker) -> None:
        """Nobody listens; somebody raises; the broker is closed."""
        faults: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context.get("exception")))
        broker.send(ProcessLeft("nobody listens", "p"))
        faulty, healthy = Receiver(then=lambda: [][0]), Receiver()
        await other.subscribe("doc", faulty)
        await other.subscribe("doc", healthy)
        for process in ("one", "two"):
            broker.send(ProcessLeft("doc", process))
        for receiver in (faulty, healthy):
            await receiver.wait_for_signals(2)
            assert receiver.signals == [ProcessLeft("doc", "one"), ProcessLeft("doc", "two")]
        assert [type(fault) for fault in faults] == [IndexError, IndexError]
        await broker.close()
        broker.send(ProcessLeft("doc", "closed"))

    @pytest.mark.rule("BR20")
    async def test_nothing_is_missed_while_all_arrives(self, broker: Broker, other: Broker) -> None:
        missed: list[str | None] = []
        other.listen(missed.append)
        receiver = Receiver()
        await other.subscribe("doc", receiver)
        await broker.publish(make_news(1))
        await receiver.wait_for(1)
        assert (broker.degraded, other.degraded, missed) == (False, False, [])
