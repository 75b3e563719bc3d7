"""The process of the rude: ``python -m bench.rudeness.generator``, told by lines of JSON what to do.

``{"begin": [NAME, …]}`` is answered when these are in place, ``{"leave": true}`` with what each has done and how the server has
ended its sockets, once all are closed. Where something is measured it works when nobody else wants its core, if the system can
do that, so that it does not take it from the honest.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import uvloop

from bench.rudeness.behaviours import BEHAVIOURS
from bench.rudeness.peers import Town
from cowrite.startup import raise_open_files


def yield_to_others() -> None:
    """Run only when nobody else wants to."""
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    else:
        os.nice(19)


class Generator:
    """Does some things at a time, until it leaves."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        self._told = told
        self._towns: dict[str, Town] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._began = 0.0

    async def obey(self, order: Mapping[str, Any]) -> Mapping[str, Any]:
        return await (self._leave() if order.get("leave") else self._begin(order["begin"]))

    async def _begin(self, names: Sequence[str]) -> Mapping[str, Any]:
        self._began = time.process_time()
        self._towns = {name: Town(**self._told) for name in names}
        self._tasks = [asyncio.create_task(_run(name, town)) for name, town in self._towns.items()]
        in_place = asyncio.gather(*(town.in_place.wait() for town in self._towns.values()))
        doing: list[asyncio.Future[Any]] = [*self._tasks, in_place]
        await asyncio.wait(doing, return_when=asyncio.FIRST_COMPLETED)
        self._fail()
        await in_place
        return {"did": {name: town.did for name, town in self._towns.items()}}

    async def _leave(self) -> Mapping[str, Any]:
        await asyncio.sleep(0.1)  # what came while the process was stopped is read first
        self._fail()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        for town in self._towns.values():
            town.leave()
            await town.empty()
        did = {name: town.did for name, town in self._towns.items()}
        ended = {name: town.ended for name, town in self._towns.items()}
        return {"did": did, "ended": ended, "cpu": time.process_time() - self._began}

    def _fail(self) -> None:
        """Raise what has ended a behaviour, of which none ends by itself."""
        for task in self._tasks:
            if task.done():
                task.result()


async def _run(name: str, town: Town) -> None:
    await BEHAVIOURS[name].run(town)


async def main() -> None:
    raise_open_files(8000)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    told = json.loads(await reader.readline())
    if not told["few"]:  # where everything is only tried out other programs keep all cores busy, perhaps for minutes
        yield_to_others()
    generator = Generator(told)
    print(json.dumps({"ready": True}), flush=True)
    while line := await reader.readline():
        print(json.dumps(await generator.obey(json.loads(line))), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
