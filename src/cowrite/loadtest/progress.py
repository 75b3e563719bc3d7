"""How a run goes, for somebody who watches: one line that changes on a terminal, else a line for each second."""

from __future__ import annotations

import sys
from typing import Final

from rich.console import Console
from rich.status import Status

from cowrite.loadtest.histogram import Histogram
from cowrite.loadtest.meter import Second
from cowrite.loadtest.plan import Plan
from cowrite.loadtest.server_figures import Sample

_MB: Final = 1e6


class Progress:
    """A listener of a run. It writes to stderr, so that the report alone is the output. Close it at the end."""

    def __init__(self, plan: Plan, console: Console | None = None) -> None:
        self._plan = plan
        self._console = console or Console(stderr=True, highlight=False)
        self._status: Status | None = None
        self._phase = ""
        self._seconds: dict[int, Second] = {}
        self._told: dict[int, int] = {}
        self._server: Sample | None = None
        self._core: float | None = None

    def phase(self, name: str) -> None:
        """See ``running.Listener``."""
        self._phase = name
        self._show(name)

    def second(self, second: Second, server: Sample | None) -> None:
        """See ``running.Listener``. Of several processes a second is shown when all have told it."""
        known = self._seconds.setdefault(second.at, Second(second.at))
        known.join(second)
        self._told[second.at] = self._told.get(second.at, 0) + 1
        if self._told[second.at] == self._plan.processes:
            self._look_at(server)
            self._show(
                f"{self._phase} {second.at + 1:>3} of {self._plan.seconds:g} s  {_line(known.latency, known)}{self._cost()}"
            )
            del self._seconds[second.at]

    def close(self) -> None:
        """The run is over."""
        if self._status is not None:
            self._status.stop()

    def _look_at(self, server: Sample | None) -> None:
        before, self._server = self._server, server
        if before is not None and server is not None and server.at > before.at:
            self._core = 100 * (server.cpu_seconds - before.cpu_seconds) / (server.at - before.at)

    def _cost(self) -> str:
        if self._server is None:
            return ""
        core = "" if self._core is None else f" {self._core:.0f} % of a core,"
        return f", server{core} {self._server.memory_bytes / _MB:.0f} MB"

    def _show(self, line: str) -> None:
        if not self._console.is_terminal:
            self._console.print(line, soft_wrap=True)
        elif self._status is None:
            self._status = self._console.status(line)
            self._status.start()
        else:
            self._status.update(line)


def _line(latency: Histogram, second: Second) -> str:
    if not len(latency):
        return f"{second.frames:,} frames"
    late = f"p50 {latency.quantile(0.5):.1f}, p99 {latency.quantile(0.99):.1f} ms"
    return f"{second.deliveries:,} deliveries, {late}"


class Quiet:
    """A listener that shows nothing."""

    def phase(self, name: str) -> None:
        """See ``running.Listener``."""

    def second(self, second: Second, server: Sample | None) -> None:
        """See ``running.Listener``."""

    def close(self) -> None:
        """See :class:`Progress`."""


def watcher(plan: Plan, *, quiet: bool) -> Progress | Quiet:
    """Who watches the run."""
    return Quiet() if quiet or sys.stderr is None else Progress(plan)
