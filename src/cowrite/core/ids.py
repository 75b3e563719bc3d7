"""Fresh ids: UUID version 7 (RFC 9562 §5.7) in text form, in the order in which one process made them."""

from __future__ import annotations

import os
import secrets
import weakref
from typing import Final

from cowrite.core.ports import Clock

_COUNTER_BITS = 12
_RANDOM_BITS = 62
_AT_ONCE: Final = 64
"""So many random numbers are asked of the system in one call, which takes it as long as making ten ids."""


class Ids:
    """Makes UUIDv7 texts of 36 characters that sort in the order of their making.

    The millisecond comes from the clock and never goes back; within one millisecond the 12 bits after it count up, and when
    they are used up the next millisecond is begun early (RFC 9562 §6.2, method 1). The other 62 bits are random.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tick = 0
        """The last millisecond that was used, with the counter in its low 12 bits."""
        self._numbers: list[int] = []
        """Random numbers that were used for nothing yet."""
        _all.add(self)

    def new(self) -> str:
        """A fresh id."""
        if not self._numbers:
            self._numbers = _random_numbers(_AT_ONCE)
        return self._make(self._numbers.pop())

    def many(self, count: int) -> list[str]:
        """Fresh ids in their order.

        Asks the system for random numbers once: each time another thread may run and keep this one waiting for 5 ms.
        """
        if count > len(self._numbers):
            self._numbers += _random_numbers(max(_AT_ONCE, count))
        return [self._make(self._numbers.pop()) for _ in range(count)]

    def forget(self) -> None:
        """Use no random number that was asked for before: another process has the same ones."""
        self._numbers = []

    def _make(self, random: int) -> str:
        self._tick = max(self._clock.now() << _COUNTER_BITS, self._tick + 1)
        milliseconds, counter = self._tick >> _COUNTER_BITS, self._tick & 0xFFF
        digits = f"{milliseconds:012x}7{counter:03x}{0b10 << _RANDOM_BITS | random:016x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _random_numbers(count: int) -> list[int]:
    bits = secrets.token_bytes(8 * count)
    return [int.from_bytes(bits[at : at + 8]) & (1 << _RANDOM_BITS) - 1 for at in range(0, 8 * count, 8)]


_all: weakref.WeakSet[Ids] = weakref.WeakSet()


def _forget() -> None:
    for ids in _all:
        ids.forget()


os.register_at_fork(after_in_child=_forget)
