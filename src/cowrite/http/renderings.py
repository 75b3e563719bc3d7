"""Documents as they are sent, made once for all who ask for the same meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar
from weakref import WeakValueDictionary

T = TypeVar("T")


class Renderings:
    """Those that are on their way. Each is forgotten with the last answer that is made of it."""

    # Knows no web framework, and so not what they are: commands that have no server make one, too.

    def __init__(self) -> None:
        self._kept: WeakValueDictionary[Hashable, Any] = WeakValueDictionary()
        self._making: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    async def get(self, key: Hashable, make: Callable[[], Awaitable[T]]) -> T:
        """What ``make`` gives for that key, which names one content for good. Raises what it raises."""
        kept: T | None = self._kept.get(key)
        if kept is not None:
            return kept
        making = self._making.setdefault(key, asyncio.Lock())
        async with making:
            kept = self._kept.get(key)
            if kept is None:
                kept = self._kept[key] = await make()
            return kept
