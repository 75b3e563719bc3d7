"""The process of the rude, as the one who measures has it; and how it is frozen."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from bench.rudeness.behaviours import Behaviour
from bench.rudeness.network import Network
from bench.side_by_side.node import ROOT
from bench.side_by_side.servers import GENERATOR_CORE, on_core

_PATIENCE: Final = 100.0
"""Seconds in which the process does what it is told; opening 5000 sockets takes it ten."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a process of the rude says of itself."""

    did: Mapping[str, Mapping[str, int]]
    """By behaviour, what it has done how often."""
    ended: Mapping[str, Mapping[str, int]]
    """How the server has ended sockets, as they saw that: a status of HTTP, a close code, or ``closed`` without a word."""
    cpu: float
    """CPU time since it began, in seconds."""


class Crowd:
    """One process, for one behaviour after the other, or for some at a time that are frozen in the same way.

    As a context manager it is gone after the block.
    """

    def __init__(self, town: dict[str, Any], network: Network | None = None) -> None:
        self._town = town if network is None else {**town, "address": network.address}
        self._network = network
        self._process: asyncio.subprocess.Process
        self._stopped = False

    async def __aenter__(self) -> Self:
        prefix = self._network.prefix if self._network is not None else ()
        with on_core(GENERATOR_CORE):
            self._process = await asyncio.create_subprocess_exec(
                *prefix,
                sys.executable,
                "-m",
                "bench.rudeness.generator",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                cwd=ROOT,
            )
        await self._ask(self._town)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def begin(self, *behaviours: Behaviour) -> Mapping[str, int]:
        """Returns when they are in place, and frozen if that belongs to them: how many connections each has made."""
        told = await self._ask({"begin": [one.name for one in behaviours]})
        if behaviours[0].frozen == "process":
            self._process.send_signal(signal.SIGSTOP)
            self._stopped = True
        elif behaviours[0].frozen == "network":
            assert self._network is not None, "a crowd that is to vanish needs a network that can be cut"
            self._network.cut()
        return {name: did.get("connections", 0) for name, did in told["did"].items()}

    async def leave(self) -> Told:
        """Close all sockets. What was stopped goes on before, and what was cut is mended."""
        if self._stopped:
            self._process.send_signal(signal.SIGCONT)
            self._stopped = False
        if self._network is not None:
            self._network.mend()
        told = await self._ask({"leave": True})
        return Told(told["did"], told["ended"], told["cpu"])

    async def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        try:
            async with asyncio.timeout(_PATIENCE):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise RuntimeError(f"the process of the rude has not done in {_PATIENCE:g} s what it was told: {order}") from None
        if not line:
            raise RuntimeError("the process of the rude has ended; what it says of that is above")
        return dict(json.loads(line))
