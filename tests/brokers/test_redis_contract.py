"""The broker by Redis keeps every promise of the port: with one server, and with a cluster of three."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from cowrite.brokers.redis import RedisBroker
from cowrite.testing.broker_contract import BrokerBackend, BrokerContract
from cowrite.testing.broker_outage_contract import BrokerOutageContract, OutageBackend
from valkey_server import ValkeyCluster, ValkeyServer


class RedisBackend(BrokerBackend):
    """Brokers with one server, or with a cluster."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    async def connect(self) -> RedisBroker:
        broker = RedisBroker(self._url)
        await broker.start()
        assert broker.reaches_others
        return broker


class RedisOutage(RedisBackend, OutageBackend):
    """With a server that is killed, or one of a cluster's."""

    def __init__(self, url: str, server: ValkeyServer) -> None:
        super().__init__(url)
        self._server = server

    async def stop(self) -> None:
        await asyncio.to_thread(self._server.kill)

    async def start(self) -> None:
        await asyncio.to_thread(self._server.start)


class TestRedisBroker(BrokerContract):
    @pytest.fixture
    async def backend(self, shared_valkey: ValkeyServer) -> AsyncIterator[RedisBackend]:
        backend = RedisBackend(shared_valkey.url)
        yield backend
        await backend.close()


class TestRedisClusterBroker(BrokerContract):
    @pytest.fixture
    async def backend(self, shared_cluster: ValkeyCluster) -> AsyncIterator[RedisBackend]:
        backend = RedisBackend(shared_cluster.url)
        yield backend
        await backend.close()


class TestRedisOutage(BrokerOutageContract):
    @pytest.fixture
    async def backend(self, valkey: ValkeyServer) -> AsyncIterator[RedisOutage]:
        backend = RedisOutage(valkey.url, valkey)
        yield backend
        await backend.close()


class TestRedisClusterOutage(BrokerOutageContract):
    """One of the three is enough."""

    @pytest.fixture
    async def backend(self, shared_cluster: ValkeyCluster) -> AsyncIterator[RedisOutage]:
        backend = RedisOutage(shared_cluster.url, shared_cluster.servers[1])
        yield backend
        await backend.close()
        await asyncio.to_thread(shared_cluster.restart)
