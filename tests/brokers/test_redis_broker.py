"""What is the broker's by Redis own: what it drops and counts, when it gives a server up, and which it refuses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

import cowrite.brokers.redis as module
from cowrite.brokers.encoding import encode
from cowrite.brokers.link import command
from cowrite.brokers.redis import MOST_NEWS, RedisBroker
from cowrite.core.ports import News, ProcessLeft, Signal, StatelessNews
from cowrite.testing.broker_contract import Receiver, make_news
from cowrite.testing.broker_outage_contract import Missed
from cowrite.testing.records import make_entry, make_operation
from redis_brokers import brokers
from relay import relay, talking
from timing import MS
from valkey_server import ValkeyCluster, ValkeyServer

PATIENCE = 10_000 * MS


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(5 * MS)


async def tell(valkey: ValkeyServer, channel: bytes, message: bytes) -> None:
    """Something else than a broker publishes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", valkey.port)
    writer.write(command(b"SPUBLISH", channel, message))
    await reader.readline()
    writer.close()
    await writer.wait_closed()


def count_calls(monkeypatch: pytest.MonkeyPatch, name: str) -> list[object]:
    """What is encoded, or decoded, from now on."""
    calls: list[object] = []
    function = getattr(module, name)

    def counted(one: object, other: object) -> object:
        calls.append(other)
        return function(one, other)

    monkeypatch.setattr(module, name, counted)
    return calls


# ---- what it tells and hears -------------------------------------------------------------------------------------------


@pytest.mark.rule("BR16", "BR20")
async def test_what_cannot_be_read_is_counted_and_its_document_is_missed(shared_valkey: ValkeyServer) -> None:
    async with brokers(shared_valkey.url, shared_valkey.url) as (broker, other):
        receiver, missed = Receiver(), Missed(broker)
        await broker.subscribe("doc", receiver)
        for message in (b"", b"anything", b"\x02" + encode(bytes(16), make_news(1))[1:]):
            await tell(shared_valkey, b"cowrite:news:{doc}", message)
        await other.publish(make_news(2))
        await receiver.wait_for(2)
        assert missed.told == [("doc", True)] * 3
        assert broker.counters.undecodable == 3
        assert receiver.offsets == [2]


@pytest.mark.rule("BR21")
async def test_it_is_encoded_once_and_what_comes_back_is_not_read(
    shared_valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = count_calls(monkeypatch, "encode")
    decoded = count_calls(monkeypatch, "decode")
    async with brokers(*[shared_valkey.url] * 3) as (broker, *others):
        receivers = [Receiver() for _ in range(6)]
        for number, receiver in enumerate(receivers):
            await (broker, *others)[number % 3].subscribe("doc", receiver)
        await broker.publish(make_news(1))
        for receiver in receivers:
            await receiver.wait_for(1)
        await until(lambda: broker.counters.own == 1)
        assert (len(encoded), len(decoded)) == (1, 2)
        assert [receiver.offsets for receiver in receivers] == [[1]] * 6
        assert [one.counters.received for one in (broker, *others)] == [0, 1, 1]


@pytest.mark.rule("BR12")
async def test_what_a_receiver_tells_comes_later(shared_valkey: ValkeyServer) -> None:
    async with brokers(shared_valkey.url, shared_valkey.url) as (broker, other):
        receiver = Receiver()
        await other.subscribe("doc", receiver)

        def answer(told: News | Signal) -> None:
            if told == StatelessNews("doc", "p", "asked"):
                broker.send(StatelessNews("doc", "p", "answered"))

        await broker.subscribe("doc", answer)
        broker.send(StatelessNews("doc", "p", "asked"))
        await receiver.wait_for_signals(2)
        assert receiver.told == [StatelessNews("doc", "p", "asked"), StatelessNews("doc", "p", "answered")]


@pytest.mark.rule("BR6")
async def test_a_listener_that_raises_does_not_make_it_deaf(shared_valkey: ValkeyServer) -> None:
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context["exception"]))
    async with brokers(shared_valkey.url, shared_valkey.url) as (broker, other):
        receiver = Receiver()
        await broker.subscribe("doc", receiver)
        fault = RuntimeError("a bug")

        def fail(_: str | None) -> None:
            raise fault

        broker.listen(fail)
        missed = Missed(broker)
        await tell(shared_valkey, b"cowrite:news:{doc}", b"anything")
        await until(lambda: faults)
        await other.publish(make_news(1))
        await receiver.wait_for(1)
        assert faults == [fault]
        assert missed.told == [("doc", True)]


