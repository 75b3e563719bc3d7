"""Which messages of one peer are durable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from cowrite.core.delivery.dialect import Dialect
from cowrite.core.delivery.edit_spans import EditSpans
from cowrite.core.delivery.outbox import Outbox
from cowrite.crdt.outline import Outline
from cowrite.protocol.messages import Acknowledged


class Acknowledgements:
    """Numbers a peer's SyncStep2 and Update messages and tells how many of them, from the first on, are durable.

    The count advances in the peer's own order: message 5 is not acknowledged before message 4. A message that was refused holds
    the count until a later SyncStep2 is durable: that one has everything that its sender had and the server had not. Memory is
    bounded by the messages that are on their way to the disk: of the refused ones only the first and the last number are kept,
    so that after a SyncStep2 in between the count may wait for the next one although it need not.
    """

    tells_refusals: ClassVar = False
    """Each refusal is told by itself; else the peer is told once that it may not write."""

    def __init__(self) -> None:
        self.received = 0
        """How many messages have arrived."""
        self._outstanding: set[int] | None = None
        """Numbers on their way to the disk. None: none, as with most peers most of the time; an empty set is large."""
        self._ended = 0
        """No number below this one is outstanding."""
        self._refused: tuple[int, int] | None = None
        """No message from the first of these on is known to be durable; none after the last was refused."""
        self._told = 0
        self._offset = 0
        self.spans: EditSpans | None = None
        """What is traced of the messages. None: nothing is."""

    @property
    def count(self) -> int:
        """How many messages, from the first on, are durable."""
        return self._ended if self._refused is None else min(self._ended, self._refused[0])

    @property
    def ended(self) -> int:
        """Of how many messages, from the first on, it is known what became of them."""
        return self._ended

    def ask(self) -> None:
        """The client is asked for what it has (SyncStep1)."""

    def begin(self, has: Mapping[int, int]) -> None:
        """The client begins to synchronise (SyncStep1), or begins anew; ``has`` is its state vector."""

    def receive(self, *, everything: bool = False, outline: Outline | None = None) -> int:
        """Number a message that has arrived. ``everything``: it is a SyncStep2. ``outline``: where it is known.

        May raise :class:`PeerError`.
        """
        number = self.received
        self.received += 1
        if self._outstanding is None:
            self._outstanding = set()
        self._outstanding.add(number)
        if self.spans is not None and (outline is None or not outline.is_empty):
            self.spans.begin(number)
        return number

    def refuse(self, number: int) -> None:
        """This message will not be committed as it came; only a later SyncStep2 can make up for it."""
        first, last = self._refused or (number, number)
        self._refused = min(first, number), max(last, number)
        if self.spans is not None:
            self.spans.refused(number, "refused")
        self._end(number)

    def refused_since(self, number: int) -> bool:
        """Whether this message or a later one was refused, and nothing has made up for it."""
        return self._refused is not None and self._refused[1] >= number

    def commit(self, number: int, offset: int, *, everything: bool = False) -> None:
        """This message, unless it was refused, is durable at ``offset``.

        ``everything``: it was a SyncStep2, and makes up for what was refused before it.
        """
        self._offset = max(self._offset, offset)
        if everything and self._refused is not None and number > self._refused[0]:
            last = self._refused[1]
            self._refused = (number + 1, last) if last > number else None
        if self.spans is not None:
            self.spans.durable(number, offset)
        self._end(number)

    def blame(self, number: int, code: str) -> None:
        """For this message, or with it, the peer is sent away, or it is kept aside: tell whoever traces it why."""
        if self.spans is not None:
            self.spans.refused(number, code)

    def take(self) -> tuple[int, int] | None:
        """The count and the newest offset when the count has grown since the last call."""
        count = self.count
        if count <= self._told:
            return None
        self._told = count
        return count, self._offset

    def tell(self, outbox: Outbox, dialect: Dialect) -> None:
        """Tell the client what has become known since the last call."""
        taken = self.take()
        if taken is not None:
            outbox.acknowledge(dialect.encode(Acknowledged(*taken)))

    def _end(self, number: int) -> None:
        outstanding = self._outstanding or set()
        outstanding.discard(number)
        while self._ended < self.received and self._ended not in outstanding:
            self._ended += 1
        if not outstanding:
            self._outstanding = None
