"""Who may have a connection to a database server, and who waits for one."""

from __future__ import annotations

import asyncio
import time

from cowrite.core.ports import PoolUse, StoreBusy


class Pool:
    """How many connections are in use, and who waits for one."""

    def __init__(self, size: int, patience: float) -> None:
        self.size = size
        self._patience = patience
        self.in_use = 0
        self.waits = 0
        self.waited_seconds = 0.0
        self._free = asyncio.Semaphore(size)

    async def take(self, place: str) -> None:
        """Raises :class:`StoreBusy`."""
        if self._free.locked():
            self.waits += 1
            began = time.monotonic()
            try:
                async with asyncio.timeout(self._patience):
                    await self._free.acquire()
            except TimeoutError:
                raise StoreBusy(
                    f"All {self.size} connections to {place} are in use for over {self._patience:g} s; "
                    "raise COWRITE_DATABASE_POOL_SIZE when that happens often."
                ) from None
            finally:
                self.waited_seconds += time.monotonic() - began
        else:
            await self._free.acquire()
        self.in_use += 1

    def give_back(self) -> None:
        """A connection that was taken."""
        self.in_use -= 1
        self._free.release()

    async def all_back(self) -> None:
        """Wait until none is in use, and let nobody have one any more."""
        for _ in range(self.size):
            await self._free.acquire()

    @property
    def use(self) -> PoolUse:
        """For those who look on."""
        return PoolUse(self.size, self.in_use, self.waits, self.waited_seconds)
