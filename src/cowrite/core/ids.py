"""Fresh ids: UUID version 7 (RFC 9562 §5.7) in text form, in the order in which one process made them."""

from __future__ import annotations

import os
import secrets
import weakref
from typing import Final

from cowrite.core.ports import Clock

_COUNTER_BITS = 12
_AT_ONCE: Final = 64
"""So many random numbers are asked of the system in one call, which takes it as long as making ten ids."""
_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
"""The first digit of the random part: its upper two bits are those of RFC 9562, the others stay as they are."""


class Ids:
    """Makes UUIDv7 texts of 36 characters that sort in the order of their making.

    The millisecond comes from the clock and never goes back; within one millisecond the 12 bits after it count up, and when
    they are used up the next millisecond is begun early (RFC 9562 §6.2, method 1). The other 62 bits are random.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tick = 0
        """The last millisecond that was used, with the counter in its low 12 bits."""
        self._millisecond = -1
        """The one that ``_begins`` is of: under load several ids are made in each."""
        self._begins = ""
        self._ends: list[str] = []
        """Random parts that were used for nothing yet."""
        _all.add(self)

    def new(self) -> str:
        """A fresh id."""
        if not self._ends:
            self._ends = _random_ends(_AT_ONCE)
        return self._make(self._ends.pop())

    def many(self, count: int) -> list[str]:
        """Fresh ids in their order.

        Asks the system for random numbers once: each time another thread may run and keep this one waiting for 5 ms.
        """
        if count > len(self._ends):
            self._ends += _random_ends(max(_AT_ONCE, count))
        return [self._make(self._ends.pop()) for _ in range(count)]

    def forget(self) -> None:
        """Use no random number that was asked for before: another process has the same ones."""
        self._ends = []

    def _make(self, ends: str) -> str:
        self._tick = tick = max(self._clock.now() << _COUNTER_BITS, self._tick + 1)
        millisecond = tick >> _COUNTER_BITS
        if millisecond != self._millisecond:
            digits = f"{millisecond:012x}"
            self._millisecond, self._begins = millisecond, f"{digits[:8]}-{digits[8:]}-7"
        return f"{self._begins}{tick & 0xFFF:03x}{ends}"


def _random_ends(count: int) -> list[str]:
    """The last two of the five groups of digits, each with the hyphen before it."""
    digits = secrets.token_bytes(8 * count).hex()
    return [f"-{_VARIANT[digits[at]]}{digits[at + 1 : at + 4]}-{digits[at + 4 : at + 16]}" for at in range(0, 16 * count, 16)]


_all: weakref.WeakSet[Ids] = weakref.WeakSet()


def _forget() -> None:
    for ids in _all:
        ids.forget()


os.register_at_fork(after_in_child=_forget)
