"""Clients without a CRDT library, Yjs clients, processes and a database under a random schedule. Seeded; no time, no network.

The clients pipeline, change the process between two requests, send again what has no answer, and read when they like. What
they send always fits what they see: an operation that is refused for not fitting means that the server saw something else. In
the end every acknowledged operation is in the log once, and all replays and all documents are equal.
"""

from __future__ import annotations

import asyncio
import json
import os
import random

import pytest

from core.operations.thin_client import Sent, ThinClient
from cowrite.brokers.local import LocalBroker, LocalHub
from cowrite.core.operations.submissions import SubmissionRefused
from cowrite.core.ports import CommitDoubtful, StoreBusy, StoreUnavailable
from cowrite.crdt.state import get_state
from cowrite.stores.memory import MemoryDatabase, memory_storage
from cowrite.testing.process import Process, quiet

SEEDS = 20 * int(os.environ.get("COWRITE_FUZZ", "1"))
ROOTS = (["text"], ["xml"], ["map"], ["array"], ["text", "xml", "map", "array"])
AGAIN = {"unavailable", "overloaded", "unknown_previous"}


class World:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.roots = self.rng.choice(ROOTS)
        self.database = MemoryDatabase()
        self.hub = LocalHub()
        self.processes: list[Process] = []
        self.clients = [ThinClient(f"thin{number}") for number in range(3)]
        self.acknowledged = 0

    async def start(self) -> None:
        process = Process(memory_storage(self.database), LocalBroker(self.hub))
        await process.__aenter__()
        self.processes.append(process)
        await process.join(user="ana")

    async def step(self) -> None:
        rng = self.rng
        client, process = rng.choice(self.clients), rng.choice(self.processes)
        match rng.choices(("write", "read", "type", "quiet", "fault", "restart"), (40, 20, 10, 15, 6, 2))[0]:
            case "write":
                await self.write(client, process)
            case "read":
                await self.read(client, process)
            case "type":
                for connection in process.connections:
                    connection.client.text.insert(0, rng.choice(("a", "é", "😀")))
            case "quiet":
                await self.settle()
            case "fault":
                error = rng.choice((StoreBusy("locked"), StoreUnavailable("gone"), CommitDoubtful("who knows")))
                applied = isinstance(error, CommitDoubtful) and rng.random() < 0.5
                self.database.fail_next("commit", error, applied=applied)
            case "restart" if len(self.processes) > 1:
                self.processes.remove(process)
                await process.kill()
                await self.start()

    async def write(self, client: ThinClient, process: Process) -> None:
        operations = client.make(self.rng, self.roots, self.rng.choice((1, 1, 1, 3)))
        if operations:
            client.sent.append(Sent(operations, client.head))
            await self.send(client, process)

    async def send(self, client: ThinClient, process: Process) -> None:
        """Everything that has no answer, in order, from the first one on: what follows it builds on it."""
        previous = None
        for sent in client.sent:
            operations = sent.operations
            if sent.answer is None or self.failed(sent):
                submission = await client.send(process, operations, after=previous)
                sent.answer = submission.answer
            previous = operations[-1]["id"]

    def failed(self, sent: Sent) -> bool:
        assert sent.answer is not None
        if not sent.answer.done():
            return True  # its process may be dead
        error = sent.answer.exception()
        assert error is None or (isinstance(error, SubmissionRefused) and error.code in AGAIN), error
        return error is not None

    async def read(self, client: ThinClient, process: Process) -> None:
        """Only once everything of its own is answered: what it shows would lose the rest."""
        for _ in range(50):
            if not any(sent.answer is None or self.failed(sent) for sent in client.sent):
                break
            await self.send(client, process)
            await self.settle()
        else:
            raise AssertionError("no answer comes")
        for sent in client.sent:
            assert sent.answer is not None
            client.promised.update(operation.id for operation in sent.answer.result().operations)
            self.acknowledged += 1
        client.sent.clear()
        await client.read(process)

    async def settle(self) -> None:
        for _ in range(12):
            for process in self.processes:
                process.clock.advance(0.1)  # type: ignore[attr-defined] # turned by hand
            await quiet(*self.processes)
            await asyncio.sleep(0)

    async def check(self) -> None:
        for _ in range(5):
            await self.settle()
        for client in self.clients:
            await self.read(client, self.processes[0])
        await self.settle()
        async with Process(memory_storage(self.database), LocalBroker()) as fresh:
            states = []
            for client in self.clients:
                await client.read(fresh)
                states.append(client.model.state)
            await fresh.join(user="eve")
            await quiet(fresh)
            entries = await fresh.storage.store.entries("doc", start=1, limit=10_000)
            from_log = fresh.room().replicas.log
            assert from_log is not None
            expected = json.loads(json.dumps(get_state(from_log)))
        assert [entry.offset for entry in entries] == list(range(1, len(entries) + 1))
        ids = [operation.id for entry in entries for operation in entry.operations]
        assert len(set(ids)) == len(ids)
        promised = set().union(*(client.promised for client in self.clients))
        assert promised <= set(ids)
        assert all(state == expected for state in states)


async def play(seed: int) -> int:
    world = World(seed)
    try:
        for _ in range(world.rng.choice((1, 2))):
            await world.start()
        for _ in range(world.rng.randrange(20, 50)):
            await world.step()
        await world.check()
    finally:
        for process in world.processes:
            await process.kill()
    return world.acknowledged


@pytest.mark.fuzz
@pytest.mark.rule("SU3", "SU4", "SU5", "SU10")
async def test_what_fits_what_a_client_sees_is_taken_once_wherever_it_is_sent() -> None:
    acknowledged = 0
    for seed in range(SEEDS):
        try:
            acknowledged += await play(seed)
        except BaseException as error:
            raise AssertionError(f"seed {seed}") from error
    assert acknowledged > 3 * SEEDS, "the simulation came to nothing"
