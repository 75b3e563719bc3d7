"""Updates on their way to the disk."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from typing import Final

from cowrite.core.limits import Limits
from cowrite.core.rooms.received import Received

TRANSACTION_PARTS: Final = 20_000
"""Structs and deleted ranges of one document in one transaction: while it lasts, it holds the store's lock."""


class Backlog:
    """How much the whole process has not committed."""

    def __init__(self) -> None:
        self.bytes = 0
        self.updates = 0
        """How many updates these are."""


class PendingUpdates:
    """A room's updates that are not committed: those that wait, and those that the running transaction has taken.

    Nothing leaves but by :meth:`settle`, :meth:`resolve` (committed) and :meth:`drop`. A transaction that failed gives back, in
    order, what it took; one whose COMMIT is doubtful gives it back with a mark, and the next one finds out.
    """

    def __init__(self, backlog: Backlog) -> None:
        self._backlog = backlog
        self._waiting: list[Received] = []
        self._taken: list[Received] = []
        self._aside: list[Received] = []
        """What the running transaction puts into quarantine."""
        self._doubtful: dict[str, list[Received]] = {}
        """By group: what may be committed already."""
        self._quarantine_ids: dict[Received, str] = {}
        self.bytes = 0
        """Of all of them."""

    def __bool__(self) -> bool:
        return bool(self._waiting) or bool(self._taken) or bool(self._aside)

    def __iter__(self) -> Iterator[Received]:
        """All, in the order in which they were taken from their peers."""
        yield from self._aside
        yield from self._taken
        yield from self._waiting

    @property
    def leaves(self) -> bool:
        """Something goes into quarantine: it is no part of what is shown."""
        return bool(self._aside)

    @property
    def waiting(self) -> int:
        """How many no transaction has taken yet."""
        return len(self._waiting)

    @property
    def taken(self) -> int:
        """How many the running transaction has taken."""
        return len(self._taken)

    def accepts(self, size: int, limits: Limits) -> bool:
        """Whether one more of ``size`` bytes may wait.

        They are bounded in bytes and in number, for each document and for the process. One alone may wait whatever its size.
        """
        count = len(self._taken) + len(self._waiting)
        document = self.bytes + size <= limits.pending_document_bytes and count < limits.pending_document_updates
        backlog = self._backlog
        process = backlog.bytes + size <= limits.pending_process_bytes and backlog.updates < limits.pending_process_updates
        return (document or not count) and (process or not backlog.updates)

    def put(self, pending: Received) -> None:
        """One more."""
        self._waiting.append(pending)
        self._count(1, pending.size)

    def take(self, *, updates: int, size: int) -> list[Received]:
        """The first ones for a transaction: at most ``updates``, and no more than ``size`` bytes, nor so many structs that it
        would last, unless one alone is larger.
        """
        count = total = parts = 0
        for pending in self._waiting[:updates]:
            total += len(pending.update)
            parts += pending.outline.parts
            if count and (total > size or parts > TRANSACTION_PARTS):
                break
            count += 1
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        self._taken += taken
        return taken

    def put_aside(self, refused: Received) -> None:
        """This one goes into quarantine: it leaves with the running transaction, and comes back if that fails."""
        for updates in (self._taken, self._waiting):
            if refused in updates:
                updates.remove(refused)
                self._aside.append(refused)

    def quarantine_id(self, refused: Received, new_id: Callable[[], str]) -> str:
        """The id under which this one goes into quarantine, the same for each attempt."""
        return self._quarantine_ids.setdefault(refused, new_id())

    def release(self) -> None:
        """The running transaction does without what it took; that waits again."""
        self._waiting, self._taken = self._taken + self._waiting, []

    def give_back(self, *, doubtful_group: str | None = None) -> None:
        """The transaction failed: everything waits again. ``doubtful_group``: it may have been committed after all."""
        if doubtful_group is not None:
            self._doubtful[doubtful_group] = self._taken
        self._waiting, self._taken, self._aside = self._aside + self._taken + self._waiting, [], []

    def settle(self) -> list[Received]:
        """The transaction is committed: forget what it took and what it put aside; returns what it took."""
        settled, aside = self._taken, self._aside
        self._taken, self._aside = [], []
        for one in aside:
            self._quarantine_ids.pop(one, None)
        self._uncount(settled + aside)
        return settled

    def resolve(self, committed: Container[str]) -> list[Received]:
        """These groups are in the log: return (and forget) what doubtful ones of them brought."""
        resolved = [self._doubtful.pop(group) for group in list(self._doubtful) if group in committed]
        updates = [pending for group in resolved for pending in group]
        for pending in updates:
            self.drop(pending)
        return updates

    def doubts(self, group: str) -> bool:
        """The COMMIT of this group is in doubt."""
        return group in self._doubtful

    def doubt_no_more(self) -> None:
        """Everything up to the locked head is known: doubtful groups that did not show up were not committed."""
        self._doubtful.clear()

    def drop(self, dropped: Received) -> None:
        """This one leaves, for whatever reason."""
        for updates in (self._taken, self._waiting, self._aside):
            if dropped in updates:
                updates.remove(dropped)
                self._quarantine_ids.pop(dropped, None)
                self._uncount([dropped])
                return

    def _uncount(self, updates: Sequence[Received]) -> None:
        self._count(-len(updates), -sum([pending.size for pending in updates]))

    def _count(self, updates: int, size: int) -> None:
        self.bytes += size
        self._backlog.bytes += size
        self._backlog.updates += updates
