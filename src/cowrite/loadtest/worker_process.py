"""The part of a run that is done in another process, which is started for it. They talk in lines of JSON.

The clock of the system that never goes back is the same for all processes of a machine, so that one process can tell how old
the edit of another one is.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from typing import Any, Final

from cowrite.loadtest.errors import LoadError
from cowrite.loadtest.generator import Told, Typed
from cowrite.loadtest.histogram import Histogram
from cowrite.loadtest.meter import second_from_json
from cowrite.loadtest.plan import Plan, plan_to_json

_LONGEST_LINE: Final = 256 << 20
_CLOSE_SECONDS: Final = 10.0


class WorkerProcess:
    """Make it with :meth:`start`."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, plan: Plan, part: int) -> WorkerProcess:
        """Start the process, and wait until it can begin. Raises :class:`LoadError`."""
        command = [sys.executable, "-m", "cowrite.loadtest.worker"]
        process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=_LONGEST_LINE)
        other = cls(process)
        await other._do({"plan": plan_to_json(plan), "part": part})
        return other

    async def arrive(self) -> Histogram:
        return Histogram.from_json(await self._do({"do": "arrive"}))

    async def work(self, since: float, until: float, told: Told) -> Typed:
        await self._say({"do": "work", "since": since, "until": until})
        while "second" in (answer := await self._hear()):
            told(second_from_json(answer["second"]))
        return {document: (count, total) for document, (count, total) in answer["typed"].items()}

    async def settle(self, typed: Typed, seconds: float) -> Mapping[str, Any]:
        return await self._do({"do": "settle", "typed": dict(typed), "seconds": seconds})

    async def close(self) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _CLOSE_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _do(self, command: dict[str, Any]) -> dict[str, Any]:
        await self._say(command)
        return await self._hear()

    async def _say(self, message: dict[str, Any]) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(json.dumps(message).encode() + b"\n")
        try:
            await stdin.drain()
        except ConnectionError:
            raise LoadError("a process that makes load has ended") from None

    async def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise LoadError(f"a process that makes load has ended by itself, with {await self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise LoadError(answer["error"])
        return answer
