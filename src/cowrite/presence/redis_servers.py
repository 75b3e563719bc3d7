"""The connections to a Redis server, or to all masters of a cluster: each call goes to the one that has its key."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import ClusterDownError, MovedError, RedisError

from cowrite.presence.redis_scripts import Script

_OPTIONS: Final[Mapping[str, Any]] = {
    "socket_timeout": None,  # the caller's time limit is stricter, and knows a slow loop from a slow server
    "socket_connect_timeout": None,
    "protocol": 2,
    "client_name": "cowrite",
    "driver_info": None,  # to tell its version, redis-py would search the file system for each connection
}


class Call(NamedTuple):
    """A script, and the one key that it touches."""

    script: Script
    key: bytes
    arguments: tuple[str | int, ...]


class RedisServers:
    """Connects with the first call, and finds out then whether the server is one of a cluster.

    redis-py's own client of clusters is not used: it sends no scripts in pipelines
    (https://redis.readthedocs.io/en/stable/clustering.html).
    """

    def __init__(self, url: str) -> None:
        # No retries: whoever calls knows better whether to try again, and must not wait.
        self._given = Redis.from_url(url, retry=Retry(NoBackoff(), 0), **_OPTIONS)
        self._options: Mapping[str, Any] = self._given.connection_pool.connection_kwargs
        self._masters: dict[str, Redis] = {}
        """Of a cluster, by address; empty for a single server."""
        self._slots: list[tuple[int, int, Redis]] = []
        """First and last slot, and who has them."""
        self._known = False

    @property
    def place(self) -> str:
        """The server's name for people, without user and password."""
        options = self._options
        return f"Redis at {options.get('path') or '{}:{}'.format(options.get('host', 'localhost'), options.get('port', 6379))}"

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        """Run them, each server's in one round trip; the results are in the order of the calls. Raises ``RedisError``."""
        if not self._known:
            await self._look()
        try:
            return await self._run(calls)
        except (MovedError, ClusterDownError):
            await self._look()  # the slots have moved
            return await self._run(calls)
        except BaseException:
            self._known = False  # another one may be master by now
            raise

    async def load(self, scripts: Collection[Script]) -> None:
        """Make these scripts known to every server. Raises ``RedisError``."""
        await asyncio.gather(*(_load(server, scripts) for server in self._masters.values() or [self._given]))

    async def close(self) -> None:
        """Close all connections."""
        for server in (self._given, *self._masters.values()):
            with suppress(RedisError, OSError):  # then it is gone already
                await server.aclose()

    async def _run(self, calls: Sequence[Call]) -> list[Any]:
        shares = defaultdict[Redis, list[int]](list)
        for number, call in enumerate(calls):
            shares[self._server_of(call.key)].append(number)
        answers = await asyncio.gather(*(_run(server, [calls[n] for n in numbers]) for server, numbers in shares.items()))
        results: list[Any] = [None] * len(calls)
        for numbers, found in zip(shares.values(), answers, strict=True):
            for number, result in zip(numbers, found, strict=True):
                results[number] = result
        return results

    def _server_of(self, key: bytes) -> Redis:
        if not self._slots:
            return self._given
        slot = key_slot(key)
        for first, last, server in self._slots:
            if first <= slot <= last:
                return server
        raise ClusterDownError(f"no server of the cluster has the slot {slot}")

    # ---- finding them ------------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """Ask the first one that answers who has what. Raises ``RedisError``."""
        failure: Exception | None = None
        for server in (self._given, *self._masters.values()):
            try:
                found = await _slots(server)
                break
            except (RedisError, OSError) as error:
                failure = error
        else:
            assert failure is not None, "one was asked"
            raise failure
        addresses = {f"{host}:{port}": (host, port) for _, _, host, port in found}
        gone = [server for address, server in self._masters.items() if address not in addresses]
        self._masters = {
            address: self._masters.get(address) or self._connect(host, port) for address, (host, port) in addresses.items()
        }
        self._slots = [(first, last, self._masters[f"{host}:{port}"]) for first, last, host, port in found]
        self._known = True
        for server in gone:
            with suppress(RedisError, OSError):
                await server.aclose()

    def _connect(self, host: str, port: int) -> Redis:
        options = {**self._options, "host": host or self._options["host"], "port": port}
        return Redis.from_pool(ConnectionPool(self._given.connection_pool.connection_class, **options))


async def _run(server: Redis, calls: Sequence[Call]) -> list[Any]:
    pipeline = server.pipeline(transaction=False)
    for call in calls:
        pipeline.evalsha(call.script.sha, 1, call.key, *call.arguments)
    return list(await pipeline.execute())


async def _load(server: Redis, scripts: Collection[Script]) -> None:
    pipeline = server.pipeline(transaction=False)
    for script in scripts:
        pipeline.script_load(script.text)
    await pipeline.execute()


async def _slots(server: Redis) -> list[tuple[int, int, str, int]]:
    """First and last slot, host and port of each master; none of a single server."""
    found: Any = await server.info("cluster")
    if not found.get("cluster_enabled"):
        return []
    # In two words: redis-py makes something of the answer to the one word.
    told: Any = await server.execute_command("CLUSTER", "SLOTS")  # type: ignore[no-untyped-call]
    return [(first, last, master[0].decode(), master[1]) for first, last, master, *_ in told]
