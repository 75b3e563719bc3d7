"""The broker by Redis keeps every promise of the port: with one server, and with a cluster of three."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from cowrite.brokers.redis import RedisBroker
from cowrite.testing.broker_contract import BrokerBackend, BrokerContract
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
