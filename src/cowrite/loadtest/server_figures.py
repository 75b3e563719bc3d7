"""What the load costs the server: processor time, memory, and how late its event loop is.

From ``/metrics`` of a cowrite server, or from the system where the process is known by its id; then
any server can be looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import httpx

from cowrite.loadtest.addresses import Addresses
from cowrite.loadtest.errors import LoadError, PlanError
from cowrite.loadtest.plan import Plan

_LINE: Final = re.compile(r"^(cowrite_(?:cpu_seconds_total|memory_bytes|loop_lag_seconds)(?:\{[^}]*\})?) (\S+)$", re.MULTILINE)
_SECONDS: Final = 10.0
_NEW_SECONDS: Final = 3.0
"""So old the newest figures may be to be those of now."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The server at one moment (monotonic clock, seconds), all of its processes together."""

    at: float
    cpu_seconds: float
    memory_bytes: float
    loop_lag_ms: float | None = None
    """Of the process that is latest; None: not known."""


class Source(Protocol):
    """Where the figures come from."""

    name: str

    async def read(self) -> Sample:
        """The figures now. Raises :class:`LoadError`."""
        ...

    def memory(self) -> float | None:
        """The bytes in memory alone, which costs little; None where that cannot be had without asking the server."""
        ...

    async def close(self) -> None:
        """Nothing more is read."""
        ...


class MetricsSource:
    """``/metrics`` of a cowrite server."""

    name = "metrics"

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = httpx.AsyncClient(timeout=_SECONDS, trust_env=False)

    async def read(self) -> Sample:
        try:
            answer = await self._client.get(self._url)
            answer.raise_for_status()
        except httpx.HTTPStatusError as error:
            raise LoadError(
                f"{self._url} answers {error.response.status_code}: is it a cowrite server? Of any other give the ws:// address"
            ) from None
        except httpx.HTTPError as error:
            raise LoadError(f"nobody answers at {self._url} ({type(error).__name__}): is the server running there?") from None
        totals: dict[str, list[float]] = {}
        for name, value in _LINE.findall(answer.text):
            totals.setdefault(name.partition("{")[0], []).append(float(value))
        if "cowrite_cpu_seconds_total" not in totals:
            raise LoadError(f"{self._url} has no figures of a cowrite server: give the ws:// address of any other one")
        lag = max(totals.get("cowrite_loop_lag_seconds", [0.0])) * 1000
        memory = sum(totals.get("cowrite_memory_bytes", []))
        return Sample(time.monotonic(), sum(totals["cowrite_cpu_seconds_total"]), memory, lag)

    def memory(self) -> float | None:
        return None

    async def close(self) -> None:
        await self._client.aclose()


class ProcessSource:
    """A process of this machine and its children; its event loop, where it is a cowrite server."""

    name = "process"

    def __init__(self, pid: int, metrics: MetricsSource | None) -> None:
        try:
            import psutil
        except ImportError:
            raise PlanError(
                "to look at a process psutil is needed: pip install 'cowrite[load]', or leave --server-pid out"
            ) from None
        self._psutil: Any = psutil
        self._metrics = metrics
        try:
            self._process = psutil.Process(pid)
        except psutil.Error:
            raise PlanError(f"there is no process {pid} on this machine: look up the server's process id") from None
        self._members = [self._process]

    async def read(self) -> Sample:
        lag = None if self._metrics is None else (await self._metrics.read()).loop_lag_ms
        return await asyncio.to_thread(self._look, lag)

    def _look(self, lag: float | None) -> Sample:
        try:
            members = self._members = [self._process, *self._process.children(recursive=True)]
            times = [member.cpu_times() for member in members]
            memory = sum(member.memory_info().rss for member in members)
        except self._psutil.Error as error:
            raise LoadError(f"the server's process cannot be looked at: {error}") from None
        return Sample(time.monotonic(), sum(one.user + one.system for one in times), memory, lag)

    def memory(self) -> float | None:
        try:
            return float(sum(member.memory_info().rss for member in self._members))
        except self._psutil.Error:
            return None

    async def close(self) -> None:
        if self._metrics is not None:
            await self._metrics.close()


def source_for(plan: Plan) -> Source | None:
    """Where this plan's server can be looked at; None: nowhere. Raises :class:`LoadError`."""
    url = Addresses(plan).metrics_url
    metrics = None if url is None else MetricsSource(url)
    return metrics if plan.server_pid is None else ProcessSource(plan.server_pid, metrics)


@dataclass(slots=True)
class Watch:
    """Looks at the server once a second. Of a failure in between nothing is made: the next look tells."""

    source: Source
    samples: list[Sample] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)
    """When (monotonic clock, seconds), and how many bytes; only where it is looked at closely."""
    blind: str | None = None
    """Why a look in the middle of the run failed."""
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def look(self) -> Sample:
        """Look now. Raises :class:`LoadError`."""
        sample = await self.source.read()
        self.samples.append(sample)
        return sample

    async def glance(self) -> Sample | None:
        """Look now, in the middle of a run. None: that failed, and :attr:`blind` has why."""
        try:
            return await self.look()
        except LoadError as error:
            self.blind = str(error)
            return None

    def newest(self) -> Sample | None:
        """What was seen in the last seconds."""
        latest = self.samples[-1] if self.samples else None
        return latest if latest is not None and time.monotonic() - latest.at < _NEW_SECONDS else None

    def start(self, *, closely: bool) -> None:
        """Look once a second from now on; ``closely``: at the memory alone twenty times as often."""
        self._tasks.append(asyncio.create_task(self._watch()))
        if closely:
            self._tasks.append(asyncio.create_task(self._watch_memory()))

    async def stop(self) -> None:
        """No more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.source.close()

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(LoadError):
                await self.look()
            await asyncio.sleep(1)

    async def _watch_memory(self) -> None:
        while (size := self.source.memory()) is not None:
            self.memory.append((time.monotonic(), size))
            await asyncio.sleep(0.05)
