"""Editors, programs, restores and undos on two processes, under a random schedule and with a failing store. Seeded.

In the end all documents are equal, every moment is what was there when it was the newest, and blame covers everything that can
be seen exactly once.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Coroutine
from typing import Any

import pytest
from pycrdt import Map

from core.history.past_tools import info_of, process, session
from cowrite.brokers.local import LocalHub
from cowrite.core.history.errors import HistoryRefused
from cowrite.core.history.past import Past
from cowrite.core.limits import Limits
from cowrite.core.operations.submissions import SubmissionRefused
from cowrite.core.ports import CommitDoubtful, StoreBusy, StoreUnavailable
from cowrite.crdt.engine import rebuild_at
from cowrite.crdt.state import get_state
from cowrite.stores.memory import MemoryDatabase
from cowrite.testing.process import Connection, Process, quiet
from crdt.random_edits import FUZZ

SEEDS = 2 * FUZZ
AGAIN = {"restored_meanwhile", "unavailable", "overloaded", "history_replaced"}


class World:
    def __init__(self, seed: int, servers: list[tuple[Process, Past]], database: MemoryDatabase) -> None:
        self.rng = random.Random(seed)
        self.servers = servers
        self.database = database
        self.editors: list[Connection] = []
        self.done = 0

    async def settle(self) -> None:
        for _ in range(30):
            for server, _ in self.servers:
                server.clock.advance(0.1)  # type: ignore[attr-defined] # the clock of a Process is turned by hand
            await quiet(*(server for server, _ in self.servers))
            await asyncio.sleep(0)

    def edit(self) -> None:
        rng, doc = self.rng, self.rng.choice(self.editors).client
        length = len(doc.text)
        match rng.randrange(5):
            case 0 | 1:
                doc.text.insert(rng.randrange(length + 1), rng.choice(("a", "bc", "def ")))
            case 2 if length:
                at = rng.randrange(length)
                del doc.text[at : min(length, at + rng.randrange(1, 4))]
            case 3 if length:
                doc.text.format(0, rng.randrange(1, length + 1), {"bold": rng.choice((True, None))})
            case _:
                doc.doc.get("map", type=Map)[rng.choice("xyz")] = rng.randrange(9)

    async def past(self) -> None:
        """Somebody restores or undoes something while others write."""
        server, past = self.rng.choice(self.servers)
        info = await info_of(server)
        offsets = sorted(self.rng.randrange(info.head.offset + 1) for _ in range(2))
        first, last = [await past.moments.at(info, offset) for offset in offsets]
        root = self.rng.choice((None, None, "body", "map"))
        work: Coroutine[Any, Any, Any] = past.restoring.restore(session(), first, root=root)
        if self.rng.random() < 0.4:
            work.close()
            work = past.restoring.undo(session(), self.rng.choice(("ana", "ben", "root")), first, last)
        task = asyncio.ensure_future(work)
        while not task.done():
            if self.rng.random() < 0.2:
                self.edit()
            await self.settle()
            await asyncio.sleep(0.001)
        try:
            await task
            self.done += 1
        except (SubmissionRefused, HistoryRefused) as refused:
            if refused.code not in AGAIN:
                raise

    async def check(self) -> None:
        await self.settle()
        log = await self.servers[0][0].storage.store.entries("doc", start=1, limit=10_000)
        states = [rebuild_at(None, {}, [entry.update for entry in log[:offset]]) for offset in range(len(log) + 1)]
        newest = get_state(states[-1])
        for editor in self.editors:
            assert editor.closed is None
            assert str(editor.client.text) == "".join(piece["insert"] for piece in newest["body"]["$text"])
            assert editor.client.doc.get("map", type=Map).to_py() == newest.get("map", {"$map": {}})["$map"]
        _, past = self.rng.choice(self.servers)
        info = await info_of(self.servers[0][0])
        for offset in range(len(log) + 1):
            state = await past.moments.state(await past.moments.at(info, offset))
            assert state.content == get_state(states[offset]), offset
        runs = json.loads(await past.blames.of(await past.moments.at(info, len(log)), None))
        body = [run for run in runs if run["position"][0] == "body"]
        assert sum(run["length"] for run in body) == len(self.editors[0].client.text)
        assert {run["author"] for run in runs} <= {"ana", "ben", "root"}


async def simulate(seed: int) -> int:
    database, hub = MemoryDatabase(), LocalHub()
    # CPU time is real, and on a busy machine everything takes more of it: nobody is refused for having used too much.
    limits = Limits(cpu_burst_seconds=1000)
    async with process(database, hub=hub, limits=limits) as one, process(database, hub=hub, limits=limits) as other:
        world = World(seed, [one, other], database)
        for (server, _), user in ((one, "ana"), (other, "ben")):
            world.editors.append(await server.join(user=user))
        await world.settle()
        for _ in range(3):
            world.edit()
        await world.settle()
        for _ in range(40):
            match world.rng.choices(("edit", "past", "quiet", "fault"), (60, 12, 20, 6))[0]:
                case "edit":
                    world.edit()
                case "past":
                    await world.settle()
                    await world.past()
                case "quiet":
                    await world.settle()
                case _:
                    error = world.rng.choice((StoreBusy("locked"), StoreUnavailable("gone"), CommitDoubtful("who knows")))
                    database.fail_next("commit", error, applied=world.rng.random() < 0.5)
        await world.check()
        return world.done


@pytest.mark.fuzz
@pytest.mark.rule("HV1", "HV2", "HV12", "HV40", "HV42")
async def test_everything_at_once() -> None:
    done = 0
    for seed in range(SEEDS):
        try:
            done += await simulate(seed)
        except BaseException:
            print(f"seed {seed}")
            raise
    assert done >= SEEDS