@pytest.mark.rule("BR19")
async def test_everything_is_subscribed_before_it_says_that_it_works(shared_valkey: ValkeyServer) -> None:
    """The server is asked right then: what is still to be written has not come through the relay."""
    async with relay(shared_valkey.port) as between, brokers(between.url) as [broker]:
        for number in range(20):
            await broker.subscribe(f"again-{number}", Receiver())
        answers: list[str] = []

        def ask() -> None:
            if broker.reaches_others:
                answers.append(shared_valkey.call("PUBSUB", "SHARDCHANNELS", "cowrite:news:{again-*"))

        def listen(_: str | None) -> None:
            asyncio.get_running_loop().call_soon(ask)

        broker.listen(listen)
        shared_valkey.call("CLIENT", "KILL", "ADDR", between.name)
        await until(lambda: answers)
        assert answers[0].startswith("*20\r\n")


@pytest.mark.rule("BR2")
async def test_news_that_is_very_large_goes_without_its_entries(shared_valkey: ValkeyServer) -> None:
    """Operations may be much longer than the update that they are made of."""
    entry = make_entry(1, operations=(make_operation(content="x" * MOST_NEWS),))
    async with brokers(shared_valkey.url, shared_valkey.url) as (broker, other):
        receiver = Receiver()
        await other.subscribe("doc", receiver)
        await broker.publish(News("doc", "e", 1, (entry,)))
        await receiver.wait_for(1)
        assert receiver.news == [News("doc", "e", 1, ())]


@pytest.mark.rule("BR14", "BR17")
async def test_what_cannot_be_told_is_counted(shared_valkey: ValkeyServer) -> None:
    entry = make_entry(1, operations=(make_operation(content={1, 2}),))
    async with brokers(shared_valkey.url, shared_valkey.url) as (broker, other):
        receiver = Receiver()
        await other.subscribe("doc", receiver)
        with capture_logs() as logs:
            await broker.publish(News("doc", "e", 1, (entry,)))
        assert [line["event"] for line in logs] == ["news not told to other processes"]
        await broker.publish(make_news(2))
        await receiver.wait_for(2)
        assert (receiver.offsets, broker.counters.dropped, broker.counters.sent) == ([2], 1, 1)


@pytest.mark.rule("BR17")
async def test_no_more_waits_than_8_mb(shared_valkey: ValkeyServer) -> None:
    """What is beyond is dropped and counted; what comes later arrives."""
    async with brokers(shared_valkey.url, shared_valkey.url) as (broker, other):
        receiver = Receiver()
        await other.subscribe("doc", receiver)
        for _ in range(20):
            broker.send(StatelessNews("doc", "p", "x" * 1_000_000))
        assert (broker.counters.sent, broker.counters.dropped) == (8, 12)
        await receiver.wait_for_signals(8)
        await broker.publish(make_news(1))
        await receiver.wait_for(1)
        assert len(receiver.told) == 9


