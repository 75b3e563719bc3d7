"""SIGSTOP for whole servers: a process with many threads goes on for a while after it was sent, on a busy machine for long."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_PATIENCE: Final = 20.0
_STANDING: Final = frozenset("TtZX")
"""States of threads that do nothing any more (proc(5))."""


def freeze(*pids: int) -> None:
    """Stop these processes; returns when none of their threads runs (Linux; elsewhere at once). Raises ``TimeoutError``."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    give_up = time.monotonic() + _PATIENCE
    while any(state not in _STANDING for pid in pids for state in _states(pid)):
        if time.monotonic() > give_up:
            raise TimeoutError(f"{pids} still run {_PATIENCE:g} s after SIGSTOP")
        time.sleep(0.002)


def _states(pid: int) -> Iterator[str]:
    for file in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            yield file.read_text().rpartition(")")[2].split()[0]
