"""How much this process has to do: whether it takes more connections, and what clients are told about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from cowrite.core.ports import Clock

MEASURE_SECONDS: Final = 0.25
"""How often the event loop's lateness is measured."""
LATE_SECONDS: Final = 0.1
"""Average lateness from which on the process counts as degraded."""
CROWDED: Final = 0.9
"""The share of its connections from which on it does."""
_WEIGHT: Final = 0.2

Status: TypeAlias = Literal["ok", "degraded", "draining"]


class ServerLoad:
    """What one process measures of itself."""

    def __init__(
        self, clock: Clock, *, max_connections: int, connections: Callable[[], int], failing: Callable[[], bool]
    ) -> None:
        self._clock = clock
        self._max_connections = max_connections
        self._connections = connections
        self._failing = failing
        self.lag = 0.0
        """Seconds by which the event loop is late, averaged over the last ones."""
        self.draining = False
        """Nobody comes in any more."""

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            began = self._clock.monotonic()
            await self._clock.sleep(MEASURE_SECONDS)
            late = max(0.0, self._clock.monotonic() - began - MEASURE_SECONDS)
            self.lag += _WEIGHT * (late - self.lag)

    @property
    def accepts(self) -> bool:
        """One more connection may come."""
        return not self.draining and self._connections() < self._max_connections

    @property
    def crowded(self) -> bool:
        """Its number of connections is near the limit: those who can poll had better do so."""
        return self._connections() >= CROWDED * self._max_connections

    @property
    def status(self) -> Status:
        """What clients are told: ``degraded`` when late, crowded, edits do not reach the store, or others' come late."""
        if self.draining:
            return "draining"
        return "degraded" if self.lag >= LATE_SECONDS or self.crowded or self._failing() else "ok"
