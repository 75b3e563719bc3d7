"""What copies stand for: of what restores and undos brought back, the ids under which it was first written.

Theory of operation. The chain is followed when a copy is added, by what is known of what it copies. So a copy of a copy costs
no more to look up, and two copies of the same are known as such.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from operator import itemgetter

from cowrite.crdt.history.copies import Copy

Origin = tuple[int, int, int, int]
"""(First clock, the clock behind the last, Yjs client that wrote it first, the clock there of the first)."""


class Origins:
    """Add the copies of a log in order."""

    def __init__(self, copies: Iterable[Copy] = ()) -> None:
        self._clients: dict[int, list[Origin]] = {}  # of each ascending
        for copy in copies:
            self.add(*copy)

    def __bool__(self) -> bool:
        return bool(self._clients)

    def add(self, client: int, clock: int, length: int, old_client: int, old_clock: int) -> None:
        """Note that clocks of one client copy as many of another one."""
        by = clock - old_clock
        found = [
            (start + by, end + by, first_client, first_clock)
            for start, end, first_client, first_clock in self.spans(old_client, old_clock, old_clock + length)
        ]
        known = self._clients.setdefault(client, [])
        at = bisect_right(known, clock, key=_FIRST)
        known[at:at] = found

    def copied(self, client: int, clock: int, end: int) -> bool:
        """Tell whether any of the clocks from ``clock`` up to ``end`` is a copy."""
        known = self._clients.get(client, ())
        at = bisect_right(known, clock, key=_BEHIND)
        return at < len(known) and known[at][0] < end

    def spans(self, client: int, clock: int, end: int) -> list[Origin]:
        """Tell what the clocks from ``clock`` up to ``end`` were first, in order; what is no copy, is itself."""
        known = self._clients.get(client, ())
        spans: list[Origin] = []
        at = bisect_right(known, clock, key=_BEHIND)
        while clock < end:
            if at == len(known) or known[at][0] >= end:
                spans.append((clock, end, client, clock))
                break
            start, stop, first_client, first_clock = known[at]
            if start > clock:
                spans.append((clock, start, client, clock))
                clock = start
            stop = min(stop, end)
            spans.append((clock, stop, first_client, first_clock + clock - start))
            clock = stop
            at += 1
        return spans


_FIRST = itemgetter(0)
_BEHIND = itemgetter(1)
