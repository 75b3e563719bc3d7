"""Gives memory that is free back to the system."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import suppress
from functools import cache


def give_back_memory() -> None:
    """Let the system have what the engine has freed. Where the C library has no way to say so, nothing happens.

    glibc keeps freed memory that lies between memory in use: after many documents were put to rest that is most of it. Takes
    some milliseconds (https://man7.org/linux/man-pages/man3/malloc_trim.3.html).
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    with suppress(OSError, AttributeError, TypeError):
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
        return found
    return None
