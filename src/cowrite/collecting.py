"""When Python looks for garbage in cycles, which memory goes back to the system, and how soon threads take turns.

A look at everything takes as long as there is much: a fifth of a second with a thousand connections, in which nobody is
served. Left to itself the collector does so every few seconds under load, and the smaller looks took a tenth of the time.
Nearly everything is freed without it; what is not (the parts of a connection that has ended know one another) can wait.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import Final

from cowrite.core.ports import Clock

_THRESHOLDS: Final = (1_000, 4, 4_000)
"""New objects from which on the young ones are looked at, and how many of these looks go before one at older ones, and at all:
the last is left for what nobody foresaw.

Each object that stays is looked at as often, whatever the first two are; they say at how many at a time. Of 5000 who came at
once a look at 200 000 objects took 108 ms; one at 5000 takes 3.
"""
_SWITCH_SECONDS: Final = 0.001
_LARGE_BYTES: Final = 1 << 20
_MMAP_THRESHOLD: Final = -3
"""Its number in glibc's ``malloc.h``."""
_LOOK_SECONDS: Final = 1.0
_QUIET: Final = 0.2
"""The share of this thread's time up to which a process is quiet."""
_SOONEST_SECONDS: Final = 60.0
_LATEST_SECONDS: Final = 600.0


def collect_seldom() -> None:
    """What is here now stays; what comes is looked at less often than Python does by itself. Whoever started this process may
    have turned the collector off: it is on afterwards.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
    gc.enable()


def take_turns_soon() -> None:
    """From now on a thread that computes lets another one go on after a millisecond, where Python's own time is five.

    The event loop has to ask for the interpreter each time that it has waited for its sockets: while a thread made the rows of
    a large transaction, whoever typed waited for 5 ms in each of the loop's turns.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)


def give_back_large_blocks() -> None:
    """From now on memory of a megabyte or more that is freed goes back to the system at once.

    Left to itself glibc keeps what is smaller than the largest block that was ever freed, up to 32 MB: after one document of
    20 MB a process is twice as large as it need be for good. Other libraries do not, and nothing happens.
    """
    if sys.platform != "win32" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)


async def collect_when_quiet(clock: Clock) -> None:
    """Look at everything when the loop's thread has been quiet for a second and the last time was a minute ago, or at the
    latest after ten minutes. Run it on the loop, until cancelled.
    """
    collected = clock.monotonic()
    while True:
        began, used = clock.monotonic(), clock.cpu()
        await clock.sleep(_LOOK_SECONDS)
        now = clock.monotonic()
        quiet = clock.cpu() - used <= _QUIET * (now - began)
        if now - collected >= (_SOONEST_SECONDS if quiet else _LATEST_SECONDS):
            gc.collect()
            collected = clock.monotonic()
