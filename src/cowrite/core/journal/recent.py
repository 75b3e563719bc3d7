"""What the journal has committed in the last minute: how much, of which documents, and how long its transactions took.

Counted in slots of some seconds, so that a commit costs one addition, and a busy process keeps no more than an idle one.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final

from cowrite.core.ports import Clock

RECENT_SECONDS: Final = 60.0
"""What recent means."""
_SLOT_SECONDS: Final = 5.0
_SLOTS: Final = round(RECENT_SECONDS / _SLOT_SECONDS)
_TIMES: Final = 500
"""Of so many transactions in a slot the times are kept, the last ones."""


@dataclass(slots=True)
class _Slot:
    number: int
    entries: Counter[str] = field(default_factory=Counter)
    times: deque[float] = field(default_factory=lambda: deque(maxlen=_TIMES))


class RecentCommits:
    """See the module's docstring. Times are seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.monotonic()
        self._slots: deque[_Slot] = deque(maxlen=_SLOTS)

    def count(self, document_id: str, entries: int) -> None:
        """Entries of a document were committed. Cheap."""
        self._now().entries[document_id] += entries

    def took(self, seconds: float) -> None:
        """A transaction took so long, from its beginning to the end of its COMMIT. Cheap."""
        self._now().times.append(seconds)

    def per_second(self) -> float:
        """Entries of all documents for each second."""
        return sum(slot.entries.total() for slot in self._living()) / self._span()

    def per_minute(self) -> Counter[str]:
        """Entries of each document that has had some, for a whole minute. While the process is younger, what that comes to."""
        total: Counter[str] = Counter()
        for slot in self._living():
            total.update(slot.entries)
        scale = RECENT_SECONDS / self._span()
        return Counter({document_id: round(entries * scale) for document_id, entries in total.items()})

    def quantile(self, share: float) -> float | None:
        """The time that this share of transactions did not exceed (0.5: the median). None: there was none."""
        times = sorted(time for slot in self._living() for time in slot.times)
        return times[min(len(times) - 1, int(share * len(times)))] if times else None

    def _now(self) -> _Slot:
        number = self._number()
        if not self._slots or self._slots[-1].number != number:
            self._slots.append(_Slot(number))
        return self._slots[-1]

    def _living(self) -> list[_Slot]:
        oldest = self._number() - _SLOTS
        return [slot for slot in self._slots if slot.number > oldest]

    def _number(self) -> int:
        return int(self._clock.monotonic() // _SLOT_SECONDS)

    def _span(self) -> float:
        """Seconds that the living slots stand for: a slot at least, else the first edit would look like a flood."""
        return max(_SLOT_SECONDS, min(RECENT_SECONDS, self._clock.monotonic() - self._began))
