"""What goes to all peers of a room with the next flush, encoded once for each dialect."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import structlog

from cowrite.core.delivery.awareness_turns import AwarenessTurns
from cowrite.core.delivery.dialect import Dialect
from cowrite.core.delivery.multicast import Multicast
from cowrite.core.delivery.outbox import Relay
from cowrite.core.delivery.peer import Peer
from cowrite.core.ports import Clock
from cowrite.crdt.errors import EngineFault
from cowrite.crdt.merging import AT_ONCE, merge_updates
from cowrite.crdt.outline import Outline
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.messages import Update

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Relayed:
    """One update, or several merged into one. Never changed; not frozen, as one is made for every keystroke."""

    update: bytes
    begins: Mapping[int, int]
    """By Yjs client the lowest clock in it."""
    senders: Collection[Peer | None]
    count: int
    """Of how many it is made."""


class Broadcast:
    """Collects updates and awareness between two flushes, and puts them into the outboxes as one frame each.

    Many updates are merged some at a time as they come: whoever sends so many is charged for it, and the flush costs what it
    does for a few. Else those who edit the same document would wait the longer for the next one.

    A peer may leave ``peers`` while they are sent (a full outbox closes its peer); what is still put into its outbox is lost
    with it.
    """

    def __init__(self, clock: Clock, multicast: Callable[[], Multicast]) -> None:
        """``multicast`` makes one, for the peers of one dialect."""
        self._clock = clock
        self._multicast = multicast
        self._live: dict[Dialect, Multicast] = {}
        self._updates: list[_Relayed] = []
        """What was merged is before what was not, most first."""
        self._unmergeable = False
        """Something in them cannot be merged: the flush deals with it."""
        self._awareness = AwarenessTurns()

    def __bool__(self) -> bool:
        return bool(self._updates) or bool(self._awareness)

    def update(self, fresh: bytes, outline: Outline, sender: Peer | None) -> None:
        """An update with only what was new to ``live``, for everybody but its sender (None: another process)."""
        self._updates.append(_Relayed(fresh, _begins(outline), (sender,), 1))
        if len(self._updates) >= AT_ONCE and not self._unmergeable:
            self._merge_last()

    def awareness(self, entries: Sequence[AwarenessEntry]) -> None:
        """Awareness that is news; of each Yjs client only the newest is sent."""
        self._awareness.add(entries)

    def drop_updates(self) -> None:
        """Forget the updates: they will be sent in another form."""
        self._updates.clear()
        self._unmergeable = False

    @property
    def moved(self) -> bool:
        """Some awareness waits."""
        return bool(self._awareness)

    def enter(self, peer: Peer) -> None:
        """The peer is live: from now on, until its outbox is discarded, it is sent every update. Idempotent."""
        multicast = self._live.get(peer.dialect)
        if multicast is None:
            multicast = self._live[peer.dialect] = self._multicast()
        peer.outbox.join(multicast)

    def send_updates(self) -> int:
        """To all who are live; no update waits here afterwards. Returns how many that were."""
        updates, self._updates = self._updates, []
        self._unmergeable = False
        if updates:
            self._live = {dialect: multicast for dialect, multicast in self._live.items() if multicast}
            self._relay(updates, self._clock.monotonic())
        return sum(one.count for one in updates)

    def send_awareness(self, peers: Collection[Peer], turns: int = 1) -> int:
        """Into the outboxes of those whose turn it is, of so many turns. Returns how many bytes that were."""
        return self._awareness.send(peers, turns)

    def _merge_last(self) -> None:
        """The last ones, as long as there are enough that are made of as many: so each is merged only a few times."""
        updates = self._updates
        while len(updates) >= AT_ONCE and updates[-AT_ONCE].count == updates[-1].count:
            try:
                merged = _merged(updates[-AT_ONCE:])
            except EngineFault:
                self._unmergeable = True
                return
            updates[-AT_ONCE:] = [merged]

    def _relay(self, updates: Sequence[_Relayed], now: float) -> None:
        try:
            merged = updates[0] if len(updates) == 1 else _merged(updates)
        except EngineFault as fault:
            # Nobody will send these again, so peers would differ from ``live`` for good: give them one by one.
            _log.error("updates not merged, sent one by one", updates=len(updates), reason=str(fault))
            for relayed in updates:
                self._relay([relayed], now)
            return
        # What a peer sent comes back to it only where it is merged with others' updates: one frame for all costs less.
        only = next(iter(merged.senders)) if len(merged.senders) == 1 else None
        but = only.outbox if only is not None else None
        for dialect, multicast in self._live.items():
            if multicast.concerns(but):
                multicast.relay(Relay(dialect.encode(Update(merged.update)), merged.begins, now), but)


def _merged(updates: Sequence[_Relayed]) -> _Relayed:
    """Raises :class:`EngineFault`."""
    begins: dict[int, int] = {}
    for one in updates:
        for client, clock in one.begins.items():
            begins[client] = min(clock, begins.get(client, clock))
    senders = {sender for one in updates for sender in one.senders}
    return _Relayed(merge_updates([one.update for one in updates]), begins, senders, sum(one.count for one in updates))


def _begins(outline: Outline) -> Mapping[int, int]:
    begins: dict[int, int] = {}
    for brought in outline.brings:
        begins[brought.client] = min(brought.start, begins.get(brought.client, brought.start))
    return begins
