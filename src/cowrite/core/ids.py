"""Fresh ids: UUID version 7 (RFC 9562 §5.7) in text form, in the order in which one process made them."""

from __future__ import annotations

import secrets

from cowrite.core.ports import Clock

_COUNTER_BITS = 12
_RANDOM_BITS = 62


class Ids:
    """Makes UUIDv7 texts of 36 characters that sort in the order of their making.

    The millisecond comes from the clock and never goes back; within one millisecond the 12 bits after it count up, and when
    they are used up the next millisecond is begun early (RFC 9562 §6.2, method 1). The other 62 bits are random.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tick = 0
        """The last millisecond that was used, with the counter in its low 12 bits."""

    def new(self) -> str:
        """A fresh id."""
        return self._make(secrets.randbits(_RANDOM_BITS))

    def many(self, count: int) -> list[str]:
        """Fresh ids in their order.

        Asks the system for random numbers once: each time another thread may run and keep this one waiting for 5 ms.
        """
        bits = secrets.token_bytes(8 * count)
        return [self._make(int.from_bytes(bits[at : at + 8]) & (1 << _RANDOM_BITS) - 1) for at in range(0, 8 * count, 8)]

    def _make(self, random: int) -> str:
        self._tick = max(self._clock.now() << _COUNTER_BITS, self._tick + 1)
        milliseconds, counter = self._tick >> _COUNTER_BITS, self._tick & 0xFFF
        digits = f"{milliseconds:012x}7{counter:03x}{0b10 << _RANDOM_BITS | random:016x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
