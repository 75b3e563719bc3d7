"""Which awareness entries of a room have changed since when: for clients that ask now and then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from cowrite.core.presence.awareness import Awareness
from cowrite.protocol.awareness import AwarenessEntry

MAX_ENDED: Final = 1000
"""So many clients that are gone are remembered; whoever asks less often than that finds out by their silence."""


@dataclass(slots=True)
class AwarenessHistory:
    """Numbers the changes of one room's awareness. It looks at that only when it is told to."""

    version: int = 0
    _seen: dict[int, tuple[AwarenessEntry, int]] = field(default_factory=dict)
    """By Yjs client its newest entry, and the version with which that came; the one that changed last at the end."""

    def look(self, awareness: Awareness) -> None:
        """Take note of what has changed."""
        living = {entry.client_id: entry for entry in awareness.entries()}
        ended = [number for number, (entry, _) in self._seen.items() if entry.state is not None and number not in living]
        gone = {entry.client_id: entry for entry in awareness.entries(ended)}
        for number in ended:
            gone.setdefault(number, AwarenessEntry(number, self._seen[number][0].clock, None))
        for number, entry in (living | gone).items():
            if (known := self._seen.pop(number, None)) is not None and known[0] == entry:
                self._seen[number] = known
                continue
            self.version += 1
            self._seen[number] = entry, self.version
        if len(self._seen) > len(living) + MAX_ENDED:
            self._seen = {number: known for number, known in self._seen.items() if known[0].state is not None}

    def since(self, version: int) -> Sequence[AwarenessEntry]:
        """The entries that have changed behind this version; at 0 those that live."""
        return [entry for entry, at in self._seen.values() if at > version and (version or entry.state is not None)]
