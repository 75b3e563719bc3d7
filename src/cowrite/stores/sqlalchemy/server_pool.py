"""Who may have a connection to a database server, and who waits for one."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from cowrite.core.ports import PoolUse, StoreBusy
from cowrite.stores.sqlalchemy.database import is_first

_KEPT: Final = 2
"""Connections that are kept for those who come first: one that writes, and one for what is read meanwhile."""


class Pool:
    """How many connections are in use, and who waits for one.

    Some are kept for those who come first, see :func:`~cowrite.stores.sqlalchemy.database.first`.
    """

    def __init__(self, size: int, patience: float) -> None:
        self.size = size
        self._patience = patience
        self.in_use = 0
        self.waits = 0
        self.waited_seconds = 0.0
        self._free = asyncio.Semaphore(size)
        self._for_all = asyncio.Semaphore(size - min(_KEPT, size // 2))

    async def take(self, place: str) -> bool:
        """Returns whether it is one of those that are not kept for anybody. Raises :class:`StoreBusy`."""
        for_all = not is_first()
        if self._free.locked() or (for_all and self._for_all.locked()):
            self.waits += 1
            began = time.monotonic()
            try:
                async with asyncio.timeout(self._patience):
                    await self._acquire(for_all=for_all)
            except TimeoutError:
                raise StoreBusy(
                    f"All {self.size} connections to {place} are in use for over {self._patience:g} s; "
                    "raise COWRITE_DATABASE_POOL_SIZE when that happens often."
                ) from None
            finally:
                self.waited_seconds += time.monotonic() - began
        else:
            await self._acquire(for_all=for_all)
        self.in_use += 1
        return for_all

    async def _acquire(self, *, for_all: bool) -> None:
        if not for_all:
            await self._free.acquire()
            return
        await self._for_all.acquire()
        try:
            await self._free.acquire()
        except BaseException:
            self._for_all.release()
            raise

    def give_back(self, *, for_all: bool) -> None:
        """A connection that was taken; ``for_all`` is what :meth:`take` has returned."""
        self.in_use -= 1
        self._free.release()
        if for_all:
            self._for_all.release()

    async def all_back(self) -> None:
        """Wait until none is in use, and let nobody have one any more."""
        for _ in range(self.size):
            await self._free.acquire()

    @property
    def use(self) -> PoolUse:
        """For those who look on."""
        return PoolUse(self.size, self.in_use, self.waits, self.waited_seconds)
