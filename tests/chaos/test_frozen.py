"""A server stops within its transaction, and holds its locks: only the documents that it holds have to wait."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path

import pytest

from chaos.cluster import Cluster, Member, cluster
from socket_writers import Writer, read_text, until

pytestmark = [pytest.mark.chaos, pytest.mark.rule("CU4")]

HELD, FREE = "frozen/held", "frozen/free"
_WITHIN = (
    "SELECT pid FROM pg_stat_activity WHERE state = 'idle in transaction' AND datname = 'chaos' "
    "AND backend_xid IS NOT NULL AND xact_start < now() - interval '100 milliseconds'"
)
"""Of those that have locked something, and are slow because they are far away."""


async def freeze_within_transaction(running: Cluster, member: Member) -> tuple[int, ...]:
    """The only one that writes just now. Returns the database's process that holds the lock."""
    member.up = False
    while True:
        member.database.delay = 0.3
        while not (holding := await running.postgres.sql(_WITHIN)):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        os.kill(member.server.pid, signal.SIGSTOP)
        member.database.delay = 0.0
        await asyncio.sleep(0.7)  # what was under way is there by then
        if holding[0] in await running.postgres.sql(_WITHIN):
            return holding[0]
        os.kill(member.server.pid, signal.SIGCONT)


async def stay(writer: Writer, port: int) -> None:
    """Write at one server, and come back to it, until cancelled."""
    while True:
        await writer.write(port, random.Random(1))
        await asyncio.sleep(0.1)


@pytest.mark.timeout(300)
async def test_a_frozen_server_delays_its_own_documents_only(tmp_path: Path) -> None:
    async with cluster(tmp_path, size=2) as running:
        frozen, other = running.members
        ana, ben, cem = Writer("ana", HELD), Writer("ben", HELD), Writer("cem", FREE)
        writing = [asyncio.create_task(one.write(other.server.port, random.Random(2))) for one in (ben, cem)]
        writing += [asyncio.create_task(stay(ana, frozen.server.port))]
        await until(lambda: all(len(one.durable) > 3 for one in (ana, ben, cem)))
        # They pause, so that it is the other one whose transaction is seen.
        ben.typing = cem.typing = False
        await until(lambda: ben.client.saved and cem.client.saved)
        holder = await freeze_within_transaction(running, frozen)
        for one in (ben, cem):
            one.words.append("waits;")
            one.client.text.insert(0, "waits;")
        await until(lambda: cem.client.saved)
        assert holder in await running.postgres.sql(_WITHIN), "what nobody holds is committed meanwhile"
        assert not ben.client.saved
        await until(lambda: ben.client.saved)
        assert holder not in await running.postgres.sql(_WITHIN), "the database has ended that transaction"
        os.kill(frozen.server.pid, signal.SIGCONT)
        frozen.up = True
        for writer in (ana, ben, cem):
            writer.typing = False
        await until(lambda: all(one.client.saved for one in (ana, ben, cem)))
        await until(lambda: str(ana.client.text) == str(ben.client.text))
        words = str(ana.client.text).split(";")[:-1]
        assert sorted(words) == sorted(word.rstrip(";") for writer in (ana, ben) for word in writer.words)
        assert {await read_text(port, HELD) for port in running.ports} == {str(ana.client.text)}
        for task in writing:
            task.cancel()
        await asyncio.gather(*writing, return_exceptions=True)
        told = [line for member in running.members for line in member.server.errors()]
        assert [line for line in told if "store cannot be written" not in line] == []
