"""Three servers on one PostgreSQL and one Valkey, while everything that may break does: nothing that was acknowledged is lost.

One seed, with all faults in an order of its own; ``make chaos`` plays forty (COWRITE_CHAOS times as many).
"""

from __future__ import annotations

import asyncio
import os
import random
import uuid
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from chaos.cluster import Cluster, cluster
from chaos.cluster_writers import HttpPeer, keep_writing
from cowrite.testing.model import Model
from socket_writers import Writer, read_text
from timing import MS

pytestmark = [pytest.mark.chaos, pytest.mark.rule("CU1", "CU2", "CU3")]

SEEDS = int(os.environ.get("COWRITE_CHAOS", "1"))
SHARES = min(2, SEEDS)
"""Each with a cluster of its own, so that two processes can play them."""
DOCUMENTS = 5
EDITORS, PROGRAMS, POLLERS = 48, 12, 5
TOLD = "No connection to the database", "database server runs and can be reached", "store cannot be written"
"""What a server says of a database that is away, to all its documents or, when that was short, to one."""
HEALED = 60_000 * MS


@pytest.mark.timeout((120_000 + 120_000 * SEEDS // SHARES) * MS)
@pytest.mark.parametrize("share", range(SHARES))
async def test_nothing_is_lost_whatever_breaks(share: int, tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        for seed in range(share, SEEDS, SHARES):
            try:
                await play(running, seed)
            except BaseException as error:
                raise AssertionError(f"seed {seed}") from error
        for member in running.members:
            assert [line for line in member.server.errors() if not any(known in line for known in TOLD)] == []


async def play(running: Cluster, seed: int) -> None:
    rng = random.Random(seed)
    documents = [f"chaos/{seed}/{number}/{uuid.uuid4()}" for number in range(DOCUMENTS)]
    editors = [Writer(f"e{n}", documents[n % DOCUMENTS]) for n in range(EDITORS)]
    programs = [HttpPeer(f"p{n}", documents[n % DOCUMENTS], running, random.Random(rng.random())) for n in range(PROGRAMS)]
    pollers = [HttpPeer(f"r{n}", documents[n % DOCUMENTS], running, random.Random(rng.random())) for n in range(POLLERS)]
    async with asyncio.TaskGroup() as tasks:
        lasting = [tasks.create_task(keep_writing(one, running, random.Random(rng.random()), pause=0.6)) for one in editors]
        lasting += [tasks.create_task(one.poll()) for one in pollers]
        writing = [tasks.create_task(one.write(pause=0.6)) for one in programs]
        for fault in rng.sample(running.faults, len(running.faults)):
            await asyncio.sleep(rng.uniform(0.2, 0.6))
            await fault(rng)
        for editor in editors:
            editor.typing = False
        for program in programs:
            program.typing = False
        await asyncio.wait_for(asyncio.gather(*writing), HEALED)
        await converged(documents, editors, programs, pollers)
        for task in lasting:
            task.cancel()
    for document in documents:
        mine: list[Writer | HttpPeer] = [one for one in editors if one.document == document]
        mine += [one for one in programs if one.document == document]
        await check(running, document, mine)
        [poller] = [one for one in pollers if one.document == document]
        assert poller.operations == [one["id"] for one in await operations(running.ports[0], document)]


async def converged(
    documents: Sequence[str], editors: Sequence[Writer], programs: Sequence[HttpPeer], pollers: Sequence[HttpPeer]
) -> None:
    """Every editor has everything, and what it has is saved; every poller has read it."""

    def missing() -> list[str]:
        found = []
        for document in documents:
            typed = sum(len(one.words) for one in editors if one.document == document)
            typed += sum(len(one.words) for one in programs if one.document == document)
            mine = [one for one in editors if one.document == document]
            found += [one.name for one in mine if not (one.client.saved and str(one.client.text).count(";") == typed)]
            found += [one.name for one in pollers if one.document == document and one.text.count(";") != typed]
        return found

    try:
        async with asyncio.timeout(HEALED):
            while missing():  # noqa: ASYNC110 - what is waited for sets no event
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"not converged: {missing()[:10]}") from None


async def check(running: Cluster, document: str, writers: Sequence[Writer | HttpPeer]) -> None:
    """One log, the same everywhere, with each word once."""
    texts = {await read_text(port, document) for port in running.ports}
    assert len(texts) == 1, "the servers show different documents"
    (text,) = texts
    words = Counter(text.split(";")[:-1])
    assert set(words.values()) == {1}, [word for word, count in words.items() if count > 1][:5]
    durable = {word.rstrip(";") for writer in writers for word in writer.durable}
    assert durable <= words.keys(), sorted(durable - words.keys())[:5]
    lists = [await operations(port, document) for port in running.ports]
    assert all(one == lists[0] for one in lists), "the servers tell different operations"
    model = Model()
    for operation in lists[0]:
        model.apply(operation)
    assert model.state == {"body": {"$text": [{"insert": text}]}}
    number = "(SELECT number FROM documents WHERE document_id = '{}')".format(document.replace("'", "''"))
    log = await running.postgres.sql(
        f"SELECT entry_offset FROM updates WHERE document_number = {number} ORDER BY 1", running.database
    )
    assert [offset for (offset,) in log] == list(range(1, len(log) + 1))


async def operations(port: int, document: str) -> list[dict[str, Any]]:
    """All of them, as this server tells them."""
    api = f"http://127.0.0.1:{port}/api/v2/"
    async with httpx.AsyncClient(timeout=30_000 * MS) as client:
        connected = (await client.post(f"{api}realtime/connect", json={"document_id": document})).json()
        headers = {"Authorization": f"Bearer {connected['access_token']}"}
        found: list[dict[str, Any]] = []
        while True:
            asked = {"limit": 1000} | ({"after": found[-1]["id"]} if found else {})
            path = document.replace("/", "%2F")
            answer = await client.get(f"{api}documents/{path}/operations", params=asked, headers=headers)
            answer.raise_for_status()
            page = answer.json()["operations"]
            if not page:
                return found
            found += page
