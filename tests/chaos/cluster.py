"""Several servers on one PostgreSQL and one Valkey, with a proxy on each way, and what may befall them."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cowrite.testing.proxy import TcpProxy, tcp_proxy
from demo_server import DemoServer
from postgres_server import PostgresServer
from timing import MS
from valkey_server import ValkeyServer

SECRET = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"
"""One for all processes, so that an access token is good at each."""
START_PATIENCE = 30_000 * MS


@dataclass
class Member:
    """One server, and its ways to the database and to Valkey."""

    server: DemoServer
    database: TcpProxy
    broker: TcpProxy
    up: bool = True
    """False while it is dead or frozen."""


@dataclass
class Cluster:
    """What is running."""

    postgres: PostgresServer
    valkey: ValkeyServer
    members: list[Member]
    database: str
    frozen: list[tuple[float, float]] = field(default_factory=list)
    """From when until when a member was frozen, by the loop's clock."""

    def port(self, rng: random.Random) -> int:
        """Of one of those that are up, or of any."""
        up = [member for member in self.members if member.up]
        return rng.choice(up or self.members).server.port

    @property
    def ports(self) -> list[int]:
        return [member.server.port for member in self.members]

    # ---- faults ------------------------------------------------------------------------------------------------------

    async def kill(self, rng: random.Random) -> None:
        """A server is killed, and started again."""
        member = rng.choice(self.members)
        member.up = False
        member.server.kill()
        await asyncio.sleep(rng.uniform(0, 0.3))
        await asyncio.to_thread(_start_again, member.server)
        member.up = True

    async def stop_valkey(self, rng: random.Random) -> None:
        """Valkey is gone for a while, with all that it had."""
        self.valkey.kill()
        await asyncio.sleep(rng.uniform(0.1, 1.5))
        await asyncio.to_thread(self.valkey.start)

    async def stop_postgres(self, rng: random.Random) -> None:
        """PostgreSQL crashes, and recovers."""
        await asyncio.to_thread(self.postgres.stop)
        await asyncio.sleep(rng.uniform(0, 1))
        await asyncio.to_thread(self.postgres.start)

    async def cut(self, rng: random.Random) -> None:
        """Connections break, again and again."""
        for _ in range(4):
            member = rng.choice(self.members)
            for proxy in rng.sample([member.database, member.broker], rng.randrange(1, 3)):
                proxy.cut()
            await asyncio.sleep(rng.uniform(0, 0.3))

    async def delay(self, rng: random.Random) -> None:
        """A member is far from its database, or from Valkey."""
        member = rng.choice(self.members)
        proxy = rng.choice([member.database, member.broker])
        proxy.delay = rng.uniform(0.02, 0.2)
        await asyncio.sleep(rng.uniform(0.5, 1.5))
        proxy.delay = 0.0

    async def part(self, rng: random.Random) -> None:
        """A member cannot reach its database, or Valkey: nothing comes through, nothing ends."""
        member = rng.choice(self.members)
        proxy = rng.choice([member.database, member.broker])
        proxy.stall()
        await asyncio.sleep(rng.uniform(0.3, 1.5))
        if rng.random() < 0.5:
            proxy.cut()
        proxy.flow()

    async def freeze(self, rng: random.Random) -> None:
        """A server stops within its transaction, holding its locks, and goes on later as though nothing had been."""
        member = rng.choice(self.members)
        member.database.delay = 0.1  # so that it is nearly always within one
        await asyncio.sleep(0.3)
        member.up = False
        began = asyncio.get_running_loop().time()
        os.kill(member.server.pid, signal.SIGSTOP)
        await asyncio.sleep(rng.uniform(1, 2))
        os.kill(member.server.pid, signal.SIGCONT)
        self.frozen.append((began, asyncio.get_running_loop().time()))
        member.database.delay = 0.0
        member.up = True

    @property
    def faults(self) -> list[Callable[[random.Random], Awaitable[None]]]:
        """All that may happen."""
        return [self.kill, self.stop_valkey, self.stop_postgres, self.cut, self.delay, self.part, self.freeze]


def _start_again(server: DemoServer) -> None:
    """As a service manager does: a server that does not find its database ends, and is started again."""
    for left in reversed(range(3)):
        try:
            server.start()
            break
        except AssertionError:
            if not left:
                raise


@asynccontextmanager
async def cluster(folder: Path, *, size: int = 3) -> AsyncIterator[Cluster]:
    """So many servers, which run while the block runs."""
    postgres, valkey = PostgresServer(), ValkeyServer(folder)
    async with AsyncExitStack() as stack:
        stack.callback(postgres.remove)
        await asyncio.to_thread(postgres.start)
        stack.callback(valkey.kill)
        await asyncio.to_thread(valkey.start)
        await postgres.sql("CREATE DATABASE chaos")
        members = []
        for number in range(size):
            database = await stack.enter_async_context(tcp_proxy(postgres.port))
            broker = await stack.enter_async_context(tcp_proxy(valkey.port))
            place = folder / str(number)
            place.mkdir()
            server = DemoServer(
                place,
                COWRITE_SECRET=SECRET,
                COWRITE_DATABASE_URL=f"postgresql://cowrite@127.0.0.1:{database.port}/chaos",
                COWRITE_REDIS_URL=f"redis://127.0.0.1:{broker.port}",
            )
            stack.callback(server.kill)
            members.append(Member(server, database, broker))
        await asyncio.to_thread(members[0].server.start)
        await asyncio.gather(*(asyncio.to_thread(member.server.start) for member in members[1:]))
        yield Cluster(postgres, valkey, members, "chaos")
