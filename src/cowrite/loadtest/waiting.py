"""Waiting for what is a matter of counting, and so no event."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


async def wait_until(holds: Callable[[], bool], seconds: float, *, look_every: float = 0.02) -> bool:
    """Wait until it holds, for so long at most; whether it does."""
    end = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < end:  # noqa: ASYNC110 # see the module
        await asyncio.sleep(look_every)
    return held
