"""What one call costs: CPU time of its thread, and by how much the process has grown."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

LOOP_SECONDS = 0.1
"""What nothing that a peer sends may take of the event loop at once."""
MEMORY_BYTES = 64 << 20
"""By how much nothing that a peer sends may make the process grow."""
_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True, slots=True)
class Expense:
    """Seconds of CPU time; bytes by which the process's largest size has grown."""

    seconds: float
    grown: int

    @property
    def excessive(self) -> bool:
        """More than is promised."""
        return self.seconds > LOOP_SECONDS or self.grown > MEMORY_BYTES


def expense(work: Callable[[], object]) -> Expense:
    """Do it, and measure. What it raises, comes."""
    size, began = _largest(), time.thread_time()
    work()
    return Expense(time.thread_time() - began, _largest() - size)


def _largest() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT
