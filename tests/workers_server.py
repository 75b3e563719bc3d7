"""A real ``cowrite serve --workers``: one port, several processes, of which one can be made to take the next connection."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from demo_server import START_SECONDS, DemoServer

READY = "cowrite is ready"


class WorkersServer(DemoServer):
    """Started when all workers are ready. Its process is the supervisor."""

    def __init__(self, folder: Path, *, workers: int = 2, demo: bool = True, **settings: str) -> None:
        super().__init__(folder, demo=demo, COWRITE_WORKERS=str(workers), **settings)
        self._workers = workers

    def start(self) -> None:
        lines = len(self.log(READY))
        super().start()
        self.wait(lambda: len(self.log(READY)) > lines)

    def wait(self, happened: Any) -> None:
        """Until it is so; raises ``AssertionError`` with the log when that takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while not happened():
            assert time.monotonic() < deadline, f"in vain:\n{self._log.read_text()}"
            time.sleep(0.05)

    def settle(self) -> None:
        """Wait until none is being replaced or started again, and each takes connections."""
        self.wait(lambda: len(self.log("workers are replaced")) == len(self.log("workers were replaced")))
        self.wait(lambda: len(self.workers()) == self._workers)
        for pid in self.workers():
            with self.taking(pid):
                self.health()

    def log(self, word: str) -> list[str]:
        """The lines with this in them."""
        return [line for line in self._log.read_text().splitlines() if word in line] if self._log.exists() else []

    def workers(self) -> Sequence[int]:
        """The ids of the workers' processes, the oldest first."""
        children = sorted(psutil.Process(self.pid).children(), key=psutil.Process.create_time)
        return [child.pid for child in children if child.status() != psutil.STATUS_ZOMBIE]

    @contextmanager
    def taking(self, worker: int) -> Iterator[None]:
        """Who connects while the block runs comes to this one: the others are frozen. Few things, and quick ones."""
        others = [pid for pid in self.workers() if pid != worker]
        try:
            for pid in others:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in others:
                os.kill(pid, signal.SIGCONT)