@pytest.mark.rule("BR29")
async def test_last_words_are_sent(shared_valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LAST_WORDS_SECONDS", PATIENCE)
    async with brokers(shared_valkey.url, shared_valkey.url) as (broker, other):
        receiver = Receiver()
        await other.subscribe("doc", receiver)
        for _ in range(6):
            broker.send(StatelessNews("doc", "p", "x" * 1_000_000))
        broker.send(ProcessLeft("doc", "p"))
        await broker.close()
        await receiver.wait_for_signals(7)


@pytest.mark.rule("BR29")
async def test_nobody_waits_for_last_words_that_are_not_taken(valkey: ValkeyServer) -> None:
    async with brokers(valkey.url) as [broker]:
        valkey.freeze()
        for _ in range(8):
            broker.send(StatelessNews("doc", "p", "x" * 1_000_000))
        await broker.close()
        valkey.thaw()
        assert broker.degraded


@pytest.mark.rule("BR28")
async def test_what_comes_at_once_is_handled_in_slices(shared_valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others get their turns between, and what has come and waits stays bounded."""
    async with brokers(shared_valkey.url, shared_valkey.url) as (broker, other):
        monkeypatch.setattr(module, "_MOST_UNREAD", 1_000_000)
        turns, turn_of, waiting = 0, list[int](), list[int]()

        def busy() -> None:
            turn_of.append(turns)
            waiting.append(broker._unread_bytes)
            until = time.perf_counter() + 0.006
            while time.perf_counter() < until:
                pass

        receiver = Receiver(then=busy)
        await broker.subscribe("doc", receiver)
        for _ in range(70):
            other.send(StatelessNews("doc", "p", "x" * 100_000))
        async with asyncio.timeout(PATIENCE):
            while len(receiver.signals) < 70:
                await asyncio.sleep(0)
                turns += 1
        assert max(turn_of.count(turn) for turn in turn_of) == 1
        assert 1_000_000 < max(waiting) < 1_600_000


@pytest.mark.rule("BR18", "BR20")
async def test_a_confirmation_that_comes_late(shared_valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for it; the document is missed when it comes."""
    monkeypatch.setattr(module, "CONFIRM_SECONDS", 50 * MS)
    async with relay(shared_valkey.port) as between, brokers(between.url, shared_valkey.url) as (broker, other):
        missed, receiver = Missed(broker), Receiver()
        between.stall()
        await broker.subscribe("doc", receiver)
        assert missed.told == []
        between.flow()
        await until(lambda: missed.told)
        assert missed.told == [("doc", True)]
        await other.publish(make_news(1))
        await receiver.wait_for(1)


@pytest.mark.rule("BR5")
async def test_who_gives_up_subscribing_has_not_subscribed(shared_valkey: ValkeyServer) -> None:
    async with relay(shared_valkey.port) as between, brokers(between.url) as [broker]:
        between.stall()
        subscribing = asyncio.ensure_future(broker.subscribe("doc", Receiver()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        subscribing.cancel()
        await asyncio.wait([subscribing])
        assert broker._channels == {}


@pytest.mark.rule("BR5", "BR10")
async def test_subscriptions_that_come_and_go_faster_than_they_are_confirmed(shared_valkey: ValkeyServer) -> None:
    """A confirmation of one that has gone is not taken for that of the next."""
    async with relay(shared_valkey.port) as between, brokers(between.url, shared_valkey.url) as (broker, other):
        between.stall()
        for _ in range(5):
            going = asyncio.ensure_future(broker.subscribe("doc", Receiver()))
            await asyncio.sleep(0)
            going.cancel()
            await asyncio.wait([going])
        receiver = Receiver()
        staying = asyncio.ensure_future(broker.subscribe("doc", receiver))
        await asyncio.sleep(20 * MS)
        between.flow()
        subscription = await staying
        await other.publish(make_news(1))
        await receiver.wait_for(1)
        await subscription.close()
        assert broker.counters.contacts == 1
        assert broker._channels == {}


# ---- whom it gives up --------------------------------------------------------------------------------------------------


@pytest.mark.rule("BR23", "BR26")
async def test_a_server_that_becomes_a_replica(valkey: ValkeyServer, shared_valkey: ValkeyServer) -> None:
    """It takes news, and tells nobody else."""
    async with brokers(valkey.url) as [broker]:
        missed = Missed(broker)
        with capture_logs() as logs:
            valkey.call("REPLICAOF", "127.0.0.1", str(shared_valkey.port))
            await missed.until(reaches_others=False)
            await asyncio.sleep(300 * MS)
            assert broker.degraded
            valkey.call("REPLICAOF", "NO", "ONE")
            await missed.until(reaches_others=True)
        words = ["broker does not work: other processes' edits are read from the database", "broker works again"]
        assert [line["event"] for line in logs] == words
        assert "replica" in logs[0]["reason"]


@pytest.mark.rule("BR23")
async def test_a_slot_that_moves_takes_its_documents_along(shared_cluster: ValkeyCluster) -> None:
    home, away, third = shared_cluster.servers
    async with brokers(home.url, third.url) as (broker, other):
        receivers = {document_id: Receiver() for document_id in ("a", "b", "c", "moved")}
        for document_id, receiver in receivers.items():
            await other.subscribe(document_id, receiver)
        slot = home.call("CLUSTER", "KEYSLOT", "{moved}").strip().removeprefix(":")
        assert broker._contact is not None
        port = broker._contact.link(b"{moved}").address.port
        owner = next(server for server in shared_cluster.servers if server.port == port)
        target = away if owner is not away else third
        missed = [Missed(broker), Missed(other)]
        name = target.call("CLUSTER", "MYID").split()[1]
        for server in (target, owner, *shared_cluster.servers):
            assert server.call("CLUSTER", "SETSLOT", slot, "NODE", name) == "+OK\r\n"
        await missed[1].until(reaches_others=True)
        # Who publishes finds out by the first answer.
        await broker.publish(make_news(1, "moved"))
        await missed[0].until(reaches_others=True)
        for offset, document_id in enumerate(receivers, 2):
            await broker.publish(make_news(offset, document_id))
        for offset, receiver in enumerate(receivers.values(), 2):
            await receiver.wait_for(offset)


@pytest.mark.rule("BR23")
async def test_a_cluster_is_found_again_without_the_server_of_the_settings(shared_cluster: ValkeyCluster) -> None:
    server = shared_cluster.servers[1]
    async with relay(server.port) as between:
        broker = RedisBroker(between.url)
        await broker.start()
    missed = Missed(broker)
    try:
        server.call("CLIENT", "KILL", "TYPE", "normal")
        await missed.until(reaches_others=False)
        await missed.until(reaches_others=True)
    finally:
        await broker.close()


@pytest.mark.rule("BR23")
async def test_a_server_that_speaks_something_else() -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with talking(speak) as url:
        with capture_logs() as logs:
            async with brokers(url) as [broker]:
                assert broker.degraded
        assert "does not speak the protocol" in logs[0]["reason"]
