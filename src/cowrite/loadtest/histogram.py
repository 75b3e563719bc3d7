"""Many durations in little room: how many there were of about each length, to within half a percent."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final, Self

_STEP: Final = math.log(1.01)
_SMALLEST: Final = 0.001
"""Milliseconds: what is shorter counts as this."""


class Histogram:
    """Durations in milliseconds, in buckets that are 1 % wide."""

    __slots__ = ("counts", "longest")

    def __init__(self, counts: Mapping[int, int] | None = None, longest: float = 0.0) -> None:
        self.counts: Counter[int] = Counter(counts)
        self.longest = longest

    def add(self, durations: Iterable[float]) -> None:
        """Count these."""
        log, step, smallest, durations = math.log, _STEP, _SMALLEST, list(durations)
        if durations:
            self.longest = max(self.longest, max(durations))
            self.counts.update([int(log(max(one, smallest) / smallest) / step) for one in durations])

    def join(self, other: Self) -> None:
        """Count what the other one has counted."""
        self.counts.update(other.counts)
        self.longest = max(self.longest, other.longest)

    def __len__(self) -> int:
        return self.counts.total()

    def quantile(self, share: float) -> float:
        """The duration that this share of all does not exceed; 0 where there is none."""
        left = share * self.counts.total()
        for bucket in sorted(self.counts):
            left -= self.counts[bucket]
            if left <= 0:
                return min(_middle(bucket), self.longest)
        return self.longest

    def pairs(self) -> list[tuple[float, int]]:
        """The middle of each bucket that is not empty, and how many are in it."""
        return [(round(_middle(bucket), 4), self.counts[bucket]) for bucket in sorted(self.counts)]

    def to_json(self) -> dict[str, Any]:
        """For another process."""
        return {"counts": sorted(self.counts.items()), "longest": self.longest}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """What the other one counted."""
        return cls(dict(map(tuple, told["counts"])), told["longest"])


def _middle(bucket: int) -> float:
    return _SMALLEST * math.exp((bucket + 0.5) * _STEP)
