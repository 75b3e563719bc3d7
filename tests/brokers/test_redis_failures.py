"""The broker by Redis while its server is killed, frozen, slow, or gives it up: nobody waits, nothing is lost in the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from cowrite.brokers.redis import RedisBroker
from cowrite.core.clock import SystemClock
from cowrite.core.ports import StatelessNews
from cowrite.stores.memory import MemoryDatabase, memory_storage
from cowrite.testing.process import Connection, Process, quiet
from redis_brokers import brokers
from relay import Relay, relay
from timing import MS
from valkey_server import ValkeyServer

PATIENCE = 20_000 * MS


@asynccontextmanager
async def processes(*urls: str) -> AsyncIterator[tuple[Sequence[RedisBroker], Sequence[Process], Sequence[Connection]]]:
    """With brokers at these URLs, on one database; each has the document open and one client in it."""
    database = MemoryDatabase()
    async with brokers(*urls) as made:
        servers = [Process(memory_storage(database), broker, clock=SystemClock()) for broker in made]
        async with servers[0], servers[1]:
            clients = [await server.join(user=f"user {number}") for number, server in enumerate(servers)]
            await quiet(*servers)
            yield made, servers, clients


async def until(holds: Callable[[], bool], *servers: Process) -> None:
    """Wait until it does, while the clients of these read."""
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await quiet(*servers)
            await asyncio.sleep(5 * MS)


def same(clients: Sequence[Connection], text: str) -> bool:
    return all(str(client.client.text) == text and client.client.saved for client in clients)


async def kill(valkey: ValkeyServer, relay: Relay) -> None:
    await asyncio.to_thread(valkey.kill)


async def revive(valkey: ValkeyServer, relay: Relay) -> None:
    await asyncio.to_thread(valkey.start)


async def freeze(valkey: ValkeyServer, relay: Relay) -> None:
    valkey.freeze()


async def thaw(valkey: ValkeyServer, relay: Relay) -> None:
    valkey.thaw()


async def stall(valkey: ValkeyServer, relay: Relay) -> None:
    relay.stall()


async def flow(valkey: ValkeyServer, relay: Relay) -> None:
    relay.flow()


OUTAGES = {"killed": (kill, revive), "frozen": (freeze, thaw), "silent": (stall, flow)}


@pytest.mark.rule("BR17", "BR22", "BR25", "RE6")
@pytest.mark.parametrize("outage", OUTAGES)
async def test_an_outage_loses_nothing(valkey: ValkeyServer, outage: str) -> None:
    """Both write while it lasts; each sees the other's then, and when it is over the broker carries again."""
    begin, end = OUTAGES[outage]
    async with relay(valkey.port) as between, processes(valkey.url, between.url) as (made, servers, clients):
        ana, ben = clients
        ana.client.text.insert(0, "a")
        await until(lambda: same(clients, "a"), *servers)
        await begin(valkey, between)
        ben.client.text.insert(1, "b")
        await until(lambda: same(clients, "ab"), *servers)
        await until(lambda: made[1].degraded, *servers)
        ana.client.text.insert(2, "c")
        ben.client.point("{}")
        await until(lambda: same(clients, "abc"), *servers)
        await end(valkey, between)
        await until(lambda: all(broker.reaches_others for broker in made), *servers)
        await until(lambda: ben.client.client_id in ana.client.states, *servers)
        for broker in made:
            broker.counters.received = 0
        ana.client.text.insert(3, "d")
        await until(lambda: same(clients, "abcd") and made[1].counters.received > 0, *servers)


@pytest.mark.rule("BR25")
@pytest.mark.parametrize("size", [1, 150, 400])
async def test_a_connection_that_is_cut_within_a_message(shared_valkey: ValkeyServer, size: int) -> None:
    """The cut comes with the message, and with it the rest of the message is lost."""
    async with relay(shared_valkey.port) as between, processes(shared_valkey.url, between.url) as (made, servers, clients):
        contacts = made[1].counters.contacts
        between.cut_after(size)
        for number in range(20):
            clients[0].client.text.insert(number, "x")
            await quiet(*servers)
        await until(lambda: same(clients, "x" * 20) and made[1].counters.contacts > contacts, *servers)


@pytest.mark.rule("BR25", "BR28")
async def test_a_reader_that_the_server_gives_up(valkey: ValkeyServer) -> None:
    """It does not read, and the server ends its connection when so much waits for it; among that is an edit."""
    valkey.call("CONFIG", "SET", "client-output-buffer-limit", '"pubsub 64kb 0 0"')
    async with relay(valkey.port) as between, processes(valkey.url, between.url) as (made, servers, clients):
        contacts = made[1].counters.contacts
        between.stall()
        clients[0].client.text.insert(0, "edit")
        for _ in range(200):
            made[0].send(StatelessNews("doc", "p", "x" * 30_000))
        await until(lambda: f"addr={between.name} " not in valkey.call("CLIENT", "LIST"), servers[0])
        between.flow()
        await until(lambda: same(clients, "edit") and made[1].counters.contacts > contacts, *servers)
        assert "client_output_buffer_limit_disconnections:0\r" not in valkey.call("INFO", "STATS")


@pytest.mark.rule("BR22")
async def test_a_slow_server_has_not_gone(valkey: ValkeyServer) -> None:
    """Half a second is not enough, again and again."""
    async with processes(valkey.url, valkey.url) as (made, servers, clients):
        for number in range(3):
            valkey.freeze()
            clients[0].client.text.insert(number, "z")
            await quiet(*servers)
            await asyncio.sleep(0.4)
            valkey.thaw()
            await until(lambda: same(clients, str(clients[0].client.text)), *servers)
        assert [broker.counters.contacts for broker in made] == [1, 1]


@pytest.mark.rule("BR22")
async def test_a_loop_that_was_held_up_has_not_lost_its_server(shared_valkey: ValkeyServer) -> None:
    async with brokers(shared_valkey.url) as [broker]:
        for _ in range(2):
            await asyncio.sleep(100 * MS)
            time.sleep(1.5)  # noqa: ASYNC251
        await asyncio.sleep(100 * MS)
        assert broker.counters.contacts == 1
        assert broker.reaches_others
